"""Total variations are their formulas, with finite gradients, and what leaves the range of pixels costs its square."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from cyclestyle.styling.recipes import VariationKind
from cyclestyle.styling.smoothness import total_variation, value_range

KINDS = get_args(VariationKind)
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def pictures(n: int = 2, height: int = 6, width: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 3, height, width, generator=generator, dtype=torch.float64) * 2 - 1


def ramp(slope: float = 0.1) -> Tensor:
    return (slope * torch.arange(10, dtype=torch.float64)).expand(1, 3, 8, 10)


def by_loops(x: Tensor, kind: str, beta: float) -> float:
    """Of one picture, pair by pair."""
    _, height, width = x.shape
    across = [(c, y, z) for c in range(3) for y in range(height) for z in range(width - 1)]
    down = [(c, y, z) for c in range(3) for y in range(height - 1) for z in range(width)]
    inner = [(c, y, z) for c in range(3) for y in range(height - 1) for z in range(width - 1)]

    def mean(values: list[Tensor]) -> float:
        return (sum(values) / len(values)).item()

    if kind in ("squared", "absolute", "nine-point"):
        power = 1 if kind == "absolute" else 2
        straight = mean([(x[c, y, z + 1] - x[c, y, z]).abs() ** power for c, y, z in across])
        straight += mean([(x[c, y + 1, z] - x[c, y, z]).abs() ** power for c, y, z in down])
        if kind != "nine-point":
            return straight
        falling = mean([(x[c, y + 1, z + 1] - x[c, y, z]) ** 2 for c, y, z in inner])
        return straight * 2 / 3 + (falling + mean([(x[c, y + 1, z] - x[c, y, z + 1]) ** 2 for c, y, z in inner])) / 6
    exponent = {"isotropic": 0.5, "keras": 1.25, "mahendran": beta / 2}[kind]
    squares = [(x[c, y, z + 1] - x[c, y, z]) ** 2 + (x[c, y + 1, z] - x[c, y, z]) ** 2 for c, y, z in inner]
    return mean([value**exponent for value in squares])


@EVERY_KIND
def test_a_variation_is_its_formula(kind) -> None:
    images = pictures()
    expected = [by_loops(one, kind, 3.0) for one in images]
    assert total_variation(images, kind, beta=3.0).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("squared", 0.01),
        ("absolute", 0.1),
        ("isotropic", 0.1),
        ("keras", 0.1**2.5),
        ("mahendran", 0.01),
        ("nine-point", 0.01),
    ],
)
def test_a_ramp_has_its_slope_as_variation(kind, expected) -> None:
    assert total_variation(ramp(), kind).item() == pytest.approx(expected, rel=1e-12)
    assert total_variation(ramp().mT, kind).item() == pytest.approx(expected, rel=1e-12)


@EVERY_KIND
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_one_colour_has_none_and_a_finite_gradient(kind, beta) -> None:
    images = torch.full((2, 3, 5, 5), 0.3, requires_grad=True)
    variation = total_variation(images, kind, beta=beta)
    assert variation.tolist() == [0.0, 0.0]
    (gradient,) = torch.autograd.grad(variation.sum(), images)
    assert not gradient.any()  # and so no NaN


@EVERY_KIND
def test_a_flat_part_beside_an_edge_has_a_finite_gradient(kind) -> None:
    images = torch.zeros(1, 3, 6, 6)
    images[..., 3:] = 1
    images.requires_grad_()
    (gradient,) = torch.autograd.grad(total_variation(images, kind, beta=1.0).sum(), images)
    assert gradient.isfinite().all()
    assert gradient[..., 3].max() > 0


@EVERY_KIND
def test_what_variations_do_not_see(kind) -> None:
    images = pictures()
    variation = total_variation(images, kind, beta=1.5)
    unseen = [images + 0.7, images.mT, -images]
    if kind in ("squared", "absolute", "nine-point"):
        unseen += [images.flip(2), images.flip(3)]
    for same in unseen:
        torch.testing.assert_close(total_variation(same, kind, beta=1.5), variation)


@pytest.mark.parametrize(
    ("kind", "degree"),
    [("squared", 2), ("absolute", 1), ("isotropic", 1), ("keras", 2.5), ("mahendran", 1.5), ("nine-point", 2)],
)
def test_variations_grow_with_the_contrast(kind, degree) -> None:
    images = pictures()
    expected = 3**degree * total_variation(images, kind, beta=1.5)
    torch.testing.assert_close(total_variation(3 * images, kind, beta=1.5), expected)


@EVERY_KIND
def test_gradients_are_those_of_the_values(kind) -> None:
    images = pictures(1, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: total_variation(x, kind, beta=1.5), images)


@EVERY_KIND
def test_every_picture_has_its_own(kind) -> None:
    images = pictures(3).float()
    alone = torch.cat([total_variation(images[[i]], kind) for i in range(3)])
    assert alone.dtype == torch.float64
    torch.testing.assert_close(total_variation(images, kind), alone, rtol=1e-14, atol=0)


def test_only_what_leaves_the_range_costs_and_its_square() -> None:
    images = torch.zeros(2, 3, 2, 2, dtype=torch.float64)
    images[0, 0, 0] = torch.tensor([1.0, -1.0])
    images[1, 1, 1] = torch.tensor([1.5, -3.0])
    images.requires_grad_()
    cost = value_range(images)
    assert cost.tolist() == [0.0, (0.25 + 4) / 12]
    (gradient,) = torch.autograd.grad(cost.sum(), images)
    assert not gradient[0].any()
    torch.testing.assert_close(gradient[1, 1, 1], torch.tensor([1.0, -4.0], dtype=torch.float64) / 12)
    assert value_range(images, 0, 1)[0].item() == pytest.approx(1 / 12)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: total_variation(pictures(), "fourth"), "no total variation 'fourth'; .*squared.*nine-point"),
        (lambda: total_variation(pictures(), "mahendran", beta=0), "beta above 0"),
        (lambda: total_variation(pictures(height=1)), r"2 x 2 .*\(2, 3, 1, 7\)"),
        (lambda: total_variation(pictures()[0]), "2 x 2"),
        (lambda: value_range(pictures(), 1, -1), "1 and -1"),
        (lambda: value_range(pictures(), math.nan, 1), "nan"),
    ],
)
def test_what_makes_no_sense_is_refused(call, told) -> None:
    with pytest.raises(ValueError, match=told):
        call()
