"""Smoothed features are a softmax over a whole picture, and its entropy grows with the temperature."""

import math

import pytest
import torch
from torch import Tensor

from cyclestyle.styling.swag import smooth, swag_loss


def maps(n: int = 2, c: int = 4, height: int = 5, width: int = 6, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, c, height, width, generator=generator, dtype=torch.float64).relu()


def entropy(shares: Tensor) -> float:
    """Of one picture's features, taken as shares of their sum."""
    p = (shares / shares.sum()).flatten()
    return -torch.xlogy(p, p).sum().item()


def test_smoothed_features_are_the_softmax_of_their_picture() -> None:
    features = maps()
    for temperature in (0.5, 1.0, 100.0):
        raised = torch.exp(features / temperature)
        expected = raised / raised.sum((1, 2, 3), keepdim=True)
        torch.testing.assert_close(smooth(features, temperature), expected)
        torch.testing.assert_close(smooth(features, temperature, mean_one=True), expected * 120)
    assert smooth(features).sum((1, 2, 3)).tolist() == pytest.approx([1, 1], rel=1e-14)
    assert smooth(features, mean_one=True).mean((1, 2, 3)).tolist() == pytest.approx([1, 1], rel=1e-14)


def test_a_constant_added_to_all_features_is_not_seen() -> None:
    torch.testing.assert_close(smooth(maps() + 7), smooth(maps()))


def test_large_features_are_finite_with_their_gradient() -> None:
    features = (1000 * maps()).requires_grad_()
    smoothed = smooth(features)
    (gradient,) = torch.autograd.grad(smoothed.square().sum(), features)
    assert smoothed.isfinite().all()
    assert gradient.isfinite().all()
    assert torch.autograd.gradcheck(smooth, maps(1, 2, 3, 3).requires_grad_())


def test_entropy_grows_with_the_temperature_up_to_that_of_a_constant() -> None:
    features = 5 * maps(1)
    found = [entropy(smooth(features, temperature)) for temperature in (0.1, 0.5, 1, 2, 10, 1000)]
    assert found == sorted(found)
    assert len(set(found)) == len(found)
    assert found[-1] == pytest.approx(math.log(120), abs=1e-4)
    assert found[-1] < math.log(120)


def test_smoothing_raises_the_entropy_of_small_features_and_lowers_that_of_large_ones() -> None:
    features = maps(1, 8, 32, 32)
    features = features / features.max()
    most = math.log(features.numel())  # 9.01
    assert entropy(smooth(0.3 * most * features)) > entropy(features)
    assert entropy(smooth(3 * most * features)) < entropy(features)


def test_the_loss_is_the_papers_formula() -> None:
    features, style = maps(), maps(seed=1)

    def gram(x: Tensor) -> Tensor:
        flat = torch.softmax(x.flatten(), 0).view(4, 30)
        return flat @ flat.T

    expected = [
        ((gram(one) - gram(other)).square().sum() / (4 * 4**2 * 30**2)).item()
        for one, other in zip(features, style, strict=True)
    ]
    found = swag_loss(features, style, convention="gatys-paper")
    assert found.tolist() == pytest.approx(expected, rel=1e-9)
    assert max(expected) < 1e-6


def test_the_relative_loss_needs_no_weights_of_astronomic_size_and_compares_maps_of_different_sizes() -> None:
    features, style = maps(), maps(1, seed=1)
    assert swag_loss(style, style).item() == 0.0
    assert 1e-4 < swag_loss(features, style).min().item() < 10
    tiled = style.repeat(1, 1, 2, 3)  # every Gram matrix over the positions is the same
    assert swag_loss(tiled, style).item() == pytest.approx(0, abs=1e-24)
    with pytest.raises(ValueError, match=r"10 x 18, the style's 5 x 6 .*relative"):
        swag_loss(tiled, style, convention="gatys-paper")


def test_the_loss_has_the_gradient_of_its_values_and_none_for_the_style() -> None:
    features, style = maps(1, 2, 3, 3).requires_grad_(), maps(1, 2, 3, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: swag_loss(x, style, temperature=2.0), features)
    swag_loss(features, style).sum().backward()
    assert style.grad is None


def test_every_picture_is_smoothed_alone() -> None:
    features = maps(3).float()
    assert torch.equal(smooth(features), torch.cat([smooth(features[[i]]) for i in range(3)]))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_temperatures_that_are_none_are_refused(temperature) -> None:
    with pytest.raises(ValueError, match="temperature above 0"):
        smooth(maps(), temperature)


def test_what_is_no_map_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 5, 6\)"):
        smooth(maps()[0])
