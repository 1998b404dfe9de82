"""Optimisers find what is known to be lowest, count what they ask, and go on to the same bits."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from cyclestyle.styling.descent import Evaluate, State, Step, adam, lbfgs, lbfgsb, warm_start
from cyclestyle.styling.objective import Evaluation

SHAPE = (1, 3, 4, 5)


def bowl(target: Tensor, curvature: Tensor | float = 1.0) -> Evaluate:
    """curvature (x - target)^2 / 2 summed over each picture."""

    def evaluate(x: Tensor) -> Evaluation:
        apart = x - target
        return Evaluation({"bowl": (curvature * apart.square() / 2).flatten(1).sum(1)}, curvature * apart)

    return evaluate


def valley(x: Tensor) -> Evaluation:
    """Rosenbrock's function of neighbouring pixels, lowest where all are 1, and no quadratic."""
    leaf = x.detach().requires_grad_()
    left, right = leaf[..., :-1], leaf[..., 1:]
    value = (20 * (right - left.square()).square() + (1 - left).square()).flatten(1).sum(1)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return Evaluation({"valley": value.detach()}, gradient)


def drawn(shape: tuple[int, ...] = SHAPE, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


def curvatures(seed: int = 9, dtype: torch.dtype = torch.float32) -> Tensor:
    """From 1 to 100."""
    return 10 ** (drawn(SHAPE, seed, dtype) + 1)


def unheard(step: Step) -> None:
    """Nobody listens."""


class Watched:
    """An objective that knows where it was asked."""

    def __init__(self, evaluate: Evaluate) -> None:
        self.evaluate, self.asked = evaluate, list[Tensor]()

    def __call__(self, images: Tensor) -> Evaluation:
        self.asked.append(images.detach().clone())
        return self.evaluate(images)


def with_adam(images: Tensor, evaluate: Evaluate, steps: int, seen: Callable[[Step], None], state: Any = None) -> Any:
    return adam(images, evaluate, steps, seen, rate=0.05, state=state)


def with_lbfgs(images: Tensor, evaluate: Evaluate, steps: int, seen: Callable[[Step], None], state: Any = None) -> Any:
    return lbfgs(images, evaluate, steps, seen, history=4, state=state)


def with_lbfgsb(images: Tensor, evaluate: Evaluate, steps: int, seen: Callable[[Step], None], state: Any = None) -> Any:
    assert not state
    return lbfgsb(images, evaluate, steps, seen, history=4)


EVERY = pytest.mark.parametrize("descend", [with_adam, with_lbfgs, with_lbfgsb])
RESUMABLE = pytest.mark.parametrize("descend", [with_adam, with_lbfgs])
ALONE = pytest.mark.parametrize("descend", [with_lbfgs, with_lbfgsb])


# --- all of them --------------------------------------------------------------------------------------------------


@EVERY
def test_what_lies_lowest_inside_the_box_is_found(descend: Any) -> None:
    target = 0.9 * drawn(seed=1)
    found, _ = descend(drawn(), bowl(target, curvatures()), 400, unheard)
    assert (found - target).abs().max() < 1e-4


@EVERY
def test_pictures_that_are_given_stay_as_they_are(descend: Any) -> None:
    given = drawn()
    before = given.clone()
    found, _ = descend(given, bowl(drawn(seed=1)), 5, unheard)
    assert torch.equal(given, before)
    assert not torch.equal(found, before)


@EVERY
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20])
def test_evaluations_are_counted_and_never_more_than_asked_for(descend: Any, steps: int) -> None:
    for start in (drawn(), 0.5 * drawn(seed=5)):
        watched, told = Watched(valley), list[int]()
        descend(start, watched, steps, lambda step: told.append(step.number))  # noqa: B023
        assert told == sorted(set(told))
        assert told[-1] == len(watched.asked) <= steps
        assert len(watched.asked) == steps  # this valley is not done in so few


@EVERY
@pytest.mark.parametrize("steps", [2, 3, 4, 6])
def test_the_end_is_not_above_the_beginning_however_few_the_steps(descend: Any, steps: int) -> None:
    """Also where evaluations end within a line search."""
    start = 0.9 * drawn(dtype=torch.float64)
    found, _ = descend(start, valley, steps, unheard)
    assert valley(found).total <= valley(start).total
    assert steps < 6 or valley(found).total < 0.9 * valley(start).total


