"""The MMD between positions is its definition, agrees with what sums give, and sees what they cannot."""

import math

import pytest
import torch
from torch import Tensor

from cyclestyle.styling import kernel_mmd as module
from cyclestyle.styling.gram import gram_loss
from cyclestyle.styling.kernel_mmd import gaussian_mmd, kernel_mmd, pair_distance
from cyclestyle.styling.moments import moments
from cyclestyle.styling.statistics import linear_mmd, polynomial_mmd, wasserstein

BOTH = pytest.mark.parametrize("unbiased", [False, True])


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3


def by_definition(f: Tensor, s: Tensor, kernel, unbiased: bool) -> float:
    """Of two maps (c, h, w), one pair of positions at a time."""
    x, y = f.flatten(1).T, s.flatten(1).T

    def mean(a: Tensor, b: Tensor, same: bool) -> float:
        found = [kernel(p, q).item() for i, p in enumerate(a) for j, q in enumerate(b) if not (same and i == j)]
        return sum(found) / len(found)

    return mean(x, x, unbiased) + mean(y, y, unbiased) - 2 * mean(x, y, False)


@BOTH
def test_they_are_their_definitions(unbiased):
    f, s = maps(2, 3, 4, 3), maps(1, 3, 3, 3, seed=1)
    for found, kernel in (
        (
            gaussian_mmd(f, s, bandwidth=1.3, unbiased=unbiased),
            lambda p, q: torch.exp(-(p - q).square().sum() / (2 * 1.3**2)),
        ),
        (kernel_mmd(f, s, "linear", unbiased=unbiased), lambda p, q: p @ q),
        (kernel_mmd(f, s, "polynomial", offset=0.7, unbiased=unbiased), lambda p, q: (p @ q + 0.7) ** 2),
    ):
        expected = [by_definition(one, s[0], kernel, unbiased) for one in f]
        assert found.tolist() == pytest.approx(expected, rel=1e-10)


def test_from_all_positions_they_are_what_sums_give():
    f, s, channels = maps(2, 5, 6, 7), maps(1, 5, 8, 4, seed=1), 5
    output, target = moments(f), moments(s)
    torch.testing.assert_close(kernel_mmd(f, s, "linear"), linear_mmd(output, target, relative=False))
    for offset in (0.0, 0.5, 2.0):
        found = kernel_mmd(f, s, "polynomial", offset=offset)
        torch.testing.assert_close(found, polynomial_mmd(output, target, offset, relative=False), rtol=1e-12, atol=0)
    # Li et al. 2017: the loss of Gatys et al. is MMD^2 / (4 C^2), here also for other numbers of positions
    found = kernel_mmd(f, s, "polynomial", offset=0) / (4 * channels**2)
    torch.testing.assert_close(gram_loss(output, target, "gatys-paper"), found, rtol=1e-12, atol=0)


def test_a_gaussian_sees_what_means_and_covariances_do_not():
    # mean 0 and variance 1, in two points or in three
    one = torch.tensor([-1.0, 1.0]).double().repeat(12).view(1, 1, 4, 6)
    other = torch.tensor([-(2**0.5), 0.0, 0.0, 2**0.5]).double().repeat(6).view(1, 1, 4, 6)
    for blind in (linear_mmd, polynomial_mmd, wasserstein):
        assert abs(blind(moments(one), moments(other), relative=False).item()) < 1e-12
    kernel = lambda squared: math.exp(-squared / 2)  # noqa: E731
    within = (1 + kernel(4)) / 2 + (6 + 2 * kernel(8) + 8 * kernel(2)) / 16
    near, far = kernel((2**0.5 - 1) ** 2), kernel((2**0.5 + 1) ** 2)
    across = (2 * kernel(1) + near + far) / 4
    assert gaussian_mmd(one, other, bandwidth=1.0).item() == pytest.approx(within - 2 * across)
    assert within - 2 * across > 0.03


def test_the_style_itself_loses_nothing_and_is_not_moved():
    features = maps(2, 4, 5, 6)
    for dtype, least in ((torch.float64, 1e-14), (torch.float32, 1e-6)):
        leaf = features.to(dtype).requires_grad_()
        found = gaussian_mmd(leaf, features.to(dtype))
        (gradient,) = torch.autograd.grad(found.sum(), leaf)
        assert found.abs().max() < least
        assert gradient.abs().max() < least


