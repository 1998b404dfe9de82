"""Painting in tiles: whose statistics, how large the tiles, and what 24 megapixels take.

    python scripts/benchmarks/any_size.py --painter runs/monet/paint.safetensors --photos DIR

Three tables. How far from the painting made at once are those whose instance norms take their statistics from each
tile alone, from a reduced copy, from a reduced copy made better by passes over the whole, or (what the program does)
layer by layer from the whole. What tiles of different sizes cost. And the peak and the seams of a 6000 x 4000 photo
under `--max-memory 2GB`, painted by the command itself. CPU seconds are of the whole process.
"""

import argparse
import copy
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image
from torch import Tensor, nn
from turns import hardware

from cyclestyle.config import GeneratorSettings
from cyclestyle.footprint import peak_memory
from cyclestyle.images import Images, Picture, fit, list_pictures, load, to_images
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import InstanceNorm
from cyclestyle.networks.painter import Painter, PainterCard, load_painter, save_painter
from cyclestyle.networks.scratch import Scratch
from cyclestyle.networks.streaming import streamed
from cyclestyle.translation.room import bytes_of, in_words

LAST = 192
"""Side of the last layer's tiles in a generator of width 32 or 64, in the memory that they are given."""
LEVELS = 127.5
"""Of 255, in a unit of [-1, 1]."""


