"""A picture through a network in tiles, to the painting that it would become at once.

Instance norm is what stands against it: its means and deviations are those of whole maps. So the network is not gone
through tile by tile, but layer by layer, each in tiles. A convolution before a norm is computed once over the whole
picture; meanwhile its statistics are gathered, and the map is kept (`Scratch`) until the next layer has read it. Then
they are known, and the norm is applied to what is read. Nothing is estimated, and there are no seams: every value is
made of the same values as in the whole picture.

Maps as large as the picture (the first and the last) take the most room and the least time: of these the statistics
alone are kept, and they are computed a second time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cyclestyle.images import Images, Picture
from cyclestyle.networks.areas import (
    Area,
    Bent,
    Beside,
    Convolved,
    Doubled,
    Map,
    Mirrored,
    Normed,
    Pixels,
    Raised,
    Span,
    Sum,
)
from cyclestyle.networks.generator import ResidualBlock, ResNetGenerator, UNetGenerator, UNetLevel
from cyclestyle.networks.layers import InstanceNorm, ReflectionPad
from cyclestyle.networks.painter import Painter, padded_size
from cyclestyle.networks.precision import full_fp32
from cyclestyle.networks.scratch import Kept, Scratch

SIDES = (2048, 1024, 512, 384, 256, 192, 128, 96, 64, 48, 32)
"""Of tiles, in values of the map that is made: the largest for which there is room. Multiples of Winograd's tiles."""


class Rectangle(NamedTuple):
    """A part of a picture, painted."""

    top: int
    left: int
    photo: Images
    """(1, 3, h, w) in [-1, 1], like the painting."""
    painting: Images


@dataclass(frozen=True)
class Needs:
    """What streaming a picture takes."""

    tile: int
    """Bytes for the smallest tiles."""
    aside: int
    """Bytes besides, whatever the tiles' size."""
    memory: int
    """Bytes of maps that are kept in memory at one time, at the most."""
    disk: int
    """The same on the disk."""
    work: float
    """Multiplications."""


def can_stream(painter: Painter) -> bool:
    """Whether its network is one of those that can be gone through in tiles."""
    return isinstance(painter.network, (ResNetGenerator, UNetGenerator))


def needs(painter: Painter, picture: Picture, in_memory: int = 0) -> Needs:
    """What it would take, found by going through the layers without computing anything.

    Args:
        painter: one that `can_stream`.
        picture: of any size.
        in_memory: bytes of maps that may be kept in memory.
    """
    rehearsal = _Rehearsal(painter, picture, in_memory)
    for _ in rehearsal.painted():
        pass
    scratch = rehearsal.scratch
    return Needs(rehearsal.least, rehearsal.aside, scratch.most_memory, scratch.most_disk, rehearsal.done)


@torch.inference_mode()
def streamed(
    painter: Painter, picture: Picture, scratch: Scratch, room: int, tick: Callable[[float], object] = lambda work: None
) -> Iterator[Rectangle]:
    """A picture painted, tile by tile.

    Args:
        painter: one that `can_stream`; its device and precision are used.
        picture: of any size.
        scratch: where maps are kept.
        room: bytes that tiles may take, beside what is needed in any case.
        tick: told multiplications as they are done.
    """
    yield from _Stream(painter, picture, scratch, room, tick).painted()


