"""Curves laid out for a page (cyclestyle.training.page.curves)."""

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from cyclestyle.evaluation.wording import places
from cyclestyle.training.page.curves import (
    DRAWN,
    HIGH,
    LISTED,
    WIDE,
    Level,
    Series,
    Wanted,
    averaged,
    chart,
    in_words,
    smoothed,
    ticks,
)


def wanted(*series: list[tuple[int, float]], **more) -> Wanted:
    return Wanted("key", "Title", "Told.", [Series(f"s{n}", points) for n, points in enumerate(series)], **more)


def drawn(path: str) -> list[tuple[float, float]]:
    numbers = [float(number) for number in re.findall(r"-?[\d.]+(?:e[-+]?\d+)?", path)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def test_points_stand_where_their_numbers_are() -> None:
    found = chart(wanted([(0, 4.0), (50, 2.0), (100, 1.0)]), 200)
    assert found is not None
    (line,) = found.lines
    assert drawn(line.path) == line.dots == [(0, 0), (WIDE / 4, HIGH / 2), (WIDE / 2, HIGH * 3 / 4)]
    assert [(tick.at, tick.text) for tick in found.y_ticks] == [(100, "0"), (75, "1"), (50, "2"), (25, "3"), (0, "4")]
    assert [(tick.at, tick.text) for tick in found.x_ticks] == [(25.0 * n, f"{50 * n}") for n in range(5)]
    assert not found.cut


def test_values_below_zero_are_on_the_chart_and_levels_too() -> None:
    found = chart(wanted([(10, -1.0)], levels=[Level(3.0, "photos"), Level(0.0, "others")]), 10)
    assert found is not None
    assert found.lines[0].dots == [(WIDE, HIGH)]
    assert [(tick.at, tick.text) for tick in found.levels] == [(0.0, "photos"), (75.0, "others")]


def test_one_outlier_is_cut_and_this_is_said() -> None:
    points = [(step, 50.0 if step == 1 else 1.0) for step in range(1, 21)]
    found = chart(wanted(points), 20)
    assert found is not None
    assert found.cut
    heights = [y for _, y in found.lines[0].dots]
    assert heights[0] < 0  # beyond the upper edge
    assert min(heights[1:]) == max(heights[1:]) == pytest.approx(HIGH * (1 - 1 / 2.5), abs=0.1)
    assert "50.00 at step 1" in found.lines[0].told  # the number is told all the same


@given(some.lists(some.floats(-1e6, 1e6), min_size=1, max_size=40), some.floats(1e-9, 1e3))
@example([5e-324], 1.0)
@example([1e-299, 1e-305], 1.0)
@example([-5e-324, 1e-310], 1.0)
def test_whatever_the_numbers_are_nothing_is_drawn_left_right_or_below(values: list[float], scale: float) -> None:
    points = [(step + 1, value * scale) for step, value in enumerate(values)]
    found = chart(wanted(points), len(points))
    assert found is not None
    for x, y in drawn(found.lines[0].path):
        assert 0 <= x <= WIDE
        assert -0.11 * HIGH <= y <= HIGH
    assert all(-1 <= tick.at <= 101 for tick in (*found.x_ticks, *found.y_ticks))
    assert 1 <= len(found.y_ticks) <= 10


def test_long_lines_are_averaged_to_few_points_that_keep_the_mean() -> None:
    points = [(step, math.sin(step)) for step in range(DRAWN * 10)]
    few = averaged(points)
    assert len(few) == DRAWN
    assert sum(value for _, value in few) / DRAWN == pytest.approx(sum(v for _, v in points) / len(points))
    assert [step for step, _ in few] == sorted({step for step, _ in few})
    assert averaged(points[:DRAWN]) == points[:DRAWN]


def test_running_means_keep_straight_lines_and_quiet_noise() -> None:
    straight = [(step, 2.0 * step) for step in range(100)]
    found = smoothed(straight)
    assert [step for step, _ in found] == list(range(100))
    assert [value for _, value in found] == pytest.approx([value for _, value in straight])
    noise = [(step, float((-1) ** step)) for step in range(100)]
    assert max(abs(value) for _, value in smoothed(noise)[10:-10]) < 0.2
    assert smoothed(straight[:20]) == []  # too short


def test_only_what_is_noisy_is_smoothed() -> None:
    points = [(step, 1.0 if step < 50 else 0.5) for step in range(1, 101)]
    noisy, exact = chart(wanted(points), 100), chart(wanted(points, noisy=False), 100)
    assert noisy is not None
    assert exact is not None
    assert noisy.lines[0].pale
    assert not exact.lines[0].pale
    assert len({y for _, y in drawn(exact.lines[0].path)}) == 2


def test_a_line_is_told_in_words() -> None:
    points = [(50, 3.0), (100, 1.0), (150, 2.0)]
    at = places([3.0])
    assert in_words(points, "lower", at) == "3.00 at step 50, 2.00 at step 150; lowest 1.00 at step 100"
    assert in_words(points, "higher", at) == "3.00 at step 50, 2.00 at step 150"
    assert in_words(points, "", at) == "3.00 at step 50, 2.00 at step 150"
    assert in_words([(7, -2.0)], "lower", at) == "−2.00 at step 7"
    assert in_words([(1, 2e-4), (9, 1e-7)], "", places([2e-4])) == "0.0002 at step 1, 1e−7 at step 9"


def test_the_table_has_both_ends_and_few_lines() -> None:
    long, short = [(step, step / 7) for step in range(1, 500)], [(1, 9.0), (499, 8.0)]
    found = chart(wanted(long, short), 500)
    assert found is not None
    assert found.head == ["step", "s0", "s1"]
    assert len(found.table) == LISTED
    assert found.table[0] == ["1", "0.1", "9.0"]
    assert found.table[-1] == ["499", "71.3", "8.0"]
    assert all(row[2] == "–" for row in found.table[1:-1])  # it has no number there


def test_alarms_stand_at_their_steps_once() -> None:
    found = chart(wanted([(1, 1.0)]), 100, [25, 25, 50, 900])
    assert found is not None
    assert found.alarms == [25.0, 50.0]


def test_there_is_no_chart_without_points() -> None:
    assert chart(wanted([], []), 100) is None
    assert chart(wanted([(0, 1.0)]), 0) is None
    found = chart(wanted([], [(1, 1.0)]), 1)
    assert found is not None
    assert [line.name for line in found.lines] == ["s1"]


@given(some.floats(-1e9, 1e9), some.floats(1e-9, 1e9))
def test_ticks_are_round_and_inside(low: float, width: float) -> None:
    if low + width / 100 == low:
        return
    found = ticks(low, low + width, 4)
    assert all(low - width * 1e-6 <= value <= low + width * (1 + 1e-6) for value in found)
    assert 1 <= len(found) <= 9
