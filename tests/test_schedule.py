"""The learning rate is constant, then falls linearly, and no step is taken for nothing."""

import itertools
import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclestyle.config import ScheduleSettings
from cyclestyle.training.schedule import Budgeted, Planned, Tried, plan


def factors(schedule: Planned) -> list[float]:
    return [schedule.factor(step) for step in range(schedule.steps)]


def length(schedule: Planned) -> tuple[int, int]:
    return schedule.steps, schedule.decay


def test_constant_then_linear_to_one_step_before_zero() -> None:
    assert factors(Planned(steps=8, decay=3)) == pytest.approx([1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_the_papers_hundred_and_hundred_epochs_end_at_a_hundred_and_first() -> None:
    schedule = plan(ScheduleSettings(epochs=200, decay_epochs=100), photos=1, pairs_per_step=1)
    rates = [2e-4 * factor for factor in factors(schedule)]
    assert len(rates) == 200
    assert rates[99] == 2e-4
    assert rates[100] == pytest.approx(1.980e-4, abs=1e-7)  # the paper's code: 1 - 1/101
    assert rates[199] == pytest.approx(1.98e-6, abs=1e-8)


def test_decay_zero_is_constant_to_the_last_step() -> None:
    assert factors(Planned(steps=5, decay=0)) == [1.0] * 5
    assert length(plan(ScheduleSettings(steps=5, decay_steps=0), 3, 1)) == (5, 0)
    assert length(plan(ScheduleSettings(epochs=5, decay_epochs=0), 3, 1)) == (15, 0)


def test_decay_is_half_unless_given() -> None:
    assert length(plan(ScheduleSettings(steps=9), 100, 1)) == (9, 4)
    assert length(plan(ScheduleSettings(epochs=3), 10, 1)) == (30, 15)


@pytest.mark.parametrize(
    ("epochs", "photos", "pairs", "steps"),
    [
        (1, 10, 1, 10),
        (2, 10, 4, 5),
        (1, 10, 4, 3),  # the last step is filled from the next epoch
        (0.5, 10, 1, 5),
        (0.01, 10, 4, 1),
        (200, 6287, 8, 157175),
    ],
)
def test_epochs_become_steps_of_all_pairs_of_all_processes(epochs: float, photos: int, pairs: int, steps: int) -> None:
    assert plan(ScheduleSettings(epochs=epochs), photos, pairs).steps == steps


def test_decay_epochs_become_steps_too() -> None:
    assert length(plan(ScheduleSettings(epochs=10, decay_epochs=4), photos=12, pairs_per_step=3)) == (40, 16)
    assert length(plan(ScheduleSettings(epochs=1, decay_epochs=1), photos=1, pairs_per_step=4)) == (1, 0)


@given(steps=st.integers(1, 300), share=st.floats(0, 1))
def test_no_epoch_stands_at_zero_and_no_step_climbs(steps: int, share: float) -> None:
    decay = math.floor(share * steps)
    found = factors(Planned(steps, decay))
    assert found[0] <= 1.0
    assert found[-1] > 0.0
    assert found[-1] == pytest.approx(1 / (decay + 1))
    assert found == sorted(found, reverse=True)
    assert sum(factor < 1.0 for factor in found) == decay
    falls = [before - after for before, after in zip(found[steps - decay :], found[steps - decay + 1 :], strict=False)]
    assert falls == pytest.approx([1 / (decay + 1)] * max(decay - 1, 0))


def test_a_planned_end_does_not_move() -> None:
    schedule = plan(ScheduleSettings(steps=9), 100, 1)
    assert {schedule.last(step) for step in range(12)} == {9}


# --- a budget of time ---------------------------------------------------------------------------------------------


def live(schedule: Budgeted, takes: Callable[[float], float], until: float = math.inf) -> list[tuple[float, float]]:
    """When each step ends and how large it was, on a clock that a step moves on by what it `takes`."""
    told, step, clock = [], 0, schedule.used
    while step < schedule.last(step) and clock < until:
        factor = schedule.factor(step)
        clock += takes(clock)
        schedule.note(clock)
        told.append((clock, factor))
        step += 1
    return told


def test_at_a_steady_pace_the_rate_is_constant_for_half_of_the_time_and_then_a_straight_line_to_zero() -> None:
    told = live(Budgeted(1000.0), lambda clock: 1.0)
    assert len(told) in {999, 1000}
    factors = [factor for _, factor in told]
    assert factors[:500] == [1.0] * 500
    expected = [min(1.0, (1000 - number) / 500) for number in range(len(told))]
    assert factors == pytest.approx(expected, abs=0.01)
    assert 0 < factors[-1] < 0.01
    assert factors == sorted(factors, reverse=True)


PACES = {
    "steady": lambda clock: 1.0,
    "half as fast from the middle on": lambda clock: 1.0 if clock < 300 else 2.0,
    "twice as fast from the middle on": lambda clock: 2.0 if clock < 300 else 1.0,
    "half as fast in the decay": lambda clock: 1.0 if clock < 800 else 2.0,
    "twice as fast in the decay": lambda clock: 2.0 if clock < 800 else 1.0,
    "uneven": lambda clock: 0.5 + math.sin(clock) ** 2,
    "a checkpoint now and then": lambda clock: 8.0 if int(clock) % 100 < 2 else 1.0,
}


@pytest.mark.parametrize("pace", PACES)
def test_it_ends_with_the_budget_and_with_hardly_any_rate_at_whatever_pace(pace: str) -> None:
    told = live(Budgeted(1000.0), PACES[pace])
    ended, last = told[-1]
    longest = max(after - before for (before, _), (after, _) in itertools.pairwise(told))
    assert 1000 - 2 * longest <= ended <= 1000 + longest
    factors = [factor for _, factor in told]
    assert factors == sorted(factors, reverse=True)
    assert 0 < last < 0.05
    assert all(factor == 1.0 for when, factor in told if when < 500)


@pytest.mark.parametrize("takes", [0.5, 1.0, 2.0])
def test_a_steady_pace_ends_within_one_step_of_the_budget(takes: float) -> None:
    ended, _ = live(Budgeted(1000.0), lambda clock: takes)[-1]
    assert abs(ended - 1000) <= takes


def test_a_pace_that_changes_before_the_decay_makes_no_difference_to_the_line() -> None:
    steady = dict(live(Budgeted(4000.0), lambda clock: 2.0))
    changed = dict(live(Budgeted(4000.0), lambda clock: 1.0 if clock < 1000 else 2.0))
    both = sorted(steady.keys() & changed.keys())
    assert len(both) > 1000
    assert [steady[when] for when in both] == pytest.approx([changed[when] for when in both], abs=0.02)


@pytest.mark.parametrize("stopped", [0.0, 1.0, 300.0, 700.0, 997.0])
def test_what_is_saved_and_restored_goes_on_down_the_same_line(stopped: float) -> None:
    first = Budgeted(1000.0)
    told = live(first, lambda clock: 1.0, until=stopped)
    saved = json.loads(json.dumps(first.state()))
    assert saved["used"] == stopped
    told += live(Budgeted(1000.0, saved["used"], saved["rate"]), lambda clock: 1.0)
    whole = live(Budgeted(1000.0), lambda clock: 1.0)
    assert abs(len(told) - len(whole)) <= 1
    shared = dict(whole).keys() & dict(told).keys()
    assert [dict(told)[when] for when in shared] == pytest.approx([dict(whole)[when] for when in shared], abs=0.02)
    assert told[-1][1] < 0.01


def test_time_that_is_over_ends_it_at_once() -> None:
    assert live(Budgeted(10.0, used=10.0, rate=0.1), lambda clock: 1.0) == []
    assert len(live(Budgeted(10.0), lambda clock: 60.0)) == 1
    assert Budgeted(10.0, used=12.0).left() == 0


def test_steps_that_take_no_time_do_not_divide_by_zero() -> None:
    schedule = Budgeted(1.0)
    for _ in range(5):
        schedule.note(0.5)
    assert schedule.left() > 1000
    assert 0 < schedule.factor(5) <= 1


@pytest.mark.parametrize(
    ("takes", "steps"),
    [
        (lambda clock: 0.01, 1 + 300 + 1200),  # of short steps as many as fill the seconds
        (lambda clock: 4.0, 3 + 9),  # of long ones the least that tell anything
        (lambda clock: 2.0 if clock < 6 else 0.5, 4 + 24),  # the first three end at 6 s: they alone are slow
    ],
    ids=["short", "long", "slow to begin"],
)
def test_steps_are_tried_until_their_pace_is_known(takes: Callable[[float], float], steps: int) -> None:
    schedule, clock, made = Tried(3, 9), 0.0, 0
    while schedule.last(made) > made:
        assert schedule.factor(made) == 1
        clock += takes(clock)
        made += 1
        schedule.note(clock)
    assert made == pytest.approx(steps, abs=2)
    assert schedule.pace == pytest.approx(takes(clock))
    assert schedule.state() == {}  # nothing of it belongs into a checkpoint
