"""A line search (cyclestyle.styling.wolfe) ends where the strong Wolfe conditions hold."""

import math
from collections.abc import Callable

import pytest

from cyclestyle.styling.wolfe import FLATTER, LOWER, Place, strong_wolfe

Line = Callable[[float], tuple[float, float]]


def at(line: Line, where: float, asked: list[float] | None = None) -> Place[float]:
    if asked is not None:
        asked.append(where)
    return Place(where, *line(where), where)


def bowl(x: float) -> tuple[float, float]:
    return (x - 3) ** 2, 2 * (x - 3)


def waves(x: float) -> tuple[float, float]:
    """Falls, with bumps on its way."""
    return 0.05 * (x - 4) ** 2 + math.sin(3 * x), 0.1 * (x - 4) + 3 * math.cos(3 * x)


def wall(x: float) -> tuple[float, float]:
    """Flat to the left of 5, steep to its right (More and Thuente 1994 have such)."""
    return -x + math.exp(10 * (x - 5)), -1 + 10 * math.exp(10 * (x - 5))


def started(line: Line, shift: float = 0.0) -> tuple[Line, Place[float]]:
    def moved(x: float) -> tuple[float, float]:
        return line(x + shift)

    return moved, at(moved, 0.0)


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 5.0, 50.0])
@pytest.mark.parametrize("line", [bowl, waves, wall])
def test_what_is_found_is_lower_and_flatter(line: Line, first: float) -> None:
    line, start = started(line, 0.6 if line is waves else 0.0)
    assert start.slope < 0
    asked = list[float]()
    found = strong_wolfe(start, lambda where: at(line, where, asked), min(first, 30.0), 40)
    assert found.value <= start.value + LOWER * found.at * start.slope
    assert abs(found.slope) <= FLATTER * abs(start.slope)
    assert found.at == found.known == asked[-1]
    assert len(asked) < 25


def test_a_first_point_that_will_do_is_taken() -> None:
    asked = list[float]()
    found = strong_wolfe(at(bowl, 0.0), lambda where: at(bowl, where, asked), 2.0, 25)
    assert (found.at, asked) == (2.0, [2.0])


def test_beyond_the_first_point_a_cubic_is_followed_to_the_bottom() -> None:
    """Two points of a parabola, with slopes, say where it is lowest."""
    asked = list[float]()
    found = strong_wolfe(at(bowl, 0.0), lambda where: at(bowl, where, asked), 0.05, 25)
    assert asked == [0.05, 0.5]  # no more than ten times as far
    assert found.at == 0.5
    asked.clear()
    found = strong_wolfe(at(bowl, 0.0), lambda where: at(bowl, where, asked), 9.0, 25)
    assert asked == [9.0, pytest.approx(3.0)]
    assert found.at == pytest.approx(3.0)


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_it_asks_no_more_than_it_may_and_gives_the_lowest_that_it_saw(most: int) -> None:
    asked = list[float]()

    def cliff(x: float) -> tuple[float, float]:
        return (-x if x < 1e-9 else 5 + x), -1.0

    found = strong_wolfe(at(cliff, 0.0), lambda where: at(cliff, where, asked), 1.0, most)
    assert len(asked) == most
    assert found.at == 0  # the start: nothing lower was seen
    asked.clear()
    found = strong_wolfe(at(wall, 0.0), lambda where: at(wall, where, asked), 1e-6, most)
    assert found.value == min(wall(where)[0] for where in asked)


def test_a_way_without_bottom_is_followed_until_the_end() -> None:
    asked = list[float]()
    found = strong_wolfe(Place(0.0, 0.0, -1.0, 0.0), lambda x: Place(x, -x, -1.0, asked.append(x) or x), 1.0, 5)
    assert asked == [1.0, 10.0, 100.0, 1000.0, 10000.0]
    assert found.at == 10000.0
