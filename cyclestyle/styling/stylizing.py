"""Photos become pictures in a style: from coarse to fine, each scale begun where the one before ended.

`stylize` is the story of one batch. What it tells on the way (`Moment`) is enough to go on from, after whatever may
have ended it, to the bit (on a GPU up to the order of its sums); SciPy's L-BFGS-B goes on from the beginning of a
scale.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cyclestyle.images import Images
from cyclestyle.networks.precision import full_fp32
from cyclestyle.styling.descent import Evaluate, State, Step, adam, lbfgs, lbfgsb, warm_start
from cyclestyle.styling.kernel_mmd import Draws
from cyclestyle.styling.masks import blend
from cyclestyle.styling.mdan import Judge
from cyclestyle.styling.objective import Objective, one_by_one
from cyclestyle.styling.tiles import whole_or_tiled
from cyclestyle.styling.workshop import Companions, Order, Workshop

SMALLEST = 64
"""Pixels of the shorter side below which no scale is begun."""
GREY_NOISE = 0.1
"""Deviation of noise to begin with, where colours go from -1 to 1."""


class Moment(NamedTuple):
    """What is told after each step."""

    scale: int
    """Number of the scale, from 0."""
    step: Step
    done: int
    """Evaluations so far, over all scales."""
    remembered: Callable[[], State]
    """Gives all that is needed to go on from here; to be kept before the next step, as it is not copied."""


@dataclass(frozen=True)
class Made:
    """A batch that is finished."""

    images: Images
    """(n, 3, h, w) in [-1, 1]."""
    first: dict[str, Tensor]
    """Each part of the objective at the very beginning, (n,)."""
    last: dict[str, Tensor]
    """And at the last evaluation."""
    evaluations: int


def scales_of(height: int, width: int, count: int, least: int) -> list[tuple[int, int]]:
    """Sizes (height, width) from coarse to fine, areas doubling; at most `count`, the last is the size itself.

    Scales whose shorter side would have fewer than 64 pixels, or than `least`, are left out.
    """
    sizes = [(round(height / math.sqrt(2) ** back), round(width / math.sqrt(2) ** back)) for back in range(count)]
    fit = [size for size in sizes if min(size) >= max(SMALLEST, least)]
    return [*reversed(fit[1:]), (height, width)] if fit else [(height, width)]


@full_fp32()
def stylize(
    workshop: Workshop,
    orders: Sequence[Order],
    side: int | None,
    told: Callable[[Moment], None],
    resumed: Mapping[str, Tensor] | None = None,
) -> Made:
    """Make a batch of photos of one size.

    Args:
        workshop: what they are made with.
        orders: a photo each, of one size; if there are several, none has a mask.
        side: of tiles; None: whole pictures.
        told: hears of every step; may raise, and `resumed` goes on.
        resumed: what an earlier call told, for the same orders.
    """
    height, width = orders[0].photo.shape[-2:]
    sizes = scales_of(height, width, workshop.wanted.scales, workshop.network.least(workshop.taps))
    way = _Way(workshop, orders, resumed or {})
    for number in range(way.scale, len(sizes)):
        photos = torch.cat([_resized(order.photo, sizes[number]) for order in orders]).to(workshop.device)
        begun = _start(workshop, orders, photos) if way.images is None else _resized(way.images, sizes[number])
        objectives = _objectives(workshop, orders, photos, way.companions, side)
        way.enter(number, begun, photos, objectives[0].free)
        way.descend(one_by_one([partial(whole_or_tiled, objective, side) for objective in objectives]), told)
        if number + 1 < len(sizes):
            way.leave(*sizes[number + 1])
    images = way.images
    assert images is not None  # there is a scale
    mask = orders[0].mask
    if mask is not None:
        images = blend(orders[0].photo.to(images), images, mask.to(images))
    return Made(images.clamp(-1, 1), way.first, way.last, way.evaluations)


class _Way:
    """Where a batch is, and all that is needed to go on from there."""

    def __init__(self, workshop: Workshop, orders: Sequence[Order], resumed: Mapping[str, Tensor]) -> None:
        self.wanted = workshop.wanted
        self.companions = [workshop.companions(order) for order in orders]
        self.scale, self.before = int(resumed.get("scale", 0)), int(resumed.get("before", 0))
        self.evaluations = int(resumed.get("evaluations", 0))
        self.images = resumed["images"].to(workshop.device) if resumed else None
        memory = _below(resumed, "memory")
        self.memory = {name: kept.to(workshop.device) if kept.ndim else kept for name, kept in memory.items()}
        self.first, self.last = _below(resumed, "first"), _below(resumed, "last")
        for _, companion, state in self._companions(resumed):
            if state:
                companion.load(state)

    def enter(self, scale: int, images: Images, photos: Images, free: Tensor | None) -> None:
        """Begin a scale, or go on in it. Where pixels are held, the photo is seen, and none is on its way."""
        self.scale, self.images = scale, images
        if free is not None:
            self.images = torch.where(free > 0, images, photos)
            for name in {"exp_avg", "exp_avg_sq"} & self.memory.keys():
                self.memory[name] = self.memory[name] * free

    def descend(self, evaluate: Evaluate, told: Callable[[Moment], None]) -> None:
        """All of a scale's steps."""
        wanted, images = self.wanted, self.images
        assert images is not None  # entered

        def seen(step: Step) -> None:
            parts = {name: part.detach().cpu().clone() for name, part in step.evaluation.parts.items()}
            # copied, as no two tensors of a file may be one
            self.first, self.last = self.first or {name: part.clone() for name, part in parts.items()}, parts
            self.evaluations = self.before + step.number
            told(Moment(self.scale, step, self.evaluations, partial(self._remembered, step, images)))

        if wanted.optimizer == "adam":
            ended = adam(images, evaluate, wanted.steps, seen, rate=wanted.rate, state=self.memory)
        elif wanted.optimizer == "lbfgs":
            ended = lbfgs(images, evaluate, wanted.steps, seen, history=wanted.history, state=self.memory)
        else:
            ended = lbfgsb(images, evaluate, wanted.steps, seen, history=wanted.history)
        self.images, self.memory = ended

    def leave(self, height: int, width: int) -> None:
        """Make ready for a scale of this size: Adam takes its memory along, the others begin with none."""
        self.before = self.evaluations
        self.memory = warm_start(self.memory, height, width) if self.wanted.optimizer == "adam" else {}

    def _remembered(self, step: Step, begun_with: Images) -> State:
        """After a step; where the optimiser cannot be gone on with, as the scale began."""
        numbers = {"scale": self.scale, "before": self.before, "evaluations": self.evaluations}
        kept: State = {name: torch.tensor(number) for name, number in numbers.items()}
        kept["images"] = begun_with if step.state is None else step.images
        named = {"first": self.first, "last": self.last, "memory": step.state() if step.state else {}}
        for tap, companion, _ in self._companions({}):
            named[f"judge.{tap}"] = companion.state()
        return kept | {f"{group}.{name}": one for group, state in named.items() for name, one in state.items()}

    def _companions(self, resumed: Mapping[str, Tensor]) -> Iterator[tuple[str, Judge | Draws, State]]:
        """What changes beside the pictures, each by a name of its own, and what was kept of it."""
        for index, companions in enumerate(self.companions):
            for tap, companion in companions.items():
                yield f"{index}.{tap}", companion, _below(resumed, f"judge.{index}.{tap}")


