"""Maps of features of which any rectangle can be had, so that a whole one need never be in memory.

Each layer of a network becomes a `Map` over the one before it. Asked for an area, it asks that one for the area that it
is made of: a convolution for some more on each side, a normalisation for the same. At the picture's borders, and there
alone, maps are continued as the layer does it. So an area's values are those of the whole map, up to rounding.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclestyle.images import Picture, pixels_to_images
from cyclestyle.networks.fewer_products import WinogradConv
from cyclestyle.networks.painter import mirrored
from cyclestyle.networks.winograd import BAND, PRODUCTS

FLOAT = 4
"""Bytes of a value."""


class Span(NamedTuple):
    """Along one axis: from `start` to before `stop`."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def within(self, size: int) -> "Span":
        """What of it lies on a map of that size."""
        return Span(max(self.start, 0), min(self.stop, size))


class Area(NamedTuple):
    """A rectangle of a map."""

    rows: Span
    columns: Span


class Map(ABC):
    """A map (1, channels, height, width), float32."""

    channels: int
    height: int
    width: int

    @abstractmethod
    def part(self, area: Area) -> Tensor:
        """The values there: (1, channels, h, w), the caller's to change."""

    @abstractmethod
    def room(self, height: int, width: int) -> int:
        """Bytes that are taken at the most while an area of that size is made, itself among them. An upper estimate."""

    @abstractmethod
    def work(self, share: float) -> float:
        """Multiplications for a share of the map, from 0 to 1."""

    @property
    @abstractmethod
    def aside(self) -> int:
        """Bytes that are taken besides, whatever the area's size."""

    def bytes(self, height: int, width: int) -> int:
        """Bytes of an area itself."""
        return FLOAT * self.channels * height * width


class Pixels(Map):
    """A picture in [-1, 1], continued to the right and downwards by mirroring."""

    channels = 3

    def __init__(self, picture: Picture, height: int, width: int, device: torch.device) -> None:
        self.picture, self.height, self.width, self.device = picture, height, width, device
        self.down = mirrored(picture.height, height, torch.device("cpu"))
        self.across = mirrored(picture.width, width, torch.device("cpu"))

    def part(self, area: Area) -> Tensor:
        down, across = (taken[slice(*span)] for taken, span in zip((self.down, self.across), area, strict=True))
        top, left, bottom, right = int(down.min()), int(across.min()), int(down.max()) + 1, int(across.max()) + 1
        levels = np.asarray(self.picture.crop((left, top, right, bottom)))
        return pixels_to_images(levels[down.numpy() - top][None][:, :, across.numpy() - left], self.device)

    def room(self, height: int, width: int) -> int:
        return 4 * self.bytes(height, width)

    def work(self, share: float) -> float:
        return 0.0

    @property
    def aside(self) -> int:
        return 0


class Over(Map):
    """A layer over one map."""

    def __init__(self, below: Map) -> None:
        self.below = below
        self.channels, self.height, self.width = below.channels, below.height, below.width

    def room(self, height: int, width: int) -> int:
        return self.below.room(height, width)

    def work(self, share: float) -> float:
        return self.below.work(share)

    @property
    def aside(self) -> int:
        return self.below.aside


class Normed(Over):
    """Every channel minus its mean, over its deviation."""

    def __init__(self, below: Map, mean: Tensor, deviation: Tensor) -> None:
        super().__init__(below)
        self.mean, self.scale = mean.view(1, -1, 1, 1), deviation.reciprocal().view(1, -1, 1, 1)

    def part(self, area: Area) -> Tensor:
        return self.below.part(area).sub_(self.mean).mul_(self.scale)


class Bent(Over):
    """ReLU, or a leaky one."""

    def __init__(self, below: Map, slope: float) -> None:
        super().__init__(below)
        self.slope = slope

    def part(self, area: Area) -> Tensor:
        return F.leaky_relu_(self.below.part(area), self.slope)


class Mirrored(Over):
    """A map continued by mirroring on all sides."""

    def __init__(self, below: Map, border: int) -> None:
        super().__init__(below)
        self.border = border
        self.height, self.width = below.height + 2 * border, below.width + 2 * border

    def part(self, area: Area) -> Tensor:
        sizes = (self.below.height, self.below.width)
        places = [self._places(span, size) for span, size in zip(area, sizes, strict=True)]
        spans = [Span(int(place.min()), int(place.max()) + 1) for place in places]
        found = self.below.part(Area(*spans))
        for axis, place, span in zip((2, 3), places, spans, strict=True):
            if len(place) != span.length or int(place[0]) != span.start:
                found = found.index_select(axis, (place - span.start).to(found.device))
        return found

    def _places(self, span: Span, size: int) -> Tensor:
        """Where the values of a span stand in the map below."""
        from_start = torch.arange(span.start - self.border, span.stop - self.border).abs()
        return size - 1 - (size - 1 - from_start).abs()

    def room(self, height: int, width: int) -> int:
        return max(self.below.room(height, width), 2 * self.bytes(height, width))


