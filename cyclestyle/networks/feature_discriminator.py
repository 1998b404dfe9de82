"""A discriminator that looks through a pretrained network (Sauer et al. 2021, "Projected GANs Converge Faster").

What a network has learnt of pictures is there from the first step: changes too faint to be seen, which are enough to
confuse a discriminator that begins with random weights, do not move its features.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclestyle.images import Images
from cyclestyle.networks.extractors import Extractor

STRIDE = 8
"""Pixels from one score to the next, at every depth."""
BESIDE_FEATURES = 3
"""How many depths the patches of pixels weigh as much as: features alone let regular fine patterns pass."""


class FeatureDiscriminator(nn.Module):
    """Judges what a pretrained network sees at several depths, and beside it overlapping patches of pixels.

    (n, 3, 256, 256) gives (n, depths + 3, 32, 32) scores: one map for each depth, that of the patches three times.
    The pretrained network learns nothing, and is not saved with the weights.
    """

    seeing: Extractor

    def __init__(self, seeing: Extractor, patches: nn.Module, width: int = 64) -> None:
        """One head for each resolution of the pretrained network, at the shallowest features that have it.

        Args:
            seeing: the pretrained network. Several discriminators may share it.
            patches: a discriminator of pixels, (n, 3, h, w) to (n, 1, h', w').
            width: channels of the heads.
        """
        super().__init__()
        # No child: else it would be saved, be made to learn, and be drawn anew with the other initial weights.
        self.__dict__["seeing"] = seeing.requires_grad_(False).eval()
        strides = {seeing.geometry(tap).stride: tap for tap in reversed(seeing.taps)}
        self.taps = tuple(strides[stride] for stride in sorted(strides))
        self.heads = nn.ModuleList(
            _head(seeing.channels[tap], width, stride) for stride, tap in sorted(strides.items())
        )
        self.patches = patches

    @property
    def origin(self) -> dict[str, Any]:
        """Where the pretrained network's weights are from."""
        return self.seeing.origin

    @property
    def least(self) -> int:
        """Pixels of the shorter side below which pictures cannot be judged."""
        return max(self.seeing.least(self.taps), 2 * STRIDE)

    def forward(self, images: Images) -> Tensor:
        seen = self.seeing(images, self.taps)
        maps = [head(seen[tap]) for tap, head in zip(self.taps, self.heads, strict=True)]
        maps += [self.patches(images)] * BESIDE_FEATURES
        side = [-(-size // STRIDE) for size in images.shape[-2:]]
        return torch.cat([F.interpolate(one, size=side) for one in maps], dim=1)  # (n, depths + 3, h / 8, w / 8)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FeatureDiscriminator":
        self.seeing._apply(fn, recurse)  # goes where the rest goes: to a device
        return super()._apply(fn, recurse)


def _head(channels: int, width: int, stride: int) -> nn.Sequential:
    """Convolutions without norms, which would take colours and contrasts out of what is judged."""
    layers: list[nn.Module] = []
    for _ in range(max(0, round(math.log2(STRIDE / stride)))):
        layers += [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        channels = width
    layers += [nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(width, 1, 1)]
    return nn.Sequential(*layers)
