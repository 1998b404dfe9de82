"""Networks for ImageNet that are not VGG, as torchvision builds them, for features of pictures by name.

AlexNet (Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks"): relu1 ... relu5.
SqueezeNet 1.1 (Iandola et al. 2016): relu1, fire2 ... fire9. ResNet-18 and ResNet-50 (He et al. 2016): relu1, and
what each residual block gives: layer1.0, layer1.1 ... layer4.2. Everything is taken after its ReLU.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck

from cyclestyle.networks.extractors import POOLS, AveragePool, Extractor, Window, border
from cyclestyle.networks.kinds import BackboneKind, Padding, Pooling
from cyclestyle.networks.vgg import random_filters
from cyclestyle.networks.weights import find_weights

NAMES: dict[BackboneKind, str] = {
    "alexnet": "AlexNet",
    "squeezenet": "SqueezeNet 1.1",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
}
BUILDERS = {
    "alexnet": models.alexnet,
    "squeezenet": models.squeezenet1_1,
    "resnet18": models.resnet18,
    "resnet50": models.resnet50,
}

# Numbers of the layers in torchvision's `features` that lead from one tap to the next
FEATURES: dict[BackboneKind, dict[str, tuple[int, ...]]] = {
    "alexnet": {"relu1": (0, 1), "relu2": (2, 3, 4), "relu3": (5, 6, 7), "relu4": (8, 9), "relu5": (10, 11)},
    "squeezenet": {
        "relu1": (0, 1),
        "fire2": (2, 3),
        "fire3": (4,),
        "fire4": (5, 6),
        "fire5": (7,),
        "fire6": (8, 9),
        "fire7": (10,),
        "fire8": (11,),
        "fire9": (12,),
    },
}
BLOCKS: dict[BackboneKind, tuple[int, ...]] = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
"""Residual blocks in each layer."""

ASIDE = {"downsample", "expand1x1"}
"""Parts of blocks that stand beside others with larger windows, and so do not decide what is seen."""


class Stage(NamedTuple):
    """What leads from one tap to the next."""

    tap: str
    parts: tuple[str, ...]
    """Names of torchvision's modules."""


def _stages(kind: BackboneKind) -> list[Stage]:
    if kind in FEATURES:
        return [Stage(tap, tuple(f"features.{number}" for number in parts)) for tap, parts in FEATURES[kind].items()]
    blocks = [f"layer{layer}.{place}" for layer, count in enumerate(BLOCKS[kind], start=1) for place in range(count)]
    stem = [Stage("relu1", ("conv1", "bn1", "relu")), Stage(blocks[0], ("maxpool", blocks[0]))]
    return [*stem, *(Stage(block, (block,)) for block in blocks[1:])]


