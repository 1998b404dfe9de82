"""The file that a run hands over: one generator's weights with all that is needed to use them."""

import copy
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from pydantic import ValidationError
from torch import nn

from cyclestyle.config import GeneratorSettings, Section
from cyclestyle.files import sha256, written_aside
from cyclestyle.images import Images
from cyclestyle.networks.fewer_products import quickest
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.kinds import Precision
from cyclestyle.networks.precision import TYPES, full_fp32
from cyclestyle.networks.reference import generator_from_reference, read_reference
from cyclestyle.networks.stored import kinds, read, to_bytes
from cyclestyle.settings import describe

MARK, FORMAT = "cyclestyle painter", 1

ONE_BY_ONE = frozenset({"cpu"})
"""Devices on which a batch is painted picture by picture: measured, more at once is slower there."""


class PainterCard(Section):
    """What a painter's file says about itself."""

    direction: Literal["photo to painting", "painting to photo", "unknown"]
    generator: GeneratorSettings
    side: int | None
    """Side of the squares it was trained on; None where the file does not tell."""
    step: int | None
    """Steps it was trained for."""


class _Header(Section):
    """The one entry of a painter's metadata: safetensors writes several in an order left to chance."""

    format: Literal[1]
    card: PainterCard


@dataclass(frozen=True)
class Painter:
    """A generator ready for use."""

    network: nn.Module
    card: PainterCard
    sha256: str
    """Of the file it came from."""
    precision: Precision = "fp32"

    @torch.inference_mode()
    def __call__(self, images: Images) -> Images:
        """Paint (n, 3, h, w) in [-1, 1], any height and width; the size stays.

        The picture is continued by reflection to the sizes that the network takes, and cut back afterwards. On a CPU a
        picture's values do not depend on the batch.
        """
        height, width = images.shape[-2:]
        padded = reflect(images, *padded_size(self, height, width))
        groups = padded.split(1) if images.device.type in ONE_BY_ONE else [padded]
        kind, layout = TYPES[self.precision], _layout(images.device)
        with full_fp32():
            painted = [self.network(group.to(kind, memory_format=layout)).float() for group in groups]
        return torch.cat(painted).contiguous()[..., :height, :width]

    def rounded(self, precision: Precision) -> "Painter":
        """The same painter with other numbers inside its network; this one stays as it is."""
        if precision == self.precision:
            return self
        device = next(self.network.parameters()).device
        network = copy.deepcopy(self.network).to(TYPES[precision])
        return replace(self, network=network.to(memory_format=_layout(device)), precision=precision)


def _layout(device: torch.device) -> torch.memory_format:
    """How maps lie in memory: on a CPU as is faster there.

    On a GPU instance norm and reflection padding know the plain layout alone: with another one, every map would be
    turned around twice for each convolution.
    """
    return torch.channels_last if device.type == "cpu" else torch.contiguous_format


@dataclass(frozen=True)
class Rounding:
    """What fewer bits inside the network changed in paintings."""

    decibels: float
    """PSNR against float32, of values in [-1, 1]."""
    levels: float
    """Mean difference, of 255."""

    @classmethod
    def between(cls, painted: Images, exact: Images) -> "Rounding":
        """Compare what two painters made of the same pictures."""
        apart = painted.cpu().double() - exact.cpu().double()
        square = apart.square().mean().item()
        decibels = 10 * math.log10(4 / square) if square else math.inf  # the range is 2, its square 4
        return cls(decibels, apart.abs().mean().item() * 127.5)

    def __str__(self) -> str:
        return f"{self.decibels:.1f} dB PSNR, {self.levels:.2f} of 255 levels on average"


def padded_size(painter: Painter, height: int, width: int) -> tuple[int, int]:
    """The size that a picture is continued to before it is painted."""
    multiple: int = painter.network.multiple  # type: ignore[assignment]
    # 16 at least: reflection inside the residual networks needs more than one pixel at a quarter of the size.
    down, across = (max(-(-size // multiple) * multiple, 16) for size in (height, width))
    return down, across


def reflect(images: Images, height: int, width: int) -> Images:
    """Continue pictures to the right and downwards by mirroring, as often as needed, without repeating the edge."""
    if images.shape[-2:] == (height, width):
        return images
    rows = mirrored(images.shape[-2], height, images.device)
    columns = mirrored(images.shape[-1], width, images.device)
    return images[..., rows, :][..., columns]


def mirrored(size: int, wanted: int, device: torch.device) -> torch.Tensor:
    """0 1 2 3 2 1 0 1 ... for size 4: the indices of a mirrored continuation."""
    period = max(2 * size - 2, 1)
    position = torch.arange(wanted, device=device) % period
    return torch.where(position < size, position, period - position)


def painter_bytes(network: nn.Module, card: PainterCard) -> bytes:
    """A generator and its card as one safetensors file."""
    weights = {name: value.detach().float() for name, value in network.state_dict().items()}
    return to_bytes(weights, {MARK: f'{{"format":{FORMAT},"card":{card.model_dump_json()}}}'})


def save_painter(network: nn.Module, card: PainterCard, path: Path) -> None:
    """Write a generator and its card, in one step."""
    with written_aside(path) as aside:
        aside.write_bytes(painter_bytes(network, card))


def load_painter(path: Path, device: torch.device | str = "cpu") -> Painter:
    """A painter from its safetensors file, or from the reference implementation's `latest_net_G.pth`.

    Raises FileNotFoundError or ValueError, saying what the file is missing. Nothing in the file is executed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such painter: {path}")
    if path.suffix.lower() == ".onnx":
        raise ValueError(
            f"{path} is an exported painter; give the run folder or its paint.safetensors here (cyclestyle serve and "
            "cyclestyle.api take exported ones)"
        )
    if path.suffix == ".pth":
        state = read_reference(path)
        try:
            network, settings = generator_from_reference(state)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        card = PainterCard(direction="unknown", generator=settings, side=None, step=None)
    else:
        network, card = _from_safetensors(path)
    network.requires_grad_(False).eval().to(device).to(memory_format=_layout(torch.device(device)))
    return Painter(quickest(network, torch.device(device)), card, sha256(path))


def _from_safetensors(path: Path) -> tuple[nn.Module, PainterCard]:
    found, metadata = kinds(path)
    if MARK not in metadata:
        raise ValueError(f"{path} is not a painter; a run writes paint.safetensors and unpaint.safetensors")
    try:
        card = _Header.model_validate_json(metadata[MARK]).card
        if card.generator.kind == "resnet" and card.generator.blocks > len(found):
            raise KeyError(f"{card.generator.blocks} blocks in {len(found)} tensors")
        with torch.device("meta"):
            network = build_generator(card.generator)
        network.load_state_dict(read(path, network.state_dict()), assign=True)
    except ValidationError as error:
        raise ValueError(f"{path} has a card that cannot be read: {describe(error)}") from None
    except (KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{path} does not fit its own card: {str(error).splitlines()[0]}") from None
    except ValueError as error:
        raise ValueError(f"{path} does not fit its own card: {str(error).removeprefix(f'{path} ')}") from None
    return network, card
