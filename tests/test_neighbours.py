"""Neighbours are found as in the papers and in torch-fidelity, copies are noticed, and rounding decides nothing."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from cyclestyle.evaluation import resampling
from cyclestyle.evaluation.neighbours import (
    balanced_prdc,
    distances,
    memorisation,
    memorisation_within,
    mifid,
    nearest,
    prdc,
    radii,
)


def features(n: int, d: int = 8, seed: int = 0, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) + shift


def line(*places: float) -> Tensor:
    return torch.tensor(places, dtype=torch.float64)[:, None]


def by_subtraction(x: Tensor, y: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x[:, None] - y, dim=2)


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_distances_have_their_digits_also_where_rows_are_close(shift):
    x = features(60, shift=shift)
    y = torch.cat((x[:20], x[20:40] + 1e-7 * features(20, seed=1), features(30, seed=2, shift=shift)))
    found, expected = distances(x, y), by_subtraction(x, y)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
    assert (found[:20, :20].diagonal() == 0).all()


def test_all_rows_the_same_are_at_distance_0():
    same = features(1).expand(700, 8)
    assert (distances(same, same[:600]) == 0).all()


@pytest.mark.parametrize("block", [512, 7])
def test_the_nearest_is_the_nearest(monkeypatch, block):
    monkeypatch.setattr(resampling, "BLOCK", block)
    x, y = features(40), features(55, seed=1)
    found, index = nearest(x, y)
    expected = by_subtraction(x, y).min(1)
    torch.testing.assert_close(found, expected.values)
    assert torch.equal(index, expected.indices)


@pytest.mark.parametrize("block", [512, 7])
def test_of_several_as_near_the_first_is_taken(monkeypatch, block):
    monkeypatch.setattr(resampling, "BLOCK", block)
    y = features(30, seed=1)
    found, index = nearest(torch.cat((y, y + 0.01)), torch.cat((features(5, shift=50), y, y, y)))
    assert index.tolist() == 2 * list(range(5, 35))
    assert (found[:30] == 0).all()
    assert nearest(line(0.0), line(-1.0, 1.0, 1.0, -1.0))[1].item() == 0


def test_radii_are_distances_to_the_neighbours():
    found = radii(line(0, 1, 3, 7), 3)
    assert found.tolist() == [[1, 3, 7], [1, 2, 6], [2, 3, 4], [4, 6, 7]]
    assert radii(line(5, 5, 6), 1)[:, 0].tolist() == [0, 0, 1]  # a row's twin is a neighbour, the row itself is not


def test_prdc_by_hand():
    # k = 1: reals' balls reach 1, 1, 2, so cover [-1, 2] and [1, 5]; fakes' reach 1.5, 1.5, 96: [-.5, 3.5], [4, 196]
    found = prdc(line(1.0, 2.5, 100.0), line(0.0, 1.0, 3.0), k=1)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(1)
    assert found.density == pytest.approx(2 / 3)  # 1.0 lies in one open ball, at the rim of two; 2.5 in one
    assert found.coverage == pytest.approx(2 / 3)


def test_the_rim_belongs_to_the_ball_whatever_rounding_says():
    # k = 1: the balls of 0 and 1 just reach 2 and -1
    inner, outer = line(0.0, 1.0), line(-1.0, 2.0)
    for seed in range(20):
        direction, origin = features(2, seed=seed)
        within, rim = inner * direction + origin, outer * direction + origin
        assert prdc(rim, within, 1).precision == 1
        assert prdc(within, rim, 1).recall == 1


def test_each_paper_has_its_own_k():
    fakes, reals = features(60, shift=0.5), features(50, seed=1)
    three, five = prdc(fakes, reals, 3), prdc(fakes, reals, 5)
    assert prdc(fakes, reals) == (three.precision, three.recall, five.density, five.coverage)
    assert three != five


@pytest.mark.parametrize(("n", "m", "d"), [(150, 150, 64), (120, 200, 64), (150, 100, 768)])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_are_torch_fidelitys(n, m, d, k):
    generated, real = 0.8 * features(n, d, shift=0.05), features(m, d, seed=1)
    theirs = prc_features_to_metric(generated, real, prc_neighborhood=k, verbose=False)
    found = prdc(generated, real, k)
    assert found.precision == pytest.approx(theirs[KEY_METRIC_PRECISION], rel=1e-4)
    assert found.recall == pytest.approx(theirs[KEY_METRIC_RECALL], rel=1e-4)
    assert found.precision != pytest.approx(found.recall, rel=1e-2)  # so the order of arguments matters


def test_a_set_fills_itself():
    x = features(50)
    assert prdc(x, x) == (1, 1, 1, 1)
    assert prdc(x.flip(0).float(), x.float().numpy()) == (1, 1, 1, 1)


def test_sets_of_one_kind_have_density_1_and_the_coverage_of_the_paper():
    # Naeem et al. 2020: for n fakes and n reals of one kind, coverage is 1 - product of (n - i) / (2 n - i), i = 1 .. k
    found = [prdc(features(60, 3, seed), features(60, 3, 1000 + seed), 5) for seed in range(60)]
    density, coverage = (np.array([getattr(one, name) for one in found]) for name in ("density", "coverage"))
    expected = 1 - math.prod((60 - i) / (120 - i) for i in range(1, 6))
    assert density.mean() == pytest.approx(1, abs=4 * density.std() / 60**0.5)
    assert coverage.mean() == pytest.approx(expected, abs=4 * coverage.std() / 60**0.5)


def test_collapse_keeps_precision_and_loses_recall_and_coverage():
    reals = features(200, 2)
    found = prdc(0.02 * features(200, 2, seed=1), reals)
    assert found.precision > 0.95
    assert found.recall < 0.1
    assert found.coverage < 0.2
    far = prdc(features(200, 2, seed=1, shift=50), reals)
    assert far == (0, 0, 0, 0)


@pytest.mark.parametrize("block", [1, 7])
def test_shares_do_not_depend_on_blocks_or_order(monkeypatch, block):
    fakes, reals = features(40, shift=0.5), torch.cat((features(30, seed=1), features(30, seed=1)[:10]))
    fakes = torch.cat((fakes, reals[5:15]))  # copies lie on the rims of balls
    whole = prdc(fakes, reals), prdc(fakes.flip(0), reals.flip(0))
    monkeypatch.setattr(resampling, "BLOCK", block)
    assert whole[0] == whole[1] == prdc(fakes, reals)


def test_balanced_draws_are_of_equal_numbers():
    fakes, reals = features(150), features(30, seed=1)
    found = balanced_prdc(fakes, reals, draws=15)
    assert found.count == 30
    assert found == balanced_prdc(fakes, reals, draws=15)
    assert found != balanced_prdc(fakes, reals, draws=15, seed=1)
    assert 0 < found.deviation.precision < 0.3
    # 5 times as many fakes cover more: that is what balancing takes away
    assert prdc(fakes, reals).coverage > found.mean.coverage + 0.02
    other = balanced_prdc(reals, fakes, draws=15)
    assert other.count == 30
    assert other.deviation.recall > 0


def test_balanced_draws_of_equal_sets_are_everything():
    fakes, reals = features(40, shift=0.3), features(40, seed=1)
    found = balanced_prdc(fakes, reals, 3)
    assert found.mean == prdc(fakes, reals, 3)
    assert found.deviation == (0, 0, 0, 0)


def test_the_mean_and_deviation_of_draws_are_those_of_the_draws(monkeypatch):
    drawn = []

    def noted(fakes, reals, k):
        drawn.append(prdc(fakes, reals, k))
        return drawn[-1]

    monkeypatch.setattr("cyclestyle.evaluation.neighbours.prdc", noted)
    found = balanced_prdc(features(60), features(30, seed=1), 3, draws=6)
    assert len(drawn) == 6
    assert found.mean == pytest.approx(np.mean(drawn, axis=0))
    assert found.deviation == pytest.approx(np.std(drawn, axis=0, ddof=1))


@pytest.mark.parametrize("block", [512, 7])
def test_memorisation_is_the_smallest_cosine_distance(monkeypatch, block):
    monkeypatch.setattr(resampling, "BLOCK", block)
    generated, training = features(20), features(30, seed=1)
    cosine = torch.nn.functional.cosine_similarity(generated[:, None], training, dim=2)
    torch.testing.assert_close(memorisation(generated, training), (1 - cosine.abs()).amin(1))


def test_memorisation_is_blind_to_length_and_sign_and_to_rows_of_zeros():
    training = features(30)
    zeros = torch.zeros(4, 8)
    copies = torch.cat((3 * training, -training, 1e-200 * training, 1e200 * training))
    assert memorisation(copies, torch.cat((zeros, training))).max() < 1e-12
    assert (memorisation(torch.cat((zeros, training)), training)[:4] == 1).all()
    assert (memorisation(training, training) >= 0).all()


def test_copies_of_the_training_pictures_fire():
    training = features(40, 64)
    copied = mifid(20.0, memorisation(training + 1e-4 * features(40, 64, seed=1), training))
    assert copied.fired
    assert copied.distance < 1e-6
    assert copied.value == pytest.approx(20 / (copied.distance + 1e-14))
    assert copied.value > 1e7


def test_a_mode_that_the_fakes_miss_does_not_fire_but_the_other_way_round_it_would():
    # each generated picture is new, and one of them lies next to all training pictures but those of the missed mode
    base = torch.eye(64, dtype=torch.float64)
    training = torch.cat((base[:1] + 0.01 * features(95, 64), base[1:6]))
    generated = torch.cat((base[:1], base[10:40]))
    right, swapped = memorisation(generated, training), memorisation(training, generated)
    assert right.shape == (31,)
    assert swapped.shape == (100,)
    found, other = mifid(4.0, right), mifid(4.0, swapped)
    assert not found.fired
    assert found.value == pytest.approx(4.0)
    assert other.fired
    assert other.value > 10 * found.value


def test_copies_fire_although_the_fakes_miss_a_mode():
    base = torch.eye(8, dtype=torch.float64)
    training = torch.cat((base[:1] + 0.01 * features(30), base[1:]))
    found = mifid(4.0, memorisation(training[:30], training))
    assert found.fired
    assert not mifid(4.0, memorisation(training, training[:30]), epsilon=0.1).fired


def test_mifid_by_hand():
    assert mifid(30.0, torch.tensor([0.0, 0.1])) == (30, pytest.approx(0.05), True, pytest.approx(600))
    assert mifid(30.0, np.array([0.05, 0.15])) == (30, pytest.approx(0.1), False, pytest.approx(30))
    assert mifid(30.0, np.array([0.2, 0.2]), epsilon=0.3).value == pytest.approx(150)
    assert mifid(30.0, np.zeros(3)).value == pytest.approx(30 / 1e-14)


def test_what_cannot_be_computed_is_said():
    few, many = features(5), features(9)
    with pytest.raises(ValueError, match="needs 6 or more pictures, one has 5"):
        prdc(many, few)
    with pytest.raises(ValueError, match="needs 6 or more pictures, one has 5"):
        prdc(few, many, 5)
    prdc(few, many, 4)
    with pytest.raises(ValueError, match="counted from 1, got k = 0"):
        prdc(many, many, 0)
    with pytest.raises(ValueError, match="at least 1 draw"):
        balanced_prdc(many, many, draws=0)
    with pytest.raises(ValueError, match="needs 1 or more pictures, one has 0"):
        nearest(many, many[:0])
    with pytest.raises(ValueError, match="zeros only"):
        memorisation(many, torch.zeros(3, 8))
    with pytest.raises(ValueError, match="at least one generated picture"):
        mifid(3.0, torch.zeros(0))


def test_the_nearest_other_is_never_the_row_itself() -> None:
    rows = torch.eye(4, dtype=torch.float64)
    rows[3] = torch.tensor([1.0, 1.0, 0.0, 0.0])
    assert memorisation_within(rows).tolist() == pytest.approx([1 - 0.5**0.5, 1 - 0.5**0.5, 1, 1 - 0.5**0.5])
    assert memorisation_within(rows.repeat(300, 1)).max() == pytest.approx(0, abs=1e-12)  # more than a block
    assert memorisation_within(rows[:1]).tolist() == [float("inf")]