def _below(state: Mapping[str, Tensor], group: str) -> State:
    """What is kept under a name."""
    return {name.removeprefix(f"{group}."): one for name, one in state.items() if name.startswith(f"{group}.")}


def _objectives(
    workshop: Workshop, orders: Sequence[Order], photos: Images, companions: Sequence[Companions], side: int | None
) -> list[Objective]:
    """One for a whole batch. On a CPU one for each picture: a batch would not be faster there, and so a picture's bits
    do not depend on what else is in the batch."""
    if workshop.device.type == "cpu":
        each = zip(orders, photos.split(1), companions, strict=True)
        return [workshop.objective([order], photo, [own], side) for order, photo, own in each]
    return [workshop.objective(orders, photos, companions, side)]


def _start(workshop: Workshop, orders: Sequence[Order], photos: Images) -> Images:
    """What the first scale begins with, where it is painted."""
    if workshop.wanted.start == "photo":
        return photos
    return torch.cat([_noise(workshop, order, photos[:1]) for order in orders])


def _noise(workshop: Workshop, order: Order, like: Images) -> Images:
    """Normal noise around grey; or around the style's mean, with its deviations. It follows from the photo alone."""
    generator = torch.Generator().manual_seed((order.key + workshop.wanted.seed) % 2**63)
    noise = torch.randn(like.shape, generator=generator).to(like)
    if workshop.wanted.start == "noise":
        return (noise * GREY_NOISE).clamp(-1, 1)
    mean, deviation = workshop.colours(order)
    return (mean + noise * deviation).clamp(-1, 1)


def _resized(images: Images, size: Sequence[int]) -> Images:
    """Pictures at another size, or the same if they have it."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images, (size[0], size[1]), mode="bicubic", antialias=True).clamp(-1, 1)
