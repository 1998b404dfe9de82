"""Random numbers that are the same bits on every machine and with every numpy release."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Choice = TypeVar("Choice")

# 53 random bits fill the mantissa of a float64; dividing by a power of two is exact.
_UNIT = 1.0 / (1 << 53)


class Chance:
    """Stream of draws for one purpose of one scene.

    Only the raw words of PCG64 are used: numpy guarantees that stream (and the seeding by SeedSequence) for all
    releases, but not what its Generator methods make of it.
    """

    def __init__(self, seed: int, index: int, purpose: int) -> None:
        """Open the stream named by these three integers of 0 or more."""
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, index, purpose]))

    def unit(self) -> float:
        """Draw a number from [0, 1)."""
        return (int(self._bits.random_raw()) >> 11) * _UNIT

    def between(self, low: float, high: float) -> float:
        """Draw a number from [low, high)."""
        return low + (high - low) * self.unit()

    def around(self, centre: float, spread: float) -> float:
        """Draw a number near `centre`: the sum of two uniform draws, at most `spread` away."""
        return centre + spread * (self.unit() + self.unit() - 1.0)

    def happens(self, probability: float) -> bool:
        """Draw whether an event of this probability comes true."""
        return self.unit() < probability

    def whole(self, low: int, high: int) -> int:
        """Draw an integer from low to high, both included."""
        return low + int(self.unit() * (high - low + 1))

    def pick(self, choices: Sequence[Choice], weights: Sequence[float] | None = None) -> Choice:
        """Draw one of the choices, in proportion to the weights (evenly without them)."""
        if weights is None:
            return choices[int(self.unit() * len(choices))]
        total = 0.0
        for weight in weights:
            total += weight
        rest = self.unit() * total
        for choice, weight in zip(choices, weights, strict=True):
            rest -= weight
            if rest < 0.0:
                return choice
        return choices[-1]

    def key(self) -> int:
        """Draw a 32-bit key that names one texture."""
        return int(self._bits.random_raw()) >> 32
