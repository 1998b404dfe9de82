"""Does the exported painter paint what PyTorch paints? Measured on pictures of many sizes, and required."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from cyclestyle.data.scenes.description import describe
from cyclestyle.data.scenes.photograph import photograph
from cyclestyle.exporting.card import Portable
from cyclestyle.images import Images, to_images
from cyclestyle.networks.painter import Painter, padded_size, reflect

SIZES = ((3, 5), (16, 16), (1, 300), (255, 1), (30, 33), (40, 56), (64, 96), (17, 260), (129, 191), (256, 256))
"""Height and width: below what networks take, odd, long, and what they were trained on."""
TOGETHER = (40, 56)
"""Size of which two pictures are given at once."""
SCENE, SEEDS = 256, (1, 6)
"""Side of the landscapes that are scaled to these sizes; two with contrast that is left in a single row of pixels."""

Paint = Callable[[Images], Images]


@dataclass(frozen=True)
class Bound:
    """How far values in [-1, 1] may be from PyTorch's."""

    largest: float
    mean: float


BOUNDS: dict[Portable, Bound] = {
    "fp32": Bound(largest=1e-3, mean=1e-3),  # an eighth of one of 256 levels; usually it is a hundredth of that
    "fp16": Bound(largest=0.1, mean=0.004),  # half a level on average; single values at edges are further
    "int8": Bound(largest=2.0, mean=0.1),  # a preview: usually half a level on average; beyond twelve it shows nothing
}


@dataclass(frozen=True)
class Difference:
    """How far one painting lies from PyTorch's of the same photo."""

    height: int
    width: int
    largest: float
    mean: float
    allowed: Bound

    def __str__(self) -> str:
        return f"{self.height} x {self.width}"


def photos(sizes: Sequence[tuple[int, int]] = SIZES) -> list[Images]:
    """Landscapes with sky, edges and texture at every size: what is flat would show nothing.

    In a picture of one colour, instance norm divides rounding errors by next to nothing, layer for layer: no two
    implementations agree on it, nor does PyTorch with itself on another processor.
    """
    scenes = [Image.fromarray(photograph(describe(seed, 0), SCENE)) for seed in SEEDS]
    made = []
    for index, (height, width) in enumerate(sizes):
        shown = scenes if (height, width) == TOGETHER else [scenes[index % len(scenes)]]
        made.append(to_images([scene.resize((width, height), Image.Resampling.BICUBIC) for scene in shown]))
    return made


def differences(
    painter: Painter, exported: Paint, precision: Portable, sizes: Sequence[tuple[int, int]] = SIZES
) -> list[Difference]:
    """How far an exported painter is from PyTorch's, for each size.

    Where it is further than `BOUNDS` says because PyTorch's own rounding is (in pictures that are nearly flat), it may
    be twice as far as PyTorch is from the same network in float64.

    Raises ValueError, naming the size, where it is further than allowed, or gives no picture.
    """
    found = []
    for images in photos(sizes):
        wanted = painter(images)
        if not bool(wanted.isfinite().all()):
            raise ValueError("the painter gives values that are no numbers; it is damaged, so nothing was written")
        made = _picture(exported, images)
        largest, mean = apart(made, wanted)
        allowed = BOUNDS[precision]
        if precision == "fp32" and largest > allowed.largest:
            own, _ = apart(wanted, in_float64(painter, images))
            allowed = Bound(max(allowed.largest, 2 * own), max(allowed.mean, 2 * own))
        height, width = images.shape[-2:]
        one = Difference(height, width, largest, mean, allowed)
        _must_be_near(one, precision)
        found.append(one)
    _picture(exported, torch.zeros(1, 3, 1, 1))  # flat, so any colour will do
    return found


def apart(one: Images, other: Images) -> tuple[float, float]:
    """The largest and the mean difference of values."""
    difference = (one.double() - other.double()).abs()
    return difference.max().item(), difference.mean().item()


@torch.inference_mode()
def in_float64(painter: Painter, images: Images) -> Images:
    """What a painter's network makes of pictures where rounding has next to no part in it."""
    height, width = images.shape[-2:]
    network = copy.deepcopy(painter.network).double()
    return network(reflect(images.double(), *padded_size(painter, height, width)))[..., :height, :width]


def _picture(exported: Paint, images: Images) -> Images:
    made = exported(images)
    if made.shape != images.shape or not bool(made.isfinite().all()):
        height, width = images.shape[-2:]
        raise ValueError(f"the exported painter gives no picture at {height} x {width}, so nothing was written")
    return made


def _must_be_near(one: Difference, precision: Portable) -> None:
    for what, value, most in (
        ("by up to", one.largest, one.allowed.largest),
        ("on average by", one.mean, one.allowed.mean),
    ):
        if value > most:
            way_out = "; give --precision fp32" if precision != "fp32" else ""
            raise ValueError(
                f"exported in {precision}, the painter differs from PyTorch's {what} {value:.1e} at {one}, and "
                f"{most:.1e} is allowed, so nothing was written{way_out}"
            )
