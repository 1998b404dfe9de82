"""Maximum mean discrepancies agree with their formulas, with torch-fidelity, and with what leaving rows out gives."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

from cyclestyle.evaluation import kernels, resampling
from cyclestyle.evaluation.kernels import (
    Kernel,
    difference,
    energy,
    estimate,
    gaussian,
    halves,
    kid,
    polynomial,
    share_of_way,
    squared_mmd,
)

KERNELS = {"kid": polynomial(), "gaussian": gaussian(2.0), "energy": energy(), "linear": polynomial(1, 0.0, 1.0)}
EVERY_KERNEL = pytest.mark.parametrize("kernel", KERNELS.values(), ids=list(KERNELS))


def features(n: int, d: int = 5, seed: int = 0, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) + shift


def without(x: Tensor, row: int) -> Tensor:
    return torch.cat((x[:row], x[row + 1 :]))


def by_definition(x: Tensor, y: Tensor, kernel: Kernel, unbiased: bool) -> float:
    """Sums over pairs, one at a time."""

    def mean(a: Tensor, b: Tensor, same: bool) -> float:
        pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if not (same and i == j)]
        return sum(kernel(a[i : i + 1], b[j : j + 1]).item() for i, j in pairs) / len(pairs)

    return mean(x, x, unbiased) + mean(y, y, unbiased) - 2 * mean(x, y, False)


@EVERY_KERNEL
@pytest.mark.parametrize("unbiased", [True, False])
def test_the_mmd_is_its_definition(kernel, unbiased):
    x, y = features(7), features(9, seed=1, shift=0.5)
    expected = by_definition(x, y, kernel, unbiased)
    assert squared_mmd(x, y, kernel, unbiased) == pytest.approx(expected, rel=1e-10)
    assert squared_mmd(y, x, kernel, unbiased) == pytest.approx(expected, rel=1e-10)


def test_the_kernels_are_their_formulas():
    x, y = features(4), features(6, seed=1)
    apart = (x[:, None] - y).square().sum(-1)
    torch.testing.assert_close(polynomial()(x, y), (x @ y.T / 5 + 1) ** 3)
    torch.testing.assert_close(polynomial(2, 0.5, 3.0)(x, y), (3 * x @ y.T + 0.5) ** 2)
    torch.testing.assert_close(gaussian(0.7)(x, y), torch.exp(-apart / (2 * 0.49)))
    torch.testing.assert_close(energy()(x, y), -apart.sqrt())


@EVERY_KERNEL
def test_results_do_not_depend_on_blocks(kernel, monkeypatch):
    x, y, other = features(40), features(33, seed=1, shift=0.5), features(40, seed=2)

    def all_numbers() -> list[float]:
        return [
            squared_mmd(x, y, kernel),
            squared_mmd(x, y, kernel, unbiased=False),
            *estimate(x, y, kernel),
            *difference(x, other, y, kernel),
            *difference(x, other, y, kernel, paired=True),
            *halves(x, kernel).tolist(),
        ]

    whole = all_numbers()
    monkeypatch.setattr(resampling, "BLOCK", 7)
    assert all_numbers() == pytest.approx(whole, rel=1e-12, abs=1e-13)


@EVERY_KERNEL
def test_results_do_not_depend_on_order(kernel):
    x, y = features(40), features(33, seed=1, shift=0.5)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert estimate(x[order], y.flip(0), kernel) == pytest.approx(estimate(x, y, kernel), rel=1e-10)


def test_kernels_see_blocks_only():
    largest = []

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        largest.append(max(len(x), len(y)))
        return x @ y.mT

    estimate(features(1200), features(700, seed=1), kernel)
    assert max(largest) == 512


def test_a_set_is_at_distance_0_from_itself():
    x = features(30)
    for kernel in KERNELS.values():
        assert abs(squared_mmd(x, x, kernel, unbiased=False)) < 1e-12


@EVERY_KERNEL
def test_a_larger_shift_is_never_nearer(kernel):
    x = features(100)
    found = [squared_mmd(x + shift, x, kernel) for shift in (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)]
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.1


def test_gatys_layer_loss_is_an_mmd():
    # Li et al. 2017 for any number of positions: each Gram matrix divided by its own
    x, y, channels = features(30, 6), features(47, 6, seed=1).abs(), 6
    loss = (x.T @ x / 30 - y.T @ y / 47).square().sum().item() / (4 * channels**2)
    found = squared_mmd(x, y, polynomial(2, 0.0, 1.0), unbiased=False) / (4 * channels**2)
    assert found == pytest.approx(loss, rel=1e-12)


def test_an_offset_adds_the_distance_of_means():
    x, y = features(30, 6), features(47, 6, seed=1, shift=0.3)
    gram = (x.T @ x / 30 - y.T @ y / 47).square().sum().item()
    means = (x.mean(0) - y.mean(0)).square().sum().item()
    assert squared_mmd(x, y, KERNELS["linear"], unbiased=False) == pytest.approx(means, rel=1e-12)
    found = squared_mmd(x, y, polynomial(2, 0.7, 1.0), unbiased=False)
    assert found == pytest.approx(gram + 2 * 0.7 * means, rel=1e-12)


def test_what_each_kernel_can_see():
    one = torch.tensor([[-1.0], [1.0]], dtype=torch.float64).repeat(30, 1)  # mean 0, variance 1, as the next
    other = torch.tensor([[-(2.0**0.5)], [0.0], [0.0], [2.0**0.5]], dtype=torch.float64).repeat(15, 1)
    wide = 2 * one

    def far(x: Tensor, y: Tensor, kernel: Kernel) -> bool:
        return squared_mmd(x, y, kernel, unbiased=False) > 1e-3

    linear, square = KERNELS["linear"], polynomial(2, 1.0, 1.0)
    assert not far(one, wide, linear)
    assert far(one, wide, square)
    assert not far(one, other, square)
    assert far(one, other, gaussian(1.0))
    assert far(one, other, energy())


def test_the_energy_distance_of_shifted_points_is_known():
    # two points each: 2 E|x - y| - E|x - x'| - E|y - y'| = 2 * (5 + 6 + 4 + 5) / 4 - 1/2 - 1/2, with x = x' counted
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[5.0], [6.0]])
    assert squared_mmd(x, y, energy(), unbiased=False) == pytest.approx(10 - 1)
    assert squared_mmd(x, y, energy()) == pytest.approx(10 - 2)


@pytest.mark.parametrize("d", [64, 768])
def test_kid_is_torch_fidelitys(d):
    x, y = features(150, d).abs(), features(150, d, seed=1, shift=0.1).abs()
    theirs = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=150, verbose=False)[KEY_METRIC_KID_MEAN]
    assert kid(x, y).value == pytest.approx(theirs, rel=1e-4)
    assert kid(x, y).value == pytest.approx(theirs, rel=1e-9)
    assert kid(x.float(), y.float().numpy()).value == pytest.approx(theirs, rel=1e-4)


@EVERY_KERNEL
def test_the_standard_error_is_that_of_leaving_out_each_row(kernel):
    x, y = features(8), features(11, seed=1, shift=0.5)
    of_x = np.array([squared_mmd(without(x, row), y, kernel) for row in range(8)])
    of_y = np.array([squared_mmd(x, without(y, row), kernel) for row in range(11)])
    variance = 7 / 8 * ((of_x - of_x.mean()) ** 2).sum() + 10 / 11 * ((of_y - of_y.mean()) ** 2).sum()
    found = estimate(x, y, kernel)
    assert found.value == pytest.approx(squared_mmd(x, y, kernel), rel=1e-10)
    assert found.standard_error == pytest.approx(variance**0.5, rel=1e-8)


@EVERY_KERNEL
@pytest.mark.parametrize("paired", [True, False])
def test_the_error_of_a_difference_is_that_of_leaving_out_each_row(kernel, paired):
    x, other, y = features(8, shift=0.2), features(8, seed=2), features(11, seed=1, shift=0.5)

    def apart(x: Tensor, other: Tensor, y: Tensor) -> float:
        return squared_mmd(x, y, kernel) - squared_mmd(other, y, kernel)

    def variance(left: list[float]) -> float:
        return (len(left) - 1) * float(np.var(left))

    expected = variance([apart(x, other, without(y, row)) for row in range(11)])
    if paired:
        expected += variance([apart(without(x, row), without(other, row), y) for row in range(8)])
    else:
        expected += variance([apart(without(x, row), other, y) for row in range(8)])
        expected += variance([apart(x, without(other, row), y) for row in range(8)])
    found = difference(x, other, y, kernel, paired)
    assert found.value == pytest.approx(apart(x, other, y), rel=1e-9)
    assert found.standard_error == pytest.approx(expected**0.5, rel=1e-8)


def test_a_difference_is_sharper_than_its_two_distances():
    x, y = features(60, shift=1.0), features(30, seed=1)
    slightly = x + 0.05 * features(60, seed=2, shift=1.0)
    two = math.hypot(kid(x, y).standard_error, kid(slightly, y).standard_error)
    unpaired = difference(x, slightly, y, polynomial())
    paired = difference(x, slightly, y, polynomial(), paired=True)
    assert paired.standard_error < 0.5 * unpaired.standard_error
    assert unpaired.standard_error < two
    assert paired.interval[1] < 0 < unpaired.interval[1]


def test_a_set_does_not_differ_from_itself():
    found = difference(features(20), features(20), features(30, seed=1), polynomial(), paired=True)
    assert found == (0.0, 0.0)


def test_the_interval_holds_the_true_distance_in_95_of_100_samples():
    # the linear kernel's is |mu - mu'|^2 = 3 * 0.8^2
    found = [
        estimate(features(40, 3, seed), features(50, 3, 1000 + seed, shift=0.8), KERNELS["linear"]).interval
        for seed in range(300)
    ]
    assert 0.90 < np.mean([low <= 3 * 0.64 <= high for low, high in found]) < 0.99


@EVERY_KERNEL
def test_two_samples_of_one_kind_are_at_distance_0_on_average(kernel):
    found = [estimate(features(30, seed=seed), features(20, seed=1000 + seed), kernel) for seed in range(200)]
    values = np.array([one.value for one in found])
    deviation = values.std(ddof=1)
    assert abs(values.mean()) < 3 * deviation / 200**0.5
    assert (values < 0).any()
    assert np.mean([one.standard_error for one in found]) > 0.8 * deviation  # too large rather than too small


@EVERY_KERNEL
@pytest.mark.parametrize("count", [4, 5])
def test_halves_are_halves(kernel, count):
    x = features(count)
    possible = []
    for half in itertools.combinations(range(count), count // 2):
        rest = [row for row in range(count) if row not in half]
        possible.append(squared_mmd(x[list(half)], x[rest], kernel))
    found = halves(x, kernel, splits=60)
    apart = (found[:, None] - torch.tensor(possible, dtype=torch.float64)).abs()
    assert apart.min(1).values.max() < 1e-12
    assert apart.min(0).values.max() < 1e-12  # each of them comes up


def test_halves_of_one_set_are_at_distance_0():
    found = np.array([halves(features(100, seed=seed), polynomial()).mean().item() for seed in range(40)])
    assert abs(found.mean()) < 3 * found.std(ddof=1) / 40**0.5


def test_halves_are_decided_by_the_seed_and_bounded(monkeypatch):
    x = features(50)
    assert torch.equal(halves(x, energy(), seed=1), halves(x, energy(), seed=1))
    assert not torch.equal(halves(x, energy(), seed=1), halves(x, energy(), seed=2))
    seen = []

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        seen.append(a.shape[0])
        return a @ b.mT

    monkeypatch.setattr(kernels, "HALVED_AT_MOST", 20)
    assert halves(x, kernel, splits=3).shape == (3,)
    assert sum(seen) == 20


def test_two_rows_have_a_value_but_no_error():
    x, y = features(2), features(9, seed=1)
    for found in (estimate(x, y, energy()), estimate(y, x, energy()), difference(x, x, y, energy(), paired=True)):
        assert math.isfinite(found.value)
        assert found.standard_error == math.inf
    assert estimate(x, y, energy()).value == pytest.approx(by_definition(x, y, energy(), True))
    assert math.isfinite(difference(y, y + 1, x, energy()).standard_error)


def test_what_cannot_be_computed_is_said():
    one, many = features(1), features(9)
    for call in (
        lambda: kid(one, many),
        lambda: kid(many, one),
        lambda: squared_mmd(one, many, energy()),
        lambda: difference(many, one, many, energy()),
    ):
        with pytest.raises(ValueError, match="needs 2 or more pictures, one has 1"):
            call()
    with pytest.raises(ValueError, match="needs 4 or more pictures"):
        halves(features(3), energy())
    with pytest.raises(ValueError, match="at least 1 split"):
        halves(many, energy(), splits=0)
    with pytest.raises(ValueError, match="these have 9 and 8; give paired=False"):
        difference(many, many[1:], many, energy(), paired=True)
    with pytest.raises(ValueError, match="bandwidth above 0, got 0"):
        gaussian(0)
    with pytest.raises(ValueError, match="degree >= 1"):
        polynomial(0)


def test_the_share_of_the_way_and_its_error_are_those_of_leaving_out_one_by_one() -> None:
    photos, y = features(12, 3, 1) + 2, features(9, 3, 2)
    x, end = photos - 0.8 * torch.rand(12, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64), 0.1

    def share(x: torch.Tensor, photos: torch.Tensor, y: torch.Tensor) -> float:
        p, m = (squared_mmd(rows, y, polynomial()) for rows in (photos, x))
        return (p - m) / (p - end)

    found = share_of_way(x, photos, y, polynomial(), end)
    assert found.value == pytest.approx(share(x, photos, y), rel=1e-12)
    variance = 0.0
    for count, without in (
        (12, [share(left_out(x, i), left_out(photos, i), y) for i in range(12)]),
        (9, [share(x, photos, left_out(y, j)) for j in range(9)]),
    ):
        variance += (count - 1) * np.var(without)
    assert found.standard_error == pytest.approx(variance**0.5, rel=1e-9)
    assert share_of_way(photos, photos, y, polynomial()).value == 0
    assert share_of_way(photos, photos, y, polynomial()).standard_error == 0
    with pytest.raises(ValueError, match="row by row"):
        share_of_way(x[1:], photos, y, polynomial())


def left_out(rows: torch.Tensor, place: int) -> torch.Tensor:
    return torch.cat([rows[:place], rows[place + 1 :]])
