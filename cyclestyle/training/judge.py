"""What is thought of a painter on the way: how near the paintings it comes, and what has gone wrong."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from cyclestyle.images import Images
from cyclestyle.training.alarms import loss_alarms, picture_alarms
from cyclestyle.training.score import CHANCE, Yardstick

IN_A_ROW = 3
"""Lines of losses that must agree before an alarm is rung over them."""


class Judgement(NamedTuple):
    """Of one painter."""

    score: dict[str, float]
    """`distance` of its paintings to the true ones, and of the `untouched` photos; lower is nearer."""
    alarms: dict[str, str]
    """Sentences, by kind."""


class Judge:
    """Paints the same photos every time, and compares them with the same paintings."""

    def __init__(self, photos: Images, paintings: Images) -> None:
        self.photos = photos
        self.yardstick = Yardstick(paintings)
        self.untouched = self.yardstick.distance(photos)
        self.heard: Counter[str] = Counter()

    @torch.inference_mode()
    def look(self, paint: nn.Module, hurried: Callable[[], bool]) -> Judgement | None:
        """Judge a painter; None if it became `hurried` meanwhile."""
        painted = []
        for photo in self.photos.split(1):  # one at a time, so that it needs no more memory than a step
            if hurried():
                return None
            painted.append(paint(photo))
        paintings = torch.cat(painted)
        distance = self.yardstick.distance(paintings)
        alarms = picture_alarms(self.photos, paintings, painted_distance=distance, photos_distance=self.untouched)
        return Judgement({"distance": distance, "untouched": self.untouched}, alarms)

    def listen(self, losses: dict[str, float], adversarial: str) -> dict[str, str]:
        """Alarms over a line of losses that has rung several times in a row."""
        alarms = loss_alarms(losses, adversarial) if losses else {}
        self.heard = Counter({kind: self.heard[kind] + 1 for kind in alarms})
        return {kind: sentence for kind, sentence in alarms.items() if self.heard[kind] >= IN_A_ROW}


MEASURES = {"kid": 0.0, "distance": CHANCE}
"""Entries of a score by which checkpoints are compared, the surer first, and what of a difference may be chance."""


def best_step(
    scores: Mapping[int, Mapping[str, Any]], there: Collection[int], by: Collection[str] = tuple(MEASURES)
) -> int | None:
    """Of the steps that are `there`, the one that came nearest to the paintings; None if none is known.

    The first of the measures `by` which is known of any decides; of those that it cannot tell apart, the last is taken.
    """
    for name in by:
        known = {step: scores[step][name] for step in there if _is_number(scores.get(step, {}).get(name))}
        if name == "kid":
            known = {step: value for step, value in known.items() if _same_yardstick(scores[step], scores[max(known)])}
        if known:
            return max(step for step in known if known[step] <= min(known.values()) + MEASURES[name])
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _same_yardstick(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two KIDs can be compared: not if a run went on with another network, or with other pictures."""
    values = [float(score["kid_untouched"]) for score in (one, other) if _is_number(score.get("kid_untouched"))]
    return len(values) == 2 and math.isclose(*values, rel_tol=0.01)  # other machines round otherwise
