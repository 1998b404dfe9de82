"""One picture to look at: columns of methods, rows of scenes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from cyclestyle.images import grid, load

SMALLEST = 160
"""Pixels; smaller pictures are enlarged by a whole factor, since people look at them on large screens."""


def label_sheet(columns: Mapping[str, Mapping[str, Path]], scenes: Sequence[str], *, blocks: int = 3) -> Image.Image:
    """Rows of scenes from files, their columns titled; the rows stand in `blocks` side by side."""
    return titled(
        [[load(files[scene]) for files in columns.values()] for scene in scenes], list(columns), blocks=blocks
    )


def titled(rows: Sequence[Sequence[Image.Image]], titles: Sequence[str], *, blocks: int) -> Image.Image:
    """Rows of pictures under the titles of their columns; they stand in `blocks` side by side, so the sheet is wide."""
    cells = [[_enlarged(picture) for picture in row] for row in rows]
    width = cells[0][0].width
    per_block = -(-len(cells) // blocks)
    sheets = [grid(cells[start : start + per_block]) for start in range(0, len(cells), per_block)]
    gap, head = width // 8, 24
    sheet = Image.new(
        "RGB", (sum(one.width for one in sheets) + gap * (len(sheets) - 1), sheets[0].height + head), "white"
    )
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    left = 0
    for one in sheets:
        for column, title in enumerate(titles):
            pen.text((left + column * (width + 2) + width / 2, head / 2), title, fill="black", font=font, anchor="mm")
        sheet.paste(one, (left, head))
        left += one.width + gap
    return sheet


def _enlarged(picture: Image.Image) -> Image.Image:
    factor = -(-SMALLEST // picture.width)
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.BICUBIC) if factor > 1 else picture
