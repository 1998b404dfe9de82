"""Lattice noise from integer hashing: the one source of texture for scenes, photographs and brush strokes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cyclestyle.data.scenes.curves import Field, clamp

_MASK = 0xFFFFFFFF
_PERIOD = 128  # side of the hashed table that freely placed noise is looked up in


def hashed(ix: NDArray[np.int64], iy: NDArray[np.int64], key: int) -> Field:
    """Give every lattice point a fixed number in [0, 1); ix and iy broadcast, arithmetic wraps modulo 2**32."""
    h = (ix & _MASK).astype(np.uint32) * np.uint32(0x9E3779B1)
    h = h ^ ((iy & _MASK).astype(np.uint32) * np.uint32(0x85EBCA77))
    h = h ^ np.uint32((key * 0x27D4EB2F + 0x165667B1) & _MASK)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    h = (h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39)
    h = h ^ (h >> np.uint32(15))
    return h.astype(np.float64) * (1.0 / (1 << 32))


def _spline_taps(position: Field) -> tuple[NDArray[np.int64], int, int, tuple[Field, Field, Field, Field]]:
    """Split lattice positions into first tap (from 0), lowest lattice index, lattice length and B-spline weights."""
    cell = np.floor(position)
    t = position - cell
    s = 1.0 - t
    first = cell.astype(np.int64) - 1
    low = int(first.min())
    count = int(first.max()) - low + 4
    sixth = 1.0 / 6.0
    weights = (
        s * s * s * sixth,
        (4.0 - 6.0 * t * t + 3.0 * t * t * t) * sixth,
        (4.0 - 6.0 * s * s + 3.0 * s * s * s) * sixth,
        t * t * t * sixth,
    )
    return first - low, low, count, weights


def spline_noise(xs: Field, ys: Field, key: int) -> Field:
    """Evaluate smooth noise on the grid of lattice positions ys (rows) by xs (columns), about -1 to 1.

    Cubic B-splines over hashed values: no axis-aligned creases, and separable, so a whole picture costs little.
    """
    tx, low_x, count_x, wx = _spline_taps(xs)
    ty, low_y, count_y, wy = _spline_taps(ys)
    columns = np.arange(low_x, low_x + count_x, dtype=np.int64)[None, :]
    rows = np.arange(low_y, low_y + count_y, dtype=np.int64)[:, None]
    # The factor undoes the contrast that the spline takes away.
    lattice = (hashed(columns, rows, key) - 0.5) * 3.6
    across = lattice[:, tx] * wx[0]
    for tap in (1, 2, 3):
        across = across + lattice[:, tx + tap] * wx[tap]
    result = across[ty] * wy[0][:, None]
    for tap in (1, 2, 3):
        result = result + across[ty + tap] * wy[tap][:, None]
    return result


def resolvable(frequency: float, size: int) -> float:
    """Tell how much of a texture with this many cells per picture a picture of `size` pixels can show (0 to 1)."""
    return min(max((0.55 * size - frequency) / (0.25 * size), 0.0), 1.0)


def fractal(xs: Field, ys: Field, key: int, octaves: int, gain: float, size: int, billow: bool = False) -> Field:
    """Sum octaves of spline noise, leaving out what `size` pixels cannot show.

    xs and ys are lattice positions that increase over the picture; `billow` folds each octave into
    round puffs with sharp creases between them.
    """
    base = max(abs(float(xs[-1]) - float(xs[0])), abs(float(ys[-1]) - float(ys[0])))
    total = np.zeros((ys.shape[0], xs.shape[0]))
    scale, amplitude = 1.0, 1.0
    for octave in range(octaves):
        weight = resolvable(base * scale, size) if octave else 1.0
        if weight == 0.0:
            break
        layer = spline_noise(xs * scale, ys * scale, key + 101 * octave)
        if billow:
            layer = 2.0 * np.abs(layer) - 0.75
        total = total + layer * (amplitude * weight)
        scale *= 2.0
        amplitude *= gain
    return total


@lru_cache(maxsize=1)
def _table() -> Field:
    """Hash the table of lattice values that `noise_at` wraps around in."""
    index = np.arange(_PERIOD, dtype=np.int64)
    table = (hashed(index[None, :], index[:, None], 0x5EED) * 2.0 - 1.0).reshape(-1)
    table.flags.writeable = False
    return table


def noise_at(u: Field, v: Field, key: int) -> Field:
    """Evaluate smooth noise (-1 to 1) at free lattice positions u, v of one common shape."""
    table = _table()
    iu, iv = np.floor(u), np.floor(v)
    fu, fv = u - iu, v - iv
    fu = fu * fu * (3.0 - 2.0 * fu)
    fv = fv * fv * (3.0 - 2.0 * fv)
    left = (iu.astype(np.int64) + (key & 0xFFFF)) & (_PERIOD - 1)
    top = (iv.astype(np.int64) + (key >> 16)) & (_PERIOD - 1)
    right = (left + 1) & (_PERIOD - 1)
    top, below = top * _PERIOD, ((top + 1) & (_PERIOD - 1)) * _PERIOD
    upper = table[top + left]
    upper = upper + fu * (table[top + right] - upper)
    lower = table[below + left]
    lower = lower + fu * (table[below + right] - lower)
    return upper + fv * (lower - upper)


def fractal_at(u: Field, v: Field, cells_per_pixel: Field, key: int, octaves: int, gain: float) -> Field:
    """Sum octaves of noise at free positions, each faded out where a pixel covers too much of a lattice cell."""
    total = np.zeros(u.shape)
    scale, amplitude = 1.0, 1.0
    for octave in range(octaves):
        weight = clamp(1.8 - cells_per_pixel * (2.6 * scale))
        if not bool(np.any(weight > 0.0)):
            break
        total = total + noise_at(u * scale, v * scale, key + 7919 * octave) * (weight * amplitude)
        scale *= 2.0
        amplitude *= gain
    return total
