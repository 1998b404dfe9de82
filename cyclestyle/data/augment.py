"""Cutting and mirroring, by albumentations, each picture's chances drawn from a seed of its own."""

import os

# Otherwise importing albumentations asks a package index for newer versions.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np
import torch

from cyclestyle.config import DataSettings
from cyclestyle.images import Picture

# In a loader process OpenCV's threads only fight with torch's; and one thread is as fast for pictures of this size.
cv2.setNumThreads(1)


def build_augmentation(settings: DataSettings) -> A.Compose:
    """The chain of transforms that a preset names; pictures come out square, `crop` pixels a side."""
    side = settings.crop
    mirror = A.HorizontalFlip(p=0.5)
    # Bicubic as in the reference; for shrinking its filter is too narrow, where area averaging does not alias.
    zoom = A.RandomResizedCrop(
        (side, side), scale=(0.5, 1.0), ratio=(0.9, 1.1), interpolation=cv2.INTER_CUBIC, area_for_downscale="image"
    )
    chains: dict[str, list[A.BasicTransform]] = {
        "paper": [_scale(settings.resize), A.RandomCrop(side, side), mirror],
        "flip": [_scale(side), mirror],
        "zoom": [zoom, mirror],
        "none": [_scale(side)],
    }
    return A.Compose([*chains[settings.augmentation]])


def _scale(side: int) -> A.Resize:
    return A.Resize(side, side, interpolation=cv2.INTER_CUBIC, area_for_downscale="image")


def augment(chain: A.Compose, picture: Picture, seed: int) -> torch.Tensor:
    """One picture through the chain: (3, crop, crop) in [-1, 1]. The same seed gives the same pixels."""
    chain.set_random_seed(seed)
    pixels = chain(image=np.asarray(picture))["image"]
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float().div_(127.5).sub_(1.0)
