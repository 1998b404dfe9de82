"""What can be wrong with painted pictures, measured: numbers and spectra; levels are of 255.

Inversion, checkerboards, sameness and flatness are the ways in which CycleGANs fail visibly. Where a number is alarming
is for the caller to say. Of sets that do not fit into memory, whatever is a number per picture can be put together, and
`LogPowers` of parts add up to those of the whole.

"Good" at a constant is the worst of good painters (the demo, real Monets at 128 and 256 px) and of Reinhard's colour
transfer; "bad" is what is to be noticed.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from cyclestyle.images import LUMA_FROM_RGB, Images, Picture, luminance

LEVELS = 127.5
"""8-bit levels in a unit of [-1, 1]."""

NEGATIVE = -0.3
"""Correlation with the photo. Good: 0.6 in the middle. Bad: -0.9 to -1. Of unrelated pictures, some 5 % lie below."""

COLOURLESS = 3.0
"""Levels of deviation below which a picture has no colours that could be inverted."""

CHECKER_SIDE = 16
"""Pixels of the windows whose spectra are taken: periods 2 and 4 fall on frequencies of their own, nothing leaks."""

CHECKER_FAINT = 0.02
"""Squared levels added to powers: 30 times what rounding to 8 bits makes."""

CHECKER_RATIO = 2.5
"""Power at a frequency, against what its neighbours and the photo let expect. Good: 2.8, of an amplitude of 0.6. Bad: 3
to 800."""

SPECTRUM_FAINT = 1 / 12
"""Squared levels added to powers: what rounding to 8 bits makes."""

HEAT_DECADES = (-3.0, -1.0, 0.0, 1.0, 3.0)
HEAT_COLOURS = ((5, 48, 97), (67, 147, 195), (255, 255, 255), (214, 96, 77), (103, 0, 31))
"""Of decades of power above the reference, linear between: textures differ by tenths of a decade, grids by 2 to 4."""


class Pattern(NamedTuple):
    """A pattern that comes back every few pixels."""

    amplitude: float
    """Levels; 0 if there is none."""
    period: int
    """Pixels, 2 or 4."""


@dataclass(frozen=True)
class LogPowers:
    """Logarithms of power spectra, summed; add two, and have the sum over both sets."""

    sums: torch.Tensor
    """(side, side) float64, in the order of `torch.fft.fft2`."""
    count: int
    """How many spectra were added."""

    def __add__(self, other: "LogPowers") -> "LogPowers":
        return LogPowers(self.sums + other.sums, self.count + other.count)

    @property
    def mean(self) -> torch.Tensor:
        """(side, side); the mean of logarithms, so that strongly textured pictures do not drown the others."""
        if self.count == 0:
            raise ValueError("no picture was large enough for a spectrum; give larger ones")
        return self.sums / self.count


def differences(photos: Images, painted: Images) -> torch.Tensor:
    """Mean absolute difference of each pair, in levels: (n,)."""
    return (photos - painted).abs().mean((1, 2, 3)) * LEVELS


def brightness_correlations(photos: Images, painted: Images) -> torch.Tensor:
    """Correlation of brightness over the pixels of each pair: (n,); 0 where one has none to speak of."""
    return _correlations(_opponents(photos)[:, 0], _opponents(painted)[:, 0])


def colour_correlations(photos: Images, painted: Images) -> torch.Tensor:
    """The higher of the correlations of red against green and of blue against yellow: (n,)."""
    before, after = _opponents(photos), _opponents(painted)
    return torch.maximum(*(_correlations(before[:, axis], after[:, axis]) for axis in (1, 2)))


def _opponents(images: Images) -> torch.Tensor:
    """Brightness (Rec. 601), red against green, blue against yellow, in levels, on at most 64 x 64 pixels."""
    small = F.adaptive_avg_pool2d(images, (min(images.shape[2], 64), min(images.shape[3], 64)))
    red, green, blue = (small * LEVELS).unbind(1)
    of_red, of_green, of_blue = LUMA_FROM_RGB
    brightness = of_red * red + of_green * green + of_blue * blue
    return torch.stack([brightness, red - green, blue - (red + green) / 2], dim=1)


def inverted(correlations: torch.Tensor) -> float:
    """The share of pictures that are inverted: their correlation with the photo lies below `NEGATIVE`."""
    return (correlations < NEGATIVE).float().mean().item()


def _correlations(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Pearson's, of each pair of (n, h, w)."""
    x, y = (values.flatten(1) - values.flatten(1).mean(1, keepdim=True) for values in (x, y))
    deviations = [values.square().mean(1).sqrt() for values in (x, y)]
    enough = (deviations[0] >= COLOURLESS) & (deviations[1] >= COLOURLESS)
    return torch.where(enough, (x * y).mean(1) / (deviations[0] * deviations[1]).clamp_min(1e-6), 0.0)


