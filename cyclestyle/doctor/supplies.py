"""Pictures to learn from, and weights of networks that see."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterable  # noqa: UP035 - for Python 3.8

from cyclestyle.doctor.findings import Finding, fine, note, wrong
from cyclestyle.doctor.libraries import in_notebook

USUAL = Path("data", "monet")
"""Where configs/monet.toml and `cyclestyle download` have them."""
INPUT = Path("/kaggle/input")
FOR_A_CARD = ("vgg19", "inception", "alexnet", "lpips-alex")
"""Networks without which `evaluate` gives no whole card."""


def folder_of_data(given: Path | None) -> Path | None:
    """The folder to look into: the given one, the usual one, or what a notebook has attached; None if there is none."""
    if given is not None:
        return given
    if os.path.lexists(USUAL):
        return USUAL
    # Newer images mount the competition a folder or two deeper.
    found = (place for depth in ("*", "*/*", "*/*/*") for place in sorted(INPUT.glob(f"{depth}/monet_jpg")))
    return next((place.parent for place in found), None) if in_notebook() else None


def data(folder: Path | None, answer: dict[str, Any] | None) -> Iterable[Finding]:
    """How many pictures there are; without PyTorch (`answer` is None) only whether there is a folder."""
    other = "or your own pictures with --data DIR"
    if folder is None:
        attach = "attach the competition's data: Add Input, gan-getting-started"
        do = attach if in_notebook() else f"cyclestyle download monet --to {USUAL}; {other}"
        yield note("data", f"no {USUAL} here", do)
    elif answer is None:
        if folder.is_dir():
            yield note("data", f"{folder} is there; its pictures are counted with PyTorch, which did not come to it")
        else:
            yield wrong("data", f"no such folder: {folder}", f"cyclestyle download monet --to {folder}; {other}")
    elif "error" in answer:
        yield wrong("data", f"{folder} cannot be looked at: {answer['error']}", f"cyclestyle check {folder}")
    elif "refused" in answer:
        yield wrong("data", answer["refused"], f"cyclestyle download monet --to {USUAL}; {other}")
    else:
        counts = ", ".join(f"{count:,} {name}" for name, count in answer["counts"].items())
        yield fine("data", f"{counts} in {folder} (`cyclestyle check {folder}` looks at each)")


def there(folder: Path | None, answer: dict[str, Any] | None) -> bool:
    """Whether there is something to learn from, so that nothing has to be fetched."""
    if folder is None:
        return False
    return folder.is_dir() if answer is None else "counts" in answer


def weights(answer: dict[str, Any]) -> Iterable[Finding]:
    """Which networks can see without a download, and where the others would have to lie."""
    if "error" in answer:
        yield note("weights", f"cannot be looked for: {answer['error']}")
        return
    if "refused" in answer:
        yield wrong("weights", answer["refused"], "give a folder that is there; or leave it out, to download them")
        return
    networks = answer["networks"]
    for network in networks.values():
        if network["damaged"] and not network["whole"]:
            found = f"{network['damaged'][0]} is cut off or no file of weights"
            yield note("weights", found, f"rm {network['damaged'][0]}")
    lacking = [networks[kind] for kind in FOR_A_CARD if not networks[kind]["whole"]]
    here = [network["what"] for network in networks.values() if network["whole"]]
    said = f"here: {', '.join(here)}" if here else f"none here (looked for them in {answer['cache']} too)"
    if lacking:
        files = ", ".join(network["file"] for network in lacking)
        found = f"{said}; `evaluate` would download {', '.join(network['what'] for network in lacking)}"
        do = f"nothing with a network; without one, put {files} into a folder and export CYCLESTYLE_WEIGHTS=FOLDER"
        yield note("weights", found, do)
    else:
        yield fine("weights", said)
