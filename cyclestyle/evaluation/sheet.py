"""One picture to look at: columns of methods, rows of scenes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from cyclestyle.images import grid, list_pictures, load

SMALLEST = 160
"""Pixels; smaller pictures are enlarged by a whole factor, since people look at them on large screens."""


def matched(folder: Path, like: Path) -> dict[str, Path]:
    """The pictures of `folder` by the names (without suffix) of those in `like`, all of which must be there.

    Raises ValueError naming the first that is missing.
    """
    have = {path.relative_to(folder).with_suffix("").as_posix(): path for path in list_pictures(folder)}
    wanted = [path.relative_to(like).with_suffix("").as_posix() for path in list_pictures(like)]
    missing = [name for name in wanted if name not in have]
    if missing:
        raise ValueError(f"{folder} lacks {len(missing)} of the {len(wanted)} pictures in {like}, first {missing[0]}")
    return {name: have[name] for name in wanted}


def label_sheet(columns: Mapping[str, Mapping[str, Path]], scenes: Sequence[str], *, blocks: int = 3) -> Image.Image:
    """Rows of scenes, their columns titled; the rows stand in `blocks` side by side, so that the sheet is wide."""
    rows = [[_enlarged(load(files[scene])) for files in columns.values()] for scene in scenes]
    width = rows[0][0].width
    per_block = -(-len(rows) // blocks)
    sheets = [grid(rows[start : start + per_block]) for start in range(0, len(rows), per_block)]
    gap, head = width // 8, 24
    sheet = Image.new(
        "RGB", (sum(one.width for one in sheets) + gap * (len(sheets) - 1), sheets[0].height + head), "white"
    )
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    left = 0
    for one in sheets:
        for column, title in enumerate(columns):
            pen.text((left + column * (width + 2) + width / 2, head / 2), title, fill="black", font=font, anchor="mm")
        sheet.paste(one, (left, head))
        left += one.width + gap
    return sheet


def _enlarged(picture: Image.Image) -> Image.Image:
    factor = -(-SMALLEST // picture.width)
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.BICUBIC) if factor > 1 else picture
