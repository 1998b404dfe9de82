"""How far to go along a way down: the strong Wolfe conditions.

Nocedal, Wright, "Numerical optimization", 2nd edition 2006, algorithms 3.5 and 3.6: lower by a share of what the first
slope promises, and a slope that has become flatter. Farther and farther until a stretch is known that holds such a
point, then shorter and shorter; where next, cubics through what is known say (their eq. 3.59).
"""

import math
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

Known = TypeVar("Known")

LOWER = 1e-4
"""Share of the first slope's promise by which the objective must fall."""
FLATTER = 0.9
"""Share of the first slope below which the slope must be."""
FARTHER = (1.1, 10.0)
"""How many times as far to look at least and at most."""
EDGE = 0.1
"""Share of a stretch, from either end, in which no point is looked at: so it becomes shorter by that at least."""


class Place(NamedTuple, Generic[Known]):
    """A point of the way."""

    at: float
    """In steps."""
    value: float
    slope: float
    known: Known
    """Whatever else was learnt there."""


def strong_wolfe(start: Place[Known], ask: Callable[[float], Place[Known]], first: float, most: int) -> Place[Known]:
    """A point that fulfils both conditions; if none was found, the lowest that was seen, which may be the start.

    Args:
        start: at 0, with a slope below 0.
        ask: what there is at a distance above 0.
        first: where to look first.
        most: how often `ask` may be called.
    """
    low, high, lowest, at = start, None, start, first
    for _ in range(most):
        found = ask(at)
        lowest = found if found.value < lowest.value else lowest
        before = low
        if found.value > start.value + LOWER * at * start.slope or found.value >= low.value:
            high = found
        elif abs(found.slope) <= -FLATTER * start.slope:
            return found
        else:
            if found.slope * (1.0 if high is None else high.at - low.at) >= 0:
                high = low
            low = found
        at = _beyond(before, low) if high is None else _between(low, high)
    return lowest


def _beyond(before: Place[Any], found: Place[Any]) -> float:
    """Farther out, where everything so far went down."""
    least, most = (found.at * times for times in FARTHER)
    bottom = _bottom(before, found)
    return most if bottom is None or bottom <= found.at else min(max(bottom, least), most)


def _between(one: Place[Any], other: Place[Any]) -> float:
    """Inside a stretch."""
    left, right = min(one.at, other.at), max(one.at, other.at)
    bottom, edge = _bottom(one, other), EDGE * (right - left)
    return (left + right) / 2 if bottom is None else min(max(bottom, left + edge), right - edge)


def _bottom(one: Place[Any], other: Place[Any]) -> float | None:
    """Where the cubic with the values and slopes of two points is lowest; None if it goes on falling."""
    width = other.at - one.at
    middle = one.slope + other.slope - 3 * (other.value - one.value) / width
    square = middle**2 - one.slope * other.slope
    if not square >= 0:
        return None
    root = math.copysign(math.sqrt(square), width)
    below = other.slope - one.slope + 2 * root
    return other.at - width * (other.slope + root - middle) / below if below != 0 else None
