"""What is said of an exported painter on a screen."""

from cyclestyle.exporting.exporting import Exported

LEVELS = 127.5
"""Of 255, in one unit of values in [-1, 1]."""


def told(exported: Exported) -> str:
    """The parity by size, and in one line what was written."""
    card, found = exported.card, exported.differences
    column = max(len(str(one)) for one in found)
    usual = min(one.allowed.largest for one in found)
    lines = ["difference from PyTorch, of values in [-1, 1]", f"{'size':>{column}}  largest     mean"]
    for one in found:
        more = f"  (PyTorch's own rounding: {one.allowed.largest / 2:.1e})" if one.allowed.largest > usual else ""
        lines.append(f"{one!s:>{column}}  {one.largest:.1e}  {one.mean:.1e}{more}")
    allowed = max((one.allowed for one in found), key=lambda bound: bound.largest)
    lines.append(
        f"at most {card.parity.largest:.1e}, on average {card.parity.mean:.1e}; "
        f"allowed in {card.precision} are {allowed.largest:.2g} and {allowed.mean:.2g}"
    )
    kind = "a preview" if card.preview else "a painter"
    off = f", off by {card.parity.mean * LEVELS:.2f} of 255 levels on average" if card.precision != "fp32" else ""
    lines.append(f"{exported.path}: {kind} of {exported.bytes / 1e6:.1f} MB in {card.precision}{off}, for any size")
    return "\n".join(lines)