@pytest.mark.slow
@ALONE
def test_where_evaluations_end_within_a_line_search_the_lowest_point_is_kept(descend: Any) -> None:
    """Not the one that happened to be the last."""
    ended_higher = 0
    for seed, steps in itertools.product(range(4), range(2, 40)):
        start, watched = 1.5 * drawn(seed=seed, dtype=torch.float64), Watched(valley)
        found, _ = descend(start, watched, steps, unheard)
        values = [valley(one).total.item() for one in watched.asked]
        assert valley(found).total.item() == min(values)
        ended_higher += values[-1] > min(values)
    assert ended_higher > 0


@EVERY
def test_at_the_bottom_nothing_moves(descend: Any) -> None:
    target = drawn()
    watched, told = Watched(bowl(target)), list[Step]()
    found, _ = descend(target, watched, 50, told.append)
    assert torch.equal(found, target)
    assert told[0].evaluation.total.item() == 0
    assert len(watched.asked) == (50 if descend is with_adam else 1)


@EVERY
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["value", "gradient"])
@pytest.mark.parametrize("after", [0, 4])
def test_numbers_that_are_none_end_it_with_a_sentence(descend: Any, number: float, where: str, after: int) -> None:
    sound, count = bowl(drawn(seed=1), curvatures()), 0

    def evaluate(images: Tensor) -> Evaluation:
        nonlocal count
        count += 1
        found = sound(images)
        if count <= after:
            return found
        if where == "value":
            return found._replace(parts={"bowl": found.parts["bowl"] * number})
        broken = found.gradient.clone()
        broken[0, 1, 2, 3] = number
        return found._replace(gradient=broken)

    with pytest.raises(ValueError, match=f"no finite number at evaluation {after + 1};.*smaller weights"):
        descend(drawn(), evaluate, 50, unheard)


@ALONE
def test_one_curvature_is_for_one_picture(descend: Any) -> None:
    with pytest.raises(ValueError, match=r"got 2 pictures; use Adam, or batch 1"):
        descend(drawn((2, 3, 4, 5)), valley, 5, unheard)


@EVERY
def test_the_same_is_the_same_to_the_bit(descend: Any) -> None:
    first, second = (descend(drawn(), valley, 30, unheard)[0] for _ in range(2))
    assert torch.equal(first, second)


# --- going on -----------------------------------------------------------------------------------------------------


class PulledOut(Exception):  # noqa: N818
    """As if the power went."""


def kept_after(stop: int, descend: Any, evaluate: Evaluate, steps: int) -> tuple[Tensor, State, int]:
    """The pictures and the state once `stop` evaluations or more have been told."""
    kept: list[Any] = []

    def seen(step: Step) -> None:
        if step.number >= stop:
            assert step.state is not None
            state = {name: tensor.clone() for name, tensor in step.state().items()}
            kept.extend([step.images.clone(), state, step.number])
            raise PulledOut

    with pytest.raises(PulledOut):
        descend(drawn(), evaluate, steps, seen)
    return kept[0], kept[1], kept[2]


@pytest.mark.slow
@RESUMABLE
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_way_that_was_interrupted_ends_in_the_same_bits(descend: Any, dtype: torch.dtype) -> None:
    steps = 34

    def evaluate(images: Tensor) -> Evaluation:
        found = valley(images.to(dtype))
        return Evaluation(found.parts, found.gradient.to(images.dtype))

    whole: list[tuple[int, Tensor, Tensor]] = []
    expected, remembered = descend(
        drawn(), evaluate, steps, lambda step: whole.append((step.number, step.images.clone(), step.evaluation.total))
    )
    for stop in range(1, steps + 1):
        images, state, number = kept_after(stop, descend, evaluate, steps)
        rest: list[tuple[int, Tensor, Tensor]] = []
        found, at_end = descend(
            images,
            evaluate,
            steps,
            lambda step: rest.append((step.number, step.images.clone(), step.evaluation.total)),  # noqa: B023
            state,
        )
        assert torch.equal(found, expected), stop
        assert at_end.keys() == remembered.keys()
        assert all(torch.equal(at_end[name], remembered[name]) for name in remembered)
        said = [one for one in whole if one[0] > number]
        assert [one[0] for one in rest] == [one[0] for one in said]
        assert all(torch.equal(one[1], other[1]) for one, other in zip(rest, said, strict=True))
        assert all(torch.equal(one[2], other[2]) for one, other in zip(rest, said, strict=True))


