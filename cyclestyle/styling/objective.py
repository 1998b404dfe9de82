"""What a picture is to become, as a number to be made small, and that number's gradient.

An objective is a sum of weighted terms. Each gives one number for every picture of a batch, so pictures that are made
together do not influence one another.

    content  features near those of the photo, position by position
    style    statistics that are sums over positions (moments) near those of the style, in whole or in a region
    map      whatever looks at whole feature maps: histograms, nearest patches, a discriminator
    pixel    total variation, and colours that no screen can show

The first two and the last can be computed in tiles (`tiles`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from cyclestyle.images import Images
from cyclestyle.networks.precision import full_fp32
from cyclestyle.styling.moments import Moments, moments


@dataclass(frozen=True)
class ContentTerm:
    """Squared distance of features from the photo's, scaled: `scale` |F - P|^2."""

    tap: str
    target: Tensor
    """(n, c, h, w): the photo's features."""
    scale: Tensor
    """(n,): the weight, and whatever the convention divides by."""

    def __call__(self, features: Tensor, target: Tensor | None = None) -> Tensor:
        """Of a whole map; or of a part of it, given the same part of the target: (n,)."""
        target = self.target if target is None else target
        return (features - target).square().flatten(1).sum(1) * self.scale


@dataclass(frozen=True)
class MomentTerm:
    """A distance between moments of the picture and of the style."""

    tap: str
    weight: float
    loss: Callable[[Moments, Moments], Tensor]
    target: Moments
    """Of one style for all pictures of the batch, or one for each."""
    guidance: Tensor | None = None
    """(n or 1, 1, h, w) at the tap: how much each position counts; None: all alike."""


@dataclass(frozen=True)
class MapTerm:
    """A distance that looks at whole maps of features."""

    name: str
    tap: str
    weight: float
    loss: Callable[[Tensor], Tensor]
    """(n, c, h, w) -> (n,)"""


@dataclass(frozen=True)
class PixelTerm:
    """A property of the pixels themselves."""

    name: str
    weight: float
    loss: Callable[[Images], Tensor]
    """(n, 3, h, w) -> (n,)"""


class Seeing(Protocol):
    """A network, or one through which features are smoothed."""

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of its layers, shallow to deep."""
        ...

    def __call__(self, images: Images, taps: Sequence[str]) -> dict[str, Tensor]:
        """Features at some of them."""
        ...


class Evaluation(NamedTuple):
    """An objective at some pictures."""

    parts: dict[str, Tensor]
    """Each kind of term, weighted: (n,)."""
    gradient: Images
    """Of the sum of all: each picture's own, (n, 3, h, w)."""

    @property
    def total(self) -> Tensor:
        """(n,)"""
        return sum(self.parts.values())  # type: ignore[return-value]


@dataclass(frozen=True)
class Objective:
    """The terms for a batch of pictures of one size."""

    network: Seeing
    content: Sequence[ContentTerm] = ()
    style: Sequence[MomentTerm] = ()
    maps: Sequence[MapTerm] = ()
    pixels: Sequence[PixelTerm] = ()
    free: Tensor | None = None
    """(n or 1, 1, h, w): 1 where pixels may change, 0 where they are held; None: all may."""

    @property
    def taps(self) -> tuple[str, ...]:
        """Every layer that is looked at, shallow to deep."""
        wanted = {term.tap for term in (*self.content, *self.style, *self.maps)}
        return tuple(tap for tap in self.network.taps if tap in wanted)

    @full_fp32()
    def __call__(self, images: Images) -> Evaluation:
        """All terms and their gradient, from whole pictures (n, 3, h, w)."""
        leaf = images.detach().requires_grad_()
        features = self.network(leaf, self.taps)
        parts = add_up(
            [
                *(("content", term(features[term.tap])) for term in self.content),
                *self.of_moments(moments(features[term.tap], term.guidance) for term in self.style),
                *((term.name, term.weight * term.loss(features[term.tap])) for term in self.maps),
                *self.of_pixels(leaf),
            ],
            leaf,
        )
        (gradient,) = torch.autograd.grad(sum(parts.values()).sum(), leaf)  # type: ignore[union-attr]
        return Evaluation({name: part.detach() for name, part in parts.items()}, self.held(gradient))

    def of_moments(self, found: Iterable[Moments]) -> list[tuple[str, Tensor]]:
        """The style terms of the moments at each, weighted."""
        return [
            ("style", term.weight * term.loss(seen, term.target)) for term, seen in zip(self.style, found, strict=True)
        ]

    def of_pixels(self, images: Images) -> list[tuple[str, Tensor]]:
        """The pixel terms, weighted."""
        return [(term.name, term.weight * term.loss(images)) for term in self.pixels]

    def held(self, gradient: Images) -> Images:
        """No change where pixels are held."""
        free = gradient if self.free is None else gradient * self.free
        return free.contiguous()  # networks like another memory layout than optimisers


def add_up(named: Iterable[tuple[str, Tensor]], images: Images) -> dict[str, Tensor]:
    """Terms of one name become one part: (n,) each. Without any term the objective is 0 everywhere."""
    parts: dict[str, Tensor] = {}
    for name, value in named:
        parts[name] = parts[name] + value if name in parts else value
    return parts or {"nothing": images.flatten(1).sum(1) * 0}


def one_by_one(objectives: Sequence[Callable[[Images], Evaluation]]) -> Callable[[Images], Evaluation]:
    """A batch as pictures after one another, each with its own objective: on a CPU as fast, in less memory, and the
    same bits whatever else is in the batch. A single objective takes all of them."""
    if len(objectives) == 1:
        return objectives[0]

    def evaluate(images: Images) -> Evaluation:
        found = [objective(images[index : index + 1]) for index, objective in enumerate(objectives)]
        parts = {name: torch.cat([one.parts[name] for one in found]) for name in found[0].parts}
        return Evaluation(parts, torch.cat([one.gradient for one in found]))

    return evaluate
