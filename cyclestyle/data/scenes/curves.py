"""Transfer curves built from exactly rounded operations only, in place of exp, sin and pow."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Field: TypeAlias = NDArray[np.float64]


def clamp(value: Field, low: float = 0.0, high: float = 1.0) -> Field:
    """Limit every element to [low, high]."""
    return np.minimum(np.maximum(value, low), high)


def ramp(value: Field, low: Field | float, high: Field | float) -> Field:
    """Rise linearly from 0 at `low` to 1 at `high` (falls where high < low)."""
    return clamp((value - low) * (1.0 / (high - low)))


def smooth(value: Field, low: float, high: float) -> Field:
    """Rise from 0 at `low` to 1 at `high` along the cubic smoothstep."""
    t = ramp(value, low, high)
    return t * t * (3.0 - 2.0 * t)


def wave(phase: Field) -> Field:
    """Swing between -1 and 1 with period 1: a parabolic stand-in for the sine of 2 pi phase."""
    t = phase - np.floor(phase)
    half = 4.0 * t - 2.0
    return half * (np.abs(half) - 2.0)


def falloff(distance_squared: Field) -> Field:
    """Fall from 1 at distance 0 to 1/4 at distance 1: a rational stand-in for a Gaussian glow."""
    base = 1.0 / (1.0 + distance_squared)
    return base * base


def mix(first: Field | float, second: Field | float, share: Field | float) -> Field:
    """Blend two fields (or numbers): `share` 0 gives the first, 1 the second."""
    return np.add(first, np.multiply(share, np.subtract(second, first)))
