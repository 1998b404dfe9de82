"""Moments are sums over positions: order, repetition, tiles and masks change them as sums change, and nothing else."""

import pytest
import torch
from torch import Tensor

from cyclestyle.styling import moments as module
from cyclestyle.styling.moments import (
    Moments,
    Sums,
    covariance,
    in_units_of,
    mix,
    moments,
    require_alike,
    stack,
    sums,
    variance,
)


def maps(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64) + 0.5


def assert_near(found: Moments | Sums, expected: Moments | Sums, rel: float = 1e-15) -> None:
    """Each part, relative to its largest entry."""
    for part, one in zip(found, expected, strict=True):
        assert part.shape == one.shape
        assert (part - one).abs().max() <= rel * one.abs().max()


def test_they_are_their_definition():
    features = maps(2, 3, 4, 5)
    found = moments(features)
    for picture in range(2):
        points = [features[picture, :, row, column] for row in range(4) for column in range(5)]
        torch.testing.assert_close(found.mean[picture], sum(points) / 20)
        torch.testing.assert_close(found.second[picture], sum(torch.outer(p, p) for p in points) / 20)
        torch.testing.assert_close(covariance(found)[picture], torch.cov(torch.stack(points).T, correction=0))
        torch.testing.assert_close(variance(found)[picture], torch.stack(points).var(0, correction=0))
    assert found.positions.tolist() == [20, 20]


def test_positions_may_come_in_any_order_and_any_number_of_times():
    features = maps(2, 6, 8, 8)
    expected = moments(features)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    assert_near(moments(features.flatten(2)[:, :, order].reshape(2, 6, 8, 8)), expected, 4e-15)
    assert_near(moments(features.mT), expected, 4e-15)
    assert_near(moments(features.repeat(1, 1, 2, 3))[:2], expected[:2], 4e-15)
    assert moments(features.repeat(1, 1, 2, 3)).positions.tolist() == [384, 384]


def test_the_gram_matrix_grows_with_the_square_and_is_positive():
    features = maps(2, 9, 2, 3)  # fewer positions than channels
    found = moments(features)
    torch.testing.assert_close(moments(3 * features).second, 9 * found.second, rtol=1e-14, atol=0)
    for matrices in (found.second, covariance(found)):
        torch.testing.assert_close(matrices, matrices.mT, rtol=0, atol=1e-15)
        values = torch.linalg.eigvalsh(matrices)
        assert values.min() > -1e-14 * values.max()
    assert torch.linalg.matrix_rank(found.second, hermitian=True).tolist() == [6, 6]
    assert torch.linalg.matrix_rank(covariance(found), hermitian=True).tolist() == [5, 5]


def test_tiles_add_up_to_the_whole():
    features, weights = maps(1, 8, 40, 37), maps(1, 1, 40, 37, seed=1).abs()
    for mask in (None, weights):
        total = None
        for rows in (slice(0, 13), slice(13, 14), slice(14, 40)):
            for columns in (slice(0, 20), slice(20, 37)):
                part = sums(features[..., rows, columns], None if mask is None else mask[..., rows, columns])
                total = part if total is None else total + part
        assert isinstance(total, Sums)
        # 1480 terms are rounded in another order: a few units in the last place
        assert_near(total.moments(), moments(features, mask), 2e-15)


def test_pictures_do_not_know_their_batch():
    features, weights = maps(3, 5, 6, 7), maps(3, 1, 6, 7, seed=1).abs()
    whole, guided = moments(features), moments(features, weights)
    for index in range(3):
        alone = slice(index, index + 1)
        assert_near(moments(features[alone]), Moments(*(part[alone] for part in whole)))
        assert_near(moments(features[alone], weights[alone]), Moments(*(part[alone] for part in guided)))
    assert_near(stack([moments(features[:2]), moments(features[2:])]), whole)


def test_a_mask_of_ones_is_no_mask_and_one_of_zeros_and_ones_cuts_out():
    features = maps(2, 5, 6, 7)
    assert_near(moments(features, torch.ones(1, 1, 6, 7)), moments(features))
    left = torch.zeros(1, 1, 6, 7)
    left[..., :3] = 1
    assert_near(moments(features, left), moments(features[..., :3]))
    assert_near(moments(features, 5 * left)[:2], moments(features[..., :3])[:2])
    assert moments(features, 5 * left).positions.tolist() == [90, 90]


def test_a_mask_is_the_square_of_gatys_guidance_channel():
    features, guidance = maps(1, 4, 5, 5), maps(1, 1, 5, 5, seed=1)
    guidance = guidance / guidance.square().sum().sqrt()  # as there: the squares sum to 1
    guided = (features * guidance).flatten(2)[0]
    found = moments(features, guidance.square())
    torch.testing.assert_close(found.second[0], guided @ guided.T)
    torch.testing.assert_close(found.positions, torch.ones(1, dtype=torch.float64))


def test_regions_feel_nothing_of_each_other():
    features = maps(1, 4, 6, 6).requires_grad_()
    left = torch.zeros(1, 1, 6, 6)
    left[..., :3] = 1
    (gradient,) = torch.autograd.grad(moments(features, left).second.square().sum(), features)
    assert gradient[..., 3:].eq(0).all()
    assert gradient[..., :3].ne(0).all()
    with torch.no_grad():
        changed = torch.where(left > 0, features, 1e6)
    assert_near(moments(changed, left), moments(features.detach(), left))