def test_it_is_symmetric_positive_and_at_most_2():
    for seed in range(5):
        f, s = maps(1, 3, 4, 5, seed=seed), maps(1, 3, 4, 5, seed=seed + 10)
        found = gaussian_mmd(f, s)
        torch.testing.assert_close(gaussian_mmd(s, f), found)
        assert 0 < found < 2
    point = torch.zeros(1, 3, 4, 5)
    assert gaussian_mmd(point, point + 100, bandwidth=1.0).item() == pytest.approx(2)


def test_two_samples_of_one_kind_are_at_distance_0_on_average_without_bias():
    found = torch.stack(
        [gaussian_mmd(maps(1, 2, 5, 5, seed=s), maps(1, 2, 4, 5, seed=s + 500), unbiased=True)[0] for s in range(200)]
    )
    assert found.mean().abs() < 3 * found.std() / 200**0.5
    assert (found < 0).any()
    biased = gaussian_mmd(maps(1, 2, 5, 5), maps(1, 2, 4, 5, seed=500))
    assert biased > 3 * found.std() / 200**0.5


@BOTH
def test_order_scale_place_and_turns_do_not_matter(unbiased):
    f, s = maps(1, 4, 5, 6), maps(1, 4, 3, 7, seed=1)
    expected = gaussian_mmd(f, s, unbiased=unbiased)
    turn = torch.linalg.qr(maps(4, 4, seed=2))[0]
    for change in (
        lambda one: one.flip(2),
        lambda one: one.mT,
        lambda one: 50 * one,
        lambda one: one + 1000,
        lambda one: torch.einsum("dc,nchw->ndhw", turn, one),
    ):
        torch.testing.assert_close(gaussian_mmd(change(f), change(s), unbiased=unbiased), expected, rtol=1e-8, atol=0)


def test_the_bandwidth_is_the_mean_distance_of_pairs():
    f, s = maps(2, 3, 4, 5), maps(1, 3, 3, 3, seed=1)
    expected = [
        (one.flatten(1).T[:, None] - s[0].flatten(1).T).square().sum(-1).mean().sqrt() for one in f
    ]  # root mean square
    found = pair_distance(f, s)
    torch.testing.assert_close(found, torch.stack(expected))
    torch.testing.assert_close(gaussian_mmd(f, s, bandwidth=found), gaussian_mmd(f, s))
    torch.testing.assert_close(gaussian_mmd(f[:1], s, bandwidth=found[0].item()), gaussian_mmd(f, s)[:1])
    leaf = f.clone().requires_grad_()
    free, fixed = (torch.autograd.grad(gaussian_mmd(leaf, s, bandwidth=b).sum(), leaf)[0] for b in (None, found))
    torch.testing.assert_close(free, fixed)  # without the bandwidth's gradient


def test_one_place_for_all_positions_has_a_number_and_a_gradient():
    leaf = torch.ones(1, 3, 2, 2).requires_grad_()
    found = gaussian_mmd(leaf, torch.ones(1, 3, 2, 2))
    (gradient,) = torch.autograd.grad(found.sum(), leaf)
    assert found.item() == 0
    assert gradient.eq(0).all()


