"""Reinhard's colour transfer reaches the statistics it aims at, exactly, and survives pictures without colour."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from cyclestyle.styling.colour import (
    LALPHABETA_FROM_LOG_LMS,
    LMS_FROM_RGB,
    ColourMoments,
    ColourStatistics,
    _matched,
    lab_statistics,
    lalphabeta_to_rgb,
    pooled_lab_statistics,
    reinhard,
    rgb_to_lalphabeta,
)


def pictures(n: int = 3, height: int = 17, width: int = 21, seed: int = 0, low: float = -1, high: float = 1) -> Tensor:
    """Smooth colours, each picture with its own; (n, 3, h, w) float64."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 5, 4, generator=generator, dtype=torch.float64)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear") * (high - low) + low


def grey(level: float, n: int = 1) -> Tensor:
    return torch.full((n, 3, 8, 9), level, dtype=torch.float64)


def close(one: ColourStatistics, other: ColourStatistics, tolerance: float) -> bool:
    return all(torch.allclose(x, y, rtol=0, atol=tolerance) for x, y in zip(one, other, strict=True))


def test_the_way_to_l_alpha_beta_and_back_is_exact_black_and_white_included() -> None:
    images = torch.cat((pictures(), -torch.ones(1, 3, 17, 21), torch.ones(1, 3, 17, 21)))
    assert (lalphabeta_to_rgb(rgb_to_lalphabeta(images)) - images).abs().max() < 1e-12
    assert (lalphabeta_to_rgb(rgb_to_lalphabeta(images.float())) - images).abs().max() < 1e-6


def test_a_pixel_has_the_l_alpha_beta_that_the_equations_of_the_paper_give_by_hand() -> None:
    red, green, blue = 0.8, 0.4, 0.1
    r, g, b = (value + 1 / 255 for value in (red, green, blue))
    long = np.log10(0.3811 * r + 0.5783 * g + 0.0402 * b)
    middle = np.log10(0.1967 * r + 0.7244 * g + 0.0782 * b)
    short = np.log10(0.0241 * r + 0.1288 * g + 0.8444 * b)
    expected = [
        (long + middle + short) / np.sqrt(3),
        (long + middle - 2 * short) / np.sqrt(6),
        (long - middle) / np.sqrt(2),
    ]
    pixel = torch.tensor([red, green, blue], dtype=torch.float64).view(1, 3, 1, 1) * 2 - 1
    assert rgb_to_lalphabeta(pixel).flatten().tolist() == pytest.approx(expected, abs=1e-12)


def test_the_computed_inverse_is_the_printed_one_up_to_the_rounding_of_the_paper() -> None:
    printed = torch.tensor([[4.4679, -3.5873, 0.1193], [-1.2186, 2.3809, -0.1624], [0.0497, -0.2439, 1.2045]])
    computed = torch.linalg.inv(torch.tensor(LMS_FROM_RGB))
    assert (computed - printed).abs().max() < 0.02


def test_the_axes_are_orthogonal() -> None:
    rows = torch.tensor(LALPHABETA_FROM_LOG_LMS)
    assert torch.equal(rows @ rows.T, torch.diag(torch.tensor([3.0, 6.0, 2.0])))


def test_alpha_is_yellow_against_blue_and_beta_is_red_against_green() -> None:
    def axes(red: float, green: float, blue: float) -> Tensor:
        return rgb_to_lalphabeta(torch.tensor([red, green, blue], dtype=torch.float64).view(1, 3, 1, 1)).flatten()

    assert axes(1, 1, -1)[1] > 0.1 > -0.1 > axes(-1, -1, 1)[1]
    assert axes(1, -1, -1)[2] > 0.05 > -0.05 > axes(-1, 1, -1)[2]
    assert axes(1, 1, 1)[0] > axes(0, 0, 0)[0] > axes(-1, -1, -1)[0]


