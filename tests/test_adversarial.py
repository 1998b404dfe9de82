"""The adversarial losses have the values that their papers give, and are computed in fp32."""

import math

import pytest
import torch
import torch.nn.functional as F

from cyclestyle.training.adversarial import ADVERSARIAL

SCORES = torch.tensor([2.0, 0.0, -1.0, 1.0]).reshape(1, 1, 2, 2)


def log_loss(*logits: float) -> float:
    """The mean of -log(sigmoid(x))."""
    return sum(math.log1p(math.exp(-logit)) for logit in logits) / len(logits)


@pytest.mark.parametrize(
    ("name", "fool", "real", "fake"),
    [
        # squares of 1 -1 -2 0 (towards one) and of 2 0 -1 1 (towards zero)
        ("lsgan", 6 / 4, 6 / 4, 6 / 4),
        # minus the mean; relu of -1 1 2 0; relu of 3 1 0 2
        ("hinge", -2 / 4, 3 / 4, 6 / 4),
        ("vanilla", log_loss(2, 0, -1, 1), log_loss(2, 0, -1, 1), log_loss(-2, 0, 1, -1)),
    ],
)
def test_values_on_scores_made_by_hand(name: str, fool: float, real: float, fake: float) -> None:
    losses = ADVERSARIAL[name]
    assert losses.fool(SCORES).item() == pytest.approx(fool, abs=1e-6)
    assert losses.real(SCORES).item() == pytest.approx(real, abs=1e-6)
    assert losses.fake(SCORES).item() == pytest.approx(fake, abs=1e-6)


def test_least_squares_tell_real_from_fake() -> None:
    scores = torch.full((2, 1, 3, 3), 0.75)
    assert ADVERSARIAL["lsgan"].real(scores).item() == 0.0625
    assert ADVERSARIAL["lsgan"].fake(scores).item() == 0.5625
    assert ADVERSARIAL["lsgan"].fool(scores).item() == 0.0625


def test_hinge_is_satisfied_beyond_the_margin_but_the_generator_never_is() -> None:
    hinge = ADVERSARIAL["hinge"]
    assert hinge.real(torch.tensor([1.0, 5.0])).item() == 0.0
    assert hinge.fake(torch.tensor([-1.0, -5.0])).item() == 0.0
    assert hinge.fool(torch.tensor([7.0, 9.0])).item() == -8.0


def test_vanilla_is_binary_cross_entropy_on_logits_even_for_extreme_scores() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.cat([10 * torch.randn(500, generator=generator), torch.tensor([-200.0, 200.0, 0.0])])
    ones, zeros = torch.ones_like(scores), torch.zeros_like(scores)
    vanilla = ADVERSARIAL["vanilla"]
    torch.testing.assert_close(vanilla.real(scores), F.binary_cross_entropy_with_logits(scores, ones))
    torch.testing.assert_close(vanilla.fool(scores), F.binary_cross_entropy_with_logits(scores, ones))
    torch.testing.assert_close(vanilla.fake(scores), F.binary_cross_entropy_with_logits(scores, zeros))


@pytest.mark.parametrize("name", ADVERSARIAL)
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_scores_give_the_fp32_loss_of_their_values(name: str, half: torch.dtype) -> None:
    # 300^2 is beyond fp16's 65504, and a mean of 4096 halves would lose bits.
    scores = torch.full((1, 1, 64, 64), 300.0, dtype=half)
    scores[..., ::2] = -1.0
    for loss in ADVERSARIAL[name]:
        found = loss(scores)
        assert found.dtype == torch.float32
        assert torch.isfinite(found)
        torch.testing.assert_close(found, loss(scores.float()), rtol=0, atol=0)
