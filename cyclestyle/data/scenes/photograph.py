"""The photograph of a scene: what a small camera makes of the view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cyclestyle.data.scenes.curves import Field, clamp
from cyclestyle.data.scenes.elements import Scene
from cyclestyle.data.scenes.noise import hashed
from cyclestyle.data.scenes.view import view

_NOISE = 0.016  # sensor noise at mid brightness, display units (half range)


def to_bytes(display: Field) -> NDArray[np.uint8]:
    """Turn display values (3, height, width) into 8-bit RGB (height, width, 3)."""
    levels = np.floor(clamp(display) * 255.0 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(levels, 0, -1))


def photograph(scene: Scene, size: int) -> NDArray[np.uint8]:
    """Photograph the scene: RGB of shape (size, size, 3), 16 pixels a side or more."""
    display = view(scene, size).display
    column = np.arange(size, dtype=np.int64)[None, :]
    row = np.arange(size, dtype=np.int64)[:, None]
    grain = np.stack(
        [
            hashed(column, row, scene.texture_key + channel)
            + hashed(column, row, scene.texture_key + channel + 7)
            - 1.0
            for channel in range(3)
        ]
    )
    # Photon noise is strongest in the mid-tones after the tone curve, and partly common to the channels.
    common = hashed(column, row, scene.texture_key + 3) - 0.5
    strength = _NOISE * (0.5 + 2.0 * display * (1.0 - display))
    return to_bytes(display + strength * (grain + common))