def test_greys_from_black_to_white_have_the_same_alpha_and_beta() -> None:
    greys = torch.linspace(-1, 1, 256, dtype=torch.float64).expand(1, 3, 1, 256)
    assert rgb_to_lalphabeta(greys)[:, 1:].std(dim=-1).max() < 1e-14


def test_statistics_are_the_mean_and_population_deviation_of_all_pixels() -> None:
    images = pictures()
    pixels = rgb_to_lalphabeta(images).numpy().transpose(1, 0, 2, 3).reshape(3, -1)
    statistics = lab_statistics(images)
    assert statistics.mean.tolist() == pytest.approx(pixels.mean(1), abs=1e-12)
    assert statistics.std.tolist() == pytest.approx(pixels.std(1), abs=1e-12)


def test_pooling_picture_by_picture_of_different_sizes_equals_all_pixels_at_once() -> None:
    batches = [pictures(2, 17, 21), pictures(1, 5, 300, seed=1, low=-1, high=-0.8), pictures(3, 2, 1, seed=2)]
    row = torch.cat([batch.movedim(1, 0).flatten(1) for batch in batches], dim=1)  # every pixel in one line
    at_once = lab_statistics(row.view(1, 3, 1, -1))
    assert close(pooled_lab_statistics(batches), at_once, 1e-13)
    assert close(pooled_lab_statistics(reversed(batches)), at_once, 1e-13)
    one, two, three = (ColourMoments.of(batch) for batch in batches)
    assert close((one + (two + three)).statistics(), at_once, 1e-13)


def test_pooling_loses_nothing_where_the_deviation_is_tiny_beside_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    far = 1e6 + 1e-3 * torch.randn(50, 3, 4, 4, generator=generator, dtype=torch.float64)
    first, *rest = (ColourMoments.of_lalphabeta(far[[index]]) for index in range(50))
    for moments in rest:
        first = first + moments
    expected = (far - 1e6).std(dim=(0, 2, 3), correction=0)  # sums of squares around 0 would miss it altogether
    assert torch.allclose(first.statistics().std, expected, rtol=1e-5)


def test_after_the_transfer_and_before_clamping_the_statistics_are_the_targets() -> None:
    target = lab_statistics(pictures(4, seed=7, low=-0.7, high=0.2))
    for picture in pictures().split(1):
        unclamped = lalphabeta_to_rgb(_matched(rgb_to_lalphabeta(picture), target))
        reached = ColourMoments.of_lalphabeta(rgb_to_lalphabeta(unclamped)).statistics()
        assert close(reached, target, 1e-9)


def test_where_nothing_leaves_the_range_the_result_has_the_targets_statistics() -> None:
    target = lab_statistics(pictures(4, seed=7, low=-0.2, high=0.2))
    results = reinhard(pictures(low=-0.5, high=0.5), target)
    assert results.abs().max() < 1
    for result in results.split(1):
        assert close(lab_statistics(result), target, 1e-9)


def test_a_picture_given_its_own_statistics_does_not_change() -> None:
    picture = pictures(1)
    assert (reinhard(picture, lab_statistics(picture)) - picture).abs().max() < 1e-12


def test_results_lie_in_the_range_and_keep_shape_and_dtype() -> None:
    target = ColourStatistics(torch.zeros(3, dtype=torch.float64), torch.full((3,), 2.0, dtype=torch.float64))
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        images = pictures().to(dtype)
        results = reinhard(images, target)
        assert results.dtype == dtype
        assert results.shape == images.shape
        assert results.min() == -1
        assert results.max() == 1


def test_the_result_of_a_picture_does_not_depend_on_its_batch() -> None:
    images, target = pictures(4), lab_statistics(pictures(seed=5))
    alone = torch.cat([reinhard(picture, target) for picture in images.split(1)])
    assert torch.equal(reinhard(images, target), alone)
    assert torch.equal(reinhard(images.to(memory_format=torch.channels_last), target), alone)


