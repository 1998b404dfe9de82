"""Blurs and resampling by plain slice additions, in one fixed order of operations."""

from __future__ import annotations

import numpy as np

from cyclestyle.data.scenes.curves import Field


def _pad(field: Field, radius: int, axis: int) -> Field:
    """Repeat the first and last slice `radius` times along an axis."""
    length = field.shape[axis]
    index = np.minimum(np.maximum(np.arange(-radius, length + radius), 0), length - 1)
    return np.take(field, index, axis=axis)


def _box_along(field: Field, radius: int, axis: int) -> Field:
    """Average 2 * radius + 1 neighbours along an axis (the last two only); wide windows use a running sum."""
    width = 2 * radius + 1
    padded = _pad(field, radius, axis)
    if width <= 5:
        size = field.shape[axis]
        shifted = [padded[..., k : k + size] if axis == -1 else padded[..., k : k + size, :] for k in range(width)]
        near = shifted[0] + shifted[1]
        for part in shifted[2:]:
            near += part
        return near * (1.0 / width)
    total = np.cumsum(padded, axis=axis)
    length = field.shape[axis]
    if axis == -1:
        head = total[..., width - 1 : width - 1 + length].copy()
        head[..., 1:] -= total[..., : length - 1]
    else:
        head = total[..., width - 1 : width - 1 + length, :].copy()
        head[..., 1:, :] -= total[..., : length - 1, :]
    return head * (1.0 / width)


def box_blur(field: Field, radius: int) -> Field:
    """Average over a square window of side 2 * radius + 1; works on the last two axes."""
    if radius < 1:
        return field
    return _box_along(_box_along(field, radius, -1), radius, -2)


def soft_blur(field: Field, width: float) -> Field:
    """Blur by a bell of about `width` pixels to each side: two boxes, blended so that width may be fractional."""
    radius = int(width)
    share = width - radius
    low = box_blur(box_blur(field, radius), (radius + 1) // 2)
    if share == 0.0:
        return low
    high = box_blur(box_blur(field, radius + 1), (radius + 2) // 2)
    return low + share * (high - low)


def halve(field: Field) -> Field:
    """Average 2 x 2 blocks of the last two axes, which have even lengths."""
    rows = field[..., 0::2, :] + field[..., 1::2, :]
    return (rows[..., 0::2] + rows[..., 1::2]) * 0.25
