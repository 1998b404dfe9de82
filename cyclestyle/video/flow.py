"""How a video moves: optical flow from frame to frame, and where it can be believed."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""(h, w, 3), RGB."""
Values = NDArray[np.float32]
"""(h, w, 3), RGB, 0 to 255."""

LEAST_SIDE = 64
"""Flow is looked for in frames that are enlarged to this, if they are smaller: patches have 8 pixels."""
APART, AND_ITS_SHARE = 0.5, 0.01
"""Squared pixels that there and back may miss the start by, and the share of both squared lengths in addition:
Sundaram, Brox, Keutzer, "Dense point trajectories by GPU-accelerated large displacement optical flow", ECCV 2010,
equation 5."""
UNLIKE = 12.0
"""Levels of 255: frames that differ by as much, where one should have moved onto the other, are believed by 1/e."""
AROUND = 5
"""Pixels of the square in which they are compared: a single one is noise."""


@dataclass(frozen=True)
class Motion:
    """Where each pixel of a frame was in the frame before."""

    x: NDArray[np.float32]
    """Columns in the frame before, (h, w)."""
    y: NDArray[np.float32]
    """Rows."""
    trust: NDArray[np.float32]
    """0 where nothing in the frame before is this pixel, up to 1 where something certainly is: (h, w)."""

    def carried(self, before: Values) -> Values:
        """What was at the frame before, moved to where it is now. Beyond its border lies its last row or column.

        Cubic, since what is carried on and on would be blurred by a linear one.
        """
        return cv2.remap(before, self.x, self.y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def motion(before: Pixels, now: Pixels) -> Motion:
    """How one frame became the next, by dense inverse search (Kroeger et al., ECCV 2016), in both directions.

    A pixel is trusted if the way back leads to where it came from, inside of the picture, and if both frames look alike
    there.
    """
    grey_before, grey_now = _grey(before), _grey(now)
    back, there = _flow(grey_now, grey_before), _flow(grey_before, grey_now)
    height, width = grey_now.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    x, y = columns + back[..., 0], rows + back[..., 1]
    returned = cv2.remap(there, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    missed = np.square(back + returned).sum(2)
    lengths = np.square(back).sum(2) + np.square(returned).sum(2)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    found = (missed <= AND_ITS_SHARE * lengths + APART) & inside
    alike = Motion(x, y, found.astype(np.float32))
    unlike = np.abs(alike.carried(before.astype(np.float32)) - now).mean(2)
    unlike = cv2.blur(unlike, (AROUND, AROUND), borderType=cv2.BORDER_REPLICATE)
    return Motion(x, y, (found * np.exp(-np.square(unlike / UNLIKE))).astype(np.float32))


def _grey(frame: Pixels) -> NDArray[np.uint8]:
    """(h, w)."""
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def _flow(start: NDArray[np.uint8], end: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels to the right and downwards that each pixel of `start` moves until `end`: (h, w, 2)."""
    height, width = start.shape
    larger = max(1.0, LEAST_SIDE / min(height, width))
    if larger > 1:
        size = tuple(max(LEAST_SIDE, min(round(side * larger), max(side, 4096))) for side in (width, height))
        start, end = (
            np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR), np.uint8) for grey in (start, end)
        )
    # One made anew each time, since it would begin with what it has found before.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    empty = np.zeros((*start.shape, 2), np.float32)
    found = np.asarray(search.calc(np.ascontiguousarray(start), np.ascontiguousarray(end), empty), np.float32)
    if larger > 1:
        down, across = start.shape[0] / height, start.shape[1] / width
        found = cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR) / (across, down)
    return np.asarray(found, np.float32)
