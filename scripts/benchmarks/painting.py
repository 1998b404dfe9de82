"""Painting files: what decoding, painting and encoding take, against the plain way.

    python scripts/benchmarks/painting.py --photos DIR --threads 2

The plain way is the reference's: the network as it is written there (`nn.InstanceNorm2d`, NCHW), photos decoded,
painted and saved as PNG with Pillow's own settings, one after the other. The ways take turns in one process; CPU
seconds are of the whole process, all threads, and hardly depend on what else the machine does.
"""

import argparse
import copy
import io
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch import nn
from turns import Timed, as_the_program_runs, hardware, take_turns, waited

from cyclestyle.config import GeneratorSettings
from cyclestyle.data.jobs import Job, mark
from cyclestyle.data.photo import Photo
from cyclestyle.files import sha256
from cyclestyle.images import fit, list_pictures, load, save, to_images, to_pictures
from cyclestyle.networks.fewer_products import WinogradConv, with_fewer_products
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.kinds import Precision
from cyclestyle.networks.layers import InstanceNorm, initialise
from cyclestyle.networks.painter import Painter, PainterCard, Rounding, load_painter, save_painter
from cyclestyle.networks.precision import full_fp32
from cyclestyle.pipeline import Behind, runs
from cyclestyle.progress import Progress
from cyclestyle.translation.folder import Treatment, _Opened, _Paintings, paint_all

SIDE = 256
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def plain_network(painter: Painter) -> nn.Module:
    """The same weights in a network as the reference writes it."""
    plain = build_generator(painter.card.generator).eval().requires_grad_(False)
    plain.load_state_dict(painter.network.state_dict())
    for module in list(plain.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, InstanceNorm):
                setattr(module, name, nn.InstanceNorm2d(child.channels))
    return plain.to(DEVICE)


def plain_way(network: nn.Module, photos: list[Path], to: Path) -> None:
    """One after the other: Pillow, network, Pillow."""
    to.mkdir(parents=True)
    for photo in photos:
        with Image.open(photo) as file, torch.inference_mode():
            pixels = torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1)[None].float().div(127.5).sub(1.0)
            painted = network(pixels.to(DEVICE))[0].cpu()
        levels = ((painted.permute(1, 2, 0).numpy() + 1) / 2 * 255.0).astype(np.uint8)
        Image.fromarray(levels).save(to / f"{photo.stem}.png")


def our_way(painter: Painter, photos: list[Path], to: Path, suffix: str, batch: int) -> None:
    """What `cyclestyle translate` does."""
    jobs = [Job(photo, to / f"{photo.stem}{suffix}") for photo in photos]
    with Progress("painting", len(jobs), unit="pictures", show=False) as progress:
        tally = paint_all(jobs, painter, DEVICE, progress, batch=batch)
    assert tally.painted == len(jobs), tally.unread


class Folders:
    """A new folder for each turn, and the CPU seconds of each way's turns."""

    def __init__(self, below: Path) -> None:
        self.below, self.count = below, 0
        self.seconds: dict[str, list[float]] = {}

    def call(self, name: str, paint: Callable[[Path], None]) -> Callable[[], None]:
        """A turn of a way."""

        def turn() -> None:
            to = self.below / str(self.count)
            self.count += 1
            begun = time.process_time()
            paint(to)
            self.seconds.setdefault(name, []).append(time.process_time() - begun)
            shutil.rmtree(to)

        return turn


def files(arguments: argparse.Namespace, painter: Painter, photos: list[Path], below: Path) -> list[str]:
    """Files to files."""
    folders, plain = Folders(below), plain_network(painter)
    ways = {"plain": folders.call("plain", lambda to: plain_way(plain, photos, to))}
    for suffix, batch in ((".png", 1), (".png", 8), (".jpg", 1)):
        name = f"exact, {suffix[1:]}, --batch {batch}"
        ways[name] = folders.call(
            name, lambda to, suffix=suffix, batch=batch: our_way(painter, photos, to, suffix, batch)
        )
    timed = take_turns(ways, arguments.rounds)
    return with_cpu(timed, folders.seconds, len(photos))


def with_cpu(timed: Timed, seconds: dict[str, list[float]], count: int) -> list[str]:
    """The table of times and, beside it, of CPU seconds; the warm-up is left out."""
    lines = [f"{count} photos of {SIDE} x {SIDE}; milliseconds a photo.", ""]
    lines += timed.table("plain", "ms a photo", 1e3 / count)
    lines += [
        "",
        "| way | CPU ms a photo, median | times as fast, median of turns | of the least |",
        "|---|---:|---:|---:|",
    ]
    first = seconds["plain"][1:]
    for way, found in seconds.items():
        ratio = median(one / other for one, other in zip(first, found[1:], strict=True))
        least = min(first) / min(found[1:])
        lines.append(f"| {way} | {1e3 * median(found[1:]) / count:.1f} | {ratio:.2f} | {least:.2f} |")
    return lines


