"""Those who look at the painters while they learn: the judge, the evaluation's network, and people."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from cyclestyle.config import Settings
from cyclestyle.data.folders import Sets
from cyclestyle.evaluation.gauge import Gauge
from cyclestyle.images import Images, to_images
from cyclestyle.training.exam import Exam, Hurried, open_exam, spread
from cyclestyle.training.judge import Judge, Judgement


class Panel:
    """The same pictures every time; test pictures, where there are some."""

    samples: tuple[Images, Images] | None = None
    """Photos and paintings that people are shown."""
    judge: Judge | None = None
    exam: Exam | None = None

    def __init__(
        self,
        sets: Sets,
        settings: Settings,
        gauge: Gauge | None,
        device: torch.device,
        complain: Callable[[str], None],
        hurried: Hurried,
    ) -> None:
        """`gauge`: what painters are measured with, or None if they are not. It may become `hurried` meanwhile."""
        self.side, self.device, self.complain = settings.data.crop, device, complain
        photos, paintings = sets.test_photos or sets.photos, sets.test_paintings or sets.paintings
        few = [self._spread(paths, settings.report.samples) for paths in (photos, paintings)]
        if shown := min(map(len, few)):
            self.samples = few[0][:shown], few[1][:shown]
        many = [self._spread(paths, settings.report.judge) for paths in (photos, paintings)]
        if min(map(len, many)) >= 2:
            self.judge = Judge(many[0], many[1])
        if gauge is not None:
            self.exam = open_exam(
                gauge,
                photos,
                paintings,
                pictures=settings.evaluation.pictures,
                side=self.side,
                device=device,
                complain=complain,
                hurried=hurried,
            )

    def look(self, paint: nn.Module, last: nn.Module, *, examined: bool, hurried: Hurried) -> Judgement | None:
        """Judge `paint`, with averaged weights; if they are `examined`, measure it and one with the weights of `last`.

        None if it became `hurried` meanwhile: then nothing is known yet.
        """
        found = self.judge.look(paint, hurried) if self.judge is not None else Judgement({}, {})
        if found is None or self.exam is None or not examined:
            return found
        painters, twin = {"kid": paint}, _twin(paint, last)
        if twin is not None:
            painters["kid_last"] = twin
        measured = self.exam.sit(painters, hurried)
        if measured is None:
            return None
        kids = {name: measured.get(name, measured["kid"]) for name in ("kid", "kid_last", "kid_untouched")}
        return Judgement(found.score | kids, found.alarms)

    def _spread(self, paths: Sequence[Path], count: int) -> Images:
        squares = list(spread(paths, count, self.side, lambda why: self.complain(f"not among the samples: {why}")))
        images = to_images(squares) if squares else torch.empty(0, 3, self.side, self.side)
        return images.to(self.device)


def _twin(paint: nn.Module, last: nn.Module) -> nn.Module | None:
    """`paint` with the weights of `last`, which itself computes in the training's precision; None if they are equal."""
    before, now = paint.state_dict(), last.state_dict()
    if all(torch.equal(before[name], value) for name, value in now.items()):
        return None
    twin = copy.deepcopy(paint)
    twin.load_state_dict(now)
    return twin
