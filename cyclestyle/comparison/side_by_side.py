"""The pictures of a comparison's page: as large as a file that one can send to somebody allows."""

from collections.abc import Mapping, Sequence

from cyclestyle.comparison.together import small_pictures
from cyclestyle.evaluation.pictures import View

SIDES = (512, 384, 256, 192, 128, 96)
"""Pixels of a picture's side, the first that fits."""
MOST_BYTES = 6_000_000
"""Of all pictures of a page as files; inside the page, they are a third larger."""
TRIED = 3
"""Rows by which the size of all is foretold."""


def side_by_side(views: Mapping[str, Sequence[View]], names: Sequence[str], rows: int) -> dict[str, bytes]:
    """Small JPEGs, `NAME/PLACE`: the same photos of every name, `rows` of them from all over, or as many as fit.

    Pictures are made smaller before any is left out, down to the last of `SIDES`; none is enlarged.
    """
    there = min(rows, *(len(views[name]) for name in names))
    for side in SIDES:
        each = weight(small_pictures(views, names, min(TRIED, there), side)) / min(TRIED, there)
        if each * there <= MOST_BYTES:
            break
    shown = max(1, min(there, int(MOST_BYTES // each)))
    pictures = small_pictures(views, names, shown, side)
    while weight(pictures) > MOST_BYTES and shown > 1:  # those that were tried were simpler than the others
        shown -= -(-shown // 10)
        pictures = small_pictures(views, names, shown, side)
    return pictures


def weight(pictures: Mapping[str, bytes]) -> int:
    """Bytes of all of them."""
    return sum(map(len, pictures.values()))
