"""LPIPS v0.1: how different two pictures look (Zhang et al., "The unreasonable effectiveness of deep features as a
perceptual metric", CVPR 2018, eq. 1), as the authors' package computes it.

The distance is a weighted one between features of an ImageNet network whose channels are scaled to unit length at every
position; `load_lpips` takes the published weights, `random_lpips` the same form of distance without any.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision import models

from cyclestyle.images import Images
from cyclestyle.networks.vgg import random_filters
from cyclestyle.networks.weights import find_weights

LpipsNet = Literal["alex", "squeeze", "vgg"]

KINDS = {"alex": "alexnet", "squeeze": "squeezenet", "vgg": "vgg16"}
BUILDERS = {"alex": models.alexnet, "squeeze": models.squeezenet1_1, "vgg": models.vgg16}
TAPS = {"alex": (1, 4, 7, 9, 11), "squeeze": (1, 4, 7, 9, 10, 11, 12), "vgg": (3, 8, 15, 22, 29)}
"""Numbers of the layers of torchvision's `features` after which they are compared."""
CHANNELS = {
    "alex": (64, 192, 384, 256, 256),
    "squeeze": (64, 128, 256, 384, 384, 512, 512),
    "vgg": (64, 128, 256, 512, 512),
}
LEAST = {"alex": 31, "squeeze": 17, "vgg": 16}
"""Pixels of the shorter side below which the deepest layer would be empty."""

# ImageNet's mean and deviation for pictures in [-1, 1]; the authors' "scaling layer"
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
EPSILON = 1e-10
"""Added to a length before dividing by it. torchmetrics adds 1e-8 to the square of the length instead."""

Perceived = tuple[Tensor, ...]
"""Features of n pictures at each layer, (n, channels, h, w), of unit length over the channels."""


class Lpips(nn.Module):
    """A distance between pictures; 0 for equal ones, symmetric, mostly below 1. Frozen."""

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        net: LpipsNet,
        backbone: Mapping[str, Tensor],
        heads: Sequence[Tensor],
        name: str,
        origin: Mapping[str, Any],
    ) -> None:
        """Compare features of `net` under the weights `heads`.

        Args:
            net: which network.
            backbone: its weights, in torchvision's names (`features.0.weight`).
            heads: the weights of the channels, at each layer (channels,).
            name: for people, beside the numbers.
            origin: where the weights are from, for `provenance`.
        """
        super().__init__()
        self.net, self.name, self.origin = net, name, dict(origin)
        self.layers = _features(net)
        self.layers.load_state_dict(
            {key.removeprefix("features."): tensor for key, tensor in backbone.items()}, assign=True
        )
        self.heads = nn.ParameterList(heads)
        self.register_buffer("shift", torch.tensor(SHIFT).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)
        self.eval().requires_grad_(False)

    @property
    def provenance(self) -> dict[str, Any]:
        """What made the distances: for a report, and to know whether kept numbers still hold. Fits into JSON."""
        return {
            "network": self.name,
            "taps": list(TAPS[self.net]),
            "input": "RGB in [0, 1], minus ImageNet's mean, over its deviation; not resized",
            "weights": self.origin,
        }

    def features(self, images: Images) -> Perceived:
        """What `distance` compares, so that a picture is looked at once, however many it is compared with.

        Args:
            images: (n, 3, h, w) float, RGB in [-1, 1].

        Raises:
            ValueError: pictures too small for the deepest layer.
        """
        height, width = images.shape[-2:]
        least = LEAST[self.net]
        if min(height, width) < least:
            raise ValueError(
                f"{self.name} needs pictures of at least {least} x {least} pixels, "
                f"these are {height} x {width} (height x width); give larger ones"
            )
        x, found = (images - self.shift) / self.scale, []
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number in TAPS[self.net]:
                found.append(x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + EPSILON))
        return tuple(found)

    def distance(self, one: Perceived, other: Perceived) -> Tensor:
        """Distances (n,) between what `features` gave: the weighted squared difference, mean over positions, sum over
        layers.

        One picture on one side is compared with each on the other.
        """
        layers = zip(one, other, self.heads, strict=True)
        return torch.stack([(x - y).square().mean((2, 3)) @ head for x, y, head in layers]).sum(0)

    def forward(self, images: Images, others: Images) -> Tensor:
        """Distances (n,) between pictures (n, 3, h, w) of one size, float, RGB in [-1, 1].

        Raises ValueError for pictures too small for the deepest layer.
        """
        return self.distance(self.features(images), self.features(others))


def _features(net: LpipsNet) -> nn.Sequential:
    """torchvision's network up to the last layer that is compared, without weights.

    Its ReLUs write in place, but only over what the convolution before them has made: never over a layer's result.
    """
    with torch.device("meta"):
        layers = list(BUILDERS[net](weights=None).features.children())
    return nn.Sequential(*layers[: TAPS[net][-1] + 1])


def load_lpips(net: LpipsNet = "alex", folder: Path | None = None) -> Lpips:
    """LPIPS v0.1 with published weights of the network and of the heads: `find_weights` says where they are looked for.

    Every layer is needed: files that lack some are passed over. Raises ValueError and FileNotFoundError as
    `find_weights` does.
    """
    expected = {f"features.{name}": tensor for name, tensor in _features(net).state_dict().items()}
    layers = {
        f"lin{number}.model.1.weight": torch.empty((1, count, 1, 1), device="meta")
        for number, count in enumerate(CHANNELS[net])
    }
    backbone = find_weights(KINDS[net], folder, expected, whole=True)
    heads = find_weights(f"lpips-{net}", folder, layers, whole=True)
    origin = {"backbone": backbone.provenance, "heads": heads.provenance}
    return Lpips(net, backbone.tensors, [heads.tensors[name].flatten() for name in layers], f"LPIPS-{net}", origin)


def random_lpips(seed: int = 0) -> Lpips:
    """The same form of distance on an AlexNet with weights out of a seed, every channel counting alike.

    Needs no file. Neither its name nor its numbers are those of LPIPS, whose weights are what people's judgements went
    into.
    """
    generator, tensors = torch.Generator().manual_seed(seed), {}
    for name, like in _features("alex").state_dict().items():
        if name.endswith(".weight"):
            count, *shape = like.shape
            tensors[name] = random_filters(count, tuple(shape), generator)
        else:
            tensors[name] = torch.zeros(like.shape)
    heads = [torch.ones(count) for count in CHANNELS["alex"]]
    return Lpips("alex", tensors, heads, "random AlexNet distance", {"random seed": seed})
