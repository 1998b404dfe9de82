"""Discriminators of patches see patches alone, tell textures apart, and each learns from one picture only."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cyclestyle.styling.mdan import Judge, PatchDiscriminator, discriminator_hinge, painter_hinge


def stripes(across: bool, n: int = 1, side: int = 24, seed: int = 0) -> Tensor:
    """A texture of 8 channels: stripes down or across with noise, of one mean and deviation; the seed shifts them."""
    generator = torch.Generator().manual_seed(seed)
    phase = torch.arange(8).view(1, 8, 1, 1) / 8 + torch.rand(n, 1, 1, 1, generator=generator)
    wave = torch.sin(2 * math.pi * (torch.arange(side).view(1, 1, 1, side) / 7 + phase)).expand(n, 8, side, side)
    wave = wave.mT if across else wave
    return (wave + 0.5 * torch.randn(n, 8, side, side, generator=generator)).relu()


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"), [(8, 8, 1, 1), (11, 12, 1, 2), (24, 17, 5, 3), (64, 33, 15, 7)]
)
def test_there_is_a_logit_for_every_patch(height, width, rows, columns) -> None:
    logits = PatchDiscriminator(8)(torch.rand(2, 8, height, width))
    assert logits.shape == (2, 1, rows, columns)


def test_a_score_depends_on_its_patch_alone() -> None:
    discriminator, features = PatchDiscriminator(8, width=16).double(), stripes(False, 2).double()
    logits = discriminator(features)
    for row in range(5):
        for column in range(5):
            patch = features[..., 4 * row : 4 * row + 8, 4 * column : 4 * column + 8]
            torch.testing.assert_close(discriminator(patch)[..., 0, 0], logits[..., row, column])


def test_shuffled_patches_have_shuffled_scores() -> None:
    discriminator, features = PatchDiscriminator(8, width=16, stride=8).double(), stripes(False).double()
    patches = features.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).reshape(9, 8, 8, 8)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    shuffled = patches[order].view(3, 3, 8, 8, 8).permute(2, 0, 3, 1, 4).reshape(1, 8, 24, 24)
    torch.testing.assert_close(discriminator(shuffled).flatten(), discriminator(features).flatten()[order])


def test_weights_come_out_of_the_seed_and_nothing_is_taken_from_other_chances() -> None:
    before = torch.random.get_rng_state()
    first, same, other = (PatchDiscriminator(8, seed, width=16).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["inner.weight"], other["inner.weight"])
    assert all(tensor.isfinite().all() for tensor in first.values())


def test_the_hinges_are_their_formulas() -> None:
    real = torch.tensor([[2.0, 0.5, -1.0], [1.0, 3.0, 1.0]])
    fake = torch.tensor([[-2.0, 0.0], [-1.0, -1.5]]).view(2, 1, 1, 2)
    assert discriminator_hinge(real, fake).tolist() == [(0 + 0.5 + 2) / 3 + (0 + 1) / 2, 0.0]
    assert painter_hinge(fake).tolist() == [(3 + 1) / 2, (2 + 2.5) / 2]
    assert painter_hinge(real).tolist() == [(0 + 0.5 + 2) / 3, 0.0]


def test_a_judge_learns_to_tell_textures_apart_in_pieces_that_it_has_not_seen() -> None:
    judge, losses = Judge(8, 1), []
    for step in range(35):
        losses.append(judge.learn(stripes(False, seed=2 * step), stripes(True, seed=2 * step + 1)).item())
    assert losses[-1] < 0.1 < 1 < losses[0]
    discriminator = judge.discriminators[0]
    style, painting = stripes(True, 8, seed=100), stripes(False, 8, seed=101)
    right = (discriminator(style) > 0).double().mean() + (discriminator(painting) < 0).double().mean()
    assert right.item() / 2 > 0.9
    assert judge.loss(painting[:1]).item() > 1.5 > 0.5 > judge.loss(style[:1]).item()


def test_a_painting_that_follows_its_gradient_comes_to_be_taken_for_the_style() -> None:
    judge, style = Judge(8, 1), stripes(True)
    for _ in range(10):
        judge.learn(stripes(False), style)
    painting = stripes(False).requires_grad_()
    before = judge.loss(painting).item()
    for _ in range(20):
        (gradient,) = torch.autograd.grad(judge.loss(painting).sum(), painting)
        painting = (painting - 0.1 * gradient.sign()).detach().requires_grad_()
    assert judge.loss(painting).item() < before / 2


def test_learning_leaves_the_features_alone_and_the_loss_leaves_the_weights_alone() -> None:
    judge = Judge(8, 1)
    features, style = stripes(False).requires_grad_(), stripes(True).requires_grad_()
    weights = {name: tensor.clone() for name, tensor in judge.state().items()}
    judge.loss(features).sum().backward()
    assert features.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in judge.discriminators[0].parameters())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in judge.state().items())
    features.grad = None
    judge.learn(features, style)
    assert features.grad is None
    assert style.grad is None
    assert not torch.equal(judge.state()["0.weights.inner.weight"], weights["0.weights.inner.weight"])


def test_the_loss_has_the_gradient_of_its_values() -> None:
    discriminator = PatchDiscriminator(2, width=4, patch=4, stride=2).double()
    features = torch.rand(2, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: painter_hinge(discriminator(x)), features)
    assert torch.autograd.gradcheck(discriminator_hinge, (features, features.detach() + 0.1))


def test_what_comes_of_a_picture_does_not_depend_on_its_batch() -> None:
    features, styles = torch.cat([stripes(False, 2), stripes(True, seed=5)]), stripes(True, 3)
    together, alone = Judge(8, 3), [Judge(8, 1) for _ in range(3)]
    for style in (styles, styles[:1]):
        for _ in range(3):
            learnt = together.learn(features.contiguous(memory_format=torch.channels_last), style)
            each = [one.learn(features[[i]], style[[i % len(style)]]) for i, one in enumerate(alone)]
            assert torch.equal(learnt, torch.cat(each))
    assert torch.equal(together.loss(features), torch.cat([one.loss(features[[i]]) for i, one in enumerate(alone)]))


def test_several_maps_of_a_style_are_all_real() -> None:
    one, other, painting = stripes(True), stripes(True, side=16, seed=1), stripes(False)
    logits = [Judge(8, 1).discriminators[0](x).flatten(1) for x in (one, other, painting)]
    expected = discriminator_hinge(torch.cat(logits[:2], dim=1), logits[2])
    torch.testing.assert_close(Judge(8, 1).learn(painting, [one, other]), expected.detach())


def test_a_judge_goes_on_where_its_state_was_taken(tmp_path: Path) -> None:
    features, style = stripes(False, 2), stripes(True)
    judge, restarted, fresh = Judge(8, 2), Judge(8, 2, seed=9), Judge(8, 2)
    fresh.load(Judge(8, 2).state())  # before the first step Adam has no state
    for _ in range(3):
        judge.learn(features, style)
        fresh.learn(features, style)
    save_file(judge.state(), tmp_path / "judge.safetensors")
    restarted.load(load_file(tmp_path / "judge.safetensors"))
    going_on = [(judge.learn(features, style), judge.loss(features)) for _ in range(3)]
    for other in (restarted, fresh):
        for learnt, loss in going_on:
            assert torch.equal(other.learn(features, style), learnt)
            assert torch.equal(other.loss(features), loss)


def test_what_does_not_go_together_is_refused() -> None:
    judge = Judge(8, 2)
    with pytest.raises(ValueError, match="2 judges for 3 pictures"):
        judge.loss(torch.rand(3, 8, 8, 8))
    with pytest.raises(ValueError, match="2 judges for 1 pictures"):
        judge.learn(torch.rand(1, 8, 8, 8), stripes(True))
    with pytest.raises(ValueError, match="3 styles for 2 pictures"):
        judge.learn(torch.rand(2, 8, 8, 8), stripes(True, 3))
    with pytest.raises(ValueError, match="no map of a style"):
        judge.learn(torch.rand(2, 8, 8, 8), [])
    with pytest.raises(ValueError, match=r"7 x 9 .*smaller than a patch of 8 x 8"):
        judge.loss(torch.rand(2, 8, 7, 9))
    with pytest.raises(ValueError, match="state of 2 judges, got that of 3"):
        judge.load(Judge(8, 3).state())
    with pytest.raises(ValueError, match="other features"):
        judge.load(Judge(9, 2).state())
    with pytest.raises(ValueError, match="got 0"):
        Judge(8, 0)
    with pytest.raises(ValueError, match="patch 2"):
        PatchDiscriminator(8, patch=2)
