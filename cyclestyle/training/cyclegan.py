"""CycleGAN in one page: four networks, what they minimise, one step (Zhu et al. 2017)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from cyclestyle.config import ObjectiveSettings
from cyclestyle.data.unpaired import Batch
from cyclestyle.images import Images
from cyclestyle.training.adversarial import ADVERSARIAL

Losses = dict[str, torch.Tensor]
"""Scalars by name; the objective is their sum."""


class Networks(NamedTuple):
    """Two generators, two discriminators."""

    paint: nn.Module  # photos -> paintings
    unpaint: nn.Module  # paintings -> photos
    painting_discriminator: nn.Module  # paintings -> scores
    photo_discriminator: nn.Module  # photos -> scores

    @property
    def generators(self) -> tuple[nn.Module, nn.Module]:
        return self.paint, self.unpaint

    @property
    def discriminators(self) -> tuple[nn.Module, nn.Module]:
        return self.painting_discriminator, self.photo_discriminator


class Fakes(NamedTuple):
    """Pictures that the generators made of a batch."""

    paintings: Images
    photos: Images


Remember = Callable[[Fakes], Fakes]
"""Trades fresh fakes for a mixture of fresh and remembered ones."""


def generator_losses(nets: Networks, batch: Batch, objective: ObjectiveSettings) -> tuple[Losses, Fakes]:
    """What `paint` and `unpaint` minimise (eq. 3 and section 5.2), and the fakes made on the way."""
    photos, paintings = batch.photos, batch.paintings
    fool = ADVERSARIAL[objective.adversarial].fool
    fakes = Fakes(paintings=nets.paint(photos), photos=nets.unpaint(paintings))
    losses = {
        "fool/painting": fool(nets.painting_discriminator(fakes.paintings)),
        "fool/photo": fool(nets.photo_discriminator(fakes.photos)),
        "cycle/photo": objective.cycle * distance(nets.unpaint(fakes.paintings), photos),
        "cycle/painting": objective.cycle * distance(nets.paint(fakes.photos), paintings),
    }
    if objective.identity:
        losses["identity/painting"] = objective.identity * distance(nets.paint(paintings), paintings)
        losses["identity/photo"] = objective.identity * distance(nets.unpaint(photos), photos)
    return losses, fakes


def discriminator_losses(nets: Networks, batch: Batch, fakes: Fakes, objective: ObjectiveSettings) -> Losses:
    """What the discriminators minimise, halved, so that they learn at half the generators' pace (section 7.1)."""
    adversarial = ADVERSARIAL[objective.adversarial]
    return {
        "real/painting": 0.5 * adversarial.real(nets.painting_discriminator(batch.paintings)),
        "fake/painting": 0.5 * adversarial.fake(nets.painting_discriminator(fakes.paintings)),
        "real/photo": 0.5 * adversarial.real(nets.photo_discriminator(batch.photos)),
        "fake/photo": 0.5 * adversarial.fake(nets.photo_discriminator(fakes.photos)),
    }


def distance(made: Images, true: Images) -> torch.Tensor:
    """Mean absolute difference, in fp32."""
    return F.l1_loss(made.float(), true.float())


def gradients(
    nets: Networks,
    batch: Batch,
    remember: Remember,
    objective: ObjectiveSettings,
    backward: Callable[[torch.Tensor], object],
) -> Losses:
    """Add one batch's gradients to all four networks; returns the detached losses.

    The generators are judged on what they make now. The discriminators learn from remembered fakes, detached, which
    were made before any network is updated. So both gradients are of the same weights, and the order of the two updates
    does not matter: the learner makes them together.
    """
    for discriminator in nets.discriminators:  # their own gradients are not wanted here, only those through them
        discriminator.requires_grad_(False)
    made, fakes = generator_losses(nets, batch, objective)
    backward(torch.stack(list(made.values())).sum())

    for discriminator in nets.discriminators:
        discriminator.requires_grad_(True)
    remembered = remember(Fakes(fakes.paintings.detach(), fakes.photos.detach()))
    judged = discriminator_losses(nets, batch, remembered, objective)
    backward(torch.stack(list(judged.values())).sum())
    return {name: loss.detach() for name, loss in (made | judged).items()}
