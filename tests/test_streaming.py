"""In tiles, layer by layer, a network makes what it makes at once: of any kind, any size, on memory or on disk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from cyclestyle.config import GeneratorSettings
from cyclestyle.images import Picture, to_images
from cyclestyle.networks import streaming
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
from cyclestyle.networks.fewer_products import with_fewer_products
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import initialise
from cyclestyle.networks.painter import Painter, PainterCard, reflect
from cyclestyle.networks.scratch import Kept, Scratch
from cyclestyle.networks.streaming import Moments, can_stream, needs, streamed

CPU = torch.device("cpu")
KINDS = {
    "resnet": GeneratorSettings(width=4, blocks=2),
    "resnet that resizes": GeneratorSettings(width=4, blocks=1, upsampling="resize"),
    "resnet that changes": GeneratorSettings(width=4, blocks=1, residual=True),
    "resnet with winograd": GeneratorSettings(width=32, blocks=1),
    "unet": GeneratorSettings(kind="unet", width=2, depth=5),
    "unet that resizes and changes": GeneratorSettings(
        kind="unet", width=2, depth=6, upsampling="resize", residual=True
    ),
}


def a_painter(generator: GeneratorSettings, seed: int = 0) -> Painter:
    network = build_generator(generator)
    initialise(network, torch.Generator().manual_seed(seed), deviation=0.1 if generator.width < 9 else 0.05)
    card = PainterCard(direction="unknown", generator=generator, side=None, step=None)
    return Painter(with_fewer_products(network.eval().requires_grad_(False)), card, "")


def noise(width: int, height: int, seed: int = 0) -> Picture:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    grain = np.random.default_rng(seed + 1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.blend(Image.fromarray(coarse).resize((width, height)), Image.fromarray(grain), 0.3)


def together(painter: Painter, picture: Picture, scratch: Scratch, room: int = 0) -> torch.Tensor:
    """A painting out of its tiles, each pixel painted once."""
    made = torch.full((1, 3, picture.height, picture.width), torch.nan)
    for at in streamed(painter, picture, scratch, room):
        height, width = at.painting.shape[2:]
        place = (..., slice(at.top, at.top + height), slice(at.left, at.left + width))
        assert made[place].isnan().all()
        assert torch.equal(at.photo, to_images([picture])[place])
        made[place] = at.painting
    return made


# --- the painting -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(150, 101), (3, 61), (64, 64), (1, 200)])
def test_tiles_make_the_painting_that_is_made_at_once(kind: str, size: tuple[int, int], tmp_path: Path) -> None:
    painter, picture = a_painter(KINDS[kind]), noise(*size)
    whole = painter(to_images([picture]))
    for in_memory, room in ((0, 0), (1 << 30, 0), (0, 8 << 20)):
        made = together(painter, picture, Scratch(tmp_path, in_memory), room)
        assert (made - whole).abs().max() < 5e-4  # 0.06 of 255 levels; 1e-5 and less, but flat channels amplify it
        assert (made - whole).abs().mean() < 5e-5
    assert whole.std() > 0.03  # there is something to see


def test_other_statistics_would_make_another_painting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above can fail: with one tile's statistics for all, the difference is a hundred times as large."""
    painter, picture = a_painter(KINDS["resnet"]), noise(150, 101)
    whole, add = painter(to_images([picture])), Moments.add
    monkeypatch.setattr(Moments, "add", lambda self, part: None if self.count else add(self, part))
    assert (together(painter, picture, Scratch(tmp_path)) - whole).abs().mean() > 5e-3


def test_what_it_needs_is_known_before_and_given_back_afterwards(tmp_path: Path) -> None:
    for kind in ("resnet", "unet"):
        painter, picture = a_painter(KINDS[kind]), noise(150, 101)
        for in_memory in (0, 100_000, 1 << 30):
            scratch, worked = Scratch(tmp_path, in_memory), []
            for _ in streamed(painter, picture, scratch, 1 << 20, worked.append):
                pass
            expected = needs(painter, picture, in_memory)
            assert (expected.memory, expected.disk) == (scratch.most_memory, scratch.most_disk)
            assert expected.memory <= in_memory
            assert (expected.disk > 0) is (in_memory < 1 << 30)
            assert sum(worked) == pytest.approx(expected.work)
            assert (scratch.memory, scratch.disk) == (0, 0)
        assert list(tmp_path.iterdir()) == []


