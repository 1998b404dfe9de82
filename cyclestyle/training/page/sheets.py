"""Sheets of samples cut into their pictures: the same photos at some of the steps, in a file of bounded size."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from cyclestyle.evaluation.exhibits import jpeg
from cyclestyle.images import Picture, load, opened

COLUMNS = ("photo", "painted", "photo again", "painting", "as a photo", "painting again")
"""Of a sheet (journal.py, sample_sheet)."""
GAP = 2
"""Pixels between its pictures (images.py, grid)."""

STEPS_SHOWN, ROWS_SHOWN = 12, 6
SIDES = (256, 192, 128, 96, 64)
"""Pixels of a picture's side, the first that fits."""
MOST_BYTES = 5_000_000
"""Of all pictures of a page as files; inside the page, they are a third larger."""


class Samples(NamedTuple):
    """What a page shows of the sheets."""

    steps: list[int]
    rows: int
    files: dict[str, bytes]
    """`photo/ROW`, `painted STEP/ROW`, and of the last sheet `last COLUMN/ROW`."""
    left_out: int
    """Sheets that are not shown."""


class Sheets:
    """Cuts sheets, and remembers their pictures: at the next checkpoint there is one sheet more."""

    def __init__(self) -> None:
        self.coded: dict[tuple[int, int], list[list[bytes]]] = {}
        """By step and side: rows of files."""

    def samples(self, sheets: Mapping[int, Path], always: Collection[int] = ()) -> Samples | None:
        """Pictures of at most `STEPS_SHOWN` of the sheets, those of the steps `always` among them; None without any.

        Only sheets that look like the last one are taken: a run may go on with more samples, which are of others.
        """
        last = next((step for step in sorted(sheets, reverse=True) if cut_sheet(sheets[step]) is not None), None)
        if last is None:
            return None
        alike = [step for step in sorted(sheets) if step <= last and _size(sheets[step]) == _size(sheets[last])]
        chosen = spread(alike, STEPS_SHOWN, always)
        for side in SIDES:
            found = {step: rows for step in chosen if (rows := self._coded(step, sheets[step], side))}
            files = _files(found, last)
            if sum(map(len, files.values())) <= MOST_BYTES:
                break
        self.coded = {key: rows for key, rows in self.coded.items() if key[0] in found and key[1] == side}
        return Samples(list(found), len(found[last]), files, len(sheets) - len(found))

    def _coded(self, step: int, path: Path, side: int) -> list[list[bytes]]:
        """The files of a sheet's pictures; none if it cannot be cut."""
        if (step, side) not in self.coded:
            rows = cut_sheet(path) or []
            shown = [rows[index] for index in sorted(spread(range(len(rows)), ROWS_SHOWN))]
            self.coded[step, side] = [[jpeg(_small(picture, side)) for picture in row] for row in shown]
        return self.coded[step, side]


def _files(found: Mapping[int, Sequence[Sequence[bytes]]], last: int) -> dict[str, bytes]:
    files = {}
    for row, pictures in enumerate(found[last]):
        files[f"photo/{row}"] = pictures[0]
        files |= {f"painted {step}/{row}": rows[row][1] for step, rows in found.items()}
        files |= {f"last {column}/{row}": picture for column, picture in enumerate(pictures)}
    return files


def spread(places: Sequence[int], most: int, always: Collection[int] = ()) -> list[int]:
    """At most `most` (2 or more) of them from all over: first and last, those of `always`, others evenly between."""
    if len(places) <= most:
        return list(places)
    chosen = [places[round(index * (len(places) - 1) / (most - 1))] for index in range(most)]
    for wanted in (place for place in always if place in places and place not in chosen):
        inner = [place for place in chosen[1:-1] if place not in always]
        if inner:
            chosen.remove(min(inner, key=lambda place: abs(place - wanted)))
            chosen = sorted([*chosen, wanted])
    return chosen


def cut_sheet(path: Path) -> list[list[Picture]] | None:
    """The pictures of a sheet, row by row; None if it cannot be read, or is none."""
    try:
        sheet = load(path)
    except (ValueError, OSError):
        return None
    side, odd = divmod(sheet.width + GAP, len(COLUMNS))
    if odd or side <= GAP or (sheet.height + GAP) % side:
        return None
    rows = (sheet.height + GAP) // side
    starts = [(row * side, [column * side for column in range(len(COLUMNS))]) for row in range(rows)]
    inner = side - GAP
    return [[sheet.crop((left, top, left + inner, top + inner)) for left in lefts] for top, lefts in starts]


def _size(path: Path) -> tuple[int, int] | None:
    """Of a picture's file; None if it is none."""
    try:
        with opened(path) as file:
            return file.size
    except (OSError, ValueError, SyntaxError):
        return None


def _small(picture: Picture, side: int) -> Picture:
    return picture if picture.width <= side else picture.resize((side, side), Image.Resampling.LANCZOS)