def contrasts(images: Images) -> torch.Tensor:
    """Deviation over each picture, in levels, on a coarse copy of it so that noise and grids do not count: (n,)."""
    return _coarse(images).var(2, correction=0).mean(1).sqrt()


def nearest(images: Images) -> float:
    """How far pictures are from the nearest other, in the middle, in levels (root mean square, on coarse copies)."""
    flat = _coarse(images).flatten(1)
    apart = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist") / math.sqrt(flat.shape[1])
    return apart.fill_diagonal_(math.inf).amin(1).quantile(0.5).item()


def _coarse(images: Images) -> torch.Tensor:
    """(n, 3, 256): pictures on 16 x 16 pixels, in levels."""
    return F.adaptive_avg_pool2d(images, 16).flatten(2) * LEVELS


def periodic_pattern(photos: Images, painted: Images) -> Pattern:
    """`checkerboard` of pictures that are at hand; none where they are smaller than a window."""
    if min(photos.shape[2:]) < CHECKER_SIDE:
        return Pattern(0.0, 2)
    return checkerboard(window_powers(photos), window_powers(painted))


def checkerboard(photos: LogPowers, painted: LogPowers) -> Pattern:
    """Amplitude in levels, and period in pixels, of a pattern of period 2 or 4 in `painted` beyond the photos'.

    Transposed convolutions put power at the frequencies 1/4 and 1/2 (of either axis) alone. What such a frequency
    should hold is told by its neighbours, and by how it relates to its neighbours in the photos: that takes off the
    photos' own grids, as of JPEG. A frequency counts if it holds `CHECKER_RATIO` times as much. The means are over
    logarithms of powers, so textured windows do not drown flat ones. 0 if nothing counts.

    Args:
        photos: `window_powers` of the photos.
        painted: of the pictures that were painted of them.

    Raises:
        ValueError: no picture was as large as a window.
    """
    before, after = photos.mean, painted.mean
    expected = _around(after) + before - _around(before)
    surplus, total, strongest, period = (after.exp() - expected.exp()).tolist(), 0.0, 0.0, 2
    for y in range(0, CHECKER_SIDE, 4):
        for x in range(0, CHECKER_SIDE, 4):
            if (y, x) != (0, 0) and (after - expected)[y, x] > math.log(CHECKER_RATIO):
                # a wave that is not its own mirror image shows as two halves, each with a quarter of its power
                total += 2 * surplus[y][x] if y % 8 or x % 8 else surplus[y][x]
                if surplus[y][x] > strongest:
                    strongest, period = surplus[y][x], 4 if y % 8 or x % 8 else 2
    return Pattern(math.sqrt(total), period)


