"""Networks that see: what they have in common, whichever they are, and how to get one.

An `Extractor` gives features of pictures by name, shallow to deep. `load_network` makes one with published weights, as
deep as their file goes; `random_network` one that needs no file. Poolings may be averages (Gatys et al. 2016, section
2, preferred the pictures that these make), and paddings other than zeros, which draw a border around every picture.
"""

import itertools
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn

from cyclestyle.images import Images
from cyclestyle.networks.kinds import NetworkKind, Padding, Pooling
from cyclestyle.networks.layers import ReflectionPad
from cyclestyle.networks.precision import with_gradients_in_range

# Of ImageNet's pictures in [0, 1], as for every network of torchvision
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

PADDINGS: dict[Padding, str] = {"zeros": "zeros", "reflect": "reflection", "replicate": "replication"}
"""How a report calls them."""


class Pool(NamedTuple):
    """A network's poolings, and by how much averages are multiplied in place of maxima."""

    side: int
    scale: float


# Averages are smaller than maxima: from pooling to pooling all features would fade. Size (root mean square) of features
# after poolings over that with maxima, on 12 photos and 12 Monets of 256 x 256, averages times
#                                    1                        4/3                      2
#   VGG-19 relu2_1, relu3_1          0.78 0.54                1.04 0.96                1.56 2.16
#   VGG-16 relu2_1, relu2_2          0.65 0.70                0.86 0.92                1.28 1.37
#   distilled relu2_1 ... relu5_1    0.84 0.66 0.72 0.43      1.13 1.18 1.62 1.15      1.72 2.66 5.28 5.45
#   AlexNet relu2 ... relu5          0.48 0.29 0.30 0.41      0.64 0.49 0.45 0.54      0.95 1.05 0.92 0.96
#   SqueezeNet fire2 ... fire9       0.32 ... 0.77            0.61 ... 1.02            1.20 ... 2.36
# and SqueezeNet's times 1.5: 0.79 ... 1.23. Crowson's style-transfer-pytorch multiplies VGG's by 2, which is nearer to
# what a pooling alone takes away (1.5 to 2) than to what is missing after the convolutions that follow. VGG after
# relu3_1 and ResNet were not measured; ResNet's one pooling is given the mean of the other two of 3 x 3.
POOLS: dict[NetworkKind, Pool] = {
    "vgg19": Pool(2, 4 / 3),
    "vgg16": Pool(2, 4 / 3),
    "vgg19-distilled": Pool(2, 4 / 3),
    "alexnet": Pool(3, 2.0),
    "squeezenet": Pool(3, 1.5),
    "resnet18": Pool(3, 1.75),
    "resnet50": Pool(3, 1.75),
}


