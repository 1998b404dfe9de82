"""The picture plane: pixel positions and the canvas that scene elements are laid on, back to front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cyclestyle.data.scenes.curves import Field

_OVERSAMPLED_BELOW = 160  # smaller pictures are drawn at twice their size, for clean small shapes


class Frame(NamedTuple):
    """Pixel centres of a square picture whose sides run from 0 to 1, x to the right and y down."""

    size: int  # side of the finished picture, pixels
    grid: int  # side of the grid that is drawn, pixels: size or twice size
    x: Field  # (grid,)
    y: Field  # (grid,)


def make_frame(size: int) -> Frame:
    """Lay out the pixel grid for a finished picture of `size` pixels."""
    grid = 2 * size if size < _OVERSAMPLED_BELOW else size
    centres = (np.arange(grid, dtype=np.float64) + 0.5) * (1.0 / grid)
    return Frame(size, grid, centres, centres)


class Window(NamedTuple):
    """Part of the grid: rows and columns as slices, with the positions of their pixels."""

    rows: slice
    columns: slice
    x: Field  # (1, width)
    y: Field  # (height, 1)


def whole_window(frame: Frame) -> Window:
    """The window that is the whole picture."""
    return Window(slice(0, frame.grid), slice(0, frame.grid), frame.x[None, :], frame.y[:, None])


def make_window(frame: Frame, left: float, right: float, top: float, bottom: float) -> Window | None:
    """The window around a rectangle given in picture units; None where nothing of it is in the picture."""
    n = frame.grid
    c0, c1 = max(int(left * n) - 1, 0), min(int(right * n) + 2, n)
    r0, r1 = max(int(top * n) - 1, 0), min(int(bottom * n) + 2, n)
    if c0 >= c1 or r0 >= r1:
        return None
    rows, columns = slice(r0, r1), slice(c0, c1)
    return Window(rows, columns, frame.x[None, columns], frame.y[rows, None])


@dataclass
class Canvas:
    """What has been laid so far."""

    frame: Frame
    light: Field  # (3, grid, grid) linear RGB light
    flow: Field  # (2, grid, grid) (cos 2a, sin 2a) of the direction a a painter would follow; shorter is vaguer

    def lay(self, window: Window, colour: Field, cover: Field, flow: tuple[Field | float, Field | float]) -> None:
        """Lay a colour (3, height, width) over the window where `cover` (height, width) is 1."""
        rows, columns = window.rows, window.columns
        below = self.light[:, rows, columns]
        self.light[:, rows, columns] = below + cover * (colour - below)
        for part in (0, 1):
            below = self.flow[part, rows, columns]
            self.flow[part, rows, columns] = below + cover * (flow[part] - below)


def blank_canvas(frame: Frame) -> Canvas:
    """A canvas with nothing on it."""
    return Canvas(frame, np.zeros((3, frame.grid, frame.grid)), np.zeros((2, frame.grid, frame.grid)))


def tinted(colour: tuple[float, float, float], brightness: Field) -> Field:
    """Spread one RGB colour over a field of brightness (height, width): (3, height, width)."""
    return np.stack([brightness * channel for channel in colour])
