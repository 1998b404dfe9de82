"""How long a run is, and how large its steps are."""

import math
from abc import ABC, abstractmethod
from collections import deque

from cyclestyle.config import ScheduleSettings


class Schedule(ABC):
    """What the story of a run asks before each step, and tells after it."""

    by_the_clock = True
    """Whether how many steps there will be depends on how long they take."""

    @abstractmethod
    def factor(self, step: int) -> float:
        """What the learning rate is multiplied with in a step, counted from 0. Asked once a step, in order."""

    @abstractmethod
    def last(self, step: int) -> int:
        """The number of steps after which the run ends, as far as is known after `step` of them."""

    @abstractmethod
    def note(self, used: float) -> None:
        """Take in that a step has ended after `used` seconds of the run."""

    def state(self) -> dict[str, float]:
        """What a checkpoint holds of it."""
        return {}


class Planned(Schedule):
    """A length and a decay, both in steps: a rate of 1, then falling linearly.

    The line meets zero one step after the last, so no step is taken with a rate of zero.
    """

    by_the_clock = False

    def __init__(self, steps: int, decay: int) -> None:
        self.steps, self.decay = steps, decay

    def factor(self, step: int) -> float:
        return min(1.0, (self.steps - step) / (self.decay + 1))

    def last(self, step: int) -> int:
        return self.steps

    def note(self, used: float) -> None:
        pass


def plan(settings: ScheduleSettings, photos: int, pairs_per_step: int) -> Planned:
    """Turn the settings' epochs or steps into steps. A last step that is not full is filled from the next epoch."""
    if settings.steps is not None:
        decay = settings.steps // 2 if settings.decay_steps is None else settings.decay_steps
        return Planned(settings.steps, decay)
    assert settings.epochs is not None
    decay_epochs = settings.epochs / 2 if settings.decay_epochs is None else settings.decay_epochs
    steps = math.ceil(settings.epochs * photos / pairs_per_step)
    return Planned(steps, min(steps, round(decay_epochs * photos / pairs_per_step)))


class Budgeted(Schedule):
    """A length in seconds: a rate of 1 for the first half, then falling to zero until the time is over.

    How many steps are left is estimated anew after each of them from the pace of the last ones, checkpoints and samples
    included. With n left, the rate is n / (n + 1) of the one before: a straight line to zero at a steady pace, and zero
    at the end at any.
    """

    WINDOW = 200
    """Steps from which the pace is taken."""

    def __init__(self, seconds: float, used: float = 0.0, rate: float = 1.0, *, over: bool = False) -> None:
        """`seconds` for training; of them, `used` in earlier sessions, after which the factor was `rate`.

        `over`: it had ended. The seconds that are left then were too few for a step.
        """
        self.seconds, self.used, self.rate, self.over = seconds, used, rate, over
        self._ends: deque[float] = deque(maxlen=self.WINDOW)  # when the last steps ended
        self._left: int | None = None

    def note(self, used: float) -> None:
        self.used = used
        self._ends.append(used)
        self._left = None

    def left(self) -> int:
        """Steps that still fit."""
        if self.over:
            return 0
        if self._left is None:
            if len(self._ends) < 2:  # two steps are taken to find the pace
                self._left = 1 if self.used < self.seconds else 0
            else:
                pace = max((self._ends[-1] - self._ends[0]) / (len(self._ends) - 1), 1e-6)
                self._left = max(0, int((self.seconds - self.used) / pace))
            self.over = self._left == 0
        return self._left

    def factor(self, step: int) -> float:
        if len(self._ends) >= 2 and self.used >= self.seconds / 2:
            self.rate *= self.left() / (self.left() + 1)
        return self.rate

    def last(self, step: int) -> int:
        return step + self.left()

    def state(self) -> dict[str, float]:
        return {"used": self.used, "rate": self.rate, "over": float(self.over)}


class Tried(Schedule):
    """As many steps as it takes to know their pace. The first ones are slow (compilers and allocators settle, threads
    and caches begin), and a single moment tells little of a machine that others use too: so there are as many seconds
    as steps that must pass, of both kinds.
    """

    SETTLING = 3.0
    """Seconds that are not counted."""
    COUNTED = 12.0

    def __init__(self, settling: int, counted: int) -> None:
        """The least steps that are not counted, and that are."""
        self.settling, self.counted = settling, counted
        self.ends: list[float] = []
        """When the steps ended, in seconds of the run."""
        self._first: int | None = None  # the place of the last end that settles

    @property
    def pace(self) -> float:
        """Seconds of a step that is counted."""
        assert self._first is not None
        counted = len(self.ends) - 1 - self._first
        return (self.ends[-1] - self.ends[self._first]) / counted

    def factor(self, step: int) -> float:
        return 1.0

    def last(self, step: int) -> int:
        return step if self._known() else step + 1

    def note(self, used: float) -> None:
        self.ends.append(used)
        if self._first is None and len(self.ends) >= self.settling and used - self.ends[0] >= self.SETTLING:
            self._first = len(self.ends) - 1

    def _known(self) -> bool:
        if self._first is None:
            return False
        counted = len(self.ends) - 1 - self._first
        return counted >= self.counted and self.ends[-1] - self.ends[self._first] >= self.COUNTED