class _Stream:
    """One picture on its way through the layers."""

    def __init__(
        self, painter: Painter, picture: Picture, scratch: Scratch, room: int, tick: Callable[[float], object]
    ) -> None:
        self.network, self.scratch, self.room, self.tick = painter.network, scratch, room, tick
        self.device = next(painter.network.parameters()).device
        self.size = picture.height, picture.width
        height, width = padded_size(painter, picture.height, picture.width)
        self.photo = Pixels(picture, height, width, self.device)

    def painted(self) -> Iterator[Rectangle]:
        """The painting's tiles."""
        network, map_ = self.network, self.photo
        if isinstance(network, ResNetGenerator):
            for part in (network.encode, network.repaint, network.decode):
                map_ = self.through(part, map_)
        else:
            assert isinstance(network, UNetGenerator)
            map_ = self.through(network.body, map_)
        height, width = self.size
        for area, made in self.tiles(map_):
            top, left = area.rows.start, area.columns.start
            if top < height and left < width:  # else it is only what the picture was continued by
                photo = self.photo.part(area)
                painted = network.finish(made, photo)
                yield Rectangle(top, left, *(part[:, :, : height - top, : width - left] for part in (photo, painted)))

    def through(self, layer: nn.Module, map_: Map) -> Map:
        """What a layer makes of a map."""
        match layer:
            case nn.Sequential():
                for each in layer:
                    map_ = self.through(each, map_)
                return map_
            case ReflectionPad():
                return Mirrored(map_, layer.width)
            case nn.Upsample():
                return Doubled(map_)
            case nn.Conv2d():
                return Convolved(map_, layer)
            case nn.ConvTranspose2d():
                return Raised(map_, layer)
            case nn.ReLU():
                return Bent(map_, 0.0)
            case nn.LeakyReLU():
                return Bent(map_, layer.negative_slope)
            case InstanceNorm():
                return self.normed(map_, layer.eps)
            case ResidualBlock():
                return self.added(map_, self.through(layer.body, map_))
            case UNetLevel():  # its map is read by several
                map_ = map_ if isinstance(map_, (Kept, Normed)) else self.kept(map_)
                return Beside(map_, self.through(layer.body, map_))
        raise TypeError(f"no way is known to go through {type(layer).__name__} in tiles")

    def kept(self, map_: Map) -> Kept:
        """A map once it is computed."""
        kept = self.scratch.take(map_.channels, map_.height, map_.width, self.device)
        for area, part in self.tiles(map_):
            kept.write(area, part)
        return kept

    def normed(self, map_: Map, eps: float) -> Normed:
        """Instance norm, with the statistics of the whole map."""
        large = map_.height >= self.photo.height
        kept = None if large else self.scratch.take(map_.channels, map_.height, map_.width, self.device)
        moments = Moments(map_.channels)
        for area, part in self.tiles(map_):
            moments.add(part)
            if kept is not None:
                kept.write(area, part)
        return Normed(map_ if kept is None else kept, *(found.to(self.device) for found in moments.found(eps)))

    def added(self, map_: Map, change: Map) -> Kept:
        """The sum of both, written where the change was."""
        assert isinstance(change, Normed)
        assert isinstance(change.below, Kept)
        for area, part in self.tiles(Sum(map_, change)):
            change.below.write(area, part)
        return change.below

    def tiles(self, map_: Map) -> Iterator[tuple[Area, Tensor]]:
        """A map's areas, and the values there."""
        side = next((side for side in SIDES if map_.room(side, side) <= self.room), SIDES[-1])
        for rows in _spans(map_.height, side):
            for columns in _spans(map_.width, side):
                area = Area(rows, columns)
                with full_fp32():
                    part = map_.part(area)
                yield area, part
                self.tick(map_.work(rows.length * columns.length / (map_.height * map_.width)))


def _spans(size: int, side: int) -> list[Span]:
    return [Span(start, min(start + side, size)) for start in range(0, size, side)]


class _Rehearsal(_Stream):
    """The same way through the layers, but nothing is computed: what it would take is added up."""

    def __init__(self, painter: Painter, picture: Picture, in_memory: int) -> None:
        super().__init__(painter, picture, Scratch(Path(), in_memory), 0, lambda work: None)
        self.least, self.aside, self.done = 0, 0, 0.0

    def tiles(self, map_: Map) -> Iterator[tuple[Area, Tensor]]:
        self.least = max(self.least, map_.room(min(SIDES[-1], map_.height), min(SIDES[-1], map_.width)))
        self.aside = max(self.aside, map_.aside)
        self.done += map_.work(1)
        return iter(())


class Moments:
    """Mean and variance of each channel, added up over bands (Chan, Golub, LeVeque 1979, eq. 2.1)."""

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.mean = torch.zeros(channels, dtype=torch.float64)
        self.squares = torch.zeros(channels, dtype=torch.float64)
        """Sums of squared distances from the mean."""

    def add(self, part: Tensor) -> None:
        """Values (1, channels, h, w)."""
        values = part[0].permute(1, 2, 0).flatten(0, 1)  # a column for each channel: how a CPU adds fastest
        mean = values.mean(0)
        squares = (values - mean).square_().sum(0).cpu().double()
        apart = mean.cpu().double() - self.mean
        total = self.count + len(values)
        self.squares += squares + apart.square() * (self.count * len(values) / total)
        self.mean += apart * (len(values) / total)
        self.count = total

    def found(self, eps: float) -> tuple[Tensor, Tensor]:
        """Mean, and deviation with `eps` added to the variance: both (channels,) in float32."""
        return self.mean.float(), (self.squares / max(self.count, 1) + eps).sqrt().float()
