"""The judge tells what can be told, guesses what cannot, and never judges what it has seen."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from cyclestyle.evaluation.classifier import FOLDS, PENALTY, Judge, deception, parts, wilson


def rows(count: int, width: int = 12, shift: float = 0.0, seed: int = 0) -> Tensor:
    """Gaussian descriptors around `shift`, (n, d)."""
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) + shift


def test_painted_pictures_like_paintings_deceive_and_photos_do_not() -> None:
    photos, paintings = rows(60, seed=1), rows(70, shift=3, seed=2)
    like_paintings = deception(photos, paintings, rows(60, shift=3, seed=3))
    assert like_paintings.floor.value == 0
    assert like_paintings.ceiling.value == 1
    assert like_paintings.accuracy.value == 1
    assert like_paintings.deceived.value == 1
    assert deception(photos, paintings, rows(60, seed=3)).deceived.value == 0
    half = torch.cat((rows(30, seed=3), rows(30, shift=3, seed=4)))
    assert deception(photos, paintings, half).deceived.value == 0.5


def test_photos_painted_as_themselves_are_judged_as_the_photos() -> None:
    photos, paintings = rows(50, seed=1), rows(40, shift=0.4, seed=2)
    found = deception(photos, paintings, photos)
    assert found.deceived == found.floor
    assert 0.1 < found.floor.value < 0.5


@pytest.mark.parametrize("width", [5, 400])
def test_alike_classes_are_guessed(width: int) -> None:
    found = deception(rows(150, width, seed=1), rows(150, width, seed=2), rows(150, width, seed=3))
    assert abs(found.accuracy.value - 0.5) < 0.1
    assert found.accuracy.low < 0.5 < found.accuracy.high


def test_more_paintings_than_photos_do_not_make_everything_a_painting() -> None:
    found = deception(rows(40, 3, seed=1), rows(400, 3, seed=2), rows(40, 3, seed=3))
    assert 0.3 < found.ceiling.value < 0.7
    # so both errors are alike where classes overlap
    overlapping = deception(rows(60, 2, seed=1), rows(600, 2, shift=1, seed=2), rows(60, 2, seed=3))
    assert overlapping.floor.value == pytest.approx(1 - overlapping.ceiling.value, abs=0.12)


def test_no_painting_is_judged_by_whoever_saw_its_photo() -> None:
    # more descriptors than pictures: a judge knows by heart what it has seen, and guesses the rest
    photos, paintings = rows(60, 500, seed=1), rows(60, 500, seed=2)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    honest = deception(photos, paintings, photos[order], order.tolist())
    assert honest.deceived == honest.floor
    assert honest.floor.value > 0.3
    leaking = deception(photos, paintings, photos[order])
    assert leaking.deceived.value < honest.deceived.value - 0.15


def test_several_paintings_of_a_photo_and_none_of_others() -> None:
    photos, paintings = rows(20, seed=1), rows(20, shift=3, seed=2)
    found = deception(photos, paintings, torch.cat((paintings, photos[:10])), [3] * 20 + list(range(10)))
    assert found.deceived.value == pytest.approx(2 / 3)


def test_the_order_of_named_pictures_does_not_matter() -> None:
    photos, paintings, painted = rows(50, seed=1), rows(40, shift=0.5, seed=2), rows(50, shift=0.3, seed=3)
    names, others = [f"photo {index}" for index in range(50)], [f"painting {index}" for index in range(40)]
    expected = deception(photos, paintings, painted, photo_names=names, painting_names=others)
    generator = torch.Generator().manual_seed(4)
    mine, theirs, made = (torch.randperm(count, generator=generator) for count in (50, 40, 50))
    where = torch.empty(50, dtype=torch.long)
    where[mine] = torch.arange(50)  # where each photo stands now
    found = deception(
        photos[mine],
        paintings[theirs],
        painted[made],
        where[made].tolist(),
        photo_names=[names[index] for index in mine],
        painting_names=[others[index] for index in theirs],
    )
    assert found == expected
    assert 0 < expected.deceived.value < 1


def test_the_result_is_the_same_every_time_and_for_every_kind_of_rows() -> None:
    photos, paintings, painted = rows(50, seed=1), rows(40, shift=0.4, seed=2), rows(50, shift=0.3, seed=3)
    found = deception(photos, paintings, painted)
    state = torch.random.get_rng_state()
    assert deception(photos.numpy(), paintings.double(), painted.numpy().astype(np.float64)) == found
    assert torch.equal(torch.random.get_rng_state(), state)
    assert any(deception(photos, paintings, painted, seed=seed) != found for seed in range(1, 6))


def test_units_of_descriptors_and_columns_that_say_nothing_do_not_matter() -> None:
    units = torch.logspace(-6, 6, 12, dtype=torch.float64)
    sets = [rows(50, seed=1).double(), rows(40, shift=0.5, seed=2).double(), rows(50, shift=0.3, seed=3).double()]
    expected = deception(*sets)
    assert deception(*(one * units + 1e3 * units for one in sets)) == expected
    for constant in (0.0, 0.1, 1e20):
        wider = [torch.cat((one, torch.full((len(one), 12), constant).double()), dim=1) for one in sets]
        assert deception(*wider) == deception(*(torch.cat((one, 0 * one), dim=1) for one in sets))
    # rounding of a constant to float32 is no sign of anything
    rounded = [torch.cat((one, (0.1 + 1e-9 * one).float().double()), dim=1) for one in sets]
    assert deception(*rounded) == deception(*(torch.cat((one, 0 * one), dim=1) for one in sets))


def test_pictures_that_are_all_the_same_are_guessed() -> None:
    same = torch.full((20, 5), 0.7)
    found = deception(same, same, same)
    assert found.accuracy.value == 0.5


@pytest.mark.parametrize("width", [6, 90])
def test_a_judge_is_the_optimum_that_another_method_finds(width: int) -> None:
    photos, paintings = rows(40, width, seed=1).double(), rows(25, width, shift=0.6, seed=2).double()
    judge = Judge.trained(photos, paintings)
    together = torch.cat((photos, paintings)).numpy()
    scaled = (together - together.mean(0)) / together.std(0) / math.sqrt(width)
    labels = np.r_[-np.ones(40), np.ones(25)]
    weights = np.r_[np.full(40, 0.5 / 40), np.full(25, 0.5 / 25)]

    def loss(found):
        margins = labels * (scaled @ found[:-1] + found[-1])
        slopes = -weights * labels / (1 + np.exp(margins))
        value = weights @ np.logaddexp(0, -margins) + PENALTY / 2 * found[:-1] @ found[:-1]
        return value, np.r_[scaled.T @ slopes + PENALTY * found[:-1], slopes.sum()]

    best = minimize(loss, np.zeros(width + 1), jac=True, method="L-BFGS-B", options={"gtol": 1e-10, "ftol": 1e-16})
    mine = np.r_[judge.weights.numpy(), judge.offset.numpy()]
    assert loss(mine)[0] <= best.fun + 1e-12
    assert np.abs(loss(mine)[1]).max() < 1e-10
    assert np.abs(mine - best.x).max() < 1e-2 * np.abs(best.x).max()


def test_few_photos_and_many_paintings_with_heavy_tails_have_an_optimum_too() -> None:
    # whole Newton steps run away here, until no picture has a slope left
    generator = torch.Generator().manual_seed(230)
    drawn = torch.randn(211, 2, generator=generator).double() / torch.rand(211, 1, generator=generator).double()
    photos, paintings = drawn[:11], drawn[11:] + 3
    judge = Judge.trained(photos, paintings)
    margins = [((of - judge.mean) * judge.scale @ judge.weights + judge.offset) for of in (photos, paintings)]
    assert torch.sigmoid(margins[0]).mean().item() == pytest.approx(torch.sigmoid(-margins[1]).mean().item(), abs=1e-9)


def test_parts_are_of_equal_size_and_follow_from_names() -> None:
    names = [f"{index:05}" for index in range(33)]
    found = parts(names, 33)
    assert sorted(torch.bincount(found, minlength=FOLDS).tolist()) == [6, 6, 7, 7, 7]
    assert torch.equal(parts(names[::-1], 33), found.flip(0))
    assert not torch.equal(parts(names, 33, seed=1), found)


# Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17(8), 1998, table I
@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_s_interval_is_the_published_one(successes: int, trials: int, low: float, high: float) -> None:
    found = wilson(successes, trials)
    assert found.value == successes / trials
    assert (found.low, found.high) == (pytest.approx(low, abs=5.1e-5), pytest.approx(high, abs=5.1e-5))
    other = wilson(trials - successes, trials)
    assert (1 - other.high, 1 - other.low) == (pytest.approx(found.low), pytest.approx(found.high))


def test_an_interval_always_holds_its_share() -> None:
    for trials in range(1, 60):
        for successes in range(trials + 1):
            share = wilson(successes, trials)
            assert 0 <= share.low <= share.value <= share.high <= 1


def test_what_cannot_be_judged_is_refused_in_words() -> None:
    photos, paintings = rows(20, seed=1), rows(20, seed=2)
    with pytest.raises(ValueError, match=r"needs 10 photos and 10 paintings .* got 9, 20 and 9; give more pictures"):
        deception(photos[:9], paintings, photos[:9])
    with pytest.raises(ValueError, match="got 20, 9 and 20"):
        deception(photos, paintings[:9], photos)
    with pytest.raises(ValueError, match="got 20, 20 and 0"):
        deception(photos, paintings, photos[:0])
    with pytest.raises(ValueError, match="19 painted pictures were given for 20 photos"):
        deception(photos, paintings, photos[:19])
    for origin in ([20] * 20, [-1] * 20, [0] * 19):
        with pytest.raises(ValueError, match="the row of its photo, from 0 to 19"):
            deception(photos, paintings, photos, origin)
    with pytest.raises(ValueError, match="of one width d"):
        deception(photos, paintings[:, :5], photos)
    with pytest.raises(ValueError, match="descriptors of the painted pictures are not finite"):
        deception(photos, paintings, photos / 0)
    with pytest.raises(ValueError, match="1 distinct names were given for 20 pictures"):
        deception(photos, paintings, photos, photo_names=["a"] * 20)
    with pytest.raises(ValueError, match="at least one picture"):
        wilson(0, 0)
