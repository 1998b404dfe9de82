"""The relatives of the Gram loss are their formulas, see what they should see, and have gradients wherever they are."""

import itertools

import pytest
import torch
from torch import Tensor

from cyclestyle.styling.gram import gram_loss
from cyclestyle.styling.moments import Moments, covariance, moments, stack
from cyclestyle.styling.statistics import (
    content_loss,
    linear_mmd,
    mean_std_loss,
    polynomial_mmd,
    square_root,
    wasserstein,
)

LOSSES = {
    "mean and deviation": mean_std_loss,
    "linear": linear_mmd,
    "polynomial": polynomial_mmd,
    "wasserstein": wasserstein,
}
EVERY_LOSS = pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3


def gaussian(mean: list[float], matrix: Tensor) -> Moments:
    """The moments of one picture with a given mean and covariance."""
    middle = torch.tensor([mean], dtype=torch.float64)
    return Moments(middle, matrix[None] + middle[:, :, None] * middle[:, None], torch.ones(1, dtype=torch.float64))


def rotation(size: int, seed: int = 5) -> Tensor:
    return torch.linalg.qr(maps(size, size, seed=seed))[0]


def test_content_is_its_formula():
    f, p = maps(2, 3, 4, 5), maps(1, 3, 4, 5, seed=1)
    apart = [sum(((a - b) ** 2).item() for a, b in zip(one.flatten(), p.flatten(), strict=True)) for one in f]
    assert content_loss(f, p, "gatys-paper").tolist() == pytest.approx([value / 2 for value in apart])
    assert content_loss(f, p, "mean").tolist() == pytest.approx([value / 60 for value in apart])
    size = (p**2).sum().item()
    assert content_loss(f, p).tolist() == pytest.approx([value / size for value in apart])
    assert content_loss(f, f).tolist() == [0, 0]
    assert content_loss(0 * f, p).tolist() == pytest.approx([1, 1])


def test_content_does_not_overflow_in_half_precision():
    f = torch.full((1, 64, 64, 64), 100.0, dtype=torch.float16)
    assert content_loss(f, 0.9 * f).item() == pytest.approx((0.1 / 0.9) ** 2, rel=1e-2)


def test_mean_and_deviation_are_of_every_channel():
    f, s = maps(2, 3, 4, 5), maps(1, 3, 6, 7, seed=1)
    for index in range(2):
        parts = [
            (a.mean() - b.mean()) ** 2 + (a.std(correction=0) - b.std(correction=0)) ** 2
            for a, b in zip(f[index], s[0], strict=True)
        ]
        found = mean_std_loss(moments(f), moments(s), relative=False)[index]
        torch.testing.assert_close(found, sum(parts) / 3)


def test_polynomial_is_the_gram_loss_and_the_means():
    f, s, channels = maps(2, 5, 4, 6), maps(1, 5, 7, 3, seed=1), 5
    output, target = moments(f), moments(s)
    gram = 4 * channels**2 * gram_loss(output, target, "gatys-paper")
    means = linear_mmd(output, target, relative=False)
    torch.testing.assert_close(means, (f.mean((2, 3)) - s.mean((2, 3))).square().sum(1))
    for offset in (0.0, 0.5, 2.0):
        found = polynomial_mmd(output, target, offset, relative=False)
        torch.testing.assert_close(found, gram + 2 * offset * means, rtol=1e-13, atol=0)
    torch.testing.assert_close(polynomial_mmd(output, target, 0.0), gram_loss(output, target))


