"""The distances to a known truth agree with their papers and with scikit-image, and know what identical means."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from cyclestyle.evaluation.truth import ciede2000, delta_e_2000, lab, luminance_ssim, psnr, ssim
from cyclestyle.images import luminance

DISTANCES = pytest.mark.parametrize("distance", [psnr, ssim, luminance_ssim, ciede2000])

# Sharma, Wu, Dalal 2005, table 1: L*, a*, b* of two colours and their CIEDE2000, in the paper's order
SHARMA = [
    (50.0000, 2.6772, -79.7751, 50.0000, 0.0000, -82.7485, 2.0425),
    (50.0000, 3.1571, -77.2803, 50.0000, 0.0000, -82.7485, 2.8615),
    (50.0000, 2.8361, -74.0200, 50.0000, 0.0000, -82.7485, 3.4412),
    (50.0000, -1.3802, -84.2814, 50.0000, 0.0000, -82.7485, 1.0000),
    (50.0000, -1.1848, -84.8006, 50.0000, 0.0000, -82.7485, 1.0000),
    (50.0000, -0.9009, -85.5211, 50.0000, 0.0000, -82.7485, 1.0000),
    (50.0000, 0.0000, 0.0000, 50.0000, -1.0000, 2.0000, 2.3669),
    (50.0000, -1.0000, 2.0000, 50.0000, 0.0000, 0.0000, 2.3669),
    (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0009, 7.1792),
    (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0010, 7.1792),
    (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0011, 7.2195),
    (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0012, 7.2195),
    (50.0000, -0.0010, 2.4900, 50.0000, 0.0009, -2.4900, 4.8045),
    (50.0000, -0.0010, 2.4900, 50.0000, 0.0010, -2.4900, 4.8045),
    (50.0000, -0.0010, 2.4900, 50.0000, 0.0011, -2.4900, 4.7461),
    (50.0000, 2.5000, 0.0000, 50.0000, 0.0000, -2.5000, 4.3065),
    (50.0000, 2.5000, 0.0000, 73.0000, 25.0000, -18.0000, 27.1492),
    (50.0000, 2.5000, 0.0000, 61.0000, -5.0000, 29.0000, 22.8977),
    (50.0000, 2.5000, 0.0000, 56.0000, -27.0000, -3.0000, 31.9030),
    (50.0000, 2.5000, 0.0000, 58.0000, 24.0000, 15.0000, 19.4535),
    (50.0000, 2.5000, 0.0000, 50.0000, 3.1736, 0.5854, 1.0000),
    (50.0000, 2.5000, 0.0000, 50.0000, 3.2972, 0.0000, 1.0000),
    (50.0000, 2.5000, 0.0000, 50.0000, 1.8634, 0.5757, 1.0000),
    (50.0000, 2.5000, 0.0000, 50.0000, 3.2592, 0.3350, 1.0000),
    (60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644),
    (63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630),
    (61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731),
    (35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645),
    (22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373),
    (36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146),
    (90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441),
    (90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381),
    (6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377),
    (2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082),
]


def pictures(n: int = 3, height: int = 29, width: int = 23, seed: int = 0) -> Tensor:
    """Smooth colours with some grain, the top rows grey, on the 8-bit grid like a loaded file; (n, 3, h, w) float64."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 5, 4, generator=generator, dtype=torch.float64)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    images = smooth + 0.05 * torch.randn(n, 3, height, width, generator=generator, dtype=torch.float64)
    images[:, :, :4] = images[:, :1, :4]
    return (images.clamp(0, 1) * 255).round() / 127.5 - 1


def with_noise(images: Tensor, strength: float, seed: int = 1) -> Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed), dtype=images.dtype)
    return (images + strength * noise).clamp(-1, 1)


def colour(red: float, green: float, blue: float) -> Tensor:
    """One picture of 12 x 12 pixels in one colour, given in [0, 1]."""
    return torch.tensor([red, green, blue], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 12, 12) * 2 - 1


def unit_range(images: Tensor) -> list[NDArray[np.float64]]:
    """What scikit-image wants: a list of (h, w, 3) in [0, 1]."""
    return list((images.numpy().transpose(0, 2, 3, 1) + 1) / 2)


def reference_ssim(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(x * 255, y * 255, channel_axis=-1, data_range=255, **options))