def test_where_no_way_leads_on_it_ends_and_stays_ended() -> None:
    """At the bottom of a quadratic, a line search finds nothing lower."""
    watched, told = Watched(bowl(drawn(seed=1), curvatures())), list[Step]()
    expected, state = with_lbfgs(drawn(), watched, 2000, told.append)
    assert 10 < told[-1].number == len(watched.asked) < 500
    again = Watched(watched.evaluate)
    found, _ = with_lbfgs(expected, again, 2000, unheard, {name: one.clone() for name, one in state.items()})
    assert torch.equal(found, expected)
    assert not again.asked


def test_a_step_that_led_nowhere_is_not_tried_again() -> None:
    """With a gradient that points up, no line search can help."""
    watched = Watched(lambda x: Evaluation({"up": x.flatten(1).sum(1)}, -torch.ones_like(x)))
    start = drawn()
    found, _ = with_lbfgs(start, watched, 1000, unheard)
    assert torch.equal(found, start)
    assert len(watched.asked) < 40


# --- Adam ---------------------------------------------------------------------------------------------------------


def test_adam_is_that_of_torch_with_a_rate_that_falls_to_zero() -> None:
    target, steps, rate = 0.5 * drawn(seed=1), 40, 0.01
    reference = (0.5 * drawn()).clone().requires_grad_()
    optimizer = torch.optim.Adam([reference], lr=rate, betas=(0.9, 0.99), eps=1e-12)
    ways = list[Tensor]()
    for number in range(steps):
        optimizer.param_groups[0]["lr"] = rate if number < 28 else rate * (steps - number) / 12
        optimizer.zero_grad()
        ((reference - target).square() * curvatures() / 2).sum().backward()
        optimizer.step()
        ways.append(reference.detach().clone())
    assert torch.stack(ways).abs().max() < 1  # the box plays no part here
    told = list[Tensor]()
    found, _ = adam(
        0.5 * drawn(),
        bowl(target, curvatures()),
        steps,
        lambda step: told.append(step.images.clone()),
        rate=rate,
        state=None,
    )
    torch.testing.assert_close(torch.stack(told), torch.stack(ways), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found, ways[-1], rtol=1e-5, atol=1e-6)


def test_adams_steps_become_small_towards_the_end() -> None:
    """With a slope that stays as it is every step is as large as the rate."""
    told = [torch.zeros(SHAPE)]
    adam(
        told[0],
        lambda x: Evaluation({"slope": x.flatten(1).sum(1)}, torch.ones_like(x)),
        100,
        lambda step: told.append(step.images.clone()),
        rate=0.005,
        state=None,
    )
    steps = [(before - after).mean().item() for before, after in itertools.pairwise(told)]
    assert steps[:70] == pytest.approx([0.005] * 70, rel=1e-3)
    assert steps[70:] == pytest.approx([0.005 * left / 30 for left in range(30, 0, -1)], rel=1e-3)


def test_adam_never_leaves_the_box() -> None:
    target, told = torch.tensor([-3.0, 0.5, 2.0]).view(1, 3, 1, 1).expand(SHAPE), list[Tensor]()
    watched = Watched(bowl(target))
    found, _ = with_adam(drawn(), watched, 200, lambda step: told.append(step.images.clone()))
    assert torch.stack([*told, *watched.asked]).abs().max() == 1
    torch.testing.assert_close(found, target.clamp(-1, 1), rtol=0, atol=1e-4)


def test_pictures_of_a_batch_go_their_own_ways_under_adam() -> None:
    start, target = drawn((3, 3, 4, 5)), drawn((3, 3, 4, 5), 1)
    together, _ = with_adam(start, bowl(target, curvatures()), 50, unheard)
    for index in range(3):
        own = slice(index, index + 1)
        alone, _ = with_adam(start[own], bowl(target[own], curvatures()), 50, unheard)
        assert torch.equal(alone, together[own])


def test_the_next_scale_goes_on_in_steps_of_the_same_size() -> None:
    """A mean over pixels: with four times as many, a pixel's gradient is a fourth."""

    def slope(x: Tensor) -> Evaluation:
        weights = torch.tensor([1.0, -2.0, 0.1]).view(1, 3, 1, 1)
        return Evaluation({"slope": (x * weights).mean((1, 2, 3))}, (weights / x[0].numel()).expand_as(x).contiguous())

    _, state = adam(torch.zeros(1, 3, 8, 10), slope, 50, unheard, rate=0.001, state=None)
    warm = warm_start(state, 16, 20)
    assert warm["exp_avg"].shape == warm["exp_avg_sq"].shape == (1, 3, 16, 20)
    assert int(warm["done"]) == 0
    told = [torch.zeros(1, 3, 16, 20)]
    adam(told[0], slope, 40, lambda step: told.append(step.images.clone()), rate=0.001, state=warm)
    first = (told[1] - told[0])[0].mean((1, 2))
    torch.testing.assert_close(first, torch.tensor([-0.001, 0.001, -0.001]), rtol=1e-3, atol=0)
    assert len(told) == 41  # the steps of a scale are counted anew


