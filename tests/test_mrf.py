"""Nearest patches are those of the definition, however they are looked for, and the loss sums over them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cyclestyle.styling import mrf
from cyclestyle.styling.mrf import mrf_loss, nearest_patches


def maps(n: int = 1, c: int = 4, height: int = 9, width: int = 10, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, c, height, width, generator=generator, dtype=torch.float64).relu()


def cut(features: Tensor, size: int = 3, stride: int = 1) -> Tensor:
    """(1, c, h, w) -> patches as rows."""
    return F.unfold(features, size, stride=stride)[0].mT


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (2, 3), (1, 1)])
def test_the_loss_is_its_definition(size, stride) -> None:
    features, style = maps(), maps(height=7, width=8, seed=1)
    ours, theirs = cut(features, size, stride), cut(style, size, stride)
    likeness = F.normalize(ours, dim=1) @ F.normalize(theirs, dim=1).mT
    (match,) = nearest_patches(features, style, size=size, stride=stride)
    assert torch.equal(match.index, likeness.argmax(1))
    torch.testing.assert_close(match.likeness, likeness.amax(1))
    apart = (ours - theirs[match.index]).square()
    size_of_style = style.square().mean()
    for convention, expected in (
        ("sum", apart.sum()),
        ("mean", apart.mean()),
        ("relative", apart.mean() / size_of_style),
    ):
        loss = mrf_loss(features, style, size=size, stride=stride, convention=convention)
        torch.testing.assert_close(loss[0], expected)


def test_the_gradient_holds_the_matches_constant() -> None:
    features, style = maps(c=2, height=5, width=6).requires_grad_(), maps(c=2, height=6, width=5, seed=1)
    for averaged in (False, True):
        assert torch.autograd.gradcheck(lambda x, how=averaged: mrf_loss(x, style, averaged=how), features)


def test_a_picture_out_of_the_style_costs_nothing() -> None:
    style = maps(height=12, width=13)
    assert mrf_loss(style, style).item() == 0.0
    assert mrf_loss(style[..., 2:9, 4:11], style).item() == 0.0
    assert mrf_loss(style[..., 2:9, 4:11], style, stride=2).item() == 0.0  # begins where the style's patches begin
    assert mrf_loss(maps(seed=1), style).item() > 0.1


def test_which_patch_is_nearest_does_not_depend_on_a_scale() -> None:
    features, style = maps(2), maps(seed=1)
    for ours, theirs in ((7 * features, style), (features, 0.03 * style)):
        for match, same in zip(nearest_patches(ours, theirs), nearest_patches(features, style), strict=True):
            assert torch.equal(match.index, same.index)
            torch.testing.assert_close(match.likeness, same.likeness)
    torch.testing.assert_close(mrf_loss(7 * features, 7 * style), mrf_loss(features, style))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("at_once", [1, 15, 24, 40])
def test_blocks_find_what_is_found_at_once_also_where_patches_are_equal(at_once, stride, monkeypatch) -> None:
    features = maps(2, height=6, width=5)
    style = maps(height=3, width=3, seed=1).repeat(1, 1, 3, 3)  # every patch is there at least 4 times
    expected = nearest_patches(features, style, stride=stride)
    monkeypatch.setattr(mrf, "POSITIONS_AT_ONCE", at_once)
    for match, same in zip(nearest_patches(features, style, stride=stride), expected, strict=True):
        assert torch.equal(match.index, same.index)


def test_of_equal_patches_the_first_is_taken() -> None:
    style = maps(height=4, width=4, seed=1).repeat(1, 1, 3, 3)
    (match,) = nearest_patches(maps(), style)
    down, right = match.index // 10, match.index % 10  # 10 patches in a row of the style
    assert down.max() < 4
    assert right.max() < 4
    dead = torch.zeros(1, 4, 5, 5, dtype=torch.float64)
    (match,) = nearest_patches(dead, style)
    assert not match.index.any()
    assert not match.likeness.any()


def test_several_maps_are_looked_through_as_one() -> None:
    features, one, other = maps(), maps(height=5, width=8, seed=1), maps(height=7, width=4, seed=2)
    rows = torch.cat((cut(one), cut(other)))
    likeness = F.normalize(cut(features), dim=1) @ F.normalize(rows, dim=1).mT
    (match,) = nearest_patches(features, [one, other])
    assert torch.equal(match.index, likeness.argmax(1))
    assert (match.index >= 3 * 6).any()
    assert (match.index < 3 * 6).any()
    expected = (cut(features) - rows[match.index]).square().sum()
    torch.testing.assert_close(mrf_loss(features, [one, other], convention="sum")[0], expected)
    assert mrf_loss(other, [one, other]).item() == 0.0
    turned = maps(seed=3).rot90(1, (2, 3))
    assert mrf_loss(turned, maps(seed=3)).item() > 0.1
    assert mrf_loss(turned, [maps(seed=3), turned]).item() == 0.0


def test_matches_below_the_threshold_are_left_out() -> None:
    features, style = maps(), maps(height=7, width=8, seed=1)
    (match,) = nearest_patches(features, style)
    middle = match.likeness.median().item()
    apart = (cut(features) - cut(style)[match.index]).square().sum(1)
    for threshold, kept in ((middle, match.likeness >= middle), (2.0, torch.zeros(56)), (-1.0, torch.ones(56))):
        loss = mrf_loss(features, style, threshold=threshold, convention="sum")
        torch.testing.assert_close(loss[0], (apart * kept).sum())
        mean = mrf_loss(features, style, threshold=threshold, convention="mean")
        torch.testing.assert_close(mean, loss / apart.numel() / 36)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_averaged_every_position_that_is_asked_at_all_is_asked_alike(stride) -> None:
    features = torch.ones(1, 2, 7, 9, dtype=torch.float64, requires_grad=True)
    style = torch.zeros(1, 2, 5, 5, dtype=torch.float64)
    loss = mrf_loss(features, style, stride=stride, averaged=True, convention="sum") / 2
    (gradient,) = torch.autograd.grad(loss.sum(), features)
    asked = torch.zeros(7, 9, dtype=torch.float64)
    for row in range(0, 5, stride):
        for column in range(0, 7, stride):
            asked[row : row + 3, column : column + 3] = 1
    torch.testing.assert_close(gradient[0, 0], asked)
    mean = mrf_loss(features, style, stride=stride, averaged=True, convention="mean")
    torch.testing.assert_close(mean.detach(), torch.ones(1, dtype=torch.float64))


def test_what_comes_of_a_picture_does_not_depend_on_its_batch() -> None:
    features, styles = maps(3).float(), maps(3, height=7, seed=1).float()
    together = mrf_loss(features, [styles, styles[:1]])
    alone = [mrf_loss(features[[i]], [styles[[i]], styles[:1]]) for i in range(3)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("stride", [1, 2])
def test_memory_is_bounded_by_blocks_not_by_pairs_of_patches(stride, monkeypatch) -> None:
    largest = 0
    plain = torch.Tensor.__matmul__

    def watched(one: Tensor, other: Tensor) -> Tensor:
        nonlocal largest
        scores = plain(one, other)
        largest = max(largest, scores.numel())
        return scores

    monkeypatch.setattr(torch.Tensor, "__matmul__", watched)
    monkeypatch.setattr(mrf, "POSITIONS_AT_ONCE", 100)
    mrf_loss(maps(height=40, width=20), maps(height=42, width=25, seed=1), stride=stride)
    assert 0 < largest <= 100 * 100


@pytest.mark.parametrize(
    ("features", "style", "told"),
    [
        (maps(), maps(height=2), "2 x 10 .*smaller than a patch of 3 x 3"),
        (maps(width=2), maps(), "9 x 2 .*smaller than a patch"),
        (maps(), [maps(), maps(height=2)], "2 x 10"),
        (maps(), [], "no map of a style"),
        (maps(2), maps(3), "3 styles for 2 pictures"),
    ],
)
def test_maps_without_patches_are_refused(features, style, told) -> None:
    with pytest.raises(ValueError, match=told):
        mrf_loss(features, style)


def test_patches_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="size 0"):
        mrf_loss(maps(), maps(), size=0)
    with pytest.raises(ValueError, match="stride 0"):
        nearest_patches(maps(), maps(), stride=0)
