"""Scaling by albumentations, the same every time; then cutting and mirroring, by chances drawn beforehand."""

import os
from typing import NamedTuple

# Otherwise importing albumentations asks a package index for newer versions.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cyclestyle.config import DataSettings
from cyclestyle.data.decoding import Pixels
from cyclestyle.images import Picture

# In a loader process OpenCV's threads only fight with torch's; and one thread is as fast for pictures of this size.
cv2.setNumThreads(1)


class Cut(NamedTuple):
    """The chances of one picture."""

    top: int
    left: int
    mirror: bool
    seed: int
    """Of the chances that albumentations draws itself (`zoom`)."""


class Cuts(NamedTuple):
    """Those of many pictures."""

    rows: NDArray[np.int64]
    """(n, 4): what stands in a `Cut`."""

    def of(self, index: int) -> Cut:
        """Of one of them."""
        top, left, mirror, seed = self.rows[index].tolist()
        return Cut(top, left, bool(mirror), seed)


class Augmentation:
    """What a preset does to pictures; they come out square, `crop` pixels a side.

    In two parts: `prepare` is the same every time and may be cached, `cut` follows the chances.
    """

    def __init__(self, settings: DataSettings) -> None:
        preset = settings.augmentation
        self.side = settings.crop
        self.scaled_to = {"paper": settings.resize, "zoom": None}.get(preset, settings.crop)
        """Side of what `prepare` gives; None where pictures keep their sizes."""
        self.room = settings.resize - settings.crop if preset == "paper" else 0
        """Pixels by which a cut may begin later."""
        self.mirrors = preset in {"paper", "flip"}
        self.scaling = _scale(self.scaled_to) if self.scaled_to is not None else None
        self.zoom = _zoom(self.side) if self.scaled_to is None else None

    def facts(self) -> dict[str, object]:
        """All that the pixels of `prepare` follow from, besides the picture and the decoder."""
        return {"side": self.scaled_to, "by": f"albumentations {A.__version__}, OpenCV {cv2.__version__}"}

    def prepare(self, picture: Picture | Pixels) -> Pixels:
        """The part without chance: (side, side, 3), scaled; or (h, w, 3), as it is, if its cut is scaled."""
        pixels = np.asarray(picture)
        if self.scaling is None:
            return pixels
        # It has no chances and keeps no notes, so that `apply` alone will do, in any thread.
        return np.asarray(self.scaling.apply(pixels))

    def to_keep(self, prepared: Pixels) -> Pixels:
        """As caches keep it: what is only to be cut out, in planes (3, side, side), since it comes out in planes."""
        return prepared if self.scaling is None else np.ascontiguousarray(prepared.transpose(2, 0, 1))

    def draw(self, chances: np.random.Generator, count: int) -> Cuts:
        """The chances of so many pictures."""
        top, left = chances.integers(0, self.room + 1, (2, count))
        mirror = chances.integers(0, 2, count) * self.mirrors
        return Cuts(np.stack([top, left, mirror, chances.integers(0, 2**32, count)], axis=1))

    def cut(self, prepared: Pixels, cut: Cut, out: Pixels) -> None:
        """Cut and mirror what `prepare` or `to_keep` gave, into (3, crop, crop)."""
        side = self.side
        if self.zoom is not None:
            self.zoom.set_random_seed(cut.seed)
            out[:] = self.zoom(image=prepared)["image"].transpose(2, 0, 1)
            return
        if len(prepared) == 3:  # planes; no side is so short
            out[:] = prepared[:, cut.top : cut.top + side, cut.left : cut.left + side]
        else:
            # Measured: five times as fast as from where it lies.
            square = np.ascontiguousarray(prepared[cut.top : cut.top + side, cut.left : cut.left + side])
            cv2.split(square, list(out))
        if cut.mirror:
            rows = out.reshape(3 * side, side)  # the three planes below one another; a view
            cv2.flip(rows, 1, dst=rows)


def _scale(side: int) -> A.Resize:
    return A.Resize(side, side, interpolation=cv2.INTER_CUBIC, area_for_downscale="image")


def _zoom(side: int) -> A.Compose:
    # Bicubic as in the reference, but by OpenCV (the README says what differs); for shrinking its filter is too narrow,
    # where area averaging does not alias.
    square = A.RandomResizedCrop(
        (side, side), scale=(0.5, 1.0), ratio=(0.9, 1.1), interpolation=cv2.INTER_CUBIC, area_for_downscale="image"
    )
    return A.Compose([square, A.HorizontalFlip(p=0.5)])


def augment(augmentation: Augmentation, picture: Picture, seed: int) -> torch.Tensor:
    """One picture by itself: (3, crop, crop) in [-1, 1]. The same seed gives the same pixels."""
    out = np.empty((3, augmentation.side, augmentation.side), dtype=np.uint8)
    chances = augmentation.draw(np.random.Generator(np.random.PCG64(seed)), 1)
    augmentation.cut(augmentation.prepare(picture), chances.of(0), out)
    return in_range(torch.from_numpy(out))


def in_range(pixels: torch.Tensor) -> torch.Tensor:
    """Bytes to floats in [-1, 1]; what is float already stays as it is."""
    return pixels if pixels.is_floating_point() else pixels.div(127.5).sub_(1.0)