@EVERY_LOSS
def test_in_units_of_the_style_nothing_at_all_loses_1(loss):
    s = maps(1, 4, 5, 6)
    torch.testing.assert_close(loss(moments(0 * s), moments(s)), torch.ones(1).double(), rtol=1e-12, atol=0)
    output = moments(maps(2, 4, 3, 3, seed=1))
    unit = loss(moments(0 * s), moments(s), relative=False)
    torch.testing.assert_close(loss(output, moments(s)), loss(output, moments(s), relative=False) / unit)
    scaled = Moments(10 * output.mean, 100 * output.second, output.positions)
    if loss is not polynomial_mmd:  # whose offset has the unit of the features' square
        torch.testing.assert_close(loss(scaled, moments(10 * s)), loss(output, moments(s)))
    torch.testing.assert_close(
        polynomial_mmd(scaled, moments(10 * s), offset=100), polynomial_mmd(output, moments(s), offset=1)
    )


@EVERY_LOSS
@pytest.mark.parametrize("positions", [4, 64], ids=["fewer positions than channels", "more"])
def test_the_style_itself_loses_nothing_and_is_not_moved(loss, positions):
    features = maps(2, 8, 1, positions)
    leaf = features.clone().requires_grad_()
    found = loss(moments(leaf), moments(features), relative=False)
    (gradient,) = torch.autograd.grad(found.sum(), leaf)
    assert found.abs().max() < 1e-13
    assert gradient.abs().max() < 1e-13


@EVERY_LOSS
def test_pictures_do_not_know_their_batch_and_styles_may_be_one_or_one_each(loss):
    outputs = [moments(maps(1, 4, 5, 6, seed=seed)) for seed in range(3)]
    styles = [moments(maps(1, 4, 3, 7, seed=seed)) for seed in range(3, 6)]
    together = loss(stack(outputs), stack(styles))
    assert together.shape == (3,)
    for index, (output, style) in enumerate(zip(outputs, styles, strict=True)):
        torch.testing.assert_close(loss(output, style)[0], together[index], rtol=1e-12, atol=0)
        torch.testing.assert_close(loss(stack(outputs), style)[index], together[index], rtol=1e-12, atol=0)


@EVERY_LOSS
def test_order_and_repetition_of_positions_do_not_matter(loss):
    f, s = maps(1, 4, 5, 6), maps(1, 4, 3, 7, seed=1)
    expected = loss(moments(f), moments(s))
    torch.testing.assert_close(loss(moments(f.flip(2).repeat(1, 1, 1, 2)), moments(s.mT)), expected)


def test_what_each_can_see():
    corners = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1]]).double().view(1, 2, 1, 4)  # uncorrelated
    diagonal = torch.tensor([[1.0, 1, -1, -1], [1, 1, -1, -1]]).double().view(1, 2, 1, 4)
    wide, moved = 2 * corners, corners + 1
    for loss, blind_to in (
        (linear_mmd, {"spread", "correlation"}),
        (mean_std_loss, {"correlation"}),
        (polynomial_mmd, set()),
        (wasserstein, set()),
    ):
        for name, other in {"mean": moved, "spread": wide, "correlation": diagonal}.items():
            found = loss(moments(corners), moments(other), relative=False).item()
            assert (abs(found) < 1e-13) == (name in blind_to), (loss, name)


def test_wasserstein_of_one_channel():
    # |mu - mu'|^2 + (s - s')^2
    f, s = maps(1, 1, 4, 5), 3 * maps(1, 1, 6, 5, seed=1) - 2
    expected = (f.mean() - s.mean()) ** 2 + (f.std(correction=0) - s.std(correction=0)) ** 2
    torch.testing.assert_close(wasserstein(moments(f), moments(s), relative=False)[0], expected)


def test_wasserstein_of_commuting_covariances():
    turn, own, wanted = rotation(4), torch.tensor([4.0, 1, 0.25, 0]), torch.tensor([1.0, 9, 0, 0])
    one = gaussian([1, 0, 0, 2], turn @ torch.diag(own.double()) @ turn.T)
    other = gaussian([0, 0, 0, 1], turn @ torch.diag(wanted.double()) @ turn.T)
    expected = 2 + (own.sqrt() - wanted.sqrt()).square().sum().item()
    assert wasserstein(one, other, relative=False).item() == pytest.approx(expected, rel=1e-12)
    assert wasserstein(other, one, relative=False).item() == pytest.approx(expected, rel=1e-12)