class Doubled(Over):
    """Every value four times, as `nn.Upsample(scale_factor=2)` does."""

    def __init__(self, below: Map) -> None:
        super().__init__(below)
        self.height, self.width = 2 * below.height, 2 * below.width

    def part(self, area: Area) -> Tensor:
        halves = Area(*(Span(span.start // 2, -(-span.stop // 2)) for span in area))
        found = F.interpolate(self.below.part(halves), scale_factor=2.0)
        rows, columns = (
            slice(span.start - 2 * half.start, span.stop - 2 * half.start)
            for span, half in zip(area, halves, strict=True)
        )
        return found[:, :, rows, columns]

    def room(self, height: int, width: int) -> int:
        half = height // 2 + 1, width // 2 + 1
        return max(self.below.room(*half), self.below.bytes(*half) + self.bytes(height + 2, width + 2))


class Beside(Map):
    """The channels of two maps of one size."""

    def __init__(self, one: Map, other: Map) -> None:
        self.one, self.other = one, other
        self.channels, self.height, self.width = one.channels + other.channels, one.height, one.width

    def part(self, area: Area) -> Tensor:
        return torch.cat([self.one.part(area), self.other.part(area)], dim=1)

    def room(self, height: int, width: int) -> int:
        first = self.one.bytes(height, width)
        together = first + self.other.bytes(height, width) + self.bytes(height, width)
        return max(self.one.room(height, width), first + self.other.room(height, width), together)

    def work(self, share: float) -> float:
        return self.one.work(share) + self.other.work(share)

    @property
    def aside(self) -> int:
        return max(self.one.aside, self.other.aside)


class Sum(Beside):
    """The sum of two maps of one size and as many channels."""

    def __init__(self, one: Map, other: Map) -> None:
        super().__init__(one, other)
        self.channels = one.channels

    def part(self, area: Area) -> Tensor:
        return self.one.part(area).add_(self.other.part(area))


class _Kernel(NamedTuple):
    """What of a convolution is the same along either axis."""

    side: int
    stride: int
    padding: int
    extra: int
    """Values that a transposed one makes beyond."""


def _kernel(conv: nn.Conv2d | nn.ConvTranspose2d) -> _Kernel:
    found = [conv.kernel_size, conv.stride, conv.padding, conv.output_padding]
    assert all(down == across for down, across in found)
    assert conv.groups == conv.dilation[0] == conv.dilation[1] == 1
    return _Kernel(*(int(down) for down, _ in found))


class Convolved(Over):
    """A convolution, which continues its map by zeros if at all."""

    def __init__(self, below: Map, conv: nn.Conv2d) -> None:
        super().__init__(below)
        self.conv, self.kernel, self.channels = conv, _kernel(conv), conv.out_channels
        side, stride, padding, _ = self.kernel
        self.height, self.width = ((size + 2 * padding - side) // stride + 1 for size in (below.height, below.width))

    def part(self, area: Area) -> Tensor:
        side, stride, padding, _ = self.kernel
        wanted = [Span(span.start * stride - padding, (span.stop - 1) * stride - padding + side) for span in area]
        there = Area(wanted[0].within(self.below.height), wanted[1].within(self.below.width))
        found = self.below.part(there).to(self.conv.weight.dtype)
        beyond = [
            missing
            for span, part in zip(reversed(wanted), reversed(there), strict=True)
            for missing in (part.start - span.start, span.stop - part.stop)
        ]
        if any(beyond):
            found = F.pad(found, beyond)
        if isinstance(self.conv, WinogradConv) and not padding:
            return self.conv(found).float()
        return F.conv2d(found, self.conv.weight, self.conv.bias, self.conv.stride).float()

    def room(self, height: int, width: int) -> int:
        side, stride = self.kernel[:2]
        taken = (height - 1) * stride + side, (width - 1) * stride + side
        own = 2 * self.below.bytes(*taken) + 2 * self.bytes(height, width)
        return max(self.below.room(*taken), own)

    @property
    def aside(self) -> int:
        fast = isinstance(self.conv, WinogradConv)
        own = 4 * PRODUCTS * BAND * FLOAT * max(self.below.channels, self.channels) if fast else 0
        return max(self.below.aside, own)

    def work(self, share: float) -> float:
        return self.below.work(share) + share * self.height * self.width * self.conv.weight.numel()


class Raised(Over):
    """A transposed convolution."""

    def __init__(self, below: Map, conv: nn.ConvTranspose2d) -> None:
        super().__init__(below)
        self.conv, self.kernel, self.channels = conv, _kernel(conv), conv.out_channels
        side, stride, padding, extra = self.kernel
        self.height, self.width = (
            (size - 1) * stride - 2 * padding + side + extra for size in (below.height, below.width)
        )

    def part(self, area: Area) -> Tensor:
        side, stride, padding, extra = self.kernel
        # Value i of the map below reaches those from i * stride - padding to before that + side.
        taken = Area(
            *(
                Span(-(-(span.start + padding - side + 1) // stride), (span.stop - 1 + padding) // stride + 1).within(
                    size
                )
                for span, size in zip(area, (self.below.height, self.below.width), strict=True)
            )
        )
        found = self.below.part(taken).to(self.conv.weight.dtype)
        made = F.conv_transpose2d(found, self.conv.weight, self.conv.bias, self.conv.stride, 0, extra).float()
        first = [span.start - (one.start * stride - padding) for span, one in zip(area, taken, strict=True)]
        return made[:, :, first[0] : first[0] + area.rows.length, first[1] : first[1] + area.columns.length]

    def room(self, height: int, width: int) -> int:
        side, stride = self.kernel[:2]
        taken = height // stride + 2, width // stride + 2
        made = 2 * self.bytes(height + side, width + side)
        return max(self.below.room(*taken), 2 * self.below.bytes(*taken) + made)

    def work(self, share: float) -> float:
        below = self.below.height * self.below.width
        return self.below.work(share) + share * below * self.conv.weight.numel()
