"""CycleGAN in one page: four networks, what they minimise, one step (Zhu et al. 2017)."""

from collections.abc import Callable, Sequence
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


def through(network: nn.Module, *pictures: Images, joined: bool) -> Sequence[torch.Tensor]:
    """Several batches through one network: one after the other, or joined to one where all have one size.

    Norms are over each picture alone, so both give the same; only the spectral norm's power iteration, which takes a
    step at each pass of a training, takes one instead of two. Joined, there are half as many operations, and each has
    twice the work: GPUs like that, and so do small networks on a CPU.
    """
    if not joined:
        return [network(batch) for batch in pictures]
    return network(torch.cat(pictures)).split([len(batch) for batch in pictures])


def generator_losses(
    nets: Networks, batch: Batch, objective: ObjectiveSettings, *, joined: bool = False
) -> tuple[Losses, Fakes]:
    """What `paint` and `unpaint` minimise (eq. 3 and section 5.2), and the fakes made on the way."""
    photos, paintings = batch.photos, batch.paintings
    fool = ADVERSARIAL[objective.adversarial].fool
    own = (paintings, photos) if objective.identity else ()  # pictures of the domain into which a generator leads
    fake_paintings, *same_paintings = through(nets.paint, photos, *own[:1], joined=joined)
    fake_photos, *same_photos = through(nets.unpaint, paintings, *own[1:], joined=joined)
    losses = {
        "fool/painting": fool(nets.painting_discriminator(fake_paintings)),
        "fool/photo": fool(nets.photo_discriminator(fake_photos)),
        "cycle/photo": objective.cycle * distance(nets.unpaint(fake_paintings), photos),
        "cycle/painting": objective.cycle * distance(nets.paint(fake_photos), paintings),
    }
    if objective.identity:
        losses["identity/painting"] = objective.identity * distance(same_paintings[0], paintings)
        losses["identity/photo"] = objective.identity * distance(same_photos[0], photos)
    return losses, Fakes(fake_paintings, fake_photos)


def discriminator_losses(
    nets: Networks, batch: Batch, fakes: Fakes, objective: ObjectiveSettings, *, joined: bool = False
) -> Losses:
    """What the discriminators minimise, halved, so that they learn at half the generators' pace (section 7.1)."""
    adversarial = ADVERSARIAL[objective.adversarial]
    real_paintings, made_paintings = through(
        nets.painting_discriminator, batch.paintings, fakes.paintings, joined=joined
    )
    real_photos, made_photos = through(nets.photo_discriminator, batch.photos, fakes.photos, joined=joined)
    return {
        "real/painting": 0.5 * adversarial.real(real_paintings),
        "fake/painting": 0.5 * adversarial.fake(made_paintings),
        "real/photo": 0.5 * adversarial.real(real_photos),
        "fake/photo": 0.5 * adversarial.fake(made_photos),
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
    *,
    joined: bool = False,
) -> Losses:
    """Add one batch's gradients to all four networks; returns the detached losses.

    The generators are judged on what they make now. The discriminators learn from remembered fakes, detached, which
    were made before any network is updated. So both gradients are of the same weights, and the order of the two updates
    does not matter: the learner makes them together.
    """
    for discriminator in nets.discriminators:  # their own gradients are not wanted here, only those through them
        discriminator.requires_grad_(False)
    made, fakes = generator_losses(nets, batch, objective, joined=joined)
    backward(torch.stack(list(made.values())).sum())

    for discriminator in nets.discriminators:
        discriminator.requires_grad_(True)
    remembered = remember(Fakes(fakes.paintings.detach(), fakes.photos.detach()))
    judged = discriminator_losses(nets, batch, remembered, objective, joined=joined)
    backward(torch.stack(list(judged.values())).sum())
    return {name: loss.detach() for name, loss in (made | judged).items()}
