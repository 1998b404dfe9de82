"""Brush strokes: layers of oriented strokes that each pixel finds by itself.

Strokes are sampled on a jittered grid, oriented along the picture's edges and clipped where their colour no longer
fits (Haeberli 1990, Litwinowicz 1997), in layers from broad to fine (Hertzmann 1998). The grid is parted into classes
of cells that lie too far apart for their strokes to meet, so each class is laid in one pass over all pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cyclestyle.data.scenes.curves import Field, clamp, smooth
from cyclestyle.data.scenes.noise import hashed, noise_at

_BAND = 16384  # pixels that are worked on at a time
_CLASSES = 4  # cells from one stroke of a class to the next, per axis: strokes may reach 2 cells from their middle


class Layer(NamedTuple):
    """One layer of strokes."""

    cell: float  # spacing of strokes, picture units
    length: float  # half length of a stroke, cells; with the jitter at most 2
    width: float  # half width, cells
    opacity: float
    tone: float  # spread of brightness from stroke to stroke, display units
    hue: float  # spread of each channel from stroke to stroke: the broken colour
    detail_only: bool  # leave out strokes where the picture is flat


class Strokes(NamedTuple):
    """All strokes of a layer; arrays of shape (count, count), row by column of cells."""

    x: Field
    y: Field
    cosine: Field
    sine: Field
    colour: Field  # (3, count, count)
    opacity: Field
    phase: Field  # where the stroke lies in the bristle noise


def _draw_strokes(target: Field, flow: Field, detail: Field, layer: Layer, key: int) -> Strokes:
    """Place the strokes of a layer and sample their colours from the target picture (3, size, size)."""
    size = target.shape[1]
    count = int(1.0 / layer.cell) + 1 + 2 * _CLASSES
    index = np.arange(-_CLASSES, count - _CLASSES, dtype=np.int64)
    column, row = index[None, :], index[:, None]
    x = (column + 0.5 + 0.8 * (hashed(column, row, key) - 0.5)) * layer.cell
    y = (row + 0.5 + 0.8 * (hashed(column, row, key + 1) - 0.5)) * layer.cell
    px = np.minimum(np.maximum(np.floor(x * size).astype(np.int64), 0), size - 1)
    py = np.minimum(np.maximum(np.floor(y * size).astype(np.int64), 0), size - 1)
    double_cosine, double_sine = flow[0][py, px], flow[1][py, px]
    cosine = np.sqrt(clamp(0.5 + 0.5 * double_cosine))
    sine = np.sqrt(clamp(0.5 - 0.5 * double_cosine)) * np.where(double_sine < 0.0, -1.0, 1.0)
    tone = layer.tone * (2.0 * hashed(column, row, key + 2) - 1.0)
    sampled = target[:, py, px]
    # Dark paint varies less, or night would dissolve into flecks.
    spread = 0.45 + 0.8 * (0.3 * sampled[0] + 0.59 * sampled[1] + 0.11 * sampled[2])
    colour = np.stack(
        [
            sampled[channel] + spread * (tone + layer.hue * (2.0 * hashed(column, row, key + 3 + channel) - 1.0))
            for channel in range(3)
        ]
    )
    opacity = layer.opacity * (0.75 + 0.25 * hashed(column, row, key + 6))
    if layer.detail_only:
        opacity = opacity * detail[py, px]
    return Strokes(x, y, cosine, sine, colour, opacity, 64.0 * hashed(column, row, key + 7))


def lay_strokes(picture: Field, target: Field, flow: Field, detail: Field, layer: Layer, key: int) -> Field:
    """Lay one layer of strokes over the picture, both (3, size, size); flow is (cos 2a, sin 2a) of unit length."""
    size = picture.shape[1]
    strokes = _draw_strokes(target, flow, detail, layer, key)
    table = np.stack(
        [strokes.x, strokes.y, strokes.cosine, strokes.sine, *strokes.colour, strokes.opacity, strokes.phase]
    )
    centre = (np.arange(size, dtype=np.float64) + 0.5) * (1.0 / size)
    order = np.argsort(
        hashed(np.arange(_CLASSES * _CLASSES, dtype=np.int64), np.zeros(1, np.int64), key + 9), kind="stable"
    )
    picture = picture.copy()
    height = max(_BAND // size, 4)
    # Band by band, so that the work of one pass stays in the processor's cache.
    for top in range(0, size, height):
        band = slice(top, min(top + height, size))
        for turn in order.tolist():
            first_row, first_column = turn // _CLASSES, turn % _CLASSES
            members = table[:, first_row::_CLASSES, first_column::_CLASSES]
            rows = _nearest(centre[band], layer.cell, first_row, members.shape[1])
            columns = _nearest(centre, layer.cell, first_column, members.shape[2])
            own = np.take(np.take(members, rows, axis=1), columns, axis=2)
            _lay_class(picture[:, band], target[:, band], own, (centre, centre[band]), layer)
    return picture


def _nearest(centre: Field, cell: float, first: int, count: int) -> NDArray[np.int64]:
    """For every pixel position the member of a class whose cell is nearest."""
    place = centre * (1.0 / cell) - 0.5 + _CLASSES - first
    index = np.floor(place * (1.0 / _CLASSES) + 0.5).astype(np.int64)
    return np.minimum(np.maximum(index, 0), count - 1)


def _lay_class(picture: Field, target: Field, own: Field, centres: tuple[Field, Field], layer: Layer) -> None:
    """Lay the strokes of one class; `own` holds for every pixel the only stroke that can reach it."""
    size = picture.shape[2]
    dx, dy = centres[0][None, :] - own[0], centres[1][:, None] - own[1]
    along = (dx * own[2] + dy * own[3]) * (1.0 / (layer.length * layer.cell))
    across = (dy * own[2] - dx * own[3]) * (1.0 / (layer.width * layer.cell))
    half_width = layer.width * layer.cell * size  # pixels
    relief: Field | float = 0.0
    worn = along * along
    if half_width > 2.5:
        # Bristles: threads of paint along the stroke, which also end at different places.
        bristle = noise_at(across * 3.0 + own[8], along * 0.35 + own[8], 0)
        relief = bristle * 0.022 * min((half_width - 2.5) * 0.5, 1.0)
        worn = worn * (1.0 + 0.45 * bristle)
    inside = 1.0 - worn * worn - across * across
    cover = clamp(inside * (0.5 + 0.55 * half_width)) * own[7]
    misfit = np.abs(own[4] - target[0]) + np.abs(own[5] - target[1]) + np.abs(own[6] - target[2])
    cover = cover * (1.0 - smooth(misfit, 0.15, 0.42))
    for channel in range(3):
        picture[channel] += cover * (own[4 + channel] + relief - picture[channel])