def window_powers(images: Images) -> LogPowers:
    """Natural logarithms of the power at each frequency, in squared levels, of all windows of all pictures: (16, 16).

    Pictures smaller than a window add nothing, larger ones more than small ones.
    """
    hann = torch.hann_window(CHECKER_SIDE, periodic=True)
    weights = hann[:, None] * hann / hann.sum() ** 2  # sum to 1
    sums, count = torch.zeros(CHECKER_SIDE, CHECKER_SIDE, dtype=torch.float64), 0
    if min(images.shape[2:]) < CHECKER_SIDE:
        return LogPowers(sums, count)
    for image in images.detach().cpu().float() * LEVELS:  # one at a time: windows overlap fourfold
        windows = image.unfold(1, CHECKER_SIDE, CHECKER_SIDE // 2).unfold(2, CHECKER_SIDE, CHECKER_SIDE // 2)
        means = (windows * weights).sum((-1, -2), keepdim=True)
        powers = torch.fft.fft2((windows - means) * weights).abs().square().mean(0).flatten(0, 1)  # (windows, 16, 16)
        sums, count = sums + (powers + CHECKER_FAINT).log().double().sum(0), count + len(powers)
    return LogPowers(sums, count)


def _around(powers: torch.Tensor) -> torch.Tensor:
    """Mean of the eight frequencies two steps away, which the window keeps clear of a pattern at the middle one."""
    steps = [(y, x) for y in (-2, 0, 2) for x in (-2, 0, 2) if (y, x) != (0, 0)]
    return torch.stack([powers.roll(step, (0, 1)) for step in steps]).mean(0)


def spectrum_powers(images: Images, side: int) -> LogPowers:
    """Decimal logarithms of the power spectra of the luminance of every picture's centre: (side, side).

    The centred square is cut out, not scaled, for scaling would move the frequencies; its mean is taken off, and it
    fades to its borders (Hann). Powers are densities: white noise of a variance of v squared levels has v everywhere.

    Args:
        images: (n, 3, h, w) float, RGB in [-1, 1].
        side: of the square, pixels; 128 shows grids as dots that are large enough to be seen.

    Raises:
        ValueError: the pictures are smaller than the square.
    """
    height, width = images.shape[2:]
    if min(height, width) < side:
        raise ValueError(
            f"pictures of {height} x {width} pixels (height x width) have no square of {side} x {side}; give a "
            "smaller side"
        )
    hann = torch.hann_window(side, periodic=True, dtype=torch.float64)
    window = hann[:, None] * hann
    top, left = (height - side) // 2, (width - side) // 2
    sums = torch.zeros(side, side, dtype=torch.float64)
    for image in images.detach()[..., top : top + side, left : left + side]:
        brightness = luminance(image[None].cpu().double())[0, 0] * LEVELS
        mean = (brightness * window).sum() / window.sum()
        powers = torch.fft.fft2((brightness - mean) * window).abs().square() / window.square().sum()
        sums += (powers + SPECTRUM_FAINT).log10()
    return LogPowers(sums, len(images))


def spectrum(powers: LogPowers) -> torch.Tensor:
    """The mean of `spectrum_powers` with frequency 0 in the middle: (side, side), at row and column side // 2."""
    return torch.fft.fftshift(powers.mean)


def radial(spectrum: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of a spectrum over all directions.

    Args:
        spectrum: (side, side), with frequency 0 in the middle.

    Returns:
        (side // 2 + 1,) frequencies in cycles per pixel, from 0 to 0.5, and (side // 2 + 1,) means over their rings;
        the corners beyond 0.5 are left out.
    """
    side = len(spectrum)
    steps = torch.arange(side, device=spectrum.device) - side // 2
    rings = torch.hypot(steps[:, None].double(), steps.double()).round().long().flatten()
    sums = torch.bincount(rings, weights=spectrum.flatten().double())
    kept = slice(0, side // 2 + 1)
    return torch.arange(side // 2 + 1, dtype=torch.float64) / side, sums[kept] / torch.bincount(rings)[kept]


def spectrum_picture(spectrum: torch.Tensor, reference: torch.Tensor, width: int = 256) -> Picture:
    """A spectrum against another as a heat map: red where there is more power, blue where there is less, white as much.

    Frequency 0 is in the middle, half a cycle per pixel at all four borders. A checkerboard of period 2 shows as dark
    red dots in the middle of the borders and in the corners, of period 4 half-way there.

    Args:
        spectrum: (side, side), of `spectrum`.
        reference: the same shape.
        width: of the picture in pixels, at least; each frequency is a square of whole pixels.

    Raises:
        ValueError: the two are of different size.
    """
    if spectrum.shape != reference.shape:
        raise ValueError(
            f"the spectra are {tuple(spectrum.shape)} and {tuple(reference.shape)}; give spectra of the same side"
        )
    ratios = (spectrum - reference)[None, None].cpu().double()
    # means of 3 x 3 frequencies: less noise, larger dots; all round, since the highest frequencies are neighbours
    ratios = F.avg_pool2d(F.pad(ratios, (1, 1, 1, 1), mode="circular"), 3, 1)
    if len(spectrum) % 2 == 0:  # the highest frequency stands on one side alone; shown on both
        ratios = F.pad(ratios, (0, 1, 0, 1), mode="circular")
    decades = ratios[0, 0].numpy()
    channels = [np.interp(decades, HEAT_DECADES, channel) for channel in np.array(HEAT_COLOURS).T]
    picture = Image.fromarray(np.rint(np.stack(channels, axis=-1)).astype(np.uint8))
    times = -(-width // picture.width)
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
