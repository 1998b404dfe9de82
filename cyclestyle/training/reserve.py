"""How long it will take to paint and zip all photos: what a budget of time has to keep back."""

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch

from cyclestyle.images import load
from cyclestyle.training.learner import Learner

STARTING = 45.0
"""Seconds: to start the command that paints, and its first picture."""

WRITING = 0.01
"""Seconds a picture and process to read it, write it and zip it; measured 4 to 8 ms at 256 px."""

SAFETY = 1.3
LOOKED_AT = 8


@torch.inference_mode()
def time_to_paint(learner: Learner, photos: Sequence[Path]) -> float:
    """Seconds for all photos at their own size on the processes that train, measured on squares as in training."""
    network, device = learner.averages["paint"].network, learner.accelerator.device
    side = learner.settings.data.crop
    square = torch.zeros(1, 3, side, side, device=device)
    took = []
    for _ in range(4):
        began = time.monotonic()
        network(square).cpu()  # waits for the device
        took.append(time.monotonic() - began)
    pixels = [_pixels(path) for path in photos[:: -(-len(photos) // LOOKED_AT)]]
    each = min(took) * median(pixels) / side**2 + WRITING * max(1.0, median(pixels) / 256**2)
    return STARTING + SAFETY * each * len(photos) / learner.processes.count


def _pixels(path: Path) -> int:
    try:
        picture = load(path)
    except (ValueError, OSError):
        return 256**2
    return picture.width * picture.height