def parts(arguments: argparse.Namespace, painter: Painter, photos: list[Path], below: Path) -> list[str]:
    """What each change to the exact path on a CPU is worth: the network, and one convolution of several widths."""
    if DEVICE.type == "cuda":
        return ["Left out: they are for CPUs; see the layouts."]
    images = to_images([load(photos[0])], DEVICE)
    beside = images.contiguous(memory_format=torch.channels_last)
    plain, ours = plain_network(painter), build_generator(painter.card.generator).eval().requires_grad_(False)
    ours.load_state_dict(painter.network.state_dict())
    last = copy.deepcopy(ours).to(memory_format=torch.channels_last)
    fewer = with_fewer_products(copy.deepcopy(last))
    ways = {
        "plain": lambda: plain(images),
        "norm of one group a channel": lambda: ours(images),
        "channels last": lambda: last(beside),
        "fewer products": lambda: fewer(beside),
    }
    with torch.inference_mode():
        lines = take_turns(ways, arguments.rounds).table("plain")
        for channels, side in ((32, 128), (64, 128), (64, 256), (128, 64), (256, 64)):
            conv = nn.Conv2d(channels, channels, 3).requires_grad_(False).to(memory_format=torch.channels_last)
            fast = WinogradConv(conv)
            maps = torch.randn(1, channels, side + 2, side + 2).contiguous(memory_format=torch.channels_last)
            named = {
                "direct": lambda conv=conv, maps=maps: conv(maps),
                "fewer products": lambda fast=fast, maps=maps: fast(maps),
            }
            lines += ["", f"One convolution, {channels} channels of {side} x {side}:", ""]
            lines += take_turns(named, 3 * arguments.rounds, warm=3).table("direct")
    return lines