# --- L-BFGS and its box -------------------------------------------------------------------------------------------


def test_a_quadratic_is_solved_in_few_evaluations() -> None:
    target = drawn(seed=1, dtype=torch.float64)
    found, _ = lbfgs(
        drawn(dtype=torch.float64),
        bowl(target, curvatures(dtype=torch.float64)),
        100,
        unheard,
        history=20,
        state=None,
    )
    assert (found - target).abs().max() < 1e-5


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_an_objective_does_not_matter(scale: float) -> None:
    """torch's own bound for curvature is an absolute number."""
    target, curvature = 0.9 * drawn(seed=1), curvatures()
    for descend in (with_lbfgs, with_lbfgsb):
        found, _ = descend(drawn(), bowl(target, scale * curvature), 150, unheard)
        assert (found - target).abs().max() < 1e-3


def test_a_history_of_one_still_descends() -> None:
    for descend in (lbfgs, lbfgsb):
        more = {} if descend is lbfgsb else {"state": None}
        told = list[float]()
        start = 0.9 * drawn(dtype=torch.float64)
        descend(start, valley, 300, lambda step: told.append(step.evaluation.total.item()), history=1, **more)  # noqa: B023
        assert min(told) < 1e-2 * told[0]


def test_lbfgs_leaves_the_box_and_the_other_does_not() -> None:
    """A quadratic whose bottom is at -1, 0.5 and 2."""
    start, curvature = drawn(dtype=torch.float64), curvatures(dtype=torch.float64)
    target = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64).view(1, 3, 1, 1).expand(SHAPE).contiguous()
    free, _ = with_lbfgs(start, bowl(target, curvature), 200, unheard)
    torch.testing.assert_close(free, target, rtol=0, atol=1e-4)
    watched = Watched(bowl(target, curvature))
    boxed, _ = with_lbfgsb(start, watched, 200, unheard)
    assert torch.stack(watched.asked).abs().max() <= 1
    torch.testing.assert_close(boxed, target.clamp(-1, 1), rtol=0, atol=1e-5)


def test_at_the_end_no_slope_is_left_that_the_box_allows() -> None:
    """Of a quadratic with neighbours coupled, whose bottom in the box is not the free one clamped."""
    count = 60
    mixing = drawn((count, count), 3, torch.float64) / 4
    matrix = mixing @ mixing.mT + 0.1 * torch.eye(count, dtype=torch.float64)
    bottom = 3 * drawn((count,), 4, torch.float64)

    def evaluate(x: Tensor) -> Evaluation:
        apart = x.flatten() - bottom
        slope = matrix @ apart
        return Evaluation({"coupled": (apart @ slope / 2)[None]}, slope.view(SHAPE))

    watched = Watched(evaluate)
    found, _ = lbfgsb(torch.zeros(SHAPE, dtype=torch.float64), watched, 500, unheard, history=10)
    assert torch.stack(watched.asked).abs().max() <= 1
    slope = evaluate(found).gradient
    projected = (found - slope).clamp(-1, 1) - found
    assert projected.abs().max() < 1e-6
    assert (found.abs() == 1).sum() > 10
    assert (found - bottom.clamp(-1, 1).view(SHAPE)).abs().max() > 0.05


def test_a_start_outside_of_the_box_is_brought_in() -> None:
    watched = Watched(bowl(drawn(seed=1)))
    with_lbfgsb(3 * drawn(), watched, 5, unheard)
    torch.testing.assert_close(watched.asked[0], (3 * drawn()).clamp(-1, 1))


def test_what_scipy_does_next_does_not_change_what_was_told() -> None:
    """It goes on in the array of which the objective was asked."""
    told, copies = list[Tensor](), list[Tensor]()

    def seen(step: Step) -> None:
        told.append(step.images)
        copies.append(step.images.clone())

    found, _ = lbfgsb(0.9 * drawn(dtype=torch.float64), valley, 30, seen, history=5)
    assert all(torch.equal(one, other) for one, other in zip(told, copies, strict=True))
    values = [valley(one).total.item() for one in copies]
    assert valley(found).total.item() == min(values)