def test_wasserstein_is_the_cost_of_the_optimal_map():
    # moved by x -> mu' + T (x - mu), T = S^-1/2 (S^1/2 S' S^1/2)^1/2 S^-1/2, features have the style's moments
    f, s = maps(1, 4, 6, 6), torch.einsum("dc,nchw->ndhw", maps(4, 4, seed=2), maps(1, 4, 5, 5, seed=1))
    own, wanted = covariance(moments(f)), covariance(moments(s))
    root = square_root(own)
    move = torch.linalg.inv(root) @ square_root(root @ wanted @ root) @ torch.linalg.inv(root)
    moved = torch.einsum("dc,nchw->ndhw", move[0], f - f.mean((2, 3), keepdim=True)) + s.mean((2, 3), keepdim=True)
    assert wasserstein(moments(moved), moments(s), relative=False).abs().item() < 1e-12
    cost = (moved - f).square().sum(1).mean()
    torch.testing.assert_close(wasserstein(moments(f), moments(s), relative=False)[0], cost)


@pytest.mark.parametrize("loss", [linear_mmd, polynomial_mmd, wasserstein])
def test_turning_the_channels_of_both_changes_nothing(loss):
    f, s, turn = maps(1, 4, 5, 6), maps(1, 4, 3, 7, seed=1), rotation(4)
    turned = [moments(torch.einsum("dc,nchw->ndhw", turn, one)) for one in (f, s)]
    torch.testing.assert_close(loss(*turned), loss(moments(f), moments(s)), rtol=1e-12, atol=0)


def test_wasserstein_is_symmetric_and_its_root_keeps_the_triangle():
    found = [moments(maps(1, 4, 5, 6, seed=seed) * (seed + 1)) for seed in range(4)]

    def distance(a: int, b: int) -> float:
        return wasserstein(found[a], found[b], relative=False).clamp_min(0).sqrt().item()

    for a, b, c in itertools.permutations(range(4), 3):
        assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-10)
        assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-12


def test_the_gradient_of_wasserstein_is_the_optimal_displacement():
    # by features: 2 / M times what the optimal map would take away
    f = maps(1, 3, 6, 6).requires_grad_()
    s = torch.einsum("dc,nchw->ndhw", maps(3, 3, seed=2), maps(1, 3, 5, 5, seed=1))
    (gradient,) = torch.autograd.grad(wasserstein(moments(f), moments(s), relative=False), f)
    root = square_root(covariance(moments(f.detach())))
    move = torch.linalg.inv(root) @ square_root(root @ covariance(moments(s)) @ root) @ torch.linalg.inv(root)
    centred = f.detach() - f.detach().mean((2, 3), keepdim=True)
    moved = torch.einsum("dc,nchw->ndhw", move[0], centred) + s.mean((2, 3), keepdim=True)
    torch.testing.assert_close(gradient, 2 * (f.detach() - moved) / 36)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@EVERY_LOSS
def test_dead_channels_and_too_few_positions_have_finite_gradients(loss, dtype):
    f, s = maps(1, 12, 2, 4).relu().to(dtype), maps(1, 12, 3, 3, seed=1).relu().to(dtype)
    f[:, :4] = 0  # dead in the output
    f[:, 4] = 0.7  # constant
    s[:, 3:6] = 0  # dead in the style
    f.requires_grad_()
    found = loss(moments(f), moments(s))
    (gradient,) = torch.autograd.grad(found.sum(), f)
    assert found.isfinite().all()
    assert gradient.isfinite().all()
    assert 0 < gradient.abs().max() < 10
    everywhere = torch.zeros(1, 12, 2, 4, dtype=dtype).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(moments(everywhere), moments(s)).sum(), everywhere)
    assert gradient.isfinite().all()


