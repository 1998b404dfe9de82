"""Colours are matched to the moments that are aimed at, and a luminance is changed without the chroma."""

from typing import get_args

import pytest
import torch
from torch import Tensor

from cyclestyle.images import LUMA_FROM_RGB, luminance
from cyclestyle.styling.colour_control import (
    ColourMap,
    match_colours,
    match_luminance,
    with_luminance,
)

MAPS = get_args(ColourMap)
EVERY_MAP = pytest.mark.parametrize("how", MAPS)

# ITU-R BT.601: chroma as it is sent
YCBCR = torch.tensor([LUMA_FROM_RGB, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)], dtype=torch.float64)


def pictures(n: int = 2, height: int = 9, width: int = 11, seed: int = 0, low: float = -1, high: float = 1) -> Tensor:
    """Each of correlated colours of its own, float64."""
    generator = torch.Generator().manual_seed(seed)
    plain = torch.rand(n, 3, height, width, generator=generator, dtype=torch.float64)
    mixing = torch.rand(n, 3, 3, generator=generator, dtype=torch.float64)
    mixed = torch.einsum("ndc,nchw->ndhw", mixing / mixing.sum(2, keepdim=True), plain)
    return mixed * (high - low) + low


def covariance(images: Tensor) -> Tensor:
    return torch.stack([one.flatten(1).cov(correction=0) for one in images])


def grey(n: int = 1) -> Tensor:
    return luminance(pictures(n)).expand(-1, 3, -1, -1).contiguous()


@EVERY_MAP
def test_mean_and_covariance_are_those_of_the_target(how) -> None:
    source, target = pictures(), pictures(height=7, seed=1, low=-0.2, high=0.7)
    for to in (target, target[:1]):
        matched = match_colours(source, to, how)
        torch.testing.assert_close(matched.mean((2, 3)), to.mean((2, 3)).expand(2, 3))
        torch.testing.assert_close(covariance(matched), covariance(to).expand(2, 3, 3))


@EVERY_MAP
def test_own_colours_stay(how) -> None:
    torch.testing.assert_close(match_colours(pictures(), pictures(), how), pictures())


def test_transport_moves_the_pixels_least_and_as_far_as_the_distance_of_the_gaussians() -> None:
    source, target = pictures(), pictures(seed=1, low=-0.2, high=0.7)
    moved = {how: (match_colours(source, target, how) - source).square().sum(1).mean((1, 2)) for how in MAPS}
    assert (moved["transport"] < moved["eigen"]).all()
    assert (moved["transport"] < moved["cholesky"]).all()
    # |m - m'|^2 + tr(S + S' - 2 (S S')^1/2); the root's trace is the sum of the roots of the eigenvalues
    own, wanted = covariance(source), covariance(target)
    roots = torch.linalg.eigvals(own @ wanted).real.sqrt().sum(1)
    spread = own.diagonal(dim1=1, dim2=2).sum(1) + wanted.diagonal(dim1=1, dim2=2).sum(1) - 2 * roots
    apart = (source.mean((2, 3)) - target.mean((2, 3))).square().sum(1)
    torch.testing.assert_close(moved["transport"], apart + spread)


def test_the_maps_are_of_the_kind_that_they_say() -> None:
    source, target = pictures(1), pictures(1, seed=1)
    ones = torch.ones(1, 99, dtype=torch.float64)
    found = {}
    for how in MAPS:
        matched = match_colours(source, target, how)
        # least squares finds the linear map exactly
        affine = torch.linalg.lstsq(torch.cat((source[0].flatten(1), ones)).T, matched[0].flatten(1).T).solution.T
        found[how] = affine[:, :3]
    torch.testing.assert_close(found["cholesky"], found["cholesky"].tril())
    assert (found["cholesky"].diagonal() > 0).all()
    torch.testing.assert_close(found["transport"], found["transport"].T)
    assert (torch.linalg.eigvalsh(found["transport"]) > 0).all()
    assert (found["eigen"] - found["eigen"].T).abs().max() > 1e-3


