"""What a budget of time keeps back: the end of a training, then painting and zipping all photos."""

import json
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from cyclestyle.data.submission import SIDE
from cyclestyle.files import write_text
from cyclestyle.images import Picture, fit, load, save, to_images, to_pictures
from cyclestyle.lifetime import seconds_since_start
from cyclestyle.networks.painter import Painter, load_painter
from cyclestyle.pipeline import Ahead, Behind, runs
from cyclestyle.progress import clock
from cyclestyle.training.learner import Learner
from cyclestyle.training.saved import painters

STARTED = seconds_since_start()
"""Seconds that it took to come here, with nearly all imports: gone before the training's own clock begins."""
OF_THAT = 0.75
"""Share that the imports of the command that paints take; measured 0.6."""

FIRST, FIRST_ON_A_GPU = 1.0, 15.0
"""Seconds of that command beside its imports: the device, the first picture, the end."""

LEAVING, LEAVING_TOGETHER = 2.0, 6.0
"""Seconds from the last step's checkpoint to the end of the training's process; of several, and their launcher."""

ZIPPING = 0.003
"""Seconds a picture to zip it, read it back and decode it, by one process; measured 1.4 ms at 256 px."""
WRITTEN = 1e8
"""Bytes of a checkpoint that are made, hashed and on the disk in a second, if it is a slow one."""
JUDGED = 0.03 / 256**2
"""Seconds a pixel to compare a painted picture with paintings (training/score.py); measured 8 ms at 128 px."""

SAFETY = 1.2
"""A photo of a submission takes longer than one that is tried: measured 1.15, of which hashing it is a part."""
SPARE, MOST_SPARE = 0.02, 60.0
"""Share of a budget, and seconds at the most, that are for nothing: what else the machine does comes and goes."""
LOOKED_AT = 40
"""Photos at the most."""
LONGEST_TRIAL = 3.0
"""Seconds after which no further photo is tried."""


@dataclass(frozen=True)
class Reserve:
    """Seconds of a budget that are not for training."""

    gone: float
    """Before the training's own clock began."""
    ending: float
    """The last step's checkpoint and samples, another one's, during which the time may be over, and leaving."""
    painting: float
    """Another command: from its start to the zip that has been read back."""
    spare: float
    """For nothing."""

    @property
    def total(self) -> float:
        return self.gone + self.ending + self.painting + self.spare


def time_to_paint(learner: Learner, photos: Sequence[Path], budget: float) -> float:
    """Seconds of a budget that are kept back, the same on all processes; the run's `budget.json` says for what.

    A few photos are read, painted and written as for a submission, with the painter as it is now: the others will take
    as long.
    """
    processes = learner.processes
    first = FIRST if learner.accelerator.device.type == "cpu" else FIRST_ON_A_GPU
    each = _each(learner, photos) / processes.count + ZIPPING
    painting = OF_THAT * STARTED + first + SAFETY * each * len(photos)
    ending = 2 * _ending(learner) + (LEAVING if processes.count == 1 else LEAVING_TOGETHER)
    reserve = Reserve(*processes.most(STARTED, ending, painting, min(SPARE * budget, MOST_SPARE)))
    with processes.all_or_none():
        if processes.main:
            write_text(learner.settings.run / "budget.json", json.dumps(asdict(reserve)) + "\n")
    learner.accelerator.print(
        f"of the budget, {clock(reserve.painting)} are kept back to paint and zip {len(photos):,} photos"
    )
    return reserve.total


@torch.inference_mode()
def _each(learner: Learner, photos: Sequence[Path]) -> float:
    """Seconds a photo, if one process painted them all."""
    device, processes = learner.accelerator.device, learner.processes
    place = learner.settings.run / f".trial-{processes.rank}"
    shutil.rmtree(place, ignore_errors=True)  # of a process that was killed
    try:
        place.mkdir(parents=True)
        painter = _painter(learner, place / "paint.safetensors")
        return _trial(painter, photos, place, device, processes.batch(None))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _trial(painter: Painter, photos: Sequence[Path], place: Path, device: torch.device, batch: int) -> float:
    """Seconds a photo, the others being read and written by threads meanwhile, as for a submission."""
    tried = [photos[0]] * batch + list(photos[:: -(-len(photos) // LOOKED_AT)])
    began, done = math.inf, 0
    with Behind(lambda: None) as behind, Ahead(tried, lambda path: 3 * SIDE**2, _square) as ahead:
        for group in runs((result() for result in ahead), lambda photo: photo.size, batch):
            if done == batch:  # in the first ones, caches settle
                began = time.monotonic()
            elif time.monotonic() - began > LONGEST_TRIAL:
                break
            for painted in to_pictures(painter(to_images(group, device))):  # waits for the device
                behind.put(3 * SIDE**2, partial(_write, painted, place / f"{done}.jpg"))
                done += 1
    return (time.monotonic() - began) / (done - batch)


def _painter(learner: Learner, path: Path) -> Painter:
    """The painter as another command will load it."""
    path.write_bytes(painters(learner)["paint.safetensors"]())
    return load_painter(path, learner.accelerator.device)


def _write(painted: Picture, to: Path) -> None:
    save(painted.resize((SIDE, SIDE), Image.Resampling.BICUBIC), to)


def _square(path: Path) -> Picture:
    """As a submission takes it."""
    try:
        photo = load(path)
    except (ValueError, OSError):
        return Image.new("RGB", (SIDE, SIDE))
    return fit(photo, min(SIDE, *photo.size))


@torch.inference_mode()
def _ending(learner: Learner) -> float:
    """Seconds of what is done with the last step: a checkpoint, samples, a judgement."""
    settings, network, took = learner.settings, learner.averages["paint"].network, list[float]()
    side = settings.data.crop
    square = torch.zeros(1, 3, side, side, device=learner.accelerator.device)
    for _ in range(4):
        began = time.monotonic()
        network(square).cpu()  # waits for the device
        took.append(time.monotonic() - began)
    weights = sum(parameter.numel() for net in learner.bare for parameter in net.parameters())
    remembered = 2 * settings.objective.replay * square.numel()
    saving = 4 * (3 * weights + weights + remembered) / WRITTEN  # with Adam's two moments, and averages
    looking = (settings.report.judge + 4 * settings.report.samples) * min(took)
    return saving + looking + settings.report.judge * JUDGED * side**2
