"""A style without its colours: the style in the photo's colours beforehand, or the photo's colours afterwards.

Gatys, Bethge, Hertzmann, Shechtman, "Preserving color in neural artistic style transfer", 2016 (arXiv 1606.05897).
Before painting, a linear map of RGB gives the style's pixels the photo's mean and covariance (`match_colours`); or only
the luminance is painted, and the photo's chroma is put back (`luminance`, `match_luminance`, `with_luminance`). RGB
values are used as they are stored: the display's gamma is not undone.

Unlike `colour`, which matches three axes one by one in a logarithmic space, this matches a full covariance in RGB.
"""

from typing import Literal

import torch
from torch import Tensor

from cyclestyle.images import Images, luminance

ColourMap = Literal["cholesky", "eigen", "transport"]

FLAT_VARIANCE = 1e-10
"""Of pixels in [-1, 1]. What varies less in some direction of RGB has no colours there to be stretched: rounding to 8
bits alone makes 5e-6."""


@torch.no_grad()
def match_colours(pictures: Images, to: Images, how: ColourMap = "transport") -> Images:
    """Every picture under the linear map of RGB that gives it the mean and covariance of others.

    There are many such maps, x -> A (x - mean) + mean'; with S and S' the two covariances:
    - "cholesky": A = L' L^-1, for S = L L^T;
    - "eigen": A = S'^1/2 S^-1/2, from symmetric roots (there "image analogies", after Hertzmann et al. 2001);
    - "transport": A = S^-1/2 (S^1/2 S' S^1/2)^1/2 S^-1/2, of all the one that changes the pixels least (Monge's map
      between Gaussians: Pitie, Kokaram, "The linear Monge-Kantorovitch linear colour mapping", CVMP 2007).

    Each picture is mapped on its own. One that has no colours in some direction (a grey one, a flat one) gets none
    there, so that it reaches the mean, and as much of the covariance as it can.

    Args:
        pictures: (n, 3, h, w) float: in the paper the style.
        to: (n or 1, 3, h', w') float: in the paper the photo.
        how: which of the maps.

    Returns:
        (n, 3, h, w) of the pictures' dtype. Some values may leave [-1, 1]; none is clamped, as the moments would not
        match any more.

    Raises:
        ValueError: no RGB pictures, neither one target nor one for each, or an unknown map.
    """
    for given in (pictures, to):
        _require(given, 3)
    if len(to) not in (1, len(pictures)):
        raise ValueError(f"there are {len(to)} targets for {len(pictures)} pictures; give one for all, or one each")
    results = torch.empty_like(pictures)
    for index, target in enumerate(to.expand(len(pictures), *to.shape[1:])):
        own = pictures[index].double().flatten(1)  # (3, h w)
        mean, covariance = _moments(own)
        wanted_mean, wanted = _moments(target.double().flatten(1))
        mapped = _linear_map(covariance, wanted, how) @ (own - mean) + wanted_mean
        results[index] = mapped.view(pictures.shape[1:])
    return results


def with_luminance(photo: Images, luminance_: Tensor) -> Images:
    """A photo with another luminance and its own chroma.

    Chroma is the differences between R, G, B and the luminance Y (YIQ and YCbCr turn and scale them), so Y' - Y added
    to all three channels changes Y alone.

    Args:
        photo: (n, 3, h, w) float, RGB in [-1, 1].
        luminance_: (n, 1, h, w) in [-1, 1].

    Returns:
        (n, 3, h, w) in [-1, 1], clamped: a colour that no screen can show loses some chroma, and some luminance.

    Raises:
        ValueError: no RGB pictures, or a luminance of another size.
    """
    _require(photo, 3)
    _require(luminance_, 1)
    if luminance_.shape != (len(photo), 1, *photo.shape[2:]):
        raise ValueError(
            f"the photo is {tuple(photo.shape)}, the luminance {tuple(luminance_.shape)}; give both one size"
        )
    return (photo + (luminance_ - luminance(photo))).clamp(-1, 1)


def match_luminance(style: Tensor, photo: Tensor) -> Tensor:
    """A style's luminance with the mean and standard deviation of a photo's.

    For a style that is lighter or darker than the photo, before its luminance is painted with.

    Args:
        style: (n, 1, h', w') float.
        photo: (n or 1, 1, h, w) float.

    Returns:
        (n, 1, h', w') of the style's dtype, not clamped. A flat one stays flat, at the photo's mean.

    Raises:
        ValueError: no luminances, or neither one photo nor one for each style.
    """
    for given in (style, photo):
        _require(given, 1)
    if len(photo) not in (1, len(style)):
        raise ValueError(f"there are {len(photo)} photos for {len(style)} styles; give one for all, or one each")
    own, target = style.double(), photo.double()
    every = (1, 2, 3)
    variance, mean = torch.var_mean(own, every, correction=0, keepdim=True)
    wanted, wanted_mean = torch.var_mean(target, every, correction=0, keepdim=True)
    scale = torch.where(variance < FLAT_VARIANCE, 0.0, (wanted / variance.clamp(min=FLAT_VARIANCE)).sqrt())
    return ((own - mean) * scale + wanted_mean).to(style.dtype)


def _moments(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (3, 1) and population covariance (3, 3) of pixels (3, m)."""
    mean = pixels.mean(1, keepdim=True)
    apart = pixels - mean
    return mean, apart @ apart.mT / pixels.shape[1]


def _linear_map(own: Tensor, wanted: Tensor, how: ColourMap) -> Tensor:
    """A matrix A (3, 3) with A S A^T = S', for covariances S (at least `FLAT_VARIANCE` in every direction) and S'."""
    root, inverse = _root(own, FLAT_VARIANCE), torch.linalg.inv(_root(own, FLAT_VARIANCE))
    if how == "transport":
        return inverse @ _root(root @ wanted @ root) @ inverse
    if how == "eigen":
        return _root(wanted) @ inverse
    if how == "cholesky":
        return _triangle(_root(wanted)) @ torch.linalg.inv(_triangle(root))
    raise ValueError(f"there is no colour map {how!r}; choose one of cholesky, eigen, transport")


def _root(covariance: Tensor, least: float = 0.0) -> Tensor:
    """The symmetric root of a covariance, whose eigenvalues are taken to be `least` or more."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=least).sqrt() @ vectors.mT


def _triangle(root: Tensor) -> Tensor:
    """The Cholesky factor L with L L^T = root^2, also where that is singular, which Cholesky's own way refuses."""
    upper = torch.linalg.qr(root).R
    return (upper * torch.where(upper.diagonal() < 0, -1.0, 1.0)[:, None]).mT


def _require(images: Tensor, channels: int) -> None:
    if images.ndim != 4 or images.shape[1] != channels or not images.is_floating_point() or images.numel() == 0:
        raise ValueError(
            f"expected float pictures of shape (n, {channels}, h, w), got {images.dtype} {tuple(images.shape)}"
        )
