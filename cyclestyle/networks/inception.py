"""The Inception of FID (Heusel et al. 2017): TensorFlow's classify_image graph of 2015-12-05, as torch-fidelity has it.

It differs from torchvision's Inception v3 (Szegedy et al. 2016) in its weights, in average poolings that do not count
the padding, in one maximum where the paper has an average (Mixed_7c), and in how pictures are scaled to 299 x 299.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.inception import BasicConv2d, Inception3

from cyclestyle.images import Images
from cyclestyle.networks.weights import find_weights

SIDE = 299
CLASSES = 1008
"""Of the 2015 graph; torchvision's network, whose tensors are named and shaped alike otherwise, has 1000."""

STAGES = {
    64: ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"),
    192: ("Conv2d_3b_1x1", "Conv2d_4a_3x3"),
    768: ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    2048: ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
}
"""Where each level's maps come from. A level is called by its channels."""
WIDE = (64, 192)
"""The stages that have large maps; they end in a pooling."""

# The branches of a block, side by side: convolutions one after the other; a tuple stands for two of one input.
Branch = tuple[str | tuple[str, str], ...]
POOLINGS = AVERAGE, SHRINK, MAXIMUM = "average", "shrink", "maximum"
_A: tuple[Branch, ...] = (
    ("branch1x1",),
    ("branch5x5_1", "branch5x5_2"),
    ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
    (AVERAGE, "branch_pool"),
)
_B: tuple[Branch, ...] = (("branch3x3",), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"), (SHRINK,))
_C: tuple[Branch, ...] = (
    ("branch1x1",),
    ("branch7x7_1", "branch7x7_2", "branch7x7_3"),
    ("branch7x7dbl_1", "branch7x7dbl_2", "branch7x7dbl_3", "branch7x7dbl_4", "branch7x7dbl_5"),
    (AVERAGE, "branch_pool"),
)
_D: tuple[Branch, ...] = (
    ("branch3x3_1", "branch3x3_2"),
    ("branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "branch7x7x3_4"),
    (SHRINK,),
)
_E: tuple[Branch, ...] = (
    ("branch1x1",),
    ("branch3x3_1", ("branch3x3_2a", "branch3x3_2b")),
    ("branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")),
)
BRANCHES: dict[str, tuple[Branch, ...]] = {
    **dict.fromkeys(("Mixed_5b", "Mixed_5c", "Mixed_5d"), _A),
    "Mixed_6a": _B,
    **dict.fromkeys(("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"), _C),
    "Mixed_7a": _D,
    "Mixed_7b": (*_E, (AVERAGE, "branch_pool")),
    "Mixed_7c": (*_E, (MAXIMUM, "branch_pool")),
}


FOLDED = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")


class Unit(nn.Module):
    """Convolution, batch norm and ReLU; the norm folded into the convolution, in float64."""

    def __init__(self, like: BasicConv2d, key: str, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        weight, gain, bias, mean, variance = (tensors[f"{key}.{name}"].double() for name in FOLDED)
        factor = gain / (variance + like.bn.eps).sqrt()
        self.convolution = copy.deepcopy(like.conv)
        self.convolution.weight = nn.Parameter((weight * factor[:, None, None, None]).float())
        self.convolution.bias = nn.Parameter((bias - mean * factor).float())

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.convolution(x))


class Openings(nn.Module):
    """The 1 x 1 convolutions with which branches begin, as one: a large one is computed faster than several small."""

    def __init__(self, units: Mapping[str, Unit]) -> None:
        super().__init__()
        convolutions = [unit.convolution for unit in units.values()]
        self.widths = {name: unit.convolution.out_channels for name, unit in units.items()}
        self.convolution = nn.Conv2d(convolutions[0].in_channels, sum(self.widths.values()), 1, device="meta")
        self.convolution.weight = nn.Parameter(torch.cat([one.weight for one in convolutions]))
        self.convolution.bias = nn.Parameter(torch.cat([one.bias for one in convolutions if one.bias is not None]))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """What each makes, before the ReLU, by its name."""
        parts = self.convolution(x).split(list(self.widths.values()), dim=1)
        return dict(zip(self.widths, parts, strict=True))


class Block(nn.Module):
    """Branches side by side, their maps in one."""

    def __init__(self, branches: tuple[Branch, ...], units: Mapping[str, nn.Module]) -> None:
        super().__init__()
        opening = _openings(branches, units)
        self.branches = branches
        self.openings = Openings(opening) if opening else None
        self.units = nn.ModuleDict({name: unit for name, unit in units.items() if name not in opening})

    def forward(self, x: Tensor) -> Tensor:
        opened = self.openings(x) if self.openings else {}
        return torch.cat([self._branch(branch, x, opened) for branch in self.branches], dim=1)

    def _branch(self, branch: Branch, x: Tensor, opened: Mapping[str, Tensor]) -> Tensor:
        name = _opening(branch)
        if name in opened:
            x = opened[name]
            if branch[0] == AVERAGE:  # of what the convolution makes it is the same as before it, and of less
                x = average(x)
            x, branch = F.relu(x), branch[branch.index(name) + 1 :]
        for step in branch:
            if isinstance(step, tuple):
                x = torch.cat([self.units[name](x) for name in step], dim=1)
            elif step == AVERAGE:
                x = average(x)
            elif step == MAXIMUM:
                x = F.max_pool2d(x, 3, stride=1, padding=1)
            elif step == SHRINK:
                x = F.max_pool2d(x, 3, stride=2)
            else:
                x = self.units[step](x)
        return x


def average(x: Tensor) -> Tensor:
    """Of each value and those around it; at the border of fewer."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _opening(branch: Branch) -> str | None:
    """The unit that begins a branch, or comes after its average."""
    first = branch[1:2] if branch[0] == AVERAGE else branch[:1]
    return next((name for name in first if isinstance(name, str) and name not in POOLINGS), None)


def _openings(branches: tuple[Branch, ...], units: Mapping[str, nn.Module]) -> dict[str, Unit]:
    """The 1 x 1 convolutions that can be computed as one; none, if there is but one."""
    names = [name for branch in branches if (name := _opening(branch))]
    found = {name: unit for name in names if isinstance(unit := units[name], Unit)}
    found = {name: unit for name, unit in found.items() if unit.convolution.kernel_size == (1, 1)}
    return found if len(found) > 1 else {}


class Inception(nn.Module):
    """Features of pictures at the levels of FID, averaged over positions. Frozen."""

    name = "Inception"
    at_once = 1
    """Pictures whose wide maps a CPU computes together: those of one stay in its cache."""

    def __init__(self, tensors: Mapping[str, Tensor], origin: Mapping[str, Any]) -> None:
        """Use as many levels as `tensors` has all weights of, in torch-fidelity's names.

        Args:
            tensors: convolutions and batch norms.
            origin: where they are from, for `provenance`.

        Raises:
            ValueError: even the first level lacks some.
        """
        super().__init__()
        self.origin, self.blocks = dict(origin), nn.ModuleDict()
        skeleton = [(name, module) for name, module in _skeleton().named_modules() if isinstance(module, BasicConv2d)]
        levels = []
        for level, blocks in STAGES.items():
            inside = [(key, like) for key, like in skeleton if key.partition(".")[0] in blocks]
            if not all(f"{key}.{name}" in tensors for key, _ in inside for name in FOLDED):
                break
            for block in blocks:
                units = {
                    key.rpartition(".")[2]: Unit(like, key, tensors)
                    for key, like in inside
                    if key.partition(".")[0] == block
                }
                self.blocks[block] = Block(BRANCHES.get(block, ((block,),)), units)
            levels.append(level)
        if not levels:
            raise ValueError("the weights of Inception lack some of its first convolutions")
        self.levels = tuple(levels)
        """What can be asked for, out of 64, 192, 768 and 2048."""
        self.to(memory_format=torch.channels_last)
        self.eval().requires_grad_(False)

    @property
    def provenance(self) -> dict[str, Any]:
        """What made the features: for a report, and to know whether kept numbers still hold. Fits into JSON."""
        return {
            "network": "Inception of FID (TensorFlow, 2015-12-05)",
            "levels": list(self.levels),
            "resizing": f"bilinear to {SIDE} x {SIDE} as TensorFlow 1 (asymmetric, no antialiasing)",
            "input": "RGB in 0..255, minus 128, over 128",
            "weights": self.origin,
        }

    def forward(self, images: Images, levels: Sequence[int]) -> dict[int, Tensor]:
        """Features at `levels`, averaged over positions; computed no further than the deepest of them.

        Args:
            images: (n, 3, h, w) float, RGB in [-1, 1], of any size; not rounded to 8 bits.
            levels: out of `self.levels`.

        Returns:
            {level: (n, level)}.

        Raises:
            ValueError: a level that this network has not.
        """
        missing = [level for level in levels if level not in self.levels]
        if missing:
            raise ValueError(
                f"these weights of Inception have no level {', '.join(map(str, missing))}; "
                f"there are {', '.join(map(str, self.levels))}"
            )
        x = (resize((images + 1) * 127.5, SIDE) - 128) / 128
        x = x.to(next(self.parameters()).dtype)
        found = {}
        for level in self.levels:
            if len(found) == len(set(levels)):
                break
            at_once = self.at_once if level in WIDE and x.device.type == "cpu" else len(x)
            parts = [self._stage(level, some) for some in x.split(at_once)]
            x = torch.cat(parts) if len(parts) > 1 else parts[0]
            if level in levels:
                found[level] = x.to(images.dtype).mean((2, 3))
        return found

    def _stage(self, level: int, x: Tensor) -> Tensor:
        for block in STAGES[level]:
            x = self.blocks[block](x)
        return F.max_pool2d(x, 3, stride=2) if level in WIDE else x


def resize(images: Tensor, side: int) -> Tensor:
    """Bilinear as TensorFlow 1 did it: output i is read at i * input / output; (n, c, h, w) -> (n, c, side, side).

    So pictures are shifted by up to half a pixel, and nothing is averaged where they become smaller: the published
    numbers of FID come of it.
    """
    for axis in (3, 2):
        size = images.shape[axis]
        if size == side:
            continue
        # In float32, as there: which pixel a position falls on may hang on its last bit.
        at = torch.arange(side, dtype=torch.float32, device=images.device) * torch.tensor(size / side)
        first = at.long()
        part = (at - first).view(-1, *[1] * (3 - axis))
        low = images.index_select(axis, first)
        images = low + (images.index_select(axis, (first + 1).clamp_max(size - 1)) - low) * part
    return images


def _skeleton() -> Inception3:
    """torchvision's network, for the shapes of its convolutions; without weights."""
    with torch.device("meta"):
        return Inception3(num_classes=CLASSES, aux_logits=False, init_weights=False)


def load_inception(folder: Path | None = None) -> Inception:
    """Inception with published weights, as deep as they go: `find_weights` says where they are looked for.

    Raises ValueError and FileNotFoundError as `find_weights` does.
    """
    expected = {name: tensor for name, tensor in _skeleton().state_dict().items() if not name.endswith("_tracked")}
    found = find_weights("inception", folder, expected)
    return Inception(found.tensors, found.provenance)