class Window(NamedTuple):
    """What a convolution or a pooling looks at, along either axis."""

    side: int
    stride: int = 1
    border: int = 0
    """Values by which the map is continued on each side."""
    pools: bool = False
    ceil: bool = False
    """Whether the last one may reach beyond the map."""

    def places(self, values: int, padding: Padding) -> int:
        """How many values it makes of so many; 0 where it cannot be laid on them."""
        if padding == "reflect" and not self.pools and values <= self.border:
            return 0  # mirroring takes one value more than it adds
        spare = values + 2 * self.border - self.side
        number = (-(-spare // self.stride) if self.ceil else spare // self.stride) + 1
        if self.ceil and (number - 1) * self.stride >= values + self.border:
            number -= 1  # the last one must begin on the map
        return max(number, 0)


class Geometry(NamedTuple):
    """Which pixels features see, along either axis.

    Feature i has the pixels from i * stride to before (i + 1) * stride for its own, and sees `reach` more on each side
    at most. So pictures can be looked at in tiles, to the same features: of a tile [a, b), where a and b are multiples
    of `stride` or b the picture's end, take the features i with a <= i * stride < b; let the network see from
    a - reach, rounded down to a multiple of `stride`, to b + reach, neither beyond the picture.

    Of several taps take the largest stride and the largest reach.
    """

    stride: int
    reach: int
    """In pixels."""


class Extractor(nn.Module):
    """Features of pictures by name. Frozen: its weights take no gradient, but the pictures' gradient goes through it.

    What is asked of it: `taps`, `channels`, `name`, `provenance`, `least`, `geometry`, and to be called.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        kind: NetworkKind,
        all_taps: Sequence[str],
        name: str,
        origin: Mapping[str, Any],
        pooling: Pooling,
        padding: Padding,
    ) -> None:
        """What every one of them has.

        Args:
            kind: which of the networks.
            all_taps: those of the whole network, of which these weights may give the first only.
            name: for people, beside the numbers; says so where these are not the features of the real network.
            origin: where the weights are from, for `provenance`.
            pooling: maxima, as they were trained with, or averages of the same places, multiplied as `POOLS` says.
            padding: how convolutions continue maps beyond their borders.
        """
        super().__init__()
        self.kind, self.all_taps, self.name, self.origin = kind, tuple(all_taps), name, dict(origin)
        self.pooling, self.padding = pooling, padding
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    @property
    @abstractmethod
    def channels(self) -> dict[str, int]:
        """Names of the features that can be asked for, shallow to deep, and how many channels each has."""

    @abstractmethod
    def windows(self, tap: str) -> list[Window]:
        """What is laid on a picture, one after the other, until there are the features `tap`."""

    @abstractmethod
    def seen(self, x: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """Features at `taps` of prepared pictures, both in the weights' dtype."""

    def forward(self, images: Images, taps: Sequence[str]) -> dict[str, Tensor]:
        """Features after the ReLU at `taps`, computed no further than the deepest of them.

        Args:
            images: (n, 3, h, w) float, RGB in [-1, 1].
            taps: names out of `self.taps`.

        Returns:
            {tap: (n, channels, height, width)}, shallow to deep, of the pictures' dtype; computed in the weights'.

        Raises:
            ValueError: a tap that this network has not, or pictures too small for one.
        """
        prepared, names = self.prepared(images, taps), [tap for tap in self.taps if tap in taps]

        def see(x: Tensor) -> list[Tensor]:
            found = self.seen(x.to(next(self.parameters()).dtype), names)
            return [found[tap].to(images.dtype) for tap in names]

        return dict(zip(names, with_gradients_in_range(see, prepared, next(self.parameters()).dtype), strict=True))

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the features that can be asked for, shallow to deep."""
        return tuple(self.channels)

    @property
    def provenance(self) -> dict[str, Any]:
        """What made the features: for a report, and to know whether kept numbers still hold. Fits into JSON."""
        side, scale = POOLS[self.kind]
        averages = f"average of {side} x {side}, times {scale:.4g}"
        return {
            "network": self.name,
            "taps": list(self.taps),
            "pooling": averages if self.pooling == "average" else f"maximum of {side} x {side}",
            "padding": PADDINGS[self.padding],
            "input": "RGB in [0, 1], minus ImageNet's mean, over its deviation",
            "weights": self.origin,
        }

    def least(self, taps: Sequence[str]) -> int:
        """Pixels of the shorter side below which pictures are refused at `taps`.

        Raises ValueError for a tap that this network has not.
        """
        require_taps(self, taps)
        return next(side for side in itertools.count(1) if all(self._fits(tap, side) for tap in taps))

    def geometry(self, tap: str) -> Geometry:
        """Which pixels the features `tap` see. Raises ValueError for a tap that this network has not."""
        require_taps(self, (tap,))
        stride, before, end = 1, 0, 1  # feature i sees from i * stride - before to before i * stride + end
        for window in self.windows(tap):
            before += window.border * stride
            end += (window.side - 1 - window.border) * stride
            stride *= window.stride
        return Geometry(stride, max(before, end - stride))

    def prepared(self, images: Images, taps: Sequence[str]) -> Tensor:
        """Pictures (n, 3, h, w) as the first layer sees them, if they and `taps` can be had; ValueError if not."""
        require_taps(self, taps)
        height, width = images.shape[-2:]
        for tap in taps:
            if not self._fits(tap, min(height, width)):
                least = self.least((tap,))
                raise ValueError(
                    f"{tap} of {self.name} needs pictures of at least {least} x {least} pixels, "
                    f"these are {height} x {width} (height x width); give larger ones"
                )
        return ((images + 1) / 2 - self.mean) / self.deviation

    def _fits(self, tap: str, side: int) -> bool:
        for window in self.windows(tap):
            side = window.places(side, self.padding)
            if side == 0:
                return False
        return side > 0


def require_taps(network: Extractor, taps: Sequence[str]) -> None:
    """Refuse taps that a network has not, so that a command can do so before it starts.

    Raises:
        ValueError: which there are; and where the whole network has what was asked for, that its weights end before.
    """
    missing = [tap for tap in taps if tap not in network.channels]
    if not missing:
        return
    text = f"{network.name} has no {', '.join(missing)} here; there are {', '.join(network.taps)}"
    ended = [tap for tap in missing if tap in network.all_taps]
    if ended:
        whose = f"the weights in {network.origin['file']}" if "file" in network.origin else "its weights"
        raise ValueError(f"{text}, and {whose} end before {ended[0]}; give whole ones with --weights DIR")
    raise ValueError(f"{text}; choose among these")


class AveragePool(nn.AvgPool2d):
    """Averages of the places of which `like` takes maxima, times `scale`."""

    def __init__(self, like: nn.MaxPool2d, scale: float) -> None:
        # Over values of the map alone, as a maximum is: neither its continuation nor what lies beyond its end counts.
        super().__init__(like.kernel_size, like.stride, like.padding, like.ceil_mode, count_include_pad=False)
        self.scale = scale

    def forward(self, input: Tensor) -> Tensor:  # (n, c, h, w) -> (n, c, h', w')
        return super().forward(input) * self.scale


def border(padding: Padding, width: int) -> nn.Module:
    """What continues maps by `width` values on each side; nothing for zeros, which the convolution itself adds."""
    if padding == "zeros":
        return nn.Identity()
    return ReflectionPad(width) if padding == "reflect" else nn.ReplicationPad2d(width)


def load_network(
    kind: NetworkKind, folder: Path | None = None, *, pooling: Pooling = "max", padding: Padding | None = None
) -> Extractor:
    """A network with published weights, as deep as their file goes: `find_weights` says where they are looked for.

    Args:
        kind: which of the networks.
        folder: where to look first; None for CYCLESTYLE_WEIGHTS.
        pooling: maxima, as it was trained with, or averages of the same places, multiplied as `POOLS` says.
        padding: how convolutions continue maps beyond their borders; None for as it was trained with.

    Raises:
        ValueError: an unknown network; else, and FileNotFoundError, as `find_weights` does.
    """
    match kind:
        case "vgg19" | "vgg16" | "vgg19-distilled":
            from cyclestyle.networks.vgg import load_vgg

            return load_vgg(kind, folder, pooling=pooling, padding=padding)
        case "alexnet" | "squeezenet" | "resnet18" | "resnet50":
            from cyclestyle.networks.backbones import load_backbone  # torchvision's networks take two seconds to import

            return load_backbone(kind, folder, pooling=pooling, padding=padding or "zeros")
    raise ValueError(_unknown(kind))


def random_network(
    kind: NetworkKind,
    seed: int = 0,
    *,
    pooling: Pooling = "max",
    padding: Padding | None = None,
    deepest: str | None = None,
) -> Extractor:
    """A network with weights out of a seed: needs no file; tells pictures apart, but not as people would.

    Args:
        kind: which of the networks.
        seed: of the weights; they do not depend on the rest.
        pooling: as for `load_network`.
        padding: as for `load_network`.
        deepest: the last tap that is made; None for all.

    Raises:
        ValueError: an unknown network, or `deepest` is no tap of it.
    """
    match kind:
        case "vgg19" | "vgg16" | "vgg19-distilled":
            from cyclestyle.networks.vgg import random_vgg

            return random_vgg(seed, deepest, kind, pooling=pooling, padding=padding)
        case "alexnet" | "squeezenet" | "resnet18" | "resnet50":
            from cyclestyle.networks.backbones import random_backbone

            return random_backbone(kind, seed, deepest, pooling=pooling, padding=padding or "zeros")
    raise ValueError(_unknown(kind))


def _unknown(kind: str) -> str:
    kinds = ", ".join(get_args(NetworkKind))
    return f"no network is called {kind}; choose one of {kinds}"
