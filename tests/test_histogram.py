"""Matched features have the style's histograms, by ranks or by bins, whatever the sizes and however many are equal."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cyclestyle.styling import histogram
from cyclestyle.styling.histogram import histogram_loss, match


def maps(n: int = 2, c: int = 3, height: int = 9, width: int = 11, seed: int = 0, relu: bool = False) -> Tensor:
    """Float64; with `relu` about half of the values are 0."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, c, height, width, generator=generator, dtype=torch.float64)
    return features.relu() if relu else features


def ascending(features: Tensor) -> Tensor:
    return features.flatten(2).sort(dim=2).values


def test_maps_of_one_size_get_exactly_the_values_of_the_style() -> None:
    features, style = maps(), maps(1, seed=1) * 3 + 2
    matched = match(features, style)
    assert torch.equal(ascending(matched), ascending(style).expand(2, -1, -1))
    assert torch.equal(matched.flatten(2).argsort(dim=2), features.flatten(2).argsort(dim=2))  # ranks are kept


def test_another_size_is_matched_by_interpolated_quantiles() -> None:
    features = torch.tensor([3.0, 1.0, 2.0, 4.0]).view(1, 1, 2, 2)
    style = torch.tensor([10.0, 20.0]).view(1, 1, 1, 2)  # quantiles 1/4 and 3/4; 1/8, 3/8, 5/8, 7/8 are asked for
    assert match(features, style).flatten().tolist() == [17.5, 10.0, 12.5, 20.0]
    larger = torch.arange(8.0).view(1, 1, 2, 4)  # each fourth of them lies between two values
    assert match(features, larger).flatten().tolist() == [4.5, 0.5, 2.5, 6.5]


@pytest.mark.parametrize("bins", [None, 256])
def test_equal_values_stay_equal_and_share_what_they_take_up(bins) -> None:
    features = torch.tensor([0.0, 5.0, 0.0, 0.0, 7.0, 0.0]).view(1, 1, 2, 3)
    style = torch.tensor([0.0, 1.0, 2.0, 5.0, 6.0, 9.0]).view(1, 1, 3, 2)
    expected = [2.0, 6.0, 2.0, 2.0, 9.0, 2.0]  # the zeros take up 0, 1, 2 and 5
    assert match(features, style, bins=bins).flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize("relu", [False, True])
def test_matching_again_changes_nothing_and_a_style_matches_itself(relu) -> None:
    features, style = maps(relu=relu), maps(1, seed=1, relu=relu)
    once = match(features, style)
    torch.testing.assert_close(match(once, style), once, rtol=0, atol=1e-14)
    assert torch.equal(match(style, style), style)
    assert histogram_loss(style, style).item() == 0.0
    assert histogram_loss(features, style).min() > 1e-3


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7), st.integers(0, 9), st.sampled_from([None, 1, 8, 64]))
def test_order_is_kept_and_values_stay_within_the_style(height, width, other, seed, bins) -> None:
    features, style = maps(1, 2, height, width, seed, relu=True), maps(1, 2, other, 3, seed + 100, relu=True)
    matched = match(features, style, bins=bins)
    for channel in range(2):
        before, order = features[0, channel].flatten().sort()
        after = matched[0, channel].flatten()[order]
        assert (after.diff() >= -1e-12).all()
        assert (after.diff()[before.diff() == 0].abs() <= 1e-12).all()
        assert after.min() >= style[0, channel].min() - 1e-12
        assert after.max() <= style[0, channel].max() + 1e-12


@pytest.mark.parametrize("relu", [False, True])
def test_more_bins_come_closer_to_sorting(relu) -> None:
    features, style = maps(1, 3, 20, 24, relu=relu), maps(1, 3, 24, 20, seed=1, relu=relu) ** 2
    exact = match(features, style)
    errors = [(match(features, style, bins=bins) - exact).abs().mean().item() for bins in (16, 256, 4096, 1 << 20)]
    assert errors == sorted(errors, reverse=True)
    assert errors[1] < 0.02 * style.mean()
    assert errors[-1] < 1e-3 * errors[0]


@pytest.mark.parametrize("bins", [1, 7, 256])
def test_bins_keep_the_mean_of_the_style(bins) -> None:
    features, style = maps(relu=True), maps(1, height=5, seed=1, relu=True)
    matched = match(features, style, bins=bins).mean((2, 3))
    torch.testing.assert_close(matched, style.mean((2, 3)).expand(2, -1))


def test_channels_without_any_difference_are_finite() -> None:
    flat, varied = torch.full((1, 2, 4, 4), 0.5), maps(1, 2, 4, 4).float()
    for bins in (None, 16):
        torch.testing.assert_close(
            match(flat, varied, bins=bins), varied.double().mean((2, 3), keepdim=True).expand(flat.shape)
        )
        assert torch.equal(match(varied, flat, bins=bins), flat.double())


def test_the_gradient_holds_what_is_matched_constant() -> None:
    features, style = maps().requires_grad_(), maps(1, height=6, seed=1)
    matched, each = match(features, style), features[0].numel()
    apart = features.detach() - matched
    size = style.square().mean()
    for convention, over in (("sum", 1), ("mean", each), ("relative", each * size)):
        loss = histogram_loss(features, style, convention=convention)
        torch.testing.assert_close(loss.detach(), apart.square().sum((1, 2, 3)) / over)
        (gradient,) = torch.autograd.grad(loss.sum(), features)
        torch.testing.assert_close(gradient, 2 * apart / over)


def test_the_relative_loss_does_not_see_the_scale_of_a_network() -> None:
    features, style = maps(relu=True), maps(1, seed=1, relu=True)
    torch.testing.assert_close(histogram_loss(20 * features, 20 * style), histogram_loss(features, style))


def test_what_comes_of_a_picture_depends_neither_on_its_batch_nor_on_how_much_is_sorted_at_once(monkeypatch) -> None:
    features, style = maps(4, relu=True).float(), maps(4, seed=1, relu=True).float()
    for bins in (None, 32):
        together = match(features, style, bins=bins)
        alone = [match(features[[i]], style[[i]], bins=bins) for i in range(4)]
        monkeypatch.setattr(histogram, "VALUES_AT_ONCE", 1)
        assert torch.equal(together, torch.cat(alone))
        assert torch.equal(together, match(features, style, bins=bins))
        channels_last = features.contiguous(memory_format=torch.channels_last)
        assert torch.equal(together, match(channels_last, style, bins=bins))


def test_positions_may_be_shuffled() -> None:
    features, style = maps(1, relu=True), maps(1, seed=1, relu=True)
    order = torch.randperm(99, generator=torch.Generator().manual_seed(3))
    shuffled = features.flatten(2)[..., order].view_as(features)
    assert torch.equal(match(shuffled, style), match(features, style).flatten(2)[..., order].view_as(features))


def test_no_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="got 0"):
        match(maps(), maps(1), bins=0)