class Backbone(Extractor):
    """A network of torchvision, as deep as its weights go."""

    def __init__(
        self,
        kind: BackboneKind,
        tensors: Mapping[str, Tensor],
        name: str,
        origin: Mapping[str, Any],
        *,
        pooling: Pooling = "max",
        padding: Padding = "zeros",
    ) -> None:
        """Use as many stages as `tensors` has, in torchvision's names (`features.0.weight`, `layer1.0.bn1.bias`).

        Args:
            kind: which of the networks.
            tensors: its weights; what comes after the first that is missing is left out.
            name: for people, beside the numbers; says so where these are not the features of the real network.
            origin: where the weights are from, for `provenance`.
            pooling: maxima, or averages.
            padding: of every convolution that has one.

        Raises:
            ValueError: even the first stage lacks some.
        """
        every = _stages(kind)
        super().__init__(kind, [stage.tap for stage in every], name, origin, pooling, padding)
        skeleton = _skeleton(kind)
        needed = _expected(skeleton, every)
        stages = list(_whole(every, needed, tensors))
        if not stages:
            raise ValueError(f"the weights lack some of the first layer of {NAMES[kind]}, {every[0].parts[0]}")
        parts = [nn.Sequential(*(skeleton.get_submodule(part) for part in stage.parts)) for stage in stages]
        self.outputs = dict(zip((stage.tap for stage in stages), _counted(parts), strict=True))
        self.looked = [list(_windows(part)) for part in parts]
        skeleton.load_state_dict({key: tensors[key] for key in needed if key in tensors}, strict=False, assign=True)
        for part in parts:
            _fold(part)
            _replace(part, pooling, POOLS[kind].scale, padding)
        self.stages = nn.ModuleList(parts)
        self.to(memory_format=torch.channels_last)
        self.eval().requires_grad_(False)

    @property
    def channels(self) -> dict[str, int]:
        """Names of the features that can be asked for, shallow to deep, and how many channels each has."""
        return self.outputs

    def windows(self, tap: str) -> list[Window]:
        """The poolings and convolutions up to `tap`, a name out of `self.taps`."""
        return [window for stage in self.looked[: self.taps.index(tap) + 1] for window in stage]

    def seen(self, x: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """Features at `taps`."""
        found: dict[str, Tensor] = {}
        for tap, stage in zip(self.taps, self.stages, strict=True):
            if len(found) == len(set(taps)):
                break
            # Its ReLUs write in place, but only over what it has made itself: never over what was given out.
            x = stage(x)
            if tap in taps:
                found[tap] = x
        return found


def _skeleton(kind: BackboneKind) -> nn.Module:
    """torchvision's network without weights, in the mode in which batch norms use the means that they have kept."""
    with torch.device("meta"):
        network = BUILDERS[kind](weights=None).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked = None  # only training counts them; files may lack them
    return network


def _expected(skeleton: nn.Module, stages: Sequence[Stage]) -> dict[str, Tensor]:
    """Names and shapes of the tensors of all stages, shallow to deep."""
    state, parts = skeleton.state_dict(), [part for stage in stages for part in stage.parts]
    return {key: tensor for part in parts for key, tensor in state.items() if key.startswith(f"{part}.")}


def _whole(stages: Sequence[Stage], needed: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Iterator[Stage]:
    """Those stages before the first of which a tensor is missing."""
    for stage in stages:
        prefixes = tuple(f"{part}." for part in stage.parts)
        if not all(key in tensors for key in needed if key.startswith(prefixes)):
            return
        yield stage


def _counted(parts: Sequence[nn.Module]) -> Iterator[int]:
    """How many channels each part gives; parts are on the device "meta", where nothing is computed."""
    x = torch.empty((1, 3, 64, 64), device="meta")
    for part in parts:
        x = part(x)
        yield x.shape[1]


def _windows(module: nn.Module) -> Iterator[Window]:
    """The largest windows through which a module looks, one after the other."""
    if isinstance(module, nn.Conv2d):
        yield Window(module.kernel_size[0], module.stride[0], int(module.padding[0]))
    elif isinstance(module, nn.MaxPool2d):
        sizes = (module.kernel_size, module.stride, module.padding)
        side, stride, width = (size if isinstance(size, int) else size[0] for size in sizes)
        yield Window(side, stride, width, pools=True, ceil=module.ceil_mode)
    for name, child in module.named_children():
        if name not in ASIDE:
            yield from _windows(child)


def _fold(module: nn.Module) -> None:
    """Fold batch norms into the convolutions before them, in float64: the same features in fewer steps."""
    convolution = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            assert convolution is not None
            assert child.running_mean is not None
            assert child.running_var is not None
            factor = child.weight.double() / (child.running_var.double() + child.eps).sqrt()
            weight = convolution.weight.double() * factor[:, None, None, None]
            bias = child.bias.double() - child.running_mean.double() * factor
            convolution.weight = nn.Parameter(weight.to(convolution.weight.dtype), requires_grad=False)
            convolution.bias = nn.Parameter(bias.to(convolution.weight.dtype), requires_grad=False)
            setattr(module, name, nn.Identity())
        else:
            _fold(child)
        convolution = child if isinstance(child, nn.Conv2d) else None


def _replace(module: nn.Module, pooling: Pooling, scale: float, padding: Padding) -> None:
    """Put other poolings and paddings into a module, where other ones are wanted."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.MaxPool2d) and pooling == "average":
            setattr(module, name, AveragePool(child, scale))
        elif isinstance(child, nn.Conv2d) and child.padding != (0, 0) and padding != "zeros":
            width, child.padding = int(child.padding[0]), (0, 0)
            setattr(module, name, nn.Sequential(border(padding, width), child))
        else:
            _replace(child, pooling, scale, padding)


def load_backbone(
    kind: BackboneKind, folder: Path | None = None, *, pooling: Pooling = "max", padding: Padding = "zeros"
) -> Backbone:
    """A network with published weights, as deep as its file goes: `find_weights` says where they are looked for.

    Raises ValueError and FileNotFoundError as `find_weights` does.
    """
    found = find_weights(kind, folder, _expected(_skeleton(kind), _stages(kind)))
    return Backbone(kind, found.tensors, NAMES[kind], found.provenance, pooling=pooling, padding=padding)


def random_backbone(
    kind: BackboneKind,
    seed: int = 0,
    deepest: str | None = None,
    *,
    pooling: Pooling = "max",
    padding: Padding = "zeros",
) -> Backbone:
    """A network with weights out of a seed: needs no file; tells pictures apart, but not as people would.

    Args:
        kind: which of the networks.
        seed: of the weights; they do not depend on the rest.
        deepest: the last tap that is made; None for all.
        pooling: maxima, or averages.
        padding: of every convolution that has one.

    Raises:
        ValueError: `deepest` is no tap of the network.
    """
    stages, skeleton = _stages(kind), _skeleton(kind)
    taps = [stage.tap for stage in stages]
    deepest = deepest or taps[-1]
    if deepest not in taps:
        raise ValueError(f"{NAMES[kind]} has no layer {deepest}; choose one of {', '.join(taps)}")
    generator, tensors = torch.Generator().manual_seed(seed), {}
    for key, like in _expected(skeleton, stages[: taps.index(deepest) + 1]).items():
        owner, _, what = key.rpartition(".")
        if like.ndim == 4:
            tensors[key] = random_filters(like.shape[0], tuple(like.shape[1:]), generator)
        elif what in {"weight", "running_var"}:
            tensors[key] = torch.full(like.shape, RESIDUAL if what == "weight" and _ends(skeleton, owner) else 1.0)
        else:
            tensors[key] = torch.zeros(like.shape)
    return Backbone(kind, tensors, f"random {NAMES[kind]}", {"random seed": seed}, pooling=pooling, padding=padding)


RESIDUAL = 0.5
"""By which random residual blocks change what goes through them: with 1 it would double with every other block."""


def _ends(skeleton: nn.Module, norm: str) -> bool:
    """Whether a batch norm is the last of a residual block, whose result is added to what the block was given."""
    name, _, last = norm.rpartition(".")
    block = skeleton.get_submodule(name)
    return (isinstance(block, BasicBlock) and last == "bn2") or (isinstance(block, Bottleneck) and last == "bn3")
