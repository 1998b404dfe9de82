"""What is left of a photo: nothing lost is 0, more lost is more, and pictures of one colour have numbers too."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cyclestyle.evaluation.content import MOST_RELATIVE, relative_distance, self_similarity

DISTANCES = pytest.mark.parametrize("distance", [relative_distance, self_similarity])


def features(n: int = 3, channels: int = 8, height: int = 20, width: int = 24, seed: int = 0) -> Tensor:
    """Smooth maps, never negative, with dead places; (n, c, h, w) float32."""
    coarse = torch.randn(n, channels, 5, 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (height, width), mode="bilinear").relu()


def noise(like: Tensor, seed: int = 9) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


@DISTANCES
def test_the_same_features_are_at_distance_zero(distance: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert distance(features(), features()).tolist() == [0.0] * 3


@DISTANCES
@pytest.mark.parametrize("kind", ["noise", "blur"])
def test_more_is_lost_to_more_noise_and_more_blur(distance: Callable[[Tensor, Tensor], Tensor], kind: str) -> None:
    before = features()

    def changed(strength: int) -> Tensor:
        if kind == "noise":
            return before + 0.2 * strength * noise(before)
        return F.avg_pool2d(before, 4 * strength + 1, 1, 2 * strength, count_include_pad=False)

    numbers = torch.stack([distance(before, changed(strength)) for strength in range(5)])
    assert (numbers.diff(dim=0) > 0).all()


@DISTANCES
def test_a_pair_does_not_depend_on_its_batch_or_the_order_in_memory(
    distance: Callable[[Tensor, Tensor], Tensor],
) -> None:
    before = features(4)
    after = before + 0.3 * noise(before)
    alone = torch.cat([distance(before[[i]], after[[i]]) for i in range(4)])
    assert torch.equal(distance(before, after), alone)
    assert torch.equal(distance(before.flip(0), after.flip(0)), alone.flip(0))
    assert torch.equal(distance(before.to(memory_format=torch.channels_last), after), alone)
    assert alone.dtype == torch.float64
    assert distance(before[:0], after[:0]).shape == (0,)


@DISTANCES
def test_pictures_of_one_colour_and_dead_features_have_finite_numbers(
    distance: Callable[[Tensor, Tensor], Tensor],
) -> None:
    dead, flat, some = torch.zeros(1, 8, 20, 24), torch.full((1, 8, 20, 24), 0.3), features(1)
    kinds = [dead, flat, some, 1e-30 * some, 1e30 * some]
    for before in kinds:
        for after in kinds:
            assert distance(before, after).isfinite().all()
    assert distance(dead, dead).item() == 0


def test_the_relative_distance_is_its_formula_at_any_scale() -> None:
    before = features()
    after = before + 0.3 * noise(before)
    expected = (after - before).double().square().sum((1, 2, 3)) / before.double().square().sum((1, 2, 3))
    assert torch.allclose(relative_distance(before, after), expected, rtol=1e-6)
    # a power of two rounds nothing
    assert torch.equal(relative_distance(64 * before, 64 * after), relative_distance(before, after))
    assert relative_distance(before, 0 * before).tolist() == pytest.approx([1.0] * 3)
    assert relative_distance(0 * before, before).tolist() == pytest.approx([MOST_RELATIVE] * 3)


def test_the_relative_distance_is_squared() -> None:
    before, by = features(), noise(features())
    one, three = (relative_distance(before.double(), before.double() + step * by.double()) for step in (1, 3))
    assert torch.allclose(three, 9 * one, rtol=1e-12)


def test_self_similarity_of_two_positions_is_the_difference_of_their_cosines() -> None:
    before = torch.tensor([[1.0, 0.0], [0.0, 2.0]])  # columns are positions: at right angles
    after = torch.tensor([[1.0, 3.0], [1.0, 3.0]])  # in one direction
    opposite = torch.tensor([[1.0, -1.0], [0.0, 0.0]])
    dead = torch.tensor([[1.0, 0.0], [0.0, 0.0]])  # nothing at the second; it does not resemble itself either
    pairs = [(before, after, 1.0), (before, opposite, 1.0), (after, opposite, 2.0), (dead, after, 1.0)]
    for x, y, expected in pairs:
        assert self_similarity(x[None, :, None], y[None, :, None]).item() == pytest.approx(expected, abs=1e-12)


def test_self_similarity_keeps_what_turns_or_grows_together() -> None:
    before = features().double()
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    turned = torch.einsum("dc,nchw->ndhw", turn, before)
    assert self_similarity(before, 7 * turned).max() < 1e-12
    assert relative_distance(before, 7 * turned).min() > 1
    # but not what is moved
    assert self_similarity(before, before.flip(-1)).min() > 0.05


def test_self_similarity_looks_at_means_over_at_most_so_many_positions() -> None:
    fine = features(height=32, width=16).double()
    after = fine + 0.3 * noise(fine)
    coarse, coarse_after = (F.avg_pool2d(x, (4, 2)) for x in (fine, after))
    assert torch.allclose(self_similarity(fine, after, side=8), self_similarity(coarse, coarse_after, side=99))
    assert not torch.allclose(self_similarity(fine, after, side=8), self_similarity(fine, after, side=16))


def test_self_similarity_is_within_its_bounds() -> None:
    x, y = features(seed=1), features(seed=2)
    assert (self_similarity(x, y) <= 1).all()
    assert (self_similarity(x, y) > 0.1).all()
    assert torch.equal(self_similarity(x, y), self_similarity(y, x))


@DISTANCES
def test_what_is_no_pair_is_refused_in_words(distance: Callable[[Tensor, Tensor], Tensor]) -> None:
    with pytest.raises(ValueError, match=r"of one shape \(n, c, h, w\), got \(3, 8, 20, 24\) and \(3, 8, 20, 23\)"):
        distance(features(), features()[..., :23])
    with pytest.raises(ValueError, match="expected float features"):
        distance(features(), features().long())


def test_a_single_position_has_no_structure() -> None:
    with pytest.raises(ValueError, match="at two positions or more, these are 1 x 1"):
        self_similarity(torch.ones(1, 8, 1, 1), torch.ones(1, 8, 1, 1))
