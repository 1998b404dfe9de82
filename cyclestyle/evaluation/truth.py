"""Distances between pictures and the known truth: one number per picture, always computed in float64.

`psnr` compares numbers, `ssim` and `luminance_ssim` local structure, `ciede2000` the colours a person sees. Pictures
are RGB tensors of shape (n, 3, h, w) with values in [-1, 1]; nothing is clamped or rounded to 8 bits. The numbers come
back in float64 on the pictures' device (on the CPU for MPS, which has none) and carry no gradient. Pictures are
measured one at a time: the number of a picture cannot depend on its batch, and memory does not grow with the batch.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from cyclestyle.images import Images, luminance
from cyclestyle.networks.precision import exact_device

PEAK = 255.0  # largest value of an 8-bit channel

# Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity",
# IEEE Transactions on Image Processing 13(4), 2004, section III-C
SSIM_TAPS = 11
SSIM_SIGMA = 1.5  # pixels
SSIM_K1 = 0.01
SSIM_K2 = 0.03

# IEC 61966-2-1:1999 (sRGB), decoding of a channel in [0, 1] to linear light
SRGB_LINEAR_BELOW = 0.04045
SRGB_SLOPE = 12.92
SRGB_OFFSET = 0.055
SRGB_EXPONENT = 2.4

# Primaries of ITU-R BT.709 with white D65, linear RGB -> XYZ, to the six digits that scikit-image uses as well
XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
WHITE_D65 = (0.95047, 1.0, 1.08883)  # XYZ, 2 degree observer, ASTM E308-01

# CIE 15:2004, section 8.2.1: the cube root turns into a straight line for small ratios
CIELAB_LINEAR_BELOW = (24 / 116) ** 3
CIELAB_SLOPE = 841 / 108
CIELAB_OFFSET = 16 / 116

# Two hues exactly half a circle apart must stay on the unwrapped side of eqs. 10 and 14 of Sharma et al., whatever the
# last bit of atan2 says on this machine; the bits of an angle below 2 pi are 1e-15.
HALF_CIRCLE = math.pi + 1e-12


def psnr(images: Images, truth: Images) -> Tensor:
    """Peak signal-to-noise ratio for the 8-bit peak: 10 log10(255^2 / MSE), higher is closer.

    Args:
        images: (n, 3, h, w) float, RGB in [-1, 1].
        truth: the same shape.

    Returns:
        (n,) float64, in dB; the squared error is the mean over pixels and channels. Identical pictures give inf.

    Raises:
        ValueError: the two are not pairs of RGB pictures of equal size.
    """

    def decibels(picture: Images, true: Images) -> Tensor:
        mean_squared_error = (_eight_bit(picture) - _eight_bit(true)).square().mean()
        return 10 * torch.log10(PEAK**2 / mean_squared_error)  # error 0 -> inf

    return _each(decibels, images, truth)


def ssim(images: Images, truth: Images) -> Tensor:
    """Structural similarity, the mean over the three RGB channels and the window's positions; 1 is identical.

    Wang et al. 2004, eq. 13 and 17: gaussian window of 11 x 11 taps and sigma 1.5, K1 = 0.01, K2 = 0.03, population
    variances, dynamic range 255. The paper measures luminance; here every channel is measured alone and the three
    numbers are averaged, as scikit-image does with `channel_axis`. Only windows that lie wholly inside are counted.

    Args:
        images: (n, 3, h, w) float, RGB in [-1, 1].
        truth: the same shape.

    Returns:
        (n,) float64, in [-1, 1].

    Raises:
        ValueError: the two are not pairs of RGB pictures of equal size, or a side is shorter than the window.
    """
    _require_window(images, truth)
    return _each(_structural_similarity, images, truth)


def luminance_ssim(images: Images, truth: Images) -> Tensor:
    """Structural similarity of the luminance alone, as Wang et al. 2004 measured it; blind to hue and saturation.

    The luminance is that of ITU-R BT.601, not rounded to 8 bits; all else is as in `ssim`.

    Args:
        images: (n, 3, h, w) float, RGB in [-1, 1].
        truth: the same shape.

    Returns:
        (n,) float64, in [-1, 1]; 1 is identical.

    Raises:
        ValueError: the two are not pairs of RGB pictures of equal size, or a side is shorter than the window.
    """
    _require_window(images, truth)
    return _each(lambda x, y: _structural_similarity(luminance(x), luminance(y)), images, truth)


def ciede2000(images: Images, truth: Images) -> Tensor:
    """The colour difference CIEDE2000 between sRGB pictures, mean over pixels; 0 is identical.

    Args:
        images: (n, 3, h, w) float, sRGB in [-1, 1].
        truth: the same shape.

    Returns:
        (n,) float64, in units of Delta E00: about 1 is just noticeable, black against white is 100.

    Raises:
        ValueError: the two are not pairs of RGB pictures of equal size.
    """
    return _each(lambda picture, true: delta_e_2000(lab(picture), lab(true)).mean(), images, truth)


@torch.no_grad()
def lab(images: Images) -> Tensor:
    """CIELAB coordinates of sRGB pictures, for white D65 and the 2 degree observer (IEC 61966-2-1, CIE 15:2004).

    This is the CIE's L*a*b*, not Ruderman's l-alpha-beta in which `cyclestyle.styling.colour` works.

    Args:
        images: (n, 3, h, w) float, sRGB in [-1, 1].

    Returns:
        (n, 3, h, w) float64: L* in [0, 100], a* and b* roughly in [-110, 100]. Greys have |a*|, |b*| < 0.005, not
        exactly 0, since the tabulated white is not the sum of the primaries to the last digit.
    """
    encoded = (images.double() + 1) / 2
    decoded = ((encoded + SRGB_OFFSET) / (1 + SRGB_OFFSET)) ** SRGB_EXPONENT
    linear = torch.where(encoded > SRGB_LINEAR_BELOW, decoded, encoded / SRGB_SLOPE)
    matrix = linear.new_tensor(XYZ_FROM_RGB) / linear.new_tensor(WHITE_D65)[:, None]
    ratios = torch.einsum("xc,nchw->nxhw", matrix, linear)  # X/Xn, Y/Yn, Z/Zn
    line = CIELAB_SLOPE * ratios + CIELAB_OFFSET
    x, y, z = torch.where(ratios > CIELAB_LINEAR_BELOW, ratios ** (1 / 3), line).unbind(1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=1)


@torch.no_grad()
def delta_e_2000(lab1: Tensor, lab2: Tensor) -> Tensor:
    """The CIEDE2000 difference of CIELAB colours, with kL = kC = kH = 1; symmetric, and finite everywhere.

    Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary test data, and
    mathematical observations", Color Research and Application 30(1), 2005; numbers in the comments are its equations.

    Args:
        lab1: (..., 3, h, w) float, L*, a*, b*.
        lab2: the same shape.

    Returns:
        (..., h, w) float64, in units of Delta E00.

    Raises:
        ValueError: the shapes differ.
    """
    _require_same_shape(lab1, lab2)
    lightness1, a1, b1 = lab1.double().unbind(-3)
    lightness2, a2, b2 = lab2.double().unbind(-3)
    chroma_weight = 0.5 * (1 - _saturating((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2))  # 2-4
    a1, a2 = (1 + chroma_weight) * a1, (1 + chroma_weight) * a2  # 5
    chroma1, chroma2 = torch.hypot(a1, b1), torch.hypot(a2, b2)  # 6
    hue_difference, hue = _hues(torch.atan2(b1, a1), torch.atan2(b2, a2))

    from_middle = ((lightness1 + lightness2) / 2 - 50).square()  # 12
    chroma = (chroma1 + chroma2) / 2  # 13
    hue_weight = (  # 15
        1
        - 0.17 * torch.cos(hue - math.radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + math.radians(6))
        - 0.20 * torch.cos(4 * hue - math.radians(63))
    )
    lightness_step = (lightness2 - lightness1) / (1 + 0.015 * from_middle / torch.sqrt(20 + from_middle))  # 8, 18
    chroma_step = (chroma2 - chroma1) / (1 + 0.045 * chroma)  # 9, 19
    hue_step = 2 * torch.sqrt(chroma1 * chroma2) * torch.sin(hue_difference / 2)  # 11
    hue_step = hue_step / (1 + 0.015 * chroma * hue_weight)  # 20
    blue_rotation = math.radians(30) * torch.exp(-(((torch.rad2deg(hue) - 275) / 25) ** 2))  # 16
    rotation = -torch.sin(2 * blue_rotation) * 2 * _saturating(chroma)  # 17, 21
    squared = lightness_step**2 + chroma_step**2 + hue_step**2 + rotation * chroma_step * hue_step  # 22
    return torch.sqrt(squared)  # never below 0: |rotation| <= 2 sin(60 degrees) < 2


def _hues(hue1: Tensor, hue2: Tensor) -> tuple[Tensor, Tensor]:
    """The signed difference and the mean of two hues in radians, on the circle: Sharma et al. 2005, eqs. 7, 10, 14.

    A grey has no hue and atan2 says 0; the paper's special cases for it are not needed, since both results are used
    only as factors beside sqrt(C1 C2) = 0.
    """
    circle = 2 * math.pi
    hue1, hue2 = hue1 % circle, hue2 % circle
    difference, total = hue2 - hue1, hue1 + hue2
    wrapped = difference.abs() > HALF_CIRCLE
    turned = torch.where(total < circle, total + circle, total - circle)
    difference = torch.where(wrapped, difference - circle * difference.sign(), difference)
    return difference, torch.where(wrapped, turned, total) / 2


def _saturating(chroma: Tensor) -> Tensor:
    """sqrt(C^7 / (C^7 + 25^7)), from 0 for greys to 1 for vivid colours: Sharma et al. 2005, eqs. 4 and 17."""
    power = chroma**7
    return torch.sqrt(power / (power + 25.0**7))


def _structural_similarity(picture: Tensor, true: Tensor) -> Tensor:
    """SSIM of one pair (1, c, h, w) in float64 -> (), the mean over channels: Wang et al. 2004, eqs. 13-17."""
    x, y = _eight_bit(picture), _eight_bit(true)
    offsets = torch.arange(SSIM_TAPS, dtype=x.dtype, device=x.device) - SSIM_TAPS // 2
    window = torch.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    window = window / window.sum()
    maps = torch.cat((x, y, x * x, y * y, x * y)).flatten(0, 1)[:, None]  # (5 * c, 1, h, w)
    maps = functional.conv2d(maps, window.view(1, 1, 1, -1))
    maps = functional.conv2d(maps, window.view(1, 1, -1, 1))
    mean_x, mean_y, square_x, square_y, product = maps.unflatten(0, (5, -1))  # (c, 1, h - 10, w - 10) each
    variance_x, variance_y = square_x - mean_x * mean_x, square_y - mean_y * mean_y
    covariance = product - mean_x * mean_y
    c1, c2 = (SSIM_K1 * PEAK) ** 2, (SSIM_K2 * PEAK) ** 2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x * mean_x + mean_y * mean_y + c1) * (variance_x + variance_y + c2)
    return (above / below).mean()


def _eight_bit(images: Tensor) -> Tensor:
    """[-1, 1] -> [0, 255], not rounded. SSIM is not blind to a shift, so a range of 2 around 0 would not do."""
    return (images + 1) * (PEAK / 2)


@torch.no_grad()
def _each(distance: Callable[[Images, Images], Tensor], images: Images, truth: Images) -> Tensor:
    """The distance of every pair, computed alone in float64, where the pictures lie if that has it."""
    _require_pairs(images, truth)
    device = exact_device(images.device)
    distances = torch.empty(len(images), dtype=torch.float64, device=device)
    for index in range(len(images)):
        # contiguous, since the order of a sum, and with it the last bit, may follow the memory layout
        pair = (pictures[index : index + 1].to(device).double().contiguous() for pictures in (images, truth))
        distances[index] = distance(*pair)
    return distances


def _require_pairs(images: Images, truth: Images) -> None:
    """Pairs of float RGB pictures, or a sentence."""
    _require_same_shape(images, truth)
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"expected RGB pictures of shape (n, 3, h, w), got {tuple(images.shape)}")
    for pictures in (images, truth):
        if not pictures.is_floating_point():
            raise ValueError(f"expected float pictures with values in [-1, 1], got {pictures.dtype}")


def _require_window(images: Images, truth: Images) -> None:
    """Pairs in which the window of SSIM has a place, or a sentence."""
    _require_pairs(images, truth)
    if min(images.shape[-2:]) < SSIM_TAPS:
        height, width = images.shape[-2:]
        raise ValueError(
            f"SSIM needs pictures of at least {SSIM_TAPS} x {SSIM_TAPS} pixels, "
            f"these are {height} x {width} (height x width); give larger ones"
        )


def _require_same_shape(images: Tensor, truth: Tensor) -> None:
    if images.shape != truth.shape:
        raise ValueError(
            f"the batch has shape {tuple(images.shape)}, the truth {tuple(truth.shape)}; give pairs of equal size"
        )
