"""Steps that are not finite or wholly unusual are skipped and counted; ordinary ones never are."""

import json
import math
import random

import pytest

from cyclestyle.training.guard import GRADIENT, LEARNING_PERIOD, SMOOTHING, UNUSUAL, Guard, Trouble

NAN, INF = math.nan, math.inf
PLAIN = {"fool/photo": 1.0, f"{GRADIENT}generators": 2.0, f"{GRADIENT}discriminators": 0.5}


def kinds(troubles: list[Trouble]) -> set[str]:
    return {trouble.kind for trouble in troubles}


def experienced(patience: int = 3) -> Guard:
    guard = Guard(patience)
    for _ in range(LEARNING_PERIOD):
        assert guard.look(PLAIN, None) == []
        guard.take(PLAIN)
    return guard


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("guard", [Guard(3), experienced()], ids=["new", "experienced"])
def test_any_number_that_is_not_finite_is_trouble_and_named(guard: Guard, name: str, value: float) -> None:
    (trouble,) = guard.look(PLAIN | {name: value}, None)
    assert trouble == Trouble(f"{name} is {value}", "not finite")


def test_everything_that_is_not_finite_is_named() -> None:
    found = Guard(3).look({"a": NAN, "b": 1.0, "c": INF}, None)
    assert [trouble.text for trouble in found] == ["a is nan", "c is inf"]


def test_an_overflow_of_scaled_gradients_is_how_the_scale_is_found_but_not_of_losses_or_without_a_scale() -> None:
    guard, overflown = Guard(3), PLAIN | {f"{GRADIENT}generators": INF}
    assert kinds(guard.look(overflown, 65536.0)) == {"overflow"}
    assert kinds(guard.look(overflown, 1.0)) == {"overflow"}
    assert kinds(guard.look(overflown, None)) == {"not finite"}
    assert kinds(guard.look(overflown | {"fool/photo": NAN}, 65536.0)) == {"not finite"}
    for scale in (0.5, 0.0, INF, NAN):  # a scale that can no longer be the reason
        found = guard.look(overflown, scale)
        assert kinds(found) == {"not finite"}
        assert f"the loss scale of fp16 is {scale}" in [trouble.text for trouble in found]


@pytest.mark.parametrize("times", [1.01, 1000, 1e30])
def test_a_gradient_of_an_unusual_size_is_trouble_once_the_usual_is_known(times: float) -> None:
    name = f"{GRADIENT}discriminators"
    enormous = PLAIN | {name: times * UNUSUAL * PLAIN[name]}
    (trouble,) = experienced().look(enormous, None)
    assert trouble.kind == "unusual"
    assert name in trouble.text
    assert "times its usual size" in trouble.text
    assert Guard(3).look(enormous, None) == []
    assert experienced().look(PLAIN | {"fool/photo": 1e30}, None) == []  # losses may be of any size


def test_ordinary_gradients_are_never_trouble() -> None:
    guard, chances = Guard(3), random.Random(0)
    for step in range(2000):
        numbers = {f"{GRADIENT}generators": 5 * chances.lognormvariate(0, 0.7) / (1 + step / 100)}
        assert guard.look(numbers, None) == []
        guard.take(numbers)


def test_what_is_usual_follows_the_steps_that_are_taken_and_only_those() -> None:
    guard, name = Guard(3), f"{GRADIENT}generators"
    guard.take({name: 4.0})
    assert guard.usual == {name: 4.0}
    guard.take({name: 8.0, "fool/photo": 3.0})
    assert guard.usual == {name: pytest.approx(4.0 + SMOOTHING * 4.0)}
    before = guard.state()
    guard.skip([Trouble("", "not finite")])
    assert guard.usual == {name: before[name]}


def test_gradients_of_zero_do_not_make_everything_unusual() -> None:
    guard, name = Guard(3), f"{GRADIENT}generators"
    for _ in range(LEARNING_PERIOD + 5):
        guard.take({name: 0.0})
    assert guard.look({name: 1e-20}, None) == []


def test_so_many_in_a_row_are_hopeless_and_one_that_is_taken_begins_anew() -> None:
    guard = Guard(3)
    for _ in range(2):
        guard.skip([Trouble("", "not finite")])
        guard.skip([Trouble("", "not finite"), Trouble("", "overflow")])
        assert not guard.hopeless
        guard.take(PLAIN)
    for number in range(3):
        assert not guard.hopeless
        guard.skip([Trouble("", "not finite")])
        assert guard.broken_in_a_row == number + 1
    assert guard.hopeless
    assert guard.skipped == 7


@pytest.mark.parametrize("kind", ["overflow", "unusual"])
def test_overflows_and_unusual_sizes_are_counted_but_never_hopeless(kind: str) -> None:
    guard = Guard(3)
    for _ in range(50):
        guard.skip([Trouble("", kind)])
    assert guard.skipped == 50
    assert not guard.hopeless


def test_what_is_unusual_for_a_while_is_the_usual_from_then_on() -> None:
    guard = experienced(patience=3)
    larger = {name: 1000 * value for name, value in PLAIN.items()}
    for _ in range(3):
        troubles = guard.look(larger, None)
        assert kinds(troubles) == {"unusual"}
        guard.skip(troubles)
    for _ in range(LEARNING_PERIOD + 5):
        assert guard.look(larger, None) == []
        guard.take(larger)
    assert guard.usual == {name: pytest.approx(larger[name]) for name in guard.usual}
    assert kinds(guard.look({name: 1000 * value for name, value in larger.items()}, None)) == {"unusual"}


def test_what_is_saved_as_json_and_restored_goes_on_the_same() -> None:
    guard = experienced()
    guard.take({name: value / 3 for name, value in PLAIN.items()})
    guard.skip([Trouble("", "not finite")])
    guard.skip([Trouble("", "unusual")])
    other = Guard(3)
    other.restore(json.loads(json.dumps(guard.state())))
    assert other.state() == guard.state()
    assert vars(other) == vars(guard)
    assert (other.skipped, other.broken_in_a_row, other.unusual_in_a_row, other.seen) == (2, 1, 1, LEARNING_PERIOD + 1)
