"""The learning rate is constant, then falls linearly, and no step is taken for nothing."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclestyle.config import ScheduleSettings
from cyclestyle.training.schedule import Schedule, plan


def factors(schedule: Schedule) -> list[float]:
    return [schedule.factor(step) for step in range(schedule.steps)]


def test_constant_then_linear_to_one_step_before_zero() -> None:
    assert factors(Schedule(steps=8, decay=3)) == pytest.approx([1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_the_papers_hundred_and_hundred_epochs_end_at_a_hundred_and_first() -> None:
    schedule = plan(ScheduleSettings(epochs=200, decay_epochs=100), photos=1, pairs_per_step=1)
    rates = [2e-4 * factor for factor in factors(schedule)]
    assert len(rates) == 200
    assert rates[99] == 2e-4
    assert rates[100] == pytest.approx(1.980e-4, abs=1e-7)  # the paper's code: 1 - 1/101
    assert rates[199] == pytest.approx(1.98e-6, abs=1e-8)


def test_decay_zero_is_constant_to_the_last_step() -> None:
    assert factors(Schedule(steps=5, decay=0)) == [1.0] * 5
    assert plan(ScheduleSettings(steps=5, decay_steps=0), 3, 1) == Schedule(5, 0)
    assert plan(ScheduleSettings(epochs=5, decay_epochs=0), 3, 1) == Schedule(15, 0)


def test_decay_is_half_unless_given() -> None:
    assert plan(ScheduleSettings(steps=9), 100, 1) == Schedule(9, 4)
    assert plan(ScheduleSettings(epochs=3), 10, 1) == Schedule(30, 15)


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
    assert plan(ScheduleSettings(epochs=10, decay_epochs=4), photos=12, pairs_per_step=3) == Schedule(40, 16)
    assert plan(ScheduleSettings(epochs=1, decay_epochs=1), photos=1, pairs_per_step=4) == Schedule(1, 0)


@given(steps=st.integers(1, 300), share=st.floats(0, 1))
def test_no_epoch_stands_at_zero_and_no_step_climbs(steps: int, share: float) -> None:
    decay = math.floor(share * steps)
    found = factors(Schedule(steps, decay))
    assert found[0] <= 1.0
    assert found[-1] > 0.0
    assert found[-1] == pytest.approx(1 / (decay + 1))
    assert found == sorted(found, reverse=True)
    assert sum(factor < 1.0 for factor in found) == decay
    falls = [before - after for before, after in zip(found[steps - decay :], found[steps - decay + 1 :], strict=False)]
    assert falls == pytest.approx([1 / (decay + 1)] * max(decay - 1, 0))
