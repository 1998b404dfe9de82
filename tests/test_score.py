"""The yardstick: its formula by hand, what may not change it, and that it knows paintings from what is worse."""

import math
import os
from itertools import combinations
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from cyclestyle.data.scenes.description import describe
from cyclestyle.data.scenes.painting import paint_truth
from cyclestyle.data.scenes.photograph import photograph
from cyclestyle.images import Images, fit, list_pictures, load, pixels_to_images, to_images
from cyclestyle.training.score import LEAST_SIDE, Yardstick, descriptions, random_filters, squared_mmd

Sets = dict[str, Images]


def chances(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some(count: int, side: int = 24, seed: int = 0) -> Images:
    return torch.rand(count, 3, side, side, generator=chances(seed)) * 2 - 1


@pytest.fixture(scope="module")
def scenes() -> Sets:
    """The demo's landscapes: photos, paintings of other scenes, and the true paintings of the photos.

    Fewer than 32 differ too much by chance: by season, by what there is of water.
    """
    size, count = 40, 32
    draw = {"photos": (photograph, 0), "truth": (paint_truth, 0), "paintings": (paint_truth, count)}
    return {
        name: torch.cat([pixels_to_images(paint(describe(5, first + i), size)[None]) for i in range(count)])
        for name, (paint, first) in draw.items()
    }


# --- the formula --------------------------------------------------------------------------------------------------


def test_a_distance_worked_out_by_hand() -> None:
    # k(x, y) = (x y + 1)^3 within {0, 1}: 1; within {0, 2}: 1; across: 1, 1, 1, 27
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]])
    assert squared_mmd(x, y) == pytest.approx(1 + 1 - 2 * 30 / 4)


def test_the_kernel_divides_by_the_number_of_features() -> None:
    # all products are 2 of 2 features: (2 / 2 + 1)^3 = 8 everywhere
    ones = torch.ones(3, 2)
    assert squared_mmd(ones, ones[:2]) == pytest.approx(0)
    assert squared_mmd(ones, -ones) == pytest.approx(8 + 8 - 0)


def test_it_is_unbiased() -> None:
    """The mean over all small samples is what all points give: true of an unbiased estimate alone."""
    x, y = (torch.randn(5, 3, generator=chances(seed), dtype=torch.float64) for seed in (1, 2))
    parts = [squared_mmd(x[list(a)], y[list(b)]) for a in combinations(range(5), 2) for b in combinations(range(5), 3)]
    assert sum(parts) / len(parts) == pytest.approx(squared_mmd(x, y), rel=1e-9)


def test_samples_of_one_distribution_are_at_zero_in_the_mean_and_shifted_ones_are_not() -> None:
    x, y = (torch.randn(300, 16, 4, generator=chances(seed), dtype=torch.float64) for seed in (3, 4))
    alike = torch.tensor([squared_mmd(a, b) for a, b in zip(x, y, strict=True)])
    shifted = torch.tensor([squared_mmd(a, b + 0.5) for a, b in zip(x, y, strict=True)])
    error = alike.std() / len(alike) ** 0.5
    assert abs(alike.mean()) < 4 * error
    assert shifted.mean() > 20 * error


# --- what may not change it ---------------------------------------------------------------------------------------


def test_the_same_pictures_give_the_same_bits_and_chance_is_left_alone() -> None:
    paintings, images = some(4), some(3, seed=1)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = Yardstick(paintings).distance(images)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    torch.rand(5)
    assert Yardstick(paintings.clone()).distance(images.clone()) == first


def test_the_order_of_pictures_does_not_matter() -> None:
    paintings, images = some(5), some(4, seed=1)
    there = Yardstick(paintings).distance(images)
    assert Yardstick(paintings.flip(0)).distance(images[[2, 0, 3, 1]]) == pytest.approx(there, rel=1e-9)


def test_each_picture_is_described_alone() -> None:
    images = some(3)
    assert torch.equal(descriptions(images), torch.cat([descriptions(image) for image in images.split(1)]))


def test_pictures_are_not_changed_and_no_gradient_is_kept() -> None:
    images = some(3).requires_grad_()
    before = images.detach().clone()
    assert not descriptions(images).requires_grad
    assert torch.equal(images, before)


