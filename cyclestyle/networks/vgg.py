"""VGG: the features in which style and content are compared (Simonyan and Zisserman 2015; Gatys et al. 2016).

`load_vgg` gives a network with published weights, cut after the last layer that its file has; `random_vgg` one that
needs no file. Both see pictures in [-1, 1] and give features after the ReLU, by name: relu1_1, relu1_2, relu2_1 ...
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclestyle.networks.extractors import POOLS, AveragePool, Extractor, Window, border
from cyclestyle.networks.kinds import Padding, Pooling, VggKind
from cyclestyle.networks.weights import find_weights

# Simonyan and Zisserman 2015, table 1, columns E and D: convolutions per block, and their channels
BLOCKS = {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3), "vgg19-distilled": (2, 2, 4, 4, 1)}
WIDTHS = {
    "vgg19": (64, 128, 256, 512, 512),
    "vgg16": (64, 128, 256, 512, 512),
    "vgg19-distilled": (16, 32, 64, 128, 128),  # Wang et al. 2020, pruned to a sixteenth
}
NAMES = {"vgg19": "VGG-19", "vgg16": "VGG-16", "vgg19-distilled": "VGG-19 (distilled approximation)"}
OWN_PADDING: dict[VggKind, Padding] = {"vgg19": "zeros", "vgg16": "zeros", "vgg19-distilled": "reflect"}
"""With which they were trained."""


class Layer(NamedTuple):
    """One convolution with its ReLU."""

    tap: str
    key: str
    """Of its weights in files."""
    pooled: bool
    """Whether a pooling stands before it."""
    inputs: int
    outputs: int
    outlet: int
    """Channels to which a 1 x 1 convolution maps what is given out; 0 where the layer has none."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of its tensors, by their names in files."""
        shapes: dict[str, tuple[int, ...]] = {
            f"{self.key}.weight": (self.outputs, self.inputs, 3, 3),
            f"{self.key}.bias": (self.outputs,),
        }
        if self.outlet:
            shapes |= {f"{self.key}_aux.weight": (self.outlet, self.outputs, 1, 1)}
            shapes |= {f"{self.key}_aux.bias": (self.outlet,)}
        return shapes


def _layers(kind: VggKind) -> Iterator[Layer]:
    """All of a network's layers, shallow to deep. torchvision counts convolutions, ReLUs and poolings alike."""
    number, inputs = 0, 3
    for block, (count, width) in enumerate(zip(BLOCKS[kind], WIDTHS[kind], strict=True), start=1):
        for place in range(1, count + 1):
            tap, pooled = f"relu{block}_{place}", place == 1 and block > 1
            if kind == "vgg19-distilled":
                outlet = WIDTHS["vgg19"][block - 1] if place == 1 else 0
                yield Layer(tap, f"conv{block}{place}", pooled, inputs, width, outlet)
            else:
                yield Layer(tap, f"features.{number}", pooled, inputs, width, 0)
            number, inputs = number + 2, width
        number += 1