def throughput(arguments: argparse.Namespace, painter: Painter, photos: list[Path], below: Path) -> list[str]:
    """Without files: decoded photos to paintings that could be encoded, as `cyclestyle translate` does it."""
    count = 512 if DEVICE.type == "cuda" else 8
    opened = [_Opened(Job(photo, below / photo.name), Photo(load(photo)), Image.Exif()) for photo in photos]
    opened = (opened * -(-count // len(opened)))[:count]
    plain = plain_network(painter)

    def one_by_one() -> None:
        with torch.inference_mode():
            for one in opened:
                pixels = torch.from_numpy(np.array(one.photo.picture)).to(DEVICE).permute(2, 0, 1)[None]
                plain(pixels.float().div(127.5).sub(1.0)).add(1).mul(127.5).byte().cpu()

    def ours(painter: Painter, batch: int) -> None:
        progress = Progress("painting", count, unit="pictures", show=False)
        work = _Paintings(painter, DEVICE, Treatment(), progress, None, None, progress.say)
        assert sum(1 for _ in work.of(runs(opened, lambda one: one.photo.picture.size, batch))) == count

    ways: dict[str, Callable[[], object]] = {"plain, one by one": one_by_one}
    for precision in ("fp32", "bf16") if DEVICE.type == "cuda" else ("fp32",):
        rounded = painter.rounded(precision)
        for batch in (1, 8, 16, 32, 64) if DEVICE.type == "cuda" else (1,):
            name = f"{precision}, --batch {batch}"
            ways[name] = lambda rounded=rounded, batch=batch: ours(rounded, batch)
    timed = take_turns(ways, arguments.rounds)
    rates = ", ".join(f"{way}: {count / median(seconds):,.0f}" for way, seconds in timed.seconds.items())
    lines = [f"{count} pictures. The plain way has TF32 on a GPU, as PyTorch's default is.", ""]
    return [*lines, *timed.table("plain, one by one"), "", f"Pictures a second: {rates}."]


def layouts(arguments: argparse.Namespace, painter: Painter, photos: list[Path], below: Path) -> list[str]:
    """How maps lie on a GPU: the network alone, 16 pictures in bf16."""
    if DEVICE.type != "cuda":
        return ["Left out: there is no GPU."]
    half = painter.rounded("bf16").network
    beside = copy.deepcopy(half).to(memory_format=torch.channels_last)
    fast = torch.compile(copy.deepcopy(beside))
    images = to_images([load(photo) for photo in (photos * 16)[:16]], DEVICE).bfloat16()
    turned = images.contiguous(memory_format=torch.channels_last)
    ways = {
        "plain layout": waited(lambda: half(images)),
        "channels last": waited(lambda: beside(turned)),
        "channels last, compiled": waited(lambda: fast(turned)),
    }
    with torch.inference_mode():
        return take_turns(ways, 5 * arguments.rounds, warm=3).table("plain layout", "ms for 16")


def rounded(arguments: argparse.Namespace, painter: Painter, photos: list[Path], below: Path) -> list[str]:
    """Fewer bits: the network alone."""
    images = to_images([load(photos[0])], DEVICE)
    plain = plain_network(painter)
    exact = painter(images)
    with torch.inference_mode(), full_fp32():  # the plain network would multiply with fewer bits on a GPU
        apart = Rounding.between(painter(images), plain(images))
    lines = [f"The exact painter against the plain network: {apart} ({apart.levels:.1e})."]
    halves: list[Precision] = ["bf16", "fp16"] if DEVICE.type == "cuda" else ["bf16"]
    ways: dict[str, Callable[[], object]] = {"plain": torch.inference_mode()(lambda: plain(images).cpu())}
    ways["exact"] = lambda: painter(images).cpu()
    for precision in halves:
        half = painter.rounded(precision)
        lines.append(f"{precision} against fp32: {Rounding.between(half(images), exact)}.")
        ways[precision] = lambda half=half: half(images).cpu()
    return [*lines, "", *take_turns(ways, max(2, arguments.rounds // 2)).table("plain")]


def batches(arguments: argparse.Namespace, painter: Painter, photos: list[Path], below: Path) -> list[str]:
    """Several at once: a painter given 8 photos against 8 times one."""
    images = to_images([load(photo) for photo in (photos * 8)[:8]], DEVICE)
    network = painter.network

    def together() -> None:
        with torch.inference_mode():
            network(images.contiguous(memory_format=torch.channels_last)).cpu()

    ways: dict[str, Callable[[], object]] = {"one by one": lambda: [painter(one).cpu() for one in images.split(1)]}
    if DEVICE.type == "cpu":
        ways["as a batch of 8, by the network"] = together
    ways |= {
        "as a batch of 8, by the painter": lambda: painter(images).cpu(),
    }
    return take_turns(ways, max(2, arguments.rounds // 2)).table("one by one", "ms for 8")


def encoding(arguments: argparse.Namespace, painter: Painter, photos: list[Path], below: Path) -> list[str]:
    """Encoding a painting: CPU time in one thread, size, and what of it the thread that paints waits for."""
    paintings = [to_pictures(painter(to_images([load(photo)], DEVICE)))[0] for photo in photos[:8]]
    exif = mark(f"painter {'0' * 16} photo {'0' * 16}")
    ways: dict[str, Callable[[Image.Image, io.BytesIO], None]] = {
        "png as Pillow writes it": lambda picture, file: picture.save(file, "png", exif=exif),
        "png, runs alone (ours)": lambda picture, file: picture.save(file, "png", exif=exif, compress_type=zlib.Z_RLE),
        "png, Huffman codes alone": lambda picture, file: picture.save(file, "png", exif=exif, compress_type=2),
        "png, level 1": lambda picture, file: picture.save(file, "png", exif=exif, compress_level=1),
        "jpg, quality 95, 4:4:4 (ours)": lambda picture, file: picture.save(
            file, "jpeg", exif=exif, quality=95, subsampling=0
        ),
    }
    lines = ["| file | CPU ms, least of the rounds | kB |", "|---|---:|---:|"]
    for name, write in ways.items():
        spent, size = [], 0
        for _ in range(arguments.rounds):
            begun, size = time.process_time(), 0
            for picture in paintings:
                file = io.BytesIO()
                write(picture, file)
                size += file.tell()
            spent.append((time.process_time() - begun) / len(paintings))
        lines.append(f"| {name} | {1e3 * min(spent):.2f} | {size / len(paintings) / 1e3:.1f} |")
    handed: dict[str, float] = {}
    for suffix in (".png", ".jpg"):
        spent = []
        with Behind(lambda: None) as behind:
            for number, picture in enumerate(paintings * 2):
                begun = time.thread_time()
                behind.put(196_608, lambda p=picture, n=number, s=suffix: save(p, below / f"{n}{s}", exif=exif))
                spent.append(time.thread_time() - begun)
        handed[suffix] = median(spent)
    told = ", ".join(f"{1e3 * seconds:.2f} ms for {suffix}" for suffix, seconds in handed.items())
    return [*lines, "", f"CPU time of the painting thread for handing a painting over: {told}."]


def main() -> None:
    as_the_program_runs()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder; each is cut to 256 x 256 first")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--width", type=int, default=64)
    sections = (files, throughput, parts, layouts, rounded, batches, encoding)
    parser.add_argument("--only", choices=[part.__name__ for part in sections], action="append")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{hardware()}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        below = Path(folder)
        settings = GeneratorSettings(width=arguments.width)
        network = build_generator(settings)
        initialise(network, torch.Generator().manual_seed(0))
        save_painter(
            network, PainterCard(direction="unknown", generator=settings, side=SIDE, step=None), below / "p.safetensors"
        )
        painter = load_painter(below / "p.safetensors", DEVICE)
        assert painter.sha256 == sha256(below / "p.safetensors")
        photos = []
        for number, path in enumerate(list_pictures(arguments.photos)[: arguments.count]):
            photos.append(below / "in" / f"{number}.jpg")
            save(fit(load(path), SIDE), photos[-1])
        for part in sections:
            if arguments.only is None or part.__name__ in arguments.only:
                lines = part(arguments, painter, photos, below / "out")
                print(f"\n## {(part.__doc__ or '').strip()}\n\n" + "\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
