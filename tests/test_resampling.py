"""Blocks and parts of a set hold the right rows, and what is said of chance is what chance does."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from cyclestyle.evaluation import resampling
from cyclestyle.evaluation.frechet import frechet
from cyclestyle.evaluation.resampling import Estimate, Features, Part, blocks, disjoint, jackknife, require_sets, spread


class OnDisk:
    """Features that give nothing but slices from a to b."""

    def __init__(self, path: Path, values: NDArray[np.float32]) -> None:
        values.tofile(path)
        self.path, self.shape = path, values.shape

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        assert rows.step is None
        assert rows.stop - rows.start <= 512
        width = self.shape[1]
        read = np.fromfile(self.path, "<f4", (rows.stop - rows.start) * width, offset=4 * rows.start * width)
        return read.reshape(-1, width)


def features(n: int, d: int = 3, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def everything(given: Features) -> Tensor:
    return torch.cat([block for _, block in blocks(given)])


def kinds_of(values: NDArray[np.float32], folder: Path) -> list[Features]:
    """The same features as everything that they may come as."""
    on_disk = OnDisk(folder / "rows.f32", values)
    mapped = np.memmap(folder / "rows.f32", "<f4", "r", shape=values.shape)
    return [values, torch.from_numpy(values), torch.from_numpy(values).requires_grad_(), mapped, on_disk]


@pytest.mark.filterwarnings("error")
def test_blocks_are_all_rows_in_order_as_float64(tmp_path):
    values = features(1100)
    for given in kinds_of(values, tmp_path):
        found = list(blocks(given))
        assert [rows for rows, _ in found] == [slice(0, 512), slice(512, 1024), slice(1024, 1100)]
        assert all(block.dtype == torch.float64 and not block.requires_grad for _, block in found)
        assert torch.equal(torch.cat([block for _, block in found]), torch.from_numpy(values).double())
        assert [rows.start for rows, _ in blocks(given, 512)] == [512, 1024]


def test_blocks_are_copies():
    values = torch.ones(3, 2, dtype=torch.float64)
    array = values.numpy().copy()
    for _, block in blocks(array):
        block.zero_()
    assert array.sum() == 6


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_refused(bad):
    values = features(600)
    values[520, 1] = bad
    with pytest.raises(ValueError, match="rows 512 to 599 are not all finite"):
        everything(values)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("block", [512, 7])
def test_a_part_is_the_chosen_rows_in_the_sets_order(tmp_path, monkeypatch, block):
    monkeypatch.setattr(resampling, "BLOCK", block)
    values = features(1100)
    chosen = np.random.default_rng(1).permutation(1100)[:613]
    expected = torch.from_numpy(values).double()[torch.from_numpy(np.sort(chosen))]
    for given in kinds_of(values, tmp_path):
        part = Part(given, chosen)
        assert part.shape == (613, 3)
        assert len(part) == 613
        assert torch.equal(everything(part), expected)
        assert torch.equal(part[100:133], expected[100:133])
        assert torch.equal(everything(Part(part, np.array([5, 2, 600]))), expected[[2, 5, 600]])
        assert part[4:4].shape == (0, 3)


def test_disjoint_parts_share_no_row_and_leave_the_global_chance_alone():
    values = np.arange(100.0)[:, None]
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = disjoint(values, (60, 40), np.random.default_rng(0))
    assert sorted([*everything(first)[:, 0].tolist(), *everything(second)[:, 0].tolist()]) == list(range(100))
    assert everything(first)[:, 0].tolist() != list(range(60))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()


def test_sets_that_do_not_match_are_named():
    with pytest.raises(ValueError, match=r"shape \(n, d\), got \(3,\)"):
        require_sets(1, np.ones(3))
    with pytest.raises(ValueError, match=r"different lengths: \(4, 3\) and \(4, 2\)"):
        require_sets(1, np.ones((4, 3)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="needs 5 or more pictures, one has 4"):
        require_sets(5, np.ones((9, 3)), np.ones((4, 3)))


def test_the_interval_is_1_96_standard_errors_either_side():
    found = Estimate(3.0, 0.5)
    assert found.interval == pytest.approx((2.02, 3.98))
    assert found.resolvable == pytest.approx(0.98)


def of_means(x: Features, y: Features) -> float:
    """A number whose variance is known: s^2 / n + 9 t^2 / m."""
    return (everything(x).mean() + 3 * everything(y).mean()).item()


def known_variance(x: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    return np.var(x.astype(float), ddof=1) / len(x) + 9 * np.var(y.astype(float), ddof=1) / len(y)


def test_leaving_out_single_rows_gives_the_variance_of_a_mean():
    x, y = features(23, 1), features(31, 1, seed=1)
    found = jackknife(x, y, of_means, groups=1000)
    assert found.value == of_means(x, y)
    assert found.standard_error**2 == pytest.approx(known_variance(x, y), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(40, 60), (43, 57)])  # groups of one size, and of two
def test_leaving_out_groups_gives_the_variance_of_a_mean_on_average(n, m):
    x, y = features(n, 1), features(m, 1, seed=1)
    found = [jackknife(x, y, of_means, seed=seed).standard_error ** 2 for seed in range(300)]
    assert np.mean(found) == pytest.approx(known_variance(x, y), rel=4 * np.std(found) / np.mean(found) / 300**0.5)
    assert np.std(found) < np.mean(found)


def test_groups_of_one_size_give_the_textbook_factor():
    x, y = features(20, 1), np.zeros((20, 1), np.float32)
    left = []

    def statistic(one: Features, other: Features) -> float:
        if one.shape[0] < 20:
            left.append(everything(one).square().mean().item())
        return everything(one).square().mean().item()

    found = jackknife(x, y, statistic, groups=5)
    assert len(left) == 5
    expected = 4 / 5 * sum((value - np.mean(left)) ** 2 for value in left)
    assert found.standard_error**2 == pytest.approx(expected, rel=1e-9)


def test_groups_of_two_sizes_have_their_weights():
    # of a mean, Busing's variance is the mean over groups of (group's mean - mean)^2 m / (n - m)
    x, left = features(5, 1), []

    def statistic(one: Features, _: Features) -> float:
        left.append(everything(one).flatten())
        return left[-1].square().mean().item()

    found = jackknife(x, np.zeros((5, 1), np.float32), statistic, groups=2)
    squares = torch.from_numpy(x).double().square().flatten()
    rests = left[1:3]
    assert sorted(len(rest) for rest in rests) == [2, 3]
    groups = [(squares.sum() - rest.square().sum()) / (5 - len(rest)) for rest in rests]
    parts = [
        (group - squares.mean()) ** 2 * (5 - len(rest)) / len(rest) for group, rest in zip(groups, rests, strict=True)
    ]
    assert found.standard_error**2 == pytest.approx(sum(parts).item() / 2, rel=1e-9)


def test_the_standard_error_of_a_frechet_distance_is_its_deviation_over_fresh_samples():
    pairs = [(features(60, 4, seed), features(80, 4, 1000 + seed) + 1) for seed in range(60)]
    deviation = np.std([frechet(x, y) for x, y in pairs], ddof=1)
    told = np.mean([jackknife(x, y, frechet).standard_error for x, y in pairs])
    assert 0.75 < told / deviation < 1.35


def test_a_jackknife_is_decided_by_its_seed_and_reads_files(tmp_path):
    values = features(700)
    x, y = OnDisk(tmp_path / "rows.f32", values), features(50, seed=1) + 1
    found = jackknife(x, y, frechet, seed=3)
    assert found == jackknife(values, y, frechet, seed=3)
    assert found.value == frechet(values, y)
    assert found.standard_error != jackknife(values, y, frechet, seed=4).standard_error


def test_two_rows_have_no_standard_error():
    assert jackknife(features(2), features(9, seed=1), frechet).standard_error == math.inf
    assert jackknife(features(3), features(9, seed=1), frechet).standard_error < math.inf


def test_a_jackknife_needs_groups():
    with pytest.raises(ValueError, match="at least 2 groups, got 1"):
        jackknife(features(9), features(9), frechet, groups=1)


def test_quartiles_are_numpys():
    values = np.random.default_rng(0).normal(size=38)
    found = spread(values)
    quartiles = (found.lower_quartile, found.median, found.upper_quartile)
    assert quartiles == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]), rel=1e-12)
    assert found.count == 38
    assert found.low < found.median < found.high
    assert found == spread(torch.from_numpy(values).flip(0)) == spread(values.tolist())


def test_one_value_is_its_own_interval():
    assert spread([2.5]) == (2.5, 2.5, 2.5, 2.5, 2.5, 1)


def test_infinite_numbers_count():
    assert spread([math.inf] * 5) == (*[math.inf] * 5, 5)
    found = spread([1.0, 2.0, 3.0, math.inf, math.inf, math.inf, math.inf])
    assert found.lower_quartile == 2.5
    assert found.median == found.upper_quartile == found.high == math.inf


def test_the_interval_holds_the_true_median_in_95_of_100_samples():
    random = np.random.default_rng(0)
    held = [
        found.low <= 0 <= found.high for found in (spread(random.normal(size=40), resamples=400) for _ in range(300))
    ]
    assert 0.90 < np.mean(held) < 0.99


def test_the_interval_is_decided_by_the_seed_and_not_by_what_fits_in_memory(monkeypatch):
    values = np.random.default_rng(0).normal(size=100)
    found = spread(values)
    assert found != spread(values, seed=1)
    monkeypatch.setattr(resampling, "RESAMPLED_AT_ONCE", 700)
    assert spread(values) == found


@pytest.mark.parametrize(
    ("values", "said"), [([1.0, math.nan], "1 of 2 numbers are NaN"), ([], "got an array"), ([[1.0]], r"\(1, 1\)")]
)
def test_what_is_no_list_of_numbers_is_refused(values, said):
    with pytest.raises(ValueError, match=said):
        spread(values)


def test_a_bootstrap_needs_resamples():
    with pytest.raises(ValueError, match="at least 1 resample"):
        spread([1.0], resamples=0)
