"""What is wrong with painted pictures is measured: spectra are those of known waves, parts add up to the whole.

The measures of single alarms are tested with the alarms, on scenes and what is painted of them (`test_alarms.py`).
"""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cyclestyle.evaluation.symptoms import (
    NEGATIVE,
    SPECTRUM_FAINT,
    LogPowers,
    brightness_correlations,
    checkerboard,
    inverted,
    periodic_pattern,
    radial,
    spectrum,
    spectrum_picture,
    spectrum_powers,
    window_powers,
)
from cyclestyle.images import Images, fit, list_pictures, load, to_images

LEVEL = 1 / 127.5


def textures(n: int = 4, side: int = 64, seed: int = 0) -> Images:
    """Noise that fades towards high frequencies, as pictures do; (n, 3, side, side)."""
    drawn = torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed))
    steps = torch.fft.fftfreq(side)
    distance = torch.hypot(steps[:, None], steps).clamp_min(1 / side)
    found = torch.fft.ifft2(torch.fft.fft2(drawn) / distance).real
    return 0.3 * found / found.std((2, 3), keepdim=True)


def wave(across: float, down: float, levels: float = 10.0, side: int = 64) -> Images:
    """A grey cosine of so many cycles per pixel, (1, 3, side, side)."""
    y, x = torch.arange(side)[:, None].double(), torch.arange(side).double()
    return (levels * LEVEL * torch.cos(2 * math.pi * (across * x + down * y))).float().expand(1, 3, side, side)


# --- inversion ----------------------------------------------------------------------------------------------------


def test_the_share_of_inverted_pictures_is_counted() -> None:
    images = textures()
    painted = torch.cat((-images[:3], images[3:]))
    assert inverted(brightness_correlations(images, painted)) == 0.75
    assert inverted(torch.tensor([NEGATIVE - 0.01, NEGATIVE + 0.01, -1.0, 1.0])) == 0.5


# --- powers that add up -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "powers", [window_powers, lambda images: spectrum_powers(images, 64)], ids=["windows", "whole"]
)
def test_parts_add_up_to_the_whole(powers) -> None:
    images = textures(5)
    whole, added = powers(images), powers(images[:2]) + powers(images[2:3]) + powers(images[3:])
    assert added.count == whole.count
    assert torch.allclose(added.sums, whole.sums, rtol=1e-13)
    assert torch.allclose(whole.mean, powers(images.flip(0)).mean, rtol=1e-12)
    assert torch.allclose(whole.mean, powers(images.to(memory_format=torch.channels_last)).mean, rtol=1e-6)


def test_a_checkerboard_of_parts_is_that_of_the_whole() -> None:
    photos, painted = textures(4), textures(4, seed=1) + wave(0.5, 0.5)
    found = checkerboard(
        window_powers(photos[:1]) + window_powers(photos[1:]), window_powers(painted[:3]) + window_powers(painted[3:])
    )
    assert found.period == 2
    assert found.amplitude == pytest.approx(periodic_pattern(photos, painted).amplitude, rel=1e-9)
    assert found.amplitude == pytest.approx(10, rel=0.1)


def test_pictures_smaller_than_a_window_add_nothing() -> None:
    images = textures(3)
    added = window_powers(images) + window_powers(images[..., :12, :40])
    assert torch.equal(added.mean, window_powers(images).mean)
    with pytest.raises(ValueError, match="no picture was large enough for a spectrum"):
        checkerboard(window_powers(images), window_powers(images[..., :12, :12]))


# --- spectra ------------------------------------------------------------------------------------------------------


