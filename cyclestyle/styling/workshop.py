"""What pictures are stylized with: the network, the gallery, and from these the objective for photos of some size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from cyclestyle.images import LARGEST, Images, luminance, to_images
from cyclestyle.networks.extractors import Extractor
from cyclestyle.networks.precision import full_fp32
from cyclestyle.styling.colour_control import match_colours, match_luminance
from cyclestyle.styling.gallery import Chosen, Described, Gallery
from cyclestyle.styling.kernel_mmd import Draws
from cyclestyle.styling.masks import Regions, region_weights
from cyclestyle.styling.mdan import Judge
from cyclestyle.styling.moments import Moments, mix, moments, stack, variance
from cyclestyle.styling.objective import MapTerm, MomentTerm, Objective, Seeing
from cyclestyle.styling.recipes import Layers, StylingSettings
from cyclestyle.styling.swag import smooth
from cyclestyle.styling.terms import content_terms, judged_terms, map_terms, moment_terms, pixel_terms
from cyclestyle.styling.tiles import map_size, streamed_maps, streamed_sums

Companions = Mapping[str, Judge] | Mapping[str, Draws]
"""A photo's, by layers: discriminators that learn, or draws of positions."""
Companion = TypeVar("Companion", Judge, Draws)

CHOSEN_AT = 256
"""Longest side at which the nearest painting is sought."""


@dataclass(frozen=True)
class Order:
    """A photo, and what it shall be like."""

    photo: Images
    """(1, 3, h, w) in [-1, 1], at the size that is made."""
    chosen: Chosen
    key: int
    """The photo's own: what is drawn follows from it and the seed."""
    mask: Tensor | None = None
    """(1, 1, h, w): 1 where it is painted, 0 where it stays."""
    regions: tuple[Regions, Regions] | None = None
    """Of the photo and of the style, one to one."""


class Smoothing:
    """A network whose features go through a softmax over each whole map: SWAG."""

    def __init__(self, network: Extractor, temperature: float) -> None:
        self.network, self.temperature, self.taps = network, temperature, network.taps

    def __call__(self, images: Images, taps: Sequence[str]) -> dict[str, Tensor]:
        found = self.network(images, taps)
        return {tap: smooth(map_, self.temperature, mean_one=True).to(map_.dtype) for tap, map_ in found.items()}


