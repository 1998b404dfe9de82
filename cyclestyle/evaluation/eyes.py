"""What is seen in a picture: one pass through each network gives the numbers of every measure."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cyclestyle.evaluation.content import relative_distance, self_similarity
from cyclestyle.evaluation.descriptors import DIRECTIONS, PALETTE_BINS, directions, gram, luminance, mean_std, palette
from cyclestyle.evaluation.truth import luminance_ssim
from cyclestyle.images import Images
from cyclestyle.networks.inception import Inception
from cyclestyle.networks.lpips import Lpips
from cyclestyle.networks.precision import exact_device, full_fp32
from cyclestyle.networks.vgg import Vgg

VERSION = 2
"""Counts up when the numbers of a picture change though networks and settings do not: kept ones are then not used."""

STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""Gatys et al. 2016."""
TEXTURE_TAPS = ("relu1_1", "relu2_1", "relu3_1")
"""Of the grey picture: where strokes are; deeper layers cost more than they tell."""
CONTENT_TAPS = ("relu2_2", "relu3_1", "relu4_2")
STRUCTURE_TAPS = ("relu3_1", "relu2_2", "relu2_1")
"""The first that there is."""
POOLED_TAPS = ("relu3_1", "relu4_1")
"""Stand for the levels of Inception where that is not used; the deepest there is, where a network is cut before."""
LEVELS = (192, 768, 2048)
"""Of Inception, by their channels; the last is that of FID and KID as published."""


@contextmanager
def exactly() -> Iterator[None]:
    """Without gradients, and on GPUs in full fp32: TF32 would move every number."""
    with torch.inference_mode(), full_fp32():
        yield


class Seen(NamedTuple):
    """Of a batch of pictures: what comparing it with another needs."""

    images: Images
    features: dict[str, Tensor]
    perceived: Any
    """Of LPIPS, or None."""


@dataclass(frozen=True)
class Eyes:
    """The networks, and the layers at which they are asked."""

    vgg: Vgg
    inception: Inception | None
    lpips: Lpips | None
    device: torch.device

    @property
    def style_taps(self) -> tuple[str, ...]:
        return tuple(tap for tap in STYLE_TAPS if tap in self.vgg.taps)

    @property
    def texture_taps(self) -> tuple[str, ...]:
        return tuple(tap for tap in TEXTURE_TAPS if tap in self.vgg.taps)

    @property
    def content_taps(self) -> tuple[str, ...]:
        return tuple(tap for tap in CONTENT_TAPS if tap in self.vgg.taps)

    @property
    def structure_tap(self) -> str | None:
        return next((tap for tap in STRUCTURE_TAPS if tap in self.vgg.taps), None)

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the levels at which sets are compared, shallow to deep."""
        if self.inception is not None:
            return tuple(f"Inception-{level}" for level in self.inception.levels if level in LEVELS)
        taps = [tap for tap in POOLED_TAPS if tap in self.vgg.taps] or [self.vgg.taps[-1]]
        return tuple(f"{self.vgg.name} {tap}" for tap in taps)

    @property
    def parts(self) -> dict[str, int]:
        """What a picture becomes: widths of the parts of its vector, by name."""
        channels = self.vgg.channels
        parts = {f"mean_std/{tap}": 2 * channels[tap] for tap in self.style_taps}
        parts |= {f"gram/{tap}": _triangle(min(channels[tap], DIRECTIONS)) for tap in self.style_taps}
        parts |= {f"texture/{tap}": 2 * channels[tap] for tap in self.texture_taps}
        if self.inception is not None:
            parts |= {f"level/{name}": int(name.rpartition("-")[2]) for name in self.levels}
        else:
            parts |= {f"level/{name}": channels[name.rpartition(" ")[2]] for name in self.levels}
        return parts | {"palette": PALETTE_BINS}

    @property
    def pair_parts(self) -> tuple[str, ...]:
        """What a picture and its painting become: names of the distances."""
        named = [f"content/{tap}" for tap in self.content_taps]
        if self.structure_tap is not None:
            named.append(f"structure/{self.structure_tap}")
        if self.lpips is not None:
            named.append("lpips")
        return (*named, "ssim")

    @property
    def identity(self) -> str:
        """Everything that a picture's numbers follow from."""
        return json.dumps({"version": VERSION, "parts": self.parts, "pairs": self.pair_parts} | self.provenance())

    def provenance(self) -> dict[str, Any]:
        """What each network is, and where its weights are from."""
        networks = {"vgg": self.vgg, "inception": self.inception, "lpips": self.lpips}
        return {name: network.provenance for name, network in networks.items() if network is not None}

    @exactly()
    def look(self, images: Images) -> tuple[Tensor, Seen]:
        """Pictures (n, 3, h, w) as vectors (n, sum of the widths of `parts`) on the CPU, and what comparing needs."""
        images = images.to(self.device)
        taps = {*self.style_taps, *self.content_taps, *filter(None, [self.structure_tap])}
        if self.inception is None:
            taps |= {name.rpartition(" ")[2] for name in self.levels}
        features = self.vgg(images, tuple(sorted(taps)))
        grey = self.vgg(luminance(images), self.texture_taps)
        found = [mean_std(features[tap]) for tap in self.style_taps]
        found += [gram(features[tap], self._directions(tap)) for tap in self.style_taps]
        found += [mean_std(grey[tap]) for tap in self.texture_taps]
        if self.inception is not None:
            asked = tuple(level for level in self.inception.levels if level in LEVELS)
            levels = self.inception(images, asked)
            found += [levels[level] for level in asked]
        else:
            found += [features[name.rpartition(" ")[2]].mean((2, 3)) for name in self.levels]
        found.append(palette(images))
        kept = {tap: features[tap] for tap in {*self.content_taps, *filter(None, [self.structure_tap])}}
        perceived = self.lpips.features(images) if self.lpips is not None else None
        return torch.cat([part.float().cpu() for part in found], dim=1), Seen(images, kept, perceived)

    @exactly()
    def compare(self, before: Seen, after: Seen) -> Tensor:
        """Distances (n, number of `pair_parts`) between pictures and what was made of them."""
        found = [relative_distance(before.features[tap], after.features[tap]) for tap in self.content_taps]
        if (tap := self.structure_tap) is not None:
            found.append(self_similarity(before.features[tap], after.features[tap]))
        if self.lpips is not None:
            found.append(self.lpips.distance(before.perceived, after.perceived))
        found.append(luminance_ssim(before.images, after.images))
        return torch.stack([one.float().cpu() for one in found], dim=1)

    def _directions(self, tap: str) -> Tensor:
        return _directions(self.vgg.channels[tap], exact_device(self.device))


@cache
def _directions(channels: int, device: torch.device) -> Tensor:
    """Drawn once, and not for every picture."""
    return directions(channels).to(device)


def _triangle(side: int) -> int:
    return side * (side + 1) // 2


def columns(parts: Mapping[str, int], name: str) -> slice:
    """Where a part stands in a vector."""
    first = 0
    for other, width in parts.items():
        if other == name:
            return slice(first, first + width)
        first += width
    raise KeyError(name)