def test_weights_have_a_gradient_even_where_they_are_0():
    features, weights = maps(1, 3, 2, 2), torch.tensor([0.0, 1, 2, 0]).double().view(1, 1, 2, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(sums(features, weights).second.sum(), weights)
    torch.testing.assert_close(gradient, features.sum(1, keepdim=True).square())


def test_the_gradient_is_the_derived_one():
    features = maps(2, 4, 5, 6).requires_grad_()
    slope = maps(2, 4, 4, seed=1)
    (found,) = torch.autograd.grad((slope * moments(features).second).sum(), features)
    expected = (slope + slope.mT) @ features.flatten(2) / 30
    torch.testing.assert_close(found, expected.detach().view_as(found))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1.0, 6e4])
def test_half_precision_neither_overflows_nor_rounds_more_than_its_features(dtype, size):
    features = (maps(1, 8, 64, 64).abs().clamp_max(1) * size).to(dtype)
    with torch.autocast("cpu", dtype=dtype):
        found = moments(features)
        guided = moments(features, torch.ones(1, 1, 64, 64, dtype=dtype))
    expected = moments(features.double())
    for one in (found, guided):
        assert all(part.dtype == torch.float32 and part.isfinite().all() for part in one)
        for part, exact in zip(one, expected, strict=True):
            torch.testing.assert_close(part.double(), exact, rtol=1e-5, atol=0)
    assert moments(features.float()).second.dtype == torch.float32
    assert expected.second.dtype == torch.float64


def test_memory_formats_do_not_matter():
    features = maps(2, 5, 6, 7)
    assert_near(moments(features.to(memory_format=torch.channels_last)), moments(features), 4e-15)


def test_a_mixture_is_the_moments_of_joined_pictures():
    one, other = maps(1, 4, 3, 5), maps(1, 4, 3, 5, seed=1) + 2
    found = mix([moments(one), moments(other)])
    assert_near(found[:2], moments(torch.cat((one, other), 3))[:2], 4e-15)
    assert found.positions.tolist() == [15]
    torch.testing.assert_close(covariance(found)[0], torch.cov(torch.cat((one, other), 3).flatten(2)[0], correction=0))
    averaged = (covariance(moments(one)) + covariance(moments(other))) / 2
    assert (covariance(found) - averaged).abs().max() > 0.5  # what averaging covariances would lose


def test_only_the_shares_of_a_mixture_matter():
    one, other = moments(maps(1, 4, 3, 5)), moments(maps(1, 4, 6, 5, seed=1))
    assert_near(mix([one, other], [3, 1]), mix([one, other], [0.75, 0.25]))
    assert_near(mix([one, other], [1, 1]), mix([one, other]))
    assert_near(mix([one], [7]), one)
    assert_near(mix([one, one, one], [1, 2, 3]), one, 4e-16)
    torch.testing.assert_close(mix([one, other], [3, 1]).second, (3 * one.second + other.second) / 4)
    # 15 and 30 positions
    assert mix([one, other], [3, 1]).positions.item() == pytest.approx(18.75)


def test_a_channel_without_variance_has_none_and_pulls_nothing():
    features = maps(1, 3, 8, 8).float()
    features[:, 0], features[:, 1] = 0, 0.1
    features.requires_grad_()
    found = variance(moments(features))
    assert found[0, :2].tolist() == [0, 0]
    assert found[0, 2] > 0.5
    (gradient,) = torch.autograd.grad(found.sum(), features)
    assert gradient[:, :2].eq(0).all()
    assert gradient[:, 2].ne(0).any()


def test_a_loss_in_units_of_its_target_is_told_when_there_are_none():
    torch.testing.assert_close(in_units_of(torch.tensor([2.0]), torch.tensor([3.0, 8.0])), torch.tensor([1.5, 4.0]))
    with pytest.raises(ValueError, match="all 0"):
        in_units_of(torch.tensor([1.0, 0.0]), torch.ones(2))
    with pytest.raises(ValueError, match="all 0"):
        in_units_of(torch.tensor([float("nan")]), torch.ones(1))


def test_what_cannot_be_is_said():
    features = maps(2, 3, 4, 5)
    for wrong in (features[0], features.long(), features[:, :0]):
        with pytest.raises(ValueError, match=r"\(n, c, h, w\)"):
            moments(wrong)
    for shape in ((4, 5), (3, 1, 4, 5), (1, 3, 4, 5), (1, 1, 5, 4)):
        with pytest.raises(ValueError, match=r"\(2 or 1, 1, 4, 5\)"):
            moments(features, torch.ones(shape))
    empty = torch.ones(2, 1, 4, 5)
    empty[1] = 0
    with pytest.raises(ValueError, match="picture 1 of 2"):
        moments(features, empty)
    assert sums(features, empty).weight.tolist() == [20, 0]  # of a tile it may be
    for weights in ([1], [1, 0], [1, -1], [1, float("nan")], [1, float("inf")]):
        with pytest.raises(ValueError, match="above 0 for each style"):
            mix([moments(features)] * 2, weights)
    with pytest.raises(ValueError, match="0 styles"):
        mix([])
    with pytest.raises(ValueError, match="no moments to stack"):
        stack([])
    with pytest.raises(ValueError, match="3 channels, the style's 4"):
        require_alike(moments(features), moments(maps(2, 4, 4, 5)))
    with pytest.raises(ValueError, match="2 styles for 3 pictures"):
        require_alike(moments(maps(3, 3, 4, 5)), moments(features))


def test_the_rounding_that_counts_as_no_variance_is_not_larger_than_needed():
    # a channel of 1 with deviation 1e-2 is seen in float32, whose roundings make 1e-3 of its mean
    wave = 1 + 1e-2 * torch.tensor([1.0, -1.0]).repeat(32).view(1, 1, 8, 8)
    assert variance(moments(wave)).item() == pytest.approx(1e-4, rel=2e-2)
    assert module.RESOLVED * torch.finfo(torch.float32).eps < 1e-6