def test_wasserstein_with_too_few_positions_is_the_nuclear_norms():
    # with centred features, tr (S'^1/2 S S'^1/2)^1/2 is the nuclear norm of F^T F' / sqrt(M N)
    f, s = maps(1, 64, 3, 4), maps(1, 64, 4, 5, seed=1)
    s[:, :7] = 0
    a, b = ((one - one.mean((2, 3), keepdim=True)).flatten(2)[0] for one in (f, s))
    overlap = torch.linalg.matrix_norm(a.T @ b, "nuc") / (12 * 20) ** 0.5
    expected = (f.mean((2, 3)) - s.mean((2, 3))).square().sum() + a.square().sum() / 12 + b.square().sum() / 20
    expected = (expected - 2 * overlap).item()
    for dtype, accuracy in ((torch.float64, 1e-12), (torch.float32, 3e-6)):
        found = wasserstein(moments(f.to(dtype)), moments(s.to(dtype)), relative=False)
        assert found.dtype == dtype
        assert found.item() == pytest.approx(expected, rel=accuracy)


def test_descending_wasserstein_reaches_the_style_from_where_channels_are_dead():
    target = moments(maps(1, 4, 6, 6, seed=1))
    f = maps(1, 4, 6, 6)
    f[:, 0] = 0
    f[:, 0, 0, 0] = 0.1  # one position lives
    f.requires_grad_()
    losses = []
    for _ in range(40):
        loss = wasserstein(moments(f), target)
        (gradient,) = torch.autograd.grad(loss.sum(), f)
        losses.append(loss.item())
        with torch.no_grad():
            f -= gradient * 36 / 2 * 0.5 * target.second.diagonal(dim1=1, dim2=2).sum()
    assert losses[0] > 0.1
    assert losses[-1] < 1e-10


def test_a_root_that_was_kept_changes_nothing():
    output, target = moments(maps(2, 4, 5, 6)), moments(maps(1, 4, 3, 7, seed=1))
    root = square_root(covariance(target))
    torch.testing.assert_close(root @ root, covariance(target))
    torch.testing.assert_close(wasserstein(output, target, root=root), wasserstein(output, target), rtol=0, atol=0)


def test_wasserstein_has_second_derivatives_where_eigenvalues_are_equal():
    # 2 x 2 scaled identities: S = a I, S' = b I, so that W = 2 (a^1/2 - b^1/2)^2; by a, all of S moving with it
    a = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    target = gaussian([0, 0], 3 * torch.eye(2).double())
    found = wasserstein(gaussian([0, 0], a * torch.eye(2).double()), target, relative=False).sum()
    (slope,) = torch.autograd.grad(found, a, create_graph=True)
    (bend,) = torch.autograd.grad(slope, a)
    assert slope.item() == pytest.approx(2 - 2 * (3 / 2) ** 0.5)
    assert bend.item() == pytest.approx((3 / 2**3) ** 0.5)


def test_what_cannot_be_is_said():
    f, s = maps(2, 3, 4, 5), maps(1, 4, 4, 5)
    for loss in LOSSES.values():
        with pytest.raises(ValueError, match="one layer of one network"):
            loss(moments(f), moments(s))
        with pytest.raises(ValueError, match="all 0"):
            loss(moments(f), moments(0 * f))
        with pytest.raises(ValueError, match="2 styles for 3 pictures"):
            loss(moments(maps(3, 3, 4, 5)), moments(f))
    with pytest.raises(ValueError, match="offset of 0 or more, got -1"):
        polynomial_mmd(moments(f), moments(f), -1)
    for wrong in (s, maps(3, 3, 4, 5), f[:, :, :3], f[0]):
        with pytest.raises(ValueError, match="give both the same size"):
            content_loss(f, wrong)
    with pytest.raises(ValueError, match="all 0"):
        content_loss(f, 0 * f)
    with pytest.raises(ValueError, match="choose one of relative, gatys-paper, mean"):
        content_loss(f, f, "sum")  # type: ignore[arg-type]