@BOTH
def test_blocks_change_nothing_but_the_memory(unbiased, monkeypatch):
    f, s = maps(2, 3, 10, 9).requires_grad_(), maps(1, 3, 7, 9, seed=1)

    def value_gradient_and_kept() -> tuple[Tensor, Tensor, int]:
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda kept: sizes.append(kept.numel()) or kept, lambda k: k):
            found = gaussian_mmd(f, s, unbiased=unbiased, bandwidth=1.2)
        (gradient,) = torch.autograd.grad(found.sum(), f)
        return found.detach(), gradient, max(sizes)

    value, gradient, kept = value_gradient_and_kept()
    monkeypatch.setattr(module, "BLOCK", 16)
    in_blocks, block_gradient, block_kept = value_gradient_and_kept()
    torch.testing.assert_close(in_blocks, value, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(block_gradient, gradient, rtol=1e-10, atol=1e-15)
    assert kept >= 2 * 90 * 90  # the kernel matrix
    assert block_kept <= 2 * 90 * 3  # no more than the features


def test_positions_are_drawn_by_the_seed_and_in_no_batch_otherwise():
    f, s = maps(3, 4, 12, 12), maps(1, 4, 9, 9, seed=1)

    def loss(features: Tensor, seed: int = 0, positions: int | None = 30) -> list[float]:
        return gaussian_mmd(features, s, positions=positions, seed=seed).tolist()

    drawn = loss(f)
    assert loss(f) == drawn
    assert loss(f, seed=1) != drawn
    assert loss(f[1:2]) == pytest.approx(drawn[1:2], rel=1e-12)
    assert loss(f, positions=None) == loss(f, positions=144)
    assert gaussian_mmd(f, f, positions=30).abs().max() < 1e-14  # the same positions on both sides
    means = torch.tensor([loss(f, seed) for seed in range(100)]).mean(0)
    whole = torch.tensor(loss(f, positions=None))
    assert (means - whole).abs().max() < 0.1  # a V-statistic of fewer points is larger by about 1 / 30 + 1 / 30
    assert (means > whole).all()


def test_drawn_positions_alone_have_a_gradient():
    f, s = maps(1, 4, 12, 12).requires_grad_(), maps(1, 4, 9, 9, seed=1)
    (gradient,) = torch.autograd.grad(gaussian_mmd(f, s, positions=30), f)
    assert gradient.ne(0).all(1).sum() == 30


def test_descending_it_finds_both_places_of_a_style():
    # a style that stands at two points: the mean of both would satisfy a linear kernel
    style = torch.tensor([-1.0, 1.0]).repeat(8).view(1, 1, 4, 4)
    f = (0.1 * maps(1, 1, 4, 4).float()).requires_grad_()
    bandwidth = pair_distance(style, style)
    before = gaussian_mmd(f.detach(), style, bandwidth=bandwidth).item()
    for _ in range(500):
        (gradient,) = torch.autograd.grad(gaussian_mmd(f, style, bandwidth=bandwidth), f)
        with torch.no_grad():
            f -= 30 * gradient
    assert gaussian_mmd(f.detach(), style, bandwidth=bandwidth).item() < 1e-3 * before
    assert (f.detach().abs() - 1).abs().max() < 0.3


def test_half_precision_is_computed_in_float32():
    f, s = (maps(1, 8, 8, 8) * 200).half(), (maps(1, 8, 8, 8, seed=1) * 200).half()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gaussian_mmd(f, s), kernel_mmd(f, s, "polynomial")
    for one, exact in zip(
        found, (gaussian_mmd(f.double(), s.double()), kernel_mmd(f.double(), s.double(), "polynomial")), strict=True
    ):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), exact, rtol=1e-4, atol=0)


def test_what_cannot_be_is_said():
    f = maps(2, 3, 4, 5)
    for wrong in (f[0], f[:, :2]):
        with pytest.raises(ValueError, match="of one layer"):
            gaussian_mmd(f, wrong)
    with pytest.raises(ValueError, match="2 styles for 3 pictures"):
        gaussian_mmd(maps(3, 3, 4, 5), f)
    for bandwidth in (0, -1.0, float("nan"), torch.ones(3)):
        with pytest.raises(ValueError, match="bandwidth above 0"):
            gaussian_mmd(f, f, bandwidth=bandwidth)
    with pytest.raises(ValueError, match="None is all of them"):
        gaussian_mmd(f, f, positions=0)
    for loss in (gaussian_mmd, lambda *maps, **keywords: kernel_mmd(*maps, "linear", **keywords)):
        with pytest.raises(ValueError, match="2 or more positions"):
            loss(f[..., :1, :1], f, unbiased=True)
    with pytest.raises(ValueError, match="linear or polynomial"):
        kernel_mmd(f, f, "cubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="offset of 0 or more"):
        kernel_mmd(f, f, "polynomial", offset=-1)


def test_positions_that_were_drawn_in_inference_mode_serve_gradients_too():
    f = maps(1, 3, 5, 5, seed=4)
    with torch.inference_mode():
        seen = gaussian_mmd(f, f.flip(2), bandwidth=1.0, positions=7, seed=99).item()
    leaf = f.clone().requires_grad_(True)
    loss = gaussian_mmd(leaf, f.flip(2), bandwidth=1.0, positions=7, seed=99).sum()
    (gradient,) = torch.autograd.grad(loss, leaf)
    assert loss.item() == seen
    assert (gradient != 0).flatten(2).any(1).sum() == 7  # at the positions that were drawn
