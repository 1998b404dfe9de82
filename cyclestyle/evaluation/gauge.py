"""A small part of the evaluation, cheap enough for a training to ask every few epochs: the features behind its KID."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from cyclestyle.evaluation.eyes import exactly
from cyclestyle.images import Images
from cyclestyle.networks.fewer_products import laid_out
from cyclestyle.networks.inception import load_inception
from cyclestyle.networks.kinds import Precision
from cyclestyle.networks.precision import computing_in, settled
from cyclestyle.networks.vgg import load_vgg, random_vgg

DEEPEST = ("relu4_1", "relu3_1", "relu2_1", "relu1_1")
"""The first that there is."""


@dataclass(frozen=True)
class Gauge:
    """A network's features of whole pictures, and what to call them."""

    name: str
    see: Callable[[Images], Tensor]
    """(n, 3, h, w) in [-1, 1] to (n, d)."""
    note: str | None = None
    """What is to be said of it, in a sentence."""

    @exactly()
    def look(self, images: Images) -> Tensor:
        """Features (n, d) of pictures (n, 3, h, w) as their saved files would hold them: fp32, on the CPU."""
        return self.see(_eight_bit(images)).float().cpu()


def open_gauge(
    network: Literal["inception", "vgg19", "random"],
    weights: Path | None,
    device: torch.device,
    precision: Precision = "fp32",
) -> Gauge:
    """The deepest features that the weights give.

    Args:
        network: whose.
        weights: a folder, as for `find_weights`.
        device: where they are computed.
        precision: of convolutions; where the device lacks bf16, fp32 is taken, and a note says so.

    Raises:
        ValueError, FileNotFoundError: as `find_weights` does.
    """
    precision, note = settled(precision, device)
    suffix = " in bf16" if precision == "bf16" else ""
    if network == "inception":
        inception = laid_out(computing_in(precision, load_inception(weights)).to(device), device)
        level = inception.levels[-1]
        return Gauge(f"Inception-{level}{suffix}", lambda images: inception(images, (level,))[level], note)
    vgg = random_vgg(deepest=DEEPEST[0]) if network == "random" else load_vgg("vgg19", weights)
    vgg = laid_out(computing_in(precision, vgg).to(device), device)
    tap = next(tap for tap in DEEPEST if tap in vgg.taps)
    return Gauge(f"{vgg.name} {tap}{suffix}", lambda images: vgg(images, (tap,))[tap].mean((2, 3)), note)


def _eight_bit(images: Images) -> Images:
    """Rounded as a saved picture is: networks see what a file would hold."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round_().div_(127.5).sub_(1)