def test_half_precision_around_it_changes_nothing() -> None:
    paintings, images = some(3), some(3, seed=1)
    plain = Yardstick(paintings).distance(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Yardstick(paintings).distance(images) == plain


def test_mirroring_the_set_matters_less_than_halving_its_contrast() -> None:
    paintings = some(6)
    yardstick = Yardstick(paintings)
    assert abs(yardstick.distance(paintings.flip(3))) < 0.2 * yardstick.distance(0.5 * paintings)


def test_filters_do_not_answer_to_grey_and_are_of_length_one() -> None:
    filters = random_filters()
    assert torch.allclose(filters.sum((1, 2, 3)), torch.zeros(len(filters)), atol=1e-5)
    assert torch.allclose(filters.square().sum((1, 2, 3)), torch.ones(len(filters)))
    assert len(filters.flatten(1).unique(dim=0)) == len(filters)


# --- what it knows ------------------------------------------------------------------------------------------------


def test_paintings_are_near_and_photos_far(scenes: Sets) -> None:
    yardstick = Yardstick(scenes["paintings"])
    near, far = yardstick.distance(scenes["truth"]), yardstick.distance(scenes["photos"])
    assert abs(near) < 0.4 * far


def test_what_lies_between_photo_and_painting_is_between(scenes: Sets) -> None:
    yardstick = Yardstick(scenes["paintings"])
    shares = (0.0, 0.3, 0.6, 0.9)
    distances = [yardstick.distance(torch.lerp(scenes["truth"], scenes["photos"], share)) for share in shares]
    assert distances == sorted(distances)


SPOILED = {
    "blurred": lambda images: F.avg_pool2d(F.pad(images, (3,) * 4, mode="reflect"), 7, stride=1),
    "noisy": lambda images: images + 0.2 * torch.randn(images.shape, generator=chances()),
    "inverted": lambda images: -images,
    "grey": lambda images: images.mean(1, keepdim=True).expand_as(images),
    "of one colour": lambda images: torch.full_like(images, 0.2),
    "too bright": lambda images: (images + 0.7).clamp(-1, 1),
}


@pytest.mark.parametrize("how", SPOILED)
def test_spoiled_paintings_are_farther_than_paintings(scenes: Sets, how: str) -> None:
    yardstick = Yardstick(scenes["paintings"])
    assert yardstick.distance(SPOILED[how](scenes["truth"])) > yardstick.distance(scenes["truth"]) + 0.3


def test_more_noise_is_farther(scenes: Sets) -> None:
    yardstick = Yardstick(scenes["paintings"])
    noise = torch.randn(scenes["truth"].shape, generator=chances())
    distances = [yardstick.distance(scenes["truth"] + amount * noise) for amount in (0.05, 0.1, 0.2, 0.4)]
    assert distances == sorted(distances)


def test_one_odd_picture_does_not_outweigh_the_others(scenes: Sets) -> None:
    yardstick = Yardstick(scenes["paintings"])
    there = yardstick.distance(scenes["truth"])
    y, x = torch.arange(40)[:, None], torch.arange(40)
    for odd in (0.3, 1.0 - 2.0 * ((x + y) % 2)):  # one colour; a chessboard, which without a bound comes to -4.5
        spoiled = scenes["truth"].clone()
        spoiled[0] = odd
        assert yardstick.distance(spoiled) == pytest.approx(there, abs=0.3)


# --- odd ones -----------------------------------------------------------------------------------------------------


def test_two_paintings_are_enough_and_may_be_alike() -> None:
    alike = some(1).expand(2, -1, -1, -1)
    yardstick = Yardstick(alike)
    assert yardstick.distance(alike) == pytest.approx(0, abs=1e-6)
    assert 0 < yardstick.distance(some(2, seed=1)) < math.inf


def test_other_sizes_can_be_compared(scenes: Sets) -> None:
    yardstick = Yardstick(scenes["paintings"])
    wide = torch.cat([scenes["truth"], scenes["truth"].flip(3)], dim=3)[..., :LEAST_SIDE, :]
    assert math.isfinite(yardstick.distance(wide))


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_pictures_that_are_not_finite_are_infinitely_far(broken: float) -> None:
    images = some(3)
    images[1, 0, 2, 2] = broken
    assert Yardstick(some(3, seed=1)).distance(images) == math.inf
    with pytest.raises(ValueError, match="not finite"):
        Yardstick(images)


@pytest.mark.parametrize("count", [0, 1])
def test_one_picture_is_no_set(count: int) -> None:
    with pytest.raises(ValueError, match=f"at least two paintings, got {count}"):
        Yardstick(some(1)[:count])
    with pytest.raises(ValueError, match=f"at least two pictures is needed, got {count}"):
        Yardstick(some(2)).distance(some(1)[:count])


@pytest.mark.parametrize("shape", [(2, 1, 16, 16), (3, 16, 16), (2, 3, LEAST_SIDE - 1, 16)])
def test_what_is_no_set_of_pictures_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(n, 3, h, w\)"):
        Yardstick(torch.zeros(shape))


def test_the_smallest_pictures_are_measured() -> None:
    assert math.isfinite(Yardstick(some(3, LEAST_SIDE)).distance(some(3, LEAST_SIDE, seed=1)))


@pytest.mark.assets
@pytest.mark.skipif("CYCLESTYLE_ASSETS" not in os.environ, reason="CYCLESTYLE_ASSETS names no folder of real pictures")
def test_real_monets_are_nearer_to_monets_than_photos_are() -> None:
    def read(name: str) -> Images:
        folder = Path(os.environ["CYCLESTYLE_ASSETS"]) / "data" / "monet2photo" / name
        return to_images([fit(load(path), 64) for path in list_pictures(folder)[:32]])

    yardstick = Yardstick(read("trainA"))
    assert yardstick.distance(read("testA")) < 0.5 * yardstick.distance(read("testB"))