@EVERY_MAP
def test_pictures_without_colours_are_finite(how) -> None:
    flat, varied = torch.full((1, 3, 9, 11), 0.25), pictures(1, seed=1).float()
    torch.testing.assert_close(match_colours(flat, varied, how), varied.mean((2, 3), keepdim=True).expand_as(flat))
    torch.testing.assert_close(match_colours(varied, flat, how), flat, rtol=0, atol=1e-6)
    for source in (grey(), grey().float()):
        matched = match_colours(source, varied, how)
        assert matched.isfinite().all()
        assert matched.abs().max() < 10
        torch.testing.assert_close(matched.mean((2, 3)).float(), varied.mean((2, 3)))
    matched = match_colours(varied, grey(), how)
    torch.testing.assert_close(covariance(matched.double()), covariance(grey()), rtol=1e-4, atol=1e-5)
    assert (matched - matched.mean(1, keepdim=True)).abs().max() < 1e-3  # grey as well


@EVERY_MAP
def test_every_picture_is_mapped_alone(how) -> None:
    source, target = pictures(3).float(), pictures(3, seed=1).float()
    alone = torch.cat([match_colours(source[[i]], target[[i]], how) for i in range(3)])
    assert torch.equal(match_colours(source, target, how), alone)
    assert alone.dtype == torch.float32


def test_luminance_is_that_of_television() -> None:
    assert sum(LUMA_FROM_RGB) == pytest.approx(1, abs=1e-15)
    torch.testing.assert_close(luminance(grey()), grey()[:, :1])


def test_another_luminance_leaves_the_chroma() -> None:
    photo = pictures(low=-0.4, high=0.4)
    wanted = luminance(pictures(seed=1, low=-0.3, high=0.3))
    found = with_luminance(photo, wanted)
    before, after = (torch.einsum("dc,nchw->ndhw", YCBCR, one) for one in (photo, found))
    assert found.abs().max() < 1  # nothing was clamped
    torch.testing.assert_close(after[:, :1], wanted)
    assert (after - before)[:, 1:].abs().max() < 1e-5  # the printed coefficients have six digits
    torch.testing.assert_close(with_luminance(photo, luminance(photo)), photo)


def test_chroma_survives_eight_bits() -> None:
    photo = pictures(low=-0.4, high=0.4).mul(127.5).round() / 127.5
    wanted = luminance(pictures(seed=1, low=-0.3, high=0.3))
    found = with_luminance(photo, wanted).mul(127.5).round() / 127.5
    before, after = (torch.einsum("dc,nchw->ndhw", YCBCR, one) for one in (photo, found))
    assert (after - before)[:, 1:].abs().max() / 2 <= 1 / 255  # of the range


def test_colours_that_no_screen_can_show_are_clamped() -> None:
    photo = torch.tensor([0.9, -0.9, -0.9]).view(1, 3, 1, 1)
    white = with_luminance(photo, torch.ones(1, 1, 1, 1))
    assert white.abs().max() <= 1
    assert white[0, 0].item() == 1


def test_a_styles_luminance_gets_the_mean_and_deviation_of_the_photos() -> None:
    style, photo = luminance(pictures()), luminance(pictures(height=5, seed=1, low=-0.3, high=0.1))
    for to in (photo, photo[:1]):
        matched = match_luminance(style, to)
        for statistic in (torch.mean, lambda x, axes: x.std(axes, correction=0)):
            torch.testing.assert_close(statistic(matched, (1, 2, 3)), statistic(to, (1, 2, 3)).expand(2))
    order = style[0].flatten().argsort()
    assert (match_luminance(style, photo)[0].flatten()[order].diff() >= 0).all()
    torch.testing.assert_close(match_luminance(style, style), style)
    flat = match_luminance(torch.full((1, 1, 4, 4), 0.3), photo[:1].float())
    torch.testing.assert_close(flat, photo[:1].float().mean().expand(1, 1, 4, 4))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda x: match_colours(x, x, "pca"), "no colour map 'pca'; choose one of cholesky, eigen, transport"),
        (lambda x: match_colours(x[:, :1], x), r"\(n, 3, h, w\)"),
        (lambda x: match_colours(x, x[0]), r"\(3, 9, 11\)"),
        (lambda x: match_colours(x, x.byte()), "uint8"),
        (lambda x: match_colours(x, x[:0]), r"\(0, 3, 9, 11\)"),
        (lambda x: match_colours(x, pictures(3)), "3 targets for 2 pictures"),
        (lambda x: with_luminance(x, luminance(x)[..., 1:]), "one size"),
        (lambda x: with_luminance(x, x), r"\(n, 1, h, w\)"),
        (lambda x: match_luminance(luminance(x), luminance(pictures(3))), "3 photos for 2 styles"),
    ],
)
def test_what_does_not_go_together_is_refused(call, told) -> None:
    with pytest.raises(ValueError, match=told):
        call(pictures())