def test_pictures_are_not_changed_in_place_and_carry_no_gradient() -> None:
    images = pictures().requires_grad_()
    before = images.detach().clone()
    assert not reinhard(images, lab_statistics(images.detach())).requires_grad
    assert torch.equal(images, before)


@pytest.mark.parametrize("level", [-1.0, -0.3, 0.1, 1.0])
def test_a_flat_picture_takes_the_targets_mean_colour(level: float) -> None:
    target = lab_statistics(pictures(seed=5, low=-0.5, high=0.5))
    result = reinhard(grey(level), target)
    mean_colour = lalphabeta_to_rgb(target.mean.view(1, 3, 1, 1))
    assert (result - mean_colour).abs().max() < 1e-9


def test_a_grey_photo_is_tinted_evenly_and_float32_rounding_does_not_become_colour() -> None:
    photo = pictures()[:, :1].expand(-1, 3, -1, -1)
    target = lab_statistics(pictures(seed=5, low=-0.3, high=0.3))
    rounded = photo.float() * torch.tensor([1.0, 1 + 1e-7, 1 - 1e-7]).view(1, 3, 1, 1)
    assert rgb_to_lalphabeta(reinhard(photo, target))[:, 1:].std(dim=(2, 3)).max() < 1e-9
    assert (reinhard(rounded, target) - reinhard(photo, target)).abs().max() < 1e-4


def test_a_flat_target_gives_a_flat_picture() -> None:
    assert (reinhard(pictures(), lab_statistics(grey(0.2))) - 0.2).abs().max() < 1e-9


def test_one_white_pixel_in_a_vast_black_picture_stays_finite() -> None:
    night = torch.full((1, 3, 300, 300), -1.0)
    night[..., 0, 0] = 1
    wide = ColourStatistics(torch.zeros(3, dtype=torch.float64), torch.full((3,), 5.0, dtype=torch.float64))
    assert reinhard(night, wide).isfinite().all()  # 300 deviations of 5 decades: no float64 holds 10 to that power


def test_values_that_overshoot_the_range_count_as_black_and_white() -> None:
    images = pictures(low=-1.3, high=1.3)
    target = lab_statistics(pictures(seed=5))
    assert close(lab_statistics(images), lab_statistics(images.clamp(-1, 1)), 0)
    assert torch.equal(reinhard(images, target), reinhard(images.clamp(-1, 1), target))


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 2), st.just(3), st.integers(1, 4), st.integers(1, 4))),
    arrays(np.uint8, st.tuples(st.integers(1, 2), st.just(3), st.integers(1, 4), st.integers(1, 4))),
)
@settings(max_examples=40, deadline=None)
def test_any_picture_takes_the_colours_of_any_other_and_stays_a_picture(
    photo: np.ndarray, painting: np.ndarray
) -> None:
    photos, paintings = (torch.from_numpy(levels).float() / 127.5 - 1 for levels in (photo, painting))
    results = reinhard(photos, lab_statistics(paintings))
    assert results.shape == photos.shape
    assert results.isfinite().all()
    assert results.abs().max() <= 1


def test_no_pictures_become_no_pictures() -> None:
    assert reinhard(pictures()[:0], lab_statistics(pictures())).shape == (0, 3, 17, 21)


def test_statistics_of_nothing_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="colour statistics need at least one picture, none was given"):
        pooled_lab_statistics([])
    with pytest.raises(ValueError, match=r"colour statistics need at least one pixel, got shape \(0, 3, 17, 21\)"):
        lab_statistics(pictures()[:0])


def test_what_is_not_a_batch_of_float_rgb_pictures_is_refused_in_words() -> None:
    target = lab_statistics(pictures())
    for bad in (pictures()[0], pictures()[:, :1]):
        with pytest.raises(ValueError, match=r"expected RGB pictures of shape \(n, 3, h, w\), got \("):
            reinhard(bad, target)
    with pytest.raises(ValueError, match=r"expected float pictures with values in \[-1, 1\], got torch.uint8"):
        lab_statistics(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