class Vgg(Extractor):
    """VGG, as deep as its weights go."""

    def __init__(
        self,
        kind: VggKind,
        tensors: Mapping[str, Tensor],
        name: str,
        origin: Mapping[str, Any],
        *,
        pooling: Pooling = "max",
        padding: Padding | None = None,
    ) -> None:
        """Use as many layers as `tensors` has, named as in files (`features.0.weight`, `conv11_aux.bias`).

        Args:
            kind: which of the networks.
            tensors: its weights; layers after the first that is missing are left out.
            name: for people, beside the numbers; says so where these are not the features of the real network.
            origin: where the weights are from, for `provenance`.
            pooling: maxima, or averages.
            padding: of every convolution; None for the network's own.

        Raises:
            ValueError: even the first layer is not there.
        """
        padding = padding or OWN_PADDING[kind]
        super().__init__(kind, tuple(_channels(_layers(kind))), name, origin, pooling, padding)
        self.convolutions, self.outlets = nn.ModuleDict(), nn.ModuleDict()
        self.layers: list[Layer] = []
        self.pad, maximum = border(padding, 1), nn.MaxPool2d(2)
        self.pool = AveragePool(maximum, POOLS[kind].scale) if pooling == "average" else maximum
        for layer in _layers(kind):
            if not all(name in tensors for name in layer.shapes()):
                break
            self.layers.append(layer)
            self.convolutions[layer.tap] = _convolution(tensors, layer.key, 1 if padding == "zeros" else 0)
            if layer.outlet:
                self.outlets[layer.tap] = _convolution(tensors, f"{layer.key}_aux", 0)
        if not self.layers:
            raise ValueError(f"the weights have no {next(_layers(kind)).key}, the first layer of {NAMES[kind]}")
        self.to(memory_format=torch.channels_last)  # on a CPU 1.3 to 1.6 times as fast
        self.eval().requires_grad_(False)

    @property
    def channels(self) -> dict[str, int]:
        """Names of the features that can be asked for, shallow to deep, and how many channels each has."""
        return _channels(self.layers)

    def windows(self, tap: str) -> list[Window]:
        """The poolings and convolutions up to `tap`, a name out of `self.taps`."""
        found: list[Window] = []
        for layer in self.layers:
            found += [Window(2, 2, pools=True)] if layer.pooled else []
            found += [Window(3, border=1)]
            if layer.tap == tap:
                break
        return found

    def seen(self, x: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """Features at `taps`; sizes are halved by every pooling, rounded down."""
        found: dict[str, Tensor] = {}
        for layer in self.layers:
            if len(found) == len(set(taps)):
                break
            if layer.pooled:
                x = self.pool(x)
            # In place, on what the convolution alone has made: nothing that was given out is written to.
            x = F.relu_(self.convolutions[layer.tap](self.pad(x)))
            if layer.tap in taps:
                found[layer.tap] = F.relu_(self.outlets[layer.tap](x)) if layer.outlet else x
        return found


def _channels(layers: Iterable[Layer]) -> dict[str, int]:
    """What is given out, and how many channels it has.

    Of the distilled network only what has an outlet: its inner layers are narrower than the real ones, many maps dead.
    """
    layers = list(layers)
    outlets = {layer.tap: layer.outlet for layer in layers if layer.outlet}
    return outlets or {layer.tap: layer.outputs for layer in layers}


def _convolution(tensors: Mapping[str, Tensor], key: str, padding: int) -> nn.Conv2d:
    weight = tensors[f"{key}.weight"]
    outputs, inputs, side, _ = weight.shape
    convolution = nn.Conv2d(inputs, outputs, side, padding=padding, device="meta")
    convolution.weight, convolution.bias = nn.Parameter(weight), nn.Parameter(tensors[f"{key}.bias"])
    return convolution


def load_vgg(
    kind: VggKind, folder: Path | None = None, *, pooling: Pooling = "max", padding: Padding | None = None
) -> Vgg:
    """VGG with published weights, as deep as its file goes: `find_weights` says where they are looked for.

    "vgg19-distilled" approximates VGG-19 with a network pruned to a sixteenth (Wang et al., "Collaborative
    distillation for ultra-resolution universal style transfer", CVPR 2020): only relu1_1, relu2_1 ... relu5_1, of the
    variant whose channels have a mean activation of 1, and its name says so.

    Raises ValueError and FileNotFoundError as `find_weights` does.
    """
    shapes = {name: shape for layer in _layers(kind) for name, shape in layer.shapes().items()}
    expected = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    found = find_weights(kind, folder, expected)
    return Vgg(kind, found.tensors, NAMES[kind], found.provenance, pooling=pooling, padding=padding)


def random_vgg(
    seed: int = 0,
    deepest: str | None = "relu5_1",
    kind: VggKind = "vgg19",
    *,
    pooling: Pooling = "max",
    padding: Padding | None = None,
) -> Vgg:
    """VGG with weights out of a seed: needs no file; tells pictures apart, but not as people would.

    Args:
        seed: of the weights; they do not depend on the rest.
        deepest: the last tap that is made; None for all.
        kind: which of the networks.
        pooling: maxima, or averages.
        padding: of every convolution; None for the network's own.

    Raises:
        ValueError: `deepest` is no tap of the network.
    """
    layers = list(_layers(kind))
    taps = list(_channels(layers))
    deepest = deepest or taps[-1]
    if deepest not in taps:
        raise ValueError(f"{NAMES[kind]} has no layer {deepest}; choose one of {', '.join(taps)}")
    generator, tensors = torch.Generator().manual_seed(seed), {}
    for layer in layers:
        for name, (count, *inputs) in layer.shapes().items():
            weighs = name.endswith(".weight")
            tensors[name] = random_filters(count, tuple(inputs), generator) if weighs else torch.zeros(count)
        if layer.tap == deepest:
            break
    return Vgg(kind, tensors, f"random {NAMES[kind]}", {"random seed": seed}, pooling=pooling, padding=padding)


def random_filters(count: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Filters that keep the size of what goes through them and a ReLU (He et al. 2015, eq. 10): (count, *shape).

    Those that see features instead of colours have mean zero. Features after a ReLU are all positive; plain filters
    mostly add them up, and layer by layer all pictures come to look the same: between means of relu5_1 of 100 pictures
    the cosine was 0.99, with the mean taken out 0.92. What is then left of the size is made up for.
    """
    filters = torch.randn(count, *shape, generator=generator) * math.sqrt(2 / math.prod(shape))
    if shape[0] == 3:
        return filters
    left = 1 - 1 / math.pi  # of the mean square of a ReLU's output, once its mean is taken out
    return (filters - filters.mean((1, 2, 3), keepdim=True)) / math.sqrt(left)
