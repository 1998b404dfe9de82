"""How long a run is, and how large its steps are."""

import math
from typing import NamedTuple

from cyclestyle.config import ScheduleSettings


class Schedule(NamedTuple):
    """A length and a decay, both in steps."""

    steps: int
    decay: int

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied with in a step, counted from 0: 1, then falling linearly.

        The line meets zero one step after the last, so no step is taken with a rate of zero.
        """
        return min(1.0, (self.steps - step) / (self.decay + 1))


def plan(settings: ScheduleSettings, photos: int, pairs_per_step: int) -> Schedule:
    """Turn the settings' epochs or steps into steps. A last step that is not full is filled from the next epoch."""
    if settings.steps is not None:
        decay = settings.steps // 2 if settings.decay_steps is None else settings.decay_steps
        return Schedule(settings.steps, decay)
    assert settings.epochs is not None
    decay_epochs = settings.epochs / 2 if settings.decay_epochs is None else settings.decay_epochs
    steps = math.ceil(settings.epochs * photos / pairs_per_step)
    return Schedule(steps, min(steps, round(decay_epochs * photos / pairs_per_step)))
