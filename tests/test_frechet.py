"""The Frechet distance agrees with closed forms and with torch-fidelity, however the rows are counted and cut."""

import tracemalloc

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

from cyclestyle.evaluation import frechet as module
from cyclestyle.evaluation import resampling
from cyclestyle.evaluation.frechet import Moments, frechet, frechet_floor, frechet_gaussian


def features(n: int, d: int, seed: int = 0, shift: float = 0.0, decay: float = 0.5) -> Tensor:
    """Correlated rows whose variances fall off, as those of real features do."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(n, d, generator=generator, dtype=torch.float64) * torch.arange(1, d + 1).double() ** -decay
    return rows + 0.3 * rows.roll(1, 1) + shift


def covariance_of(d: int, seed: int) -> Tensor:
    rows = features(3 * d, d, seed)
    return rows.T @ rows / (3 * d)


def with_moments(n: int, mean: Tensor, covariance: Tensor, seed: int = 0) -> Tensor:
    """Rows with exactly this mean and covariance (n - 1), n > d."""
    white = features(n, len(mean), seed)
    white = white - white.mean(0)
    white = torch.linalg.qr(white).Q * (n - 1) ** 0.5
    return white @ torch.linalg.cholesky(covariance).T + mean


def torch_fidelitys(x: Tensor, y: Tensor) -> float:
    statistics = [fid_features_to_statistics(rows) for rows in (x, y)]
    return fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]


@pytest.mark.parametrize("d", [1, 3, 64])
def test_one_dimension_at_a_time_is_means_and_deviations(d):
    means, deviations = features(2, d), features(2, d, seed=1).abs() + 0.1
    expected = ((means[0] - means[1]) ** 2 + (deviations[0] - deviations[1]) ** 2).sum().item()
    found = frechet_gaussian(means[0], deviations[0].square().diag(), means[1], deviations[1].square().diag())
    assert found == pytest.approx(expected, abs=1e-9)


def test_commuting_covariances_are_known():
    turn = torch.linalg.qr(features(8, 8)).Q
    one, two = torch.linspace(0.1, 3, 8).double(), torch.linspace(2, 0.0, 8).double()  # one singular
    found = frechet_gaussian(torch.zeros(8), turn * one @ turn.T, torch.ones(8), turn * two @ turn.T)
    assert found == pytest.approx(8 + (one.sqrt() - two.sqrt()).square().sum().item(), abs=1e-6)


def test_covariances_that_do_not_commute_agree_with_a_root():
    one, two = covariance_of(12, 0), covariance_of(12, 1)
    values, vectors = torch.linalg.eigh(one)
    root = vectors * values.sqrt() @ vectors.T
    inner = torch.linalg.eigvalsh(root @ two @ root).sqrt().sum()
    expected = (one.trace() + two.trace() - 2 * inner).item()
    zero = torch.zeros(12, dtype=torch.float64)
    assert frechet_gaussian(zero, one, zero, two) == pytest.approx(expected, abs=1e-9)
    assert frechet_gaussian(zero, two, zero, one) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("n", [40, 700])
def test_rows_of_known_moments_have_the_known_distance(n):
    means = features(2, 20)
    one, two = covariance_of(20, 1), covariance_of(20, 2)
    x, y = with_moments(n, means[0], one), with_moments(n + 5, means[1], two, seed=3)
    assert frechet(x, y) == pytest.approx(frechet_gaussian(means[0], one, means[1], two), abs=1e-6)


@pytest.mark.parametrize(("n", "d"), [(50, 64), (300, 64), (30, 192), (600, 8), (2, 5), (300, 768)])
@pytest.mark.parametrize("decay", [0.5, 3.0])
def test_a_set_is_at_distance_0_from_itself(n, d, decay):
    x = 10 * features(n, d, decay=decay)
    assert frechet(x, x) < 1e-6
    assert frechet(x, x.flip(0)) < 1e-6


@pytest.mark.parametrize("n", [6, 30])
def test_a_distance_is_never_negative(n):
    found = [frechet(x, x.flip(0)) for x in (100 * features(n, 12, seed) for seed in range(50))]
    assert min(found) >= 0


@pytest.mark.parametrize("n", [30, 300])
def test_a_shift_is_its_square(n):
    x = features(n, 64)
    assert frechet(x, x + 0.5) == pytest.approx(64 * 0.25, abs=1e-6)
    assert frechet(3 * x, x) == pytest.approx(4 * frechet(2 * x, x), rel=1e-6)


@pytest.mark.parametrize("n", [30, 300])
def test_a_larger_shift_is_never_nearer(n):
    x, y = features(n, 64), features(n, 64, seed=1)
    found = [frechet(x + shift, y) for shift in (0.0, 0.25, 0.5, 1.0, 2.0)]
    assert found == sorted(found)


@pytest.mark.parametrize(("n", "m", "d"), [(300, 1000, 64), (300, 1000, 192), (300, 1000, 768), (800, 900, 768)])
def test_features_give_torch_fidelitys_number(n, m, d):
    x, y = features(n, d).abs(), features(m, d, seed=1, shift=0.02).abs()
    theirs = torch_fidelitys(x, y)
    assert frechet(x, y) == pytest.approx(theirs, rel=1e-4)
    assert frechet(y, x) == pytest.approx(theirs, rel=1e-4)
    assert frechet(x.float(), y.float().numpy()) == pytest.approx(theirs, rel=1e-4)


@pytest.mark.slow
def test_2048_features_give_torch_fidelitys_number():
    x, y = features(60, 2048).abs(), features(150, 2048, seed=1).abs()
    assert frechet(x, y) == pytest.approx(torch_fidelitys(x, y), rel=1e-4)


@pytest.mark.parametrize(("n", "m", "d"), [(40, 90, 64), (64, 90, 64), (65, 66, 64), (90, 120, 20), (3, 200, 64)])
def test_results_do_not_depend_on_blocks_or_order(n, m, d, monkeypatch):
    x, y = features(n, d), features(m, d, seed=1, shift=0.5)
    whole = frechet(x, y)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    assert frechet(x[order], y.flip(0)) == pytest.approx(whole, rel=1e-10)
    for block in (1, 7, 32):
        monkeypatch.setattr(resampling, "BLOCK", block)
        assert frechet(x, y) == pytest.approx(whole, rel=1e-10)
        assert frechet(y, x) == pytest.approx(whole, rel=1e-10)


@pytest.mark.parametrize(("n", "m"), [(40, 90), (60, 90)])
def test_both_forms_agree(n, m):
    x, y = features(n, 60), features(m, 60, seed=1)
    one, two = Moments.of(x), Moments.of(y)
    expected = frechet_gaussian(one.mean, one.covariance, two.mean, two.covariance)
    assert frechet(x, y) == pytest.approx(expected, rel=1e-6)


def test_few_rows_make_no_square_of_the_columns(monkeypatch):
    # numpy's memory is what tracemalloc sees; the largest torch makes here is the product of the rows
    def forbidden(*_: Tensor) -> None:
        raise AssertionError("a root of d x d was asked for")

    monkeypatch.setattr(module, "frechet_gaussian", forbidden)
    monkeypatch.setattr(Moments, "of", forbidden)
    made = []
    of_cat, of_product = torch.cat, torch.Tensor.__matmul__
    monkeypatch.setattr(torch, "cat", lambda *parts: made.append(of_cat(*parts)) or made[-1])
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: made.append(of_product(a, b)) or made[-1])
    x, y = features(30, 2048).numpy(), features(300, 2048, seed=1).numpy()
    tracemalloc.start()
    found = frechet(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found > 0
    assert made
    assert max(one.numel() for one in made) < 2048 * 2048 / 10
    assert peak < 2 * y.nbytes


@pytest.mark.parametrize("count", [40, 300, 700, 1500])
def test_reading_the_larger_set_once_loses_nothing_however_its_first_rows_differ(monkeypatch, count):
    """Sorted by size, far from the origin and from the smaller set, and in several triangles."""
    few, many = features(30, 60) + 1000, features(count, 60, seed=1) + 900
    many = many[many.sum(1).argsort()]
    expected = frechet_gaussian(few.mean(0), few.T.cov(), many.mean(0), many.T.cov())
    for at_once in (1, 200, 10_000):
        monkeypatch.setattr(module, "AT_ONCE", at_once)
        assert frechet(few, many) == pytest.approx(expected, rel=1e-9)


def test_moments_are_numpys_whatever_the_blocks(monkeypatch):
    rows = features(100, 7, shift=1e4)
    for block in (512, 9, 1):
        monkeypatch.setattr(resampling, "BLOCK", block)
        found = Moments.of(rows)
        assert found.count == 100
        np.testing.assert_allclose(found.mean, rows.numpy().mean(0), rtol=1e-12)
        np.testing.assert_allclose(found.covariance, np.cov(rows.numpy(), rowvar=False), rtol=1e-9, atol=1e-12)


def test_moments_of_parts_add_up():
    rows = features(100, 7)
    one, two, whole = Moments.of(rows[:30]), Moments.of(rows[30:]), Moments.of(rows)
    for total in (one + two, two + one):
        assert total.count == 100
        torch.testing.assert_close(total.mean, whole.mean)
        torch.testing.assert_close(total.covariance, whole.covariance)
    torch.testing.assert_close(one.covariance, Moments.of(rows[:30]).covariance)  # adding changes neither


def test_the_floor_is_the_mean_distance_of_parts_that_share_no_row():
    rows = features(8, 3)
    found = frechet_floor(rows, splits=200)
    halves = [(half, [row for row in range(8) if row not in half]) for half in _fours()]
    exact = np.array([frechet(rows[half], rows[rest]) for half, rest in halves])
    assert found.sizes == (4, 4)
    assert found.mean == pytest.approx(exact.mean(), abs=4 * exact.std() / 200**0.5)
    assert found.deviation == pytest.approx(exact.std(), rel=0.3)
    assert found == frechet_floor(rows, splits=200)
    assert found != frechet_floor(rows, splits=200, seed=1)


def test_the_floors_deviation_is_that_of_a_sample():
    rows = features(8, 3)
    first, both = frechet_floor(rows, splits=1), frechet_floor(rows, splits=2)
    assert first.deviation == 0
    assert both.deviation == pytest.approx(abs(both.mean - first.mean) * 2**0.5)


def _fours() -> list[list[int]]:
    return [[row for row in range(8) if code >> row & 1] for code in range(256) if code.bit_count() == 4]


def test_the_floor_is_lower_the_more_rows_there_are():
    rows = features(600, 32)
    found = [frechet_floor(rows, (size, size), splits=5).mean for size in (20, 60, 150, 300)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 5 * found[-1] > 0
    assert frechet_floor(rows, (20, 500), splits=1).sizes == (20, 500)


def test_what_cannot_be_computed_is_said():
    few, many = features(1, 5), features(9, 5)
    with pytest.raises(ValueError, match="needs 2 or more pictures, one has 1"):
        frechet(many, few)
    with pytest.raises(ValueError, match="at least 2 pictures, got 1"):
        _ = Moments.of(few).covariance
    with pytest.raises(ValueError, match="different lengths"):
        frechet(many, features(9, 4))
    with pytest.raises(ValueError, match=r"covariances \(d, d\) of one d, got \(5,\), \(5, 5\), \(5,\), \(4, 4\)"):
        frechet_gaussian(many[0], torch.eye(5), many[1], torch.eye(4))
    with pytest.raises(ValueError, match="parts of 5 and 5 pictures out of 9"):
        frechet_floor(many, (5, 5))
    with pytest.raises(ValueError, match="parts of 1 and 5"):
        frechet_floor(many, (1, 5))
    with pytest.raises(ValueError, match="at least 1 split"):
        frechet_floor(many, splits=0)


def test_no_variance_at_all_is_fine():
    same = torch.ones(9, 5)
    assert frechet(same, same + 1) == pytest.approx(5)
    assert frechet(same[:3], same[:4] + 1) == pytest.approx(5)