def reference_luminance_ssim(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    grey = [image @ np.array([0.299, 0.587, 0.114]) * 255 for image in (x, y)]
    return float(structural_similarity(*grey, data_range=255, **options))


def reference_psnr(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(peak_signal_noise_ratio(x * 255, y * 255, data_range=255))


def reference_ciede2000(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(deltaE_ciede2000(rgb2lab(x), rgb2lab(y)).mean())


@pytest.mark.parametrize(
    ("distance", "reference", "tolerance"),
    # scikit-image rounds the constants of CIELAB to four digits, hence the last tolerance
    [
        (psnr, reference_psnr, 1e-9),
        (ssim, reference_ssim, 1e-9),
        (luminance_ssim, reference_luminance_ssim, 1e-9),
        (ciede2000, reference_ciede2000, 1e-5),
    ],
)
def test_every_distance_equals_scikit_image(
    distance: Callable[[Tensor, Tensor], Tensor],
    reference: Callable[[NDArray[np.float64], NDArray[np.float64]], float],
    tolerance: float,
) -> None:
    truth = pictures()
    images = with_noise(truth, 0.2)
    expected = [reference(x, y) for x, y in zip(unit_range(images), unit_range(truth), strict=True)]
    assert distance(images, truth).tolist() == pytest.approx(expected, abs=tolerance)


def test_ssim_equals_scikit_image_on_the_smallest_picture_and_on_unrelated_ones() -> None:
    for height, width in ((11, 11), (11, 40), (33, 12)):
        images, truth = pictures(1, height, width, seed=3), pictures(1, height, width, seed=4)
        expected = reference_ssim(unit_range(images)[0], unit_range(truth)[0])
        assert ssim(images, truth).item() == pytest.approx(expected, abs=1e-9)


def test_lab_equals_scikit_image() -> None:
    images = pictures()
    expected = np.stack([rgb2lab(x) for x in unit_range(images)]).transpose(0, 3, 1, 2)
    assert np.abs(lab(images).numpy() - expected).max() < 5e-4


def test_delta_e_equals_scikit_image_on_colours_all_around_the_hue_circle() -> None:
    spread = torch.tensor([20.0, 45.0, 45.0], dtype=torch.float64).view(1, 3, 1, 1)
    lab1, lab2 = (
        torch.randn(2, 3, 60, 60, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * spread
        for seed in (0, 1)
    )
    expected = deltaE_ciede2000(lab1.numpy(), lab2.numpy(), channel_axis=1)
    assert np.abs(delta_e_2000(lab1, lab2).numpy() - expected).max() < 1e-10


@pytest.mark.parametrize("pair", SHARMA, ids=[str(number) for number in range(1, 35)])
def test_delta_e_gives_the_values_that_sharma_published_in_both_directions(pair: tuple[float, ...]) -> None:
    lab1, lab2 = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (pair[:3], pair[3:6]))
    assert delta_e_2000(lab1, lab2).item() == pytest.approx(pair[6], abs=5.1e-5)
    assert delta_e_2000(lab2, lab1).item() == pytest.approx(pair[6], abs=5.1e-5)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((1, 1, 1), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
    ],
)
def test_lab_of_white_black_and_the_primaries_is_the_published_one(
    rgb: tuple[float, float, float], expected: tuple[float, float, float]
) -> None:
    assert lab(colour(*rgb))[0, :, 0, 0].tolist() == pytest.approx(expected, abs=0.02)


def test_greys_are_finite_and_nearly_without_chroma() -> None:
    greys = torch.linspace(-1, 1, 256, dtype=torch.float64).expand(1, 3, 1, 256)
    assert lab(greys)[:, 1:].abs().max() < 0.005
    assert ciede2000(greys, greys.flip(-1)).isfinite().all()
    exact = lab(greys) * torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64).view(1, 3, 1, 1)
    assert delta_e_2000(exact, exact.flip(-1)).isfinite().all()
    assert delta_e_2000(exact, lab(greys)).isfinite().all()


def test_black_against_white_is_a_hundred() -> None:
    assert ciede2000(colour(0, 0, 0), colour(1, 1, 1)).item() == pytest.approx(100, abs=1e-3)


def test_psnr_of_a_constant_error_is_its_closed_form() -> None:
    images = pictures().clamp(-0.9, 0.9)
    one_step = images + 2 / 255
    assert psnr(one_step, images).tolist() == pytest.approx([20 * math.log10(255)] * 3, abs=1e-9)


def test_psnr_of_black_against_white_is_zero() -> None:
    assert psnr(colour(0, 0, 0), colour(1, 1, 1)).item() == 0


def test_ssim_of_flat_pictures_is_its_luminance_term() -> None:
    c1 = (0.01 * 255) ** 2
    expected = (2 * 51 * 204 + c1) / (51**2 + 204**2 + c1)
    assert ssim(colour(0.2, 0.2, 0.2), colour(0.8, 0.8, 0.8)).item() == pytest.approx(expected, abs=1e-9)


def test_ssim_is_the_mean_over_the_three_channels() -> None:
    truth = pictures()
    only_red = truth.clone()
    only_red[:, 0] = with_noise(truth, 0.3)[:, 0]
    red = ssim(only_red[:, :1].expand(-1, 3, -1, -1), truth[:, :1].expand(-1, 3, -1, -1))
    assert torch.allclose(ssim(only_red, truth), (red + 2) / 3, atol=1e-12)


def test_the_ssim_of_luminance_is_that_of_grey_pictures_and_blind_to_hue() -> None:
    truth = pictures()
    images = with_noise(truth, 0.2)
    grey, true = (luminance(x).expand(-1, 3, -1, -1) for x in (images, truth))
    assert torch.allclose(luminance_ssim(images, truth), ssim(grey, true), atol=1e-12)
    opposed = torch.linspace(-0.2, 0.2, 23) * torch.tensor([0.587, -0.299, 0.0])[:, None, None]  # no luminance
    assert torch.allclose(luminance_ssim(truth + opposed, truth), torch.ones(3).double(), atol=1e-9)
    assert ssim(truth + opposed, truth).max() < 0.999


@pytest.mark.parametrize(
    ("distance", "identical"), [(psnr, math.inf), (ssim, 1.0), (luminance_ssim, 1.0), (ciede2000, 0.0)]
)
def test_identical_pictures_have_the_perfect_number(
    distance: Callable[[Tensor, Tensor], Tensor], identical: float
) -> None:
    truth = torch.cat((pictures(), colour(0, 0, 0).expand(1, 3, 12, 12).repeat(1, 1, 3, 2)[..., :29, :23]))
    assert distance(truth, truth.clone()).tolist() == [identical] * 4


@DISTANCES
def test_every_distance_is_symmetric(distance: Callable[[Tensor, Tensor], Tensor]) -> None:
    truth = pictures()
    images = with_noise(truth, 0.2)
    assert torch.allclose(distance(images, truth), distance(truth, images), rtol=1e-12)


@pytest.mark.parametrize(("distance", "sign"), [(psnr, -1), (ssim, -1), (luminance_ssim, -1), (ciede2000, 1)])
def test_more_noise_is_further_from_the_truth(distance: Callable[[Tensor, Tensor], Tensor], sign: int) -> None:
    truth = pictures()
    distances = torch.stack([distance(with_noise(truth, strength), truth) for strength in (0.02, 0.05, 0.1, 0.3)])
    assert (sign * distances.diff(dim=0) > 0).all()


@DISTANCES
def test_the_number_of_a_picture_does_not_depend_on_its_batch(distance: Callable[[Tensor, Tensor], Tensor]) -> None:
    truth = pictures(5)
    images = with_noise(truth, 0.2)
    alone = torch.cat([distance(images[[index]], truth[[index]]) for index in range(5)])
    assert torch.equal(distance(images, truth), alone)
    assert torch.equal(distance(images.flip(0), truth.flip(0)), alone.flip(0))
    channels_last = images.to(memory_format=torch.channels_last)
    assert torch.equal(distance(channels_last, truth), alone)


@DISTANCES
def test_numbers_are_float64_without_gradient_whatever_comes_in(
    distance: Callable[[Tensor, Tensor], Tensor],
) -> None:
    truth = pictures().bfloat16()
    images = with_noise(pictures(), 0.2).bfloat16()
    exact = distance(images.double(), truth.double())
    assert exact.dtype == torch.float64
    assert torch.equal(distance(images, truth), exact)
    assert torch.equal(distance(images.float().requires_grad_(), truth.float()), exact)
    assert not distance(images.float().requires_grad_(), truth.float()).requires_grad


@DISTANCES
def test_no_pictures_have_no_numbers(distance: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert distance(pictures()[:0], pictures()[:0]).shape == (0,)


@DISTANCES
def test_pairs_of_different_size_are_refused_in_words(distance: Callable[[Tensor, Tensor], Tensor]) -> None:
    message = r"has shape \(3, 3, 29, 23\), the truth \(3, 3, 29, 22\); give pairs of equal size"
    with pytest.raises(ValueError, match=message):
        distance(pictures(), pictures()[..., :22])
    with pytest.raises(ValueError, match="give pairs of equal size"):
        distance(pictures(), pictures(1))


@DISTANCES
def test_what_is_not_a_batch_of_float_rgb_pictures_is_refused_in_words(
    distance: Callable[[Tensor, Tensor], Tensor],
) -> None:
    with pytest.raises(ValueError, match=r"expected RGB pictures of shape \(n, 3, h, w\), got \(3, 29, 23\)"):
        distance(pictures()[0], pictures()[0])
    with pytest.raises(ValueError, match=r"expected float pictures with values in \[-1, 1\], got torch.uint8"):
        distance(pictures(), torch.zeros(3, 3, 29, 23, dtype=torch.uint8))


@pytest.mark.parametrize("distance", [ssim, luminance_ssim])
def test_ssim_refuses_pictures_smaller_than_its_window_in_words(distance: Callable[[Tensor, Tensor], Tensor]) -> None:
    small = pictures(1, 10, 40)
    with pytest.raises(ValueError, match=r"SSIM needs pictures of at least 11 x 11 pixels, these are 10 x 40"):
        distance(small, small)


def test_delta_e_refuses_colours_of_different_shape_in_words() -> None:
    with pytest.raises(ValueError, match="give pairs of equal size"):
        delta_e_2000(torch.zeros(3, 2, 2), torch.zeros(3, 2, 3))