def test_a_painting_that_is_given_up_leaves_nothing_behind(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    tiles = streamed(a_painter(KINDS["resnet"]), noise(150, 101), scratch, 0)
    next(tiles)
    assert scratch.disk > 0
    tiles.close()
    del tiles
    assert scratch.disk == 0
    assert list(tmp_path.iterdir()) == []


def test_half_the_bits_in_tiles_are_half_the_bits_at_once(tmp_path: Path) -> None:
    exact, picture = a_painter(KINDS["resnet"]), noise(150, 101)
    half = exact.rounded("bf16")
    whole = half(to_images([picture]))
    made = together(half, picture, Scratch(tmp_path))
    rounding = (whole - exact(to_images([picture]))).abs().mean()
    assert rounding > 1e-3
    assert (made - whole).abs().mean() < 2 * rounding


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", ["resnet", "unet"])
def test_on_a_gpu_tiles_make_the_painting_that_is_made_at_once(kind: str, tmp_path: Path) -> None:
    painter, picture = a_painter(KINDS[kind]), noise(150, 101)
    painter = replace(painter, network=painter.network.cuda())
    whole = painter(to_images([picture], "cuda")).cpu()
    made = torch.empty_like(whole)
    for at in streamed(painter, picture, Scratch(tmp_path), 0):
        height, width = at.painting.shape[2:]
        made[:, :, at.top : at.top + height, at.left : at.left + width] = at.painting.cpu()
    assert (made - whole).abs().max() < 1e-3


def test_only_known_networks_are_streamed() -> None:
    painter = a_painter(KINDS["resnet"])
    assert can_stream(painter)
    assert not can_stream(Painter(nn.Identity(), painter.card, ""))
    stream = streaming._Stream(painter, noise(20, 20), Scratch(Path()), 0, lambda work: None)
    with pytest.raises(TypeError, match="Dropout"):
        stream.through(nn.Dropout(), stream.photo)


# --- maps ---------------------------------------------------------------------------------------------------------


class Whole(Map):
    """A map that is there."""

    aside = 0

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values
        self.channels, self.height, self.width = values.shape[1:]

    def part(self, area: Area) -> torch.Tensor:
        assert 0 <= area.rows.start < area.rows.stop <= self.height  # nobody asks for what is not there
        assert 0 <= area.columns.start < area.columns.stop <= self.width
        return self.values[..., slice(*area.rows), slice(*area.columns)].clone()

    def room(self, height: int, width: int) -> int:
        return self.bytes(height, width)

    def work(self, share: float) -> float:
        return 0.0


def weights(layer: nn.Module) -> nn.Module:
    return layer.double().float().requires_grad_(False)


LAYERS = {
    "3 x 3": (lambda x: Convolved(x, c33), lambda x: c33(x)),
    "3 x 3 by halves, zeros around": (lambda x: Convolved(x, down), lambda x: down(x)),
    "4 x 4 by halves, zeros around": (lambda x: Convolved(x, down4), lambda x: down4(x)),
    "3 x 3 transposed": (lambda x: Raised(x, up), lambda x: up(x)),
    "4 x 4 transposed": (lambda x: Raised(x, up4), lambda x: up4(x)),
    "mirrored": (lambda x: Mirrored(x, 3), lambda x: F.pad(x, (3,) * 4, mode="reflect")),
    "doubled": (lambda x: Doubled(x), lambda x: F.interpolate(x, scale_factor=2.0)),
    "bent": (lambda x: Bent(x, 0.2), lambda x: F.leaky_relu(x, 0.2)),
    "normed": (lambda x: Normed(x, ones, 2 * ones), lambda x: (x - 1) / 2),
    "beside": (lambda x: Beside(x, Bent(x, 0.0)), lambda x: torch.cat([x, x.relu()], 1)),
    "sum": (lambda x: Sum(x, Bent(x, 0.0)), lambda x: x + x.relu()),
    "mirrored, then 3 x 3 by halves, then transposed": (
        lambda x: Raised(Convolved(Mirrored(x, 3), down), up),
        lambda x: up(down(F.pad(x, (3,) * 4, mode="reflect"))),
    ),
}
torch.manual_seed(0)
ones = torch.ones(4)
c33, down, down4 = (
    weights(nn.Conv2d(4, 4, side, stride=stride, padding=padding))
    for side, stride, padding in ((3, 1, 0), (3, 2, 1), (4, 2, 1))
)
up = weights(nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1))
up4 = weights(nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1))


