"""L-BFGS's memory (cyclestyle.styling.curvature) gives the way of the usual two loops, and of BFGS's whole matrix."""

import pytest
import torch
from torch import Tensor

from cyclestyle.styling.curvature import Curvature

Pair = tuple[Tensor, Tensor]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def quadratic(width: int) -> Tensor:
    mixing = drawn(width, width, seed=1)
    return mixing @ mixing.mT / width + 0.1 * torch.eye(width, dtype=torch.float64)


def two_loops(pairs: list[Pair], gradient: Tensor) -> Tensor:
    """Nocedal 1980."""
    shares, way = [], gradient.clone()
    for step, change in reversed(pairs):
        shares.append((step @ way) / (step @ change))
        way -= shares[-1] * change
    step, change = pairs[-1]
    way *= (step @ change) / (change @ change)
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        way += step * (share - (change @ way) / (step @ change))
    return -way


def whole_matrix(pairs: list[Pair]) -> Tensor:
    """The inverse that BFGS updates (Nocedal, Wright 2006, eq. 6.17), begun with that of the newest pair."""
    step, change = pairs[-1]
    width = len(step)
    inverse = torch.eye(width, dtype=step.dtype) * (step @ change) / (change @ change)
    for step, change in pairs:
        left = torch.eye(width, dtype=step.dtype) - torch.outer(step, change) / (step @ change)
        inverse = left @ inverse @ left.mT + torch.outer(step, step) / (step @ change)
    return inverse


def walk(curvature: Curvature, matrix: Tensor, steps: int, seed: int = 5) -> tuple[list[Pair], Tensor, Tensor, float]:
    """Steps that are not quite as the memory says, on a quadratic; the pairs, and the last gradient, way and slope."""
    pairs = list[Pair]()
    gradient = drawn(len(matrix), seed=seed)
    way, slope = curvature.way_down(gradient)
    for number in range(steps):
        step = 0.7 * way + 0.05 * way.norm() * drawn(len(matrix), seed=100 + number) / len(matrix) ** 0.5
        change = matrix @ step
        curvature.learn(step, change)
        pairs.append((step, change))
        gradient = gradient + change
        way, slope = curvature.way_down(gradient)
    return pairs, gradient, way, slope


@pytest.mark.parametrize(("steps", "most"), [(1, 5), (3, 5), (5, 5), (9, 4), (20, 1), (13, 6)])
def test_the_way_is_that_of_the_two_loops_and_of_the_whole_matrix(steps: int, most: int) -> None:
    matrix = quadratic(40)
    curvature = Curvature(drawn(40), most)
    pairs, gradient, way, slope = walk(curvature, matrix, steps)
    kept = pairs[-most:]
    expected = two_loops(kept, gradient)
    assert torch.allclose(way, expected, rtol=0, atol=1e-10 * float(expected.norm()))
    assert torch.allclose(way, -whole_matrix(kept) @ gradient, rtol=0, atol=1e-10 * float(expected.norm()))
    assert slope == pytest.approx(float(way @ gradient), rel=1e-9)
    assert slope < 0
    assert curvature.known == min(steps, most)


def test_in_single_precision_the_way_is_as_near_as_that_of_the_two_loops() -> None:
    """Products with a change are differences, which must not lose more than the loops do."""
    count, most = 20_000, 12
    scale = torch.logspace(0, 3, count, dtype=torch.float64)
    errors = {"ours": 0.0, "loops": 0.0}
    curvature, exact = Curvature(torch.zeros(count), most), list[Pair]()
    gradient = drawn(count, seed=3)
    for number in range(30):
        way, _ = curvature.way_down(gradient.float())
        if exact:
            expected = two_loops(exact[-most:], gradient)
            loops = two_loops([(step.float(), change.float()) for step, change in exact[-most:]], gradient.float())
            for name, found in (("ours", way), ("loops", loops)):
                errors[name] = max(errors[name], float((found - expected).norm() / expected.norm()))
        step = 0.8 * way.double() / (1 if number else 1e3)
        change = scale * step
        curvature.learn(step.float(), change.float())
        exact.append((step, change))
        gradient = gradient + change
    assert errors["loops"] < 1e-4
    assert errors["ours"] < max(1e-5, 20 * errors["loops"])


def test_a_step_without_a_pair_is_along_the_gradient() -> None:
    gradient = drawn(7)
    curvature = Curvature(gradient, 3)
    way, slope = curvature.way_down(gradient)
    assert torch.equal(way, -gradient)
    assert slope == -float(gradient @ gradient)
    walk(curvature, quadratic(7), 2)
    curvature.forget()
    assert torch.equal(curvature.way_down(gradient)[0], -gradient)


def test_after_a_gradient_without_a_pair_the_next_pair_is_right() -> None:
    """Where a step taught nothing, the pair after it belongs to the gradients around it."""
    matrix, most = quadratic(30), 4
    curvature = Curvature(drawn(30), most)
    pairs, gradient, _, _ = walk(curvature, matrix, 3)
    gradient = gradient + matrix @ (0.1 * drawn(30, seed=8))
    curvature.way_down(gradient)
    step = 0.1 * drawn(30, seed=9)
    curvature.learn(step, matrix @ step)
    pairs.append((step, matrix @ step))
    gradient = gradient + matrix @ step
    way, _ = curvature.way_down(gradient)
    expected = two_loops(pairs, gradient)
    assert torch.allclose(way, expected, rtol=0, atol=1e-10 * float(expected.norm()))


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_kept_is_enough_to_go_on_to_the_bit(steps: int, dtype: torch.dtype) -> None:
    matrix = quadratic(30).to(dtype)
    first = Curvature(drawn(30).to(dtype), 4)
    gradient = drawn(30, seed=5).to(dtype)
    for _ in range(steps):
        way, _ = first.way_down(gradient)
        first.learn(0.5 * way, matrix @ (0.5 * way))
        gradient = gradient + matrix @ (0.5 * way)
    state = {name: one.clone() for name, one in first.state().items()}
    assert sum(one.numel() for one in state.values()) <= 2 * min(steps, 4) * 30 + 2 * 16 + 8 + 2
    other = Curvature(drawn(30, seed=7).to(dtype), 4)
    other.restore(state)
    for number in range(6):
        found, expected = other.way_down(gradient), first.way_down(gradient)
        assert torch.equal(found[0], expected[0]), number
        assert found[1] == expected[1]
        for one in (first, other):
            one.learn(0.5 * expected[0], matrix @ (0.5 * expected[0]))
        gradient = gradient + matrix @ (0.5 * expected[0])


def test_on_a_quadratic_with_exact_steps_it_ends_in_as_many_as_there_are_unknowns() -> None:
    """Conjugate directions (Nocedal, Wright 2006, theorem 6.4)."""
    matrix, width = quadratic(8), 8
    curvature, place = Curvature(drawn(width), width), drawn(width, seed=2)
    for _ in range(width):
        gradient = matrix @ place
        way, slope = curvature.way_down(gradient)
        step = way * float(-slope / (way @ matrix @ way))
        curvature.learn(step, matrix @ step)
        place = place + step
    assert float(place.norm()) < 1e-7