def test_white_noise_has_its_variance_at_all_frequencies() -> None:
    levels = 20.0
    noise = torch.randn(60, 1, 32, 32, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    found = spectrum(spectrum_powers(levels * LEVEL * noise, 32))
    # the mean of log10 of an exponential variable lies Euler's constant / ln 10 below log10 of its mean
    expected = math.log10(levels**2) - 0.5772156649 / math.log(10)
    away = torch.ones(32, 32, dtype=torch.bool)
    away[15:18, 15:18] = False  # the mean was taken off, which Hann spreads to the neighbours
    assert found[away].mean().item() == pytest.approx(expected, abs=0.05)
    assert (found[away] - expected).abs().max() < 0.5


def test_a_wave_stands_at_its_frequency_and_nowhere_else() -> None:
    for across, down in ((1 / 4, 0), (0, 1 / 2), (1 / 8, -1 / 4)):
        found = spectrum(spectrum_powers(wave(across, down), 64))
        places = {tuple(place) for place in (found > found.max() - 0.01).nonzero().tolist()}
        row, column = (32 + round(64 * f) for f in (down, across))
        assert places == {(row % 64, column % 64), ((64 - row) % 64, (64 - column) % 64)}
        # amplitude A puts A^2 (sum w)^2 / sum w^2 there, a quarter of that for each of two mirror images
        strength = 10**2 * 4 * 64**2 / 9 * (1 if abs(down) == 0.5 else 1 / 4)
        assert found.max().item() == pytest.approx(math.log10(strength), abs=0.01)
        assert (found > math.log10(SPECTRUM_FAINT) + 0.1).sum() <= 9 * len(places)


def test_only_the_luminance_of_the_centre_counts() -> None:
    images = textures()
    opposed = torch.tensor([0.587, -0.299, 0.0])[:, None, None] * wave(0.5, 0.5, 60)
    expected = spectrum_powers(images, 32).sums
    assert torch.allclose(spectrum_powers(images + opposed, 32).sums, expected, atol=1e-3)
    framed = torch.ones(4, 3, 66, 66)
    framed[..., 17:49, 17:49] = images[..., 16:48, 16:48]
    assert torch.equal(spectrum_powers(framed, 32).sums, expected)
    assert torch.allclose(spectrum_powers(images + 0.3, 32).sums, expected, atol=1e-3)  # brightness is no texture


def test_pictures_of_one_colour_have_the_power_of_rounding() -> None:
    for value in (-1.0, 0.0, 0.3, 1.0):
        found = spectrum(spectrum_powers(torch.full((2, 3, 40, 40), value), 40))
        assert torch.allclose(found, torch.full_like(found, math.log10(SPECTRUM_FAINT)), atol=1e-6)


def test_pictures_smaller_than_the_square_are_refused_in_words() -> None:
    with pytest.raises(
        ValueError, match=r"pictures of 64 x 50 pixels .* have no square of 64 x 64; give a smaller side"
    ):
        spectrum_powers(textures()[..., :50], 64)


@pytest.mark.parametrize("side", [32, 33])
def test_rings_hold_the_frequencies_at_their_distance(side: int) -> None:
    steps = (torch.arange(side) - side // 2).double()
    distance = torch.hypot(steps[:, None], steps)
    frequencies, means = radial(distance)
    assert frequencies.tolist() == pytest.approx([ring / side for ring in range(side // 2 + 1)])
    assert (means - torch.arange(side // 2 + 1)).abs().max() < 0.3
    assert means[0] == 0
    assert means[1].item() == pytest.approx((1 + math.sqrt(2)) / 2)
    _, turned = radial(distance.mT.flip(0).roll(1 if side % 2 == 0 else 0, 0))
    assert torch.allclose(turned, means)


def test_blur_takes_high_frequencies_off_and_noise_adds_them() -> None:
    images = textures()
    grain = 20 * LEVEL * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    plain, noisy, blurred = (
        radial(spectrum(spectrum_powers(x, 64)))[1] for x in (images, images + grain, F.avg_pool2d(images, 3, 1, 1))
    )
    assert (noisy - plain)[24:].min() > 0.2
    assert (blurred - plain)[16:].max() < -0.2
    assert (noisy - plain)[1:4].abs().max() < 0.2


# --- the heat map -------------------------------------------------------------------------------------------------


def pixels(side: int = 64, pattern: Images | None = None) -> tuple[np.ndarray, int]:
    """The heat map of textures with a pattern against those without, and how many pixels a frequency takes."""
    images = textures(side=side)
    reference = spectrum(spectrum_powers(images, side))
    more = images if pattern is None else images + pattern
    picture = spectrum_picture(spectrum(spectrum_powers(more, side)), reference)
    assert picture.mode == "RGB"
    assert picture.width == picture.height >= 256
    times = picture.width // (side + 1)
    assert picture.width == times * (side + 1)
    return np.asarray(picture).astype(int), times


def test_as_much_is_white_more_is_red_less_is_blue() -> None:
    white, _ = pixels()
    assert (white == 255).all()
    flat = torch.zeros(64, 64)
    for decades in (0.3, 1.0, 2.0, 9.0):
        red, green, blue = np.asarray(spectrum_picture(flat + decades, flat))[100, 100].astype(int)
        assert red > green + 30
        assert red > blue + 30
        assert np.asarray(spectrum_picture(flat, flat + decades))[100, 100].astype(int).argmax() == 2
    brightness = [int(np.asarray(spectrum_picture(flat + d, flat))[0, 0].sum()) for d in (0, 0.5, 1, 2, 3)]
    assert sorted(brightness, reverse=True) == brightness


@pytest.mark.parametrize(
    ("across", "down", "dots"),
    [
        (0.5, 0.5, {(0, 0), (0, 64), (64, 0), (64, 64)}),
        (0.5, 0.0, {(32, 0), (32, 64)}),
        (0.25, 0.0, {(32, 16), (32, 48)}),
        (0.25, 0.5, {(0, 16), (0, 48), (64, 16), (64, 48)}),
    ],
)
def test_a_grid_shows_as_dark_red_dots_where_it_stands(across: float, down: float, dots: set[tuple[int, int]]) -> None:
    found, times = pixels(pattern=wave(across, down, 10))
    dark = (found[..., 0] < 200) & (found[..., 2] < 100)
    rows, columns = np.nonzero(dark)
    near = np.array(
        [min(math.hypot(y - a, x - b) for a, b in dots) for y, x in zip(rows // times, columns // times, strict=True)]
    )
    assert near.max() < 4
    for y, x in dots:
        assert dark[y * times + times // 2, x * times + times // 2]


def test_a_dot_spreads_to_its_neighbours_all_round() -> None:
    one = torch.zeros(64, 64)
    one[0, 10] = 9.0
    picture = np.asarray(spectrum_picture(one, 0 * one, 65)).astype(int)
    rows, columns = np.nonzero(picture[..., 2] < 255)
    assert set(rows.tolist()) == {0, 1, 63, 64}
    assert set(columns.tolist()) == {9, 10, 11}


def test_spectra_of_different_size_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="give spectra of the same side"):
        spectrum_picture(torch.zeros(32, 32), torch.zeros(64, 64))
    with pytest.raises(ValueError, match="no picture was large enough"):
        spectrum(LogPowers(torch.zeros(8, 8), 0))


@pytest.mark.assets
@pytest.mark.skipif("CYCLESTYLE_ASSETS" not in os.environ, reason="CYCLESTYLE_ASSETS names no folder of real pictures")
def test_real_photos_and_monets_have_nearly_the_same_spectrum_and_no_grid() -> None:
    def read(name: str) -> Tensor:
        folder = Path(os.environ["CYCLESTYLE_ASSETS"]) / "data" / "monet2photo" / name
        return to_images([fit(load(path), 256) for path in list_pictures(folder)[:16]])

    photos, monets = read("testB"), read("testA")
    assert checkerboard(window_powers(photos), window_powers(monets)).amplitude == 0
    means = [radial(spectrum(spectrum_powers(images, 128)))[1] for images in (photos, monets)]
    assert (means[0] - means[1])[4:].abs().max() < 0.6
    # pictures have power like 1 / f^2
    assert means[0][4] - means[0][32] == pytest.approx(2 * math.log10(8), abs=1)