@settings(max_examples=25, deadline=None)
@given(height=st.integers(4, 13), width=st.integers(4, 13), data=st.data())
@pytest.mark.parametrize("layer", LAYERS)
def test_any_area_of_a_layer_is_that_of_the_whole(layer: str, height: int, width: int, data: st.DataObject) -> None:
    values = torch.randn(1, 4, height, width, generator=torch.Generator().manual_seed(height * 99 + width))
    part, whole = LAYERS[layer]
    expected, made = whole(values), part(Whole(values))
    assert (made.channels, made.height, made.width) == tuple(expected.shape[1:])
    spans = []
    for size in expected.shape[2:]:
        start = data.draw(st.integers(0, size - 1))
        spans.append(Span(start, data.draw(st.integers(start + 1, size))))
    area = Area(*spans)
    found = made.part(area)
    assert torch.allclose(found, expected[..., slice(*area.rows), slice(*area.columns)], atol=1e-5)
    assert made.room(area.rows.length, area.columns.length) >= made.bytes(area.rows.length, area.columns.length)


@settings(max_examples=40, deadline=None)
@given(size=st.tuples(st.integers(1, 9), st.integers(1, 9)), more=st.integers(0, 20), data=st.data())
def test_pixels_are_continued_by_mirroring(size: tuple[int, int], more: int, data: st.DataObject) -> None:
    picture = noise(*size)
    pixels = Pixels(picture, size[1] + more, size[0] + more, CPU)
    expected = reflect(to_images([picture]), size[1] + more, size[0] + more)
    top, left = (data.draw(st.integers(0, total - 1)) for total in expected.shape[2:])
    area = Area(Span(top, expected.shape[2]), Span(left, expected.shape[3]))
    assert torch.equal(pixels.part(area), expected[..., top:, left:])


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
def test_what_is_kept_is_read_again_in_any_pieces(in_memory: int, tmp_path: Path) -> None:
    values = torch.randn(1, 5, 12, 9)
    scratch = Scratch(tmp_path, in_memory)
    kept = scratch.take(5, 12, 9, CPU)
    for rows in (Span(0, 7), Span(7, 12)):
        for columns in (Span(0, 4), Span(4, 9)):
            kept.write(Area(rows, columns), values[..., slice(*rows), slice(*columns)])
    for area in (Area(Span(0, 12), Span(0, 9)), Area(Span(3, 9), Span(2, 7)), Area(Span(11, 12), Span(8, 9))):
        found = kept.part(area)
        assert torch.equal(found, values[..., slice(*area.rows), slice(*area.columns)])
        found.zero_()  # it is the caller's: what is kept stays
        assert torch.equal(kept.part(area), values[..., slice(*area.rows), slice(*area.columns)])
    assert isinstance(kept, Kept)
    assert (kept.in_memory, scratch.disk == 0) == ((True, True) if in_memory else (False, False))
    del kept
    assert (scratch.memory, scratch.disk) == (0, 0)


def test_moments_do_not_depend_on_the_pieces() -> None:
    values = torch.randn(1, 3, 20, 30, generator=torch.Generator().manual_seed(0)) * 2 + 100
    moments = Moments(3)
    for part in values.split((1, 12, 7), 2):
        for piece in part.split((29, 1), 3):
            moments.add(piece)
    variance, mean = torch.var_mean(values.double(), dim=(0, 2, 3), correction=0)
    found = moments.found(0.5)
    assert torch.allclose(found[0].double(), mean, rtol=1e-6)
    assert torch.allclose(found[1].double(), (variance + 0.5).sqrt(), rtol=1e-5)
