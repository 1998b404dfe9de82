"""Painters before the evaluation's network every few epochs: the same photos, the same paintings."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from cyclestyle.evaluation.gauge import Gauge
from cyclestyle.evaluation.kernels import kid
from cyclestyle.images import Images, Picture, fit, load, to_images

PAINTINGS_AT_MOST = 1000
NAMED_AT_MOST = 3
"""Pictures that cannot be read; the others are counted."""

Hurried = Callable[[], bool]


class Exam:
    """Measures painters by KID, one picture at a time, so that it needs little more memory than a step."""

    untouched: float | None = None
    """KID x 1000 of the photos themselves; None where it is not known yet."""

    def __init__(self, gauge: Gauge, photos: Sequence[Picture], paintings: Tensor, device: torch.device) -> None:
        """`photos`: squares of one size, two at least. `paintings`: their features, (m, d), m at least 2."""
        self.gauge, self.photos, self.paintings, self.device = gauge, photos, paintings, device

    @torch.inference_mode()
    def measure(self, paint: nn.Module, hurried: Hurried) -> float | None:
        """KID x 1000 of what a painter makes of the photos; nan if they are not finite, None if it became `hurried`."""
        seen = []
        for photo in self.photos:
            if hurried():
                return None
            seen.append(self.gauge.look(paint(_images(photo, self.device))))
        features = torch.cat(seen)
        return 1e3 * kid(features, self.paintings).value if features.isfinite().all() else math.nan

    def sit(self, painters: Mapping[str, nn.Module], hurried: Hurried) -> dict[str, float] | None:
        """`measure` of each painter by its name, and of the photos as `kid_untouched`; None if it became `hurried`."""
        found = {"kid_untouched": self.untouched}
        for name, paint in painters.items():
            found[name] = self.measure(paint, hurried)
        known = {name: value for name, value in found.items() if value is not None}
        return known if len(known) == len(found) else None


def open_exam(
    gauge: Gauge,
    photos: Sequence[Path],
    paintings: Sequence[Path],
    *,
    pictures: int,
    side: int,
    device: torch.device,
    complain: Callable[[str], None],
    hurried: Hurried,
) -> Exam | None:
    """Look at photos, `pictures` of them from all over, and paintings once. What cannot be read is complained about.

    None if it became `hurried` meanwhile, and, which is complained about, if fewer than two of either can be read.
    """
    unreadable: list[str] = []
    held = [*spread(photos, pictures, side, unreadable.append)]
    seen = []
    for painting in spread(paintings, PAINTINGS_AT_MOST, side, unreadable.append):
        if hurried():
            return None
        seen.append(gauge.look(_images(painting, device)))
    for why in unreadable[:NAMED_AT_MOST]:
        complain(f"not in the evaluation: {why}")
    if len(unreadable) > NAMED_AT_MOST:
        complain(f"nor are {len(unreadable) - NAMED_AT_MOST} more pictures")
    if min(len(held), len(seen)) < 2:
        complain(
            f"painters are not measured: {len(held)} photos and {len(seen)} paintings for it can be read, and two of "
            "each are needed"
        )
        return None
    exam = Exam(gauge, held, torch.cat(seen), device)
    exam.untouched = exam.measure(nn.Identity(), hurried)
    return exam if exam.untouched is not None else None


@torch.inference_mode()
def time_to_sit(gauge: Gauge, paint: nn.Module, *, pictures: int, side: int, device: torch.device) -> float:
    """Seconds in which two painters are measured: what a budget of time has to keep back for it."""
    square, took = torch.zeros(1, 3, side, side, device=device), []
    for _ in range(4):
        began = time.monotonic()
        gauge.look(paint(square))  # waits for the device
        took.append(time.monotonic() - began)
    return 2 * pictures * min(took)


def spread(paths: Sequence[Path], count: int, side: int, complain: Callable[[str], None]) -> Iterator[Picture]:
    """Pictures from all over a set, the same every time, as squares; those that cannot be read are passed over."""
    count = min(count, len(paths))
    for index in range(count):
        try:
            yield fit(load(paths[index * len(paths) // count]), side)
        except (ValueError, OSError) as error:
            complain(str(error))


def _images(picture: Picture, device: torch.device) -> Images:
    return to_images([picture]).to(device)