@dataclass(frozen=True)
class Workshop:
    """Everything that is there before the first photo."""

    wanted: StylingSettings
    network: Extractor
    layers: Layers
    gallery: Gallery
    device: torch.device

    @property
    def seeing(self) -> Seeing:
        """What the objective looks through."""
        return Smoothing(self.network, self.wanted.temperature) if self.wanted.method == "swag" else self.network

    @property
    def taps(self) -> tuple[str, ...]:
        """Every layer that is looked at, shallow to deep."""
        asked = {*self.layers.style, *(self.layers.content if self.wanted.content_weight else ())}
        return tuple(tap for tap in self.network.taps if tap in asked)

    def companions(self, order: Order) -> Companions:
        """What changes from step to step beside a photo's picture, for each layer, where the method has such."""
        seed = (order.key + self.wanted.seed) % 2**63
        if self.wanted.method == "mdan":
            channels = self.network.channels
            return {tap: Judge(channels[tap], 1, seed, device=self.device) for tap in self.layers.style}
        return {tap: Draws(seed) for tap in self.layers.style} if self.wanted.draws else {}

    @full_fp32()
    def objective(
        self, orders: Sequence[Order], photos: Images, companions: Sequence[Companions], side: int | None
    ) -> Objective:
        """What photos are to become.

        Args:
            orders: one for each photo; if there are several, none has a mask.
            photos: (n, 3, h, w), those of the orders at some size, on the device.
            companions: of each photo, as `companions` gave them.
            side: of tiles; None: whole.
        """
        wanted, layers, seeing = self.wanted, self.layers, self.seeing
        see = seeing if side is None else partial(streamed_maps, self.network, side=side)
        longest = self._longest(photos)
        style, maps = list[MomentTerm](), list[MapTerm]()
        if wanted.streams or wanted.method in {"histogram", "swag"}:
            style = self._moment_terms(orders, photos, longest, side)
        if not wanted.streams and wanted.method != "swag":
            with torch.no_grad():
                seen = [
                    seeing(self._painting(order, order.chosen.places[0], longest), layers.style) for order in orders
                ]
            if wanted.method == "mdan":
                maps = judged_terms(wanted, layers, seen, [_all(Judge, one) for one in companions])
            else:
                maps = map_terms(wanted, layers, seen, [_all(Draws, one) for one in companions])
        return Objective(
            seeing,
            content_terms(see, photos, layers, wanted),
            style,
            maps,
            pixel_terms(wanted),
            self._free(orders, photos),
        )

    @full_fp32()
    def describe(self, images: Images) -> dict[str, Described]:
        """Gram matrices of pictures (n, 3, h, w) by layer, by which the nearest painting is found."""
        with torch.no_grad():
            found = self.network(images.to(self.device), self.layers.style)
        return {tap: Described.of(moments(features)) for tap, features in found.items()}

    def colours(self, order: Order) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the style's colours, as noise begins with them: (1, 3, 1, 1) each."""
        longest = self._longest(order.photo)
        found = [moments(self._painting(order, place, longest)) for place in order.chosen.places]
        mixed = mix(found, order.chosen.shares)
        return mixed.mean[:, :, None, None], variance(mixed).sqrt()[:, :, None, None]

    def _longest(self, photos: Images) -> int:
        """Of a painting's sides, for photos of this size."""
        return max(1, round(min(max(photos.shape[-2:]) * self.wanted.style_scale, LARGEST)))

    def _moment_terms(
        self, orders: Sequence[Order], photos: Images, longest: int, side: int | None
    ) -> list[MomentTerm]:
        pixels = photos.shape[-2] * photos.shape[-1]
        first = orders[0]
        if first.regions is None:
            found = [self._moments(order, longest, side, None) for order in orders]
            targets = {tap: stack([one[tap] for one in found]) for tap in self.layers.style}
            guidance = {} if first.mask is None else self._at_taps(photos, lambda size: _shrunk(first.mask, size))
            return moment_terms(self.wanted, self.layers, targets, pixels, guidance)
        terms = []
        for number in range(len(first.regions[0].colours)):
            guidance = self._at_taps(photos, partial(_region, first.regions[0], number))
            targets = self._moments(first, longest, side, number)
            share = (first.regions[0].labels == number).double().mean().item()
            made = moment_terms(self.wanted, self.layers, targets, pixels, guidance)
            terms += [replace(term, weight=term.weight * share) for term in made]
        return terms

    def _moments(self, order: Order, longest: int, side: int | None, region: int | None) -> dict[str, Moments]:
        """Of the chosen paintings at each layer; of a region of theirs."""

        def make() -> dict[str, Moments]:
            found, counted = dict[str, Moments](), 0.0
            for place, share in zip(*order.chosen, strict=True):  # one in memory at a time: a mean may be of thousands
                seen = self._seen(self._painting(order, place, longest), order, side, region)
                found = {tap: mix([found[tap], one], [counted, share]) if found else one for tap, one in seen.items()}
                counted += share
            return found

        if self.wanted.colour != "style" or order.regions is not None:
            return make()  # it depends on the photo
        return self.gallery.remembered((order.chosen, longest), make)

    def _seen(self, painting: Images, order: Order, side: int | None, region: int | None) -> dict[str, Moments]:
        """A painting's moments at each layer."""
        guidance: dict[str, Tensor] = {}
        if region is not None:
            assert order.regions is not None
            guidance = self._at_taps(painting, partial(_region, order.regions[1], region))
        plan = [(tap, guidance.get(tap)) for tap in self.layers.style]
        if side is not None:
            found = [sums.moments() for sums in streamed_sums(self.network, painting, plan, side)]
        else:
            with torch.no_grad():
                features = self.seeing(painting, self.layers.style)
            found = [moments(features[tap], weights) for tap, weights in plan]
        return dict(zip(self.layers.style, found, strict=True))

    def _painting(self, order: Order, place: int, longest: int) -> Images:
        """A painting as a photo's style, (1, 3, h, w) on the device."""
        painting = to_images([self.gallery.picture(place, longest)]).to(self.device)
        least = self.network.least(self.taps)
        if min(painting.shape[-2:]) < least:
            raise ValueError(
                f"{self.gallery.paths[place]} is {painting.shape[-1]} x {painting.shape[-2]} pixels (width x height) "
                f"beside a photo of this size, and these layers need {least}; give a larger one, or fewer --style-taps"
            )
        photo = order.photo.to(self.device)
        if self.wanted.colour == "matched":
            return match_colours(painting, photo).clamp(-1, 1)
        if self.wanted.colour == "luminance":
            grey = match_luminance(luminance(painting), luminance(photo))
            return grey.clamp(-1, 1).expand(-1, 3, -1, -1).contiguous()
        return painting

    def _at_taps(self, images: Images, weights: Callable[[tuple[int, int]], Tensor]) -> dict[str, Tensor]:
        """Weights of a map's size for each layer of the style: (1, 1, h, w) on the device."""
        sizes = {tap: map_size(self.network, tap, images) for tap in self.layers.style}
        return {tap: weights(size).to(images) for tap, size in sizes.items()}

    def _free(self, orders: Sequence[Order], photos: Images) -> Tensor | None:
        mask = orders[0].mask
        return None if mask is None else (_shrunk(mask, photos.shape[-2:]) > 0).to(photos)


def _all(kind: type[Companion], companions: Companions) -> dict[str, Companion]:
    return {tap: one for tap, one in companions.items() if isinstance(one, kind)}


def _shrunk(mask: Tensor | None, size: Sequence[int]) -> Tensor:
    """A mask at another size, by area."""
    assert mask is not None
    return F.adaptive_avg_pool2d(mask, (size[0], size[1]))


def _region(regions: Regions, number: int, size: tuple[int, int]) -> Tensor:
    return region_weights(regions, *size)[number : number + 1]