class Frozen(nn.Module):
    """A norm with given statistics; it measures those of what it is given."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.fixed: tuple[Tensor, Tensor] | None = None
        self.seen: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.seen = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
        variance, mean = self.fixed or self.seen
        return (x - mean) * torch.rsqrt(variance + self.eps)


def with_frozen_norms(painter: Painter) -> tuple[Painter, list[Frozen]]:
    """The painter with norms whose statistics can be set."""
    network, norms = copy.deepcopy(painter.network), []
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, InstanceNorm):
                norms.append(Frozen(child.eps))
                setattr(module, name, norms[-1])
    return Painter(network, painter.card, painter.sha256), norms


def freeze(norms: Sequence[Frozen]) -> None:
    """What was seen last is what holds from now on."""
    for norm in norms:
        norm.fixed = norm.seen


def whose_statistics(painter: Painter, photos: Sequence[Path], side: int) -> Iterator[str]:
    """Lines of the first table."""
    pictures = [load(photo).resize((side, side), Image.Resampling.BICUBIC) for photo in photos]
    found: dict[str, list[float]] = {}
    for picture in pictures:
        images = to_images([picture])
        whole = painter(images)

        def away(way: str, painting: Images, whole: Images = whole) -> None:
            found.setdefault(way, []).append((painting - whole).abs().mean().item() * LEVELS)

        made = torch.empty_like(whole)
        for at in streamed(painter, picture, Scratch(Path(tempfile.gettempdir())), 48 << 20):
            height, width = at.painting.shape[2:]
            made[:, :, at.top : at.top + height, at.left : at.left + width] = at.painting
        away("the whole, layer by layer", made)
        halves = [half.split(side // 2, 3) for half in images.split(side // 2, 2)]
        away("each quarter's own", torch.cat([torch.cat([painter(one) for one in half], 3) for half in halves], 2))
        frozen, norms = with_frozen_norms(painter)
        for share in (2, 4):
            for norm in norms:
                norm.fixed = None
            frozen(to_images([picture.resize((side // share, side // share), Image.Resampling.LANCZOS)]))
            freeze(norms)
            for passes in range(4 if share == 2 else 1):
                more = f", {passes} passes over the whole" if passes else ""
                away(f"a copy of 1/{share} of the side{more}", frozen(images))
                freeze(norms)
    yield "| statistics from | mean difference from at once, of 255 levels | of the worst photo |"
    yield "|---|---:|---:|"
    for way, values in found.items():
        yield f"| {way} | {np.mean(values):.2g} | {max(values):.2g} |"


def tile_sizes(arguments: argparse.Namespace) -> Iterator[str]:
    """Lines of the second table, each made by a process of its own."""
    yield "| way | CPU seconds | MB beside the program |"
    yield "|---|---:|---:|"
    for way in ("at once", "8", "16", "32", "48", "64", "96", "192", "384"):
        words = ["--painter", str(arguments.painter), "--photos", str(arguments.photos), "--one", way]
        ran = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
        yield f"| {way if way == 'at once' else f'tiles in {way} MB'} | {ran.stdout.strip()} |"


def one_way(painter: Painter, picture: Picture, way: str) -> str:
    """What one way takes."""
    before, started = psutil.Process().memory_info().rss, time.process_time()
    if way == "at once":
        painter(to_images([picture]))
    else:
        for _ in streamed(painter, picture, Scratch(Path(tempfile.gettempdir())), int(way) << 20):
            pass
    return f"{time.process_time() - started:.1f} | {(peak_memory() - before) / 1e6:.0f}"


def large_photo(photos: Sequence[Path], to: Path) -> None:
    """6000 x 4000 pixels: photos side by side, each enlarged and with grain, so that there is something everywhere."""
    chances, sheet = np.random.default_rng(0), Image.new("RGB", (6000, 4000))
    for number in range(24):
        tile = fit(load(photos[number % len(photos)]), 1000)
        sheet.paste(tile, (number % 6 * 1000, number // 6 * 1000))
    levels = np.asarray(sheet) + chances.normal(0, 6, (4000, 6000, 3))
    Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8)).save(to)


def across(path: Path, side: int) -> str:
    """How much more changes from one row (or column) to the next at a tile's border than near it.

    Near it: 8, 16, 24 and 32 away, where the network's own pattern (it works on a quarter of the side) is the same.
    """
    levels = np.asarray(load(path).convert("L")).astype(np.float32)
    found = []
    for axis in (0, 1):
        steps = np.abs(np.diff(levels, axis=axis)).mean(1 - axis)
        at = np.arange(side - 1, len(steps) - 33, side)
        beside = np.mean([steps[at + apart] for apart in range(-32, 33, 8) if apart], axis=0)
        found.append(f"{steps[at].mean() / beside.mean():.4f}")
    return " and ".join(found)


def large(arguments: argparse.Namespace, painter: Path, photo: Path, to: Path) -> Iterator[str]:
    """What the command takes for it."""
    words = [str(painter), str(photo), "--to", str(to), "--max-memory", arguments.max_memory]
    before = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "cyclestyle", "translate", *words], capture_output=True, text=True, check=False
    )
    yield f"{ran.stdout.strip() or ran.stderr.strip().splitlines()[-1]}; {time.monotonic() - before:.0f} s"
    yield next((line for line in ran.stderr.splitlines() if "at once" in line), "painted at once")
    yield f"Across borders every {LAST} pixels, rows and columns: {across(to, LAST)}"


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--painter", type=Path, required=True)
    arguments.add_argument("--photos", type=Path, required=True)
    arguments.add_argument("--max-memory", default="2GB")
    arguments.add_argument("--only", choices=["statistics", "tiles", "large", "wide"])
    arguments.add_argument("--one", help="(for the script itself)")
    given = arguments.parse_args()
    photos, painter = list_pictures(given.photos), load_painter(given.painter)
    if given.one:
        print(one_way(painter, load(photos[3]).resize((1536, 1536), Image.Resampling.BICUBIC), given.one))
        return
    print(f"{hardware()}; {torch.get_num_threads()} threads\n")
    if given.only in {None, "statistics"}:
        print("\n".join(["## Statistics: 1536 x 1536", "", *whose_statistics(painter, photos[3:13:9], 1536), ""]))
    if given.only in {None, "tiles"}:
        print("\n".join(["## Tiles: 1536 x 1536", "", *tile_sizes(given), ""]))
    with tempfile.TemporaryDirectory() as folder:
        photo, wide = Path(folder) / "photo.png", Path(folder) / "wide.safetensors"
        large_photo(photos, photo)
        if given.only in {None, "large"}:
            print("\n".join([f"## 6000 x 4000, {in_words(bytes_of(given.max_memory))}", ""]))
            print("\n".join(large(given, given.painter, photo, Path(folder) / "painting.png")), flush=True)
        if given.only in {None, "wide"}:
            settings = GeneratorSettings()
            card = PainterCard(direction="unknown", generator=settings, side=None, step=None)
            save_painter(build_generator(settings), card, wide)
            print("\n".join(["", "## The same with a generator of width 64 and 9 blocks, random weights", ""]))
            print("\n".join(large(given, wide, photo, Path(folder) / "wide.png")))


if __name__ == "__main__":
    main()
