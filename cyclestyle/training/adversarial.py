"""Adversarial losses, by name: what a map of scores costs the side that wants it high or low."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

Loss = Callable[[torch.Tensor], torch.Tensor]


class Adversarial(NamedTuple):
    """Three losses on scores of shape (n, 1, h, w), each a mean over all of them, computed in fp32."""

    fool: Loss
    """The generator's: its fakes should be taken for real."""
    real: Loss
    """The discriminator's on real pictures."""
    fake: Loss
    """The discriminator's on made pictures."""


def _towards(target: float) -> Loss:
    return lambda scores: (scores.float() - target).square().mean()


ADVERSARIAL = {
    # Mao et al. 2017, eq. 2 with b = c = 1, a = 0; the halves are in `discriminator_losses`
    "lsgan": Adversarial(fool=_towards(1.0), real=_towards(1.0), fake=_towards(0.0)),
    # Lim and Ye 2017
    "hinge": Adversarial(
        fool=lambda scores: -scores.float().mean(),
        real=lambda scores: F.relu(1.0 - scores.float()).mean(),
        fake=lambda scores: F.relu(1.0 + scores.float()).mean(),
    ),
    # Goodfellow et al. 2014, the non-saturating form; scores are logits
    "vanilla": Adversarial(
        fool=lambda scores: F.softplus(-scores.float()).mean(),
        real=lambda scores: F.softplus(-scores.float()).mean(),
        fake=lambda scores: F.softplus(scores.float()).mean(),
    ),
}
