"""Which steps are taken and which are skipped: nothing that is not a finite number may reach the weights.

Besides what is not finite, gradients of a wholly unusual size are kept out: the first picture of a single colour that
comes through instance norm has them thousands of times too large, which Adam would remember for thousands of steps.
"""

import math
from typing import Literal, NamedTuple

UNUSUAL = 100.0
"""Times the running mean of a gradient's norm. Measured: ordinary steps stay below 10, flat pictures reach 1,000."""

LEARNING_PERIOD = 20
"""Steps from which the running mean is believed."""

SMOOTHING = 0.05
GRADIENT = "gradient/"
"""Beginning of the names of gradient norms among a step's numbers."""


# What is counted, by name: all that a checkpoint may set.
COUNTS = ("skipped", "broken_in_a_row", "unusual_in_a_row", "seen")


class Trouble(NamedTuple):
    """A reason for not taking a step."""

    text: str
    kind: Literal["not finite", "overflow", "unusual"]
    """overflow: fp16's range was exceeded, which is how its scaler finds the scale."""


class Guard:
    """Looks at each step's numbers, and counts the steps that were skipped."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.skipped = 0
        self.broken_in_a_row = 0
        self.unusual_in_a_row = 0
        self.seen = 0
        self.usual: dict[str, float] = {}

    @property
    def hopeless(self) -> bool:
        """Whether so many steps in a row were not finite that going on makes no sense."""
        return self.broken_in_a_row >= self.patience

    def look(self, numbers: dict[str, float], scale: float | None) -> list[Trouble]:
        """What is wrong with a step's losses and gradient norms. `scale` is fp16's loss scale, or None."""
        broken = [name for name, value in numbers.items() if not math.isfinite(value)]
        if broken:
            texts = [f"{name} is {numbers[name]}" for name in broken]
            sound = scale is not None and math.isfinite(scale) and scale >= 1.0
            if scale is not None and not sound:
                texts.append(f"the loss scale of fp16 is {scale}")
            overflow = sound and all(name.startswith(GRADIENT) for name in broken)
            return [Trouble(text, "overflow" if overflow else "not finite") for text in texts]
        if self.seen < LEARNING_PERIOD or self.unusual_in_a_row >= self.patience:
            return []
        return [
            Trouble(f"{name} is {numbers[name]:.3g}, {numbers[name] / usual:,.0f} times its usual size", "unusual")
            for name, usual in self.usual.items()
            if usual > 0 and numbers[name] > UNUSUAL * usual
        ]

    def skip(self, troubles: list[Trouble]) -> None:
        """Count a step that is skipped for these reasons."""
        kinds = {trouble.kind for trouble in troubles}
        self.skipped += 1
        if "not finite" in kinds:
            self.broken_in_a_row += 1
        elif "unusual" in kinds:
            self.unusual_in_a_row += 1

    def take(self, numbers: dict[str, float]) -> None:
        """Count a step that is taken."""
        if self.unusual_in_a_row >= self.patience:  # what was unusual so often is what is usual now
            self.seen, self.usual = 0, {}
        self.broken_in_a_row = self.unusual_in_a_row = 0
        self.seen += 1
        for name, value in numbers.items():
            if name.startswith(GRADIENT):
                usual = self.usual.get(name, value)
                self.usual[name] = usual + SMOOTHING * (value - usual)

    def state(self) -> dict[str, int | float]:
        """What a checkpoint holds of it."""
        return {name: getattr(self, name) for name in COUNTS} | self.usual

    def restore(self, state: dict[str, int | float]) -> None:
        """Go on from what `state` gave."""
        for name, value in state.items():
            if name.startswith(GRADIENT):
                self.usual[name] = float(value)
            elif name in COUNTS:
                setattr(self, name, int(value))
            else:
                raise ValueError(f"a checkpoint's guard knows no {name[:80]}")
