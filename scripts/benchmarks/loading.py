"""What loading takes, beside Pillow as the reference loads: pictures a second on one core, and the share of a step.

    python scripts/benchmarks/loading.py --photos trainB --paintings trainA

All ways give the same cuts of 256 of 286 pixels, half of them mirrored, in batches of `--batch` pairs; the reference
one picture after the other, as its loader does. Cached pictures come from the system's memory, once they were read.
"""

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from statistics import median

import torch
from PIL import Image
from torchvision import transforms
from turns import as_the_program_runs, hardware, take_turns

from cyclestyle.config import DataSettings, Settings
from cyclestyle.data.cache import Cache
from cyclestyle.data.caching import open_caches
from cyclestyle.data.folders import Sets
from cyclestyle.data.gathering import gathered
from cyclestyle.data.loaders import build_loader
from cyclestyle.data.unpaired import Places, UnpairedPictures
from cyclestyle.images import list_pictures
from cyclestyle.processes import Processes
from cyclestyle.training.feed import Feed
from cyclestyle.training.learner import Learner

CPU = torch.device("cpu")
REFERENCE = transforms.Compose(
    [
        transforms.Resize([286, 286], transforms.InterpolationMode.BICUBIC),
        transforms.RandomCrop(256),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ]
)


def cached(sets: Sets, data: DataSettings) -> tuple[Cache, Cache]:
    """Both sets, cached; the time it took is told."""
    begun = time.perf_counter()
    shelves = open_caches(sets, data, print, lambda: False)
    if shelves is None:
        raise SystemExit("there is no room for a cache")
    pictures, seconds = len(sets.photos) + len(sets.paintings), time.perf_counter() - begun
    size = sum(len(cache.bytes) for cache in shelves)
    print(f"\nCaching {pictures:,} pictures ({size / 1e6:.0f} MB): {seconds:.2f} s.")
    begun = time.perf_counter()
    open_caches(sets, data, print, lambda: False)
    print(f"Opening the cache again: {time.perf_counter() - begun:.3f} s.\n")
    for cache in shelves:
        cache.bytes.max()  # read once
    return shelves


def ways(sets: Sets, data: DataSettings, pairs: int) -> dict[str, Callable[[], object]]:
    """Each loads as many pairs, and goes on where it was."""
    plain, kept = UnpairedPictures(sets, data, 0), UnpairedPictures(sets, data, 0, cached(sets, data))
    passes = {name: count() for name in ("reference", "files", "bytes", "floats")}

    def places(name: str) -> list[list[int]]:
        first = next(passes[name]) * pairs // data.pairs
        return list(Places(first, first + pairs // data.pairs, batch=data.pairs, rank=0, processes=1))

    def reference() -> None:
        for place in (place for batch in places("reference") for place in batch):
            for path in plain.names(place):
                REFERENCE(Image.open(path).convert("RGB"))

    def files() -> None:
        for batch in places("files"):
            plain.batch(batch).to(CPU)

    def floats() -> None:
        for batch in places("floats"):
            kept.batch(batch).to(CPU)

    def only_bytes() -> None:
        for batch in places("bytes"):
            kept.batch(batch)

    return {
        "Pillow, as the reference loads": reference,
        "files, to floats": files,
        "cached, to floats": floats,
        "cached, to bytes": only_bytes,
    }


def on_one_core(sets: Sets, data: DataSettings, rounds: int, pairs: int) -> list[str]:
    timed = take_turns(ways(sets, data, pairs), rounds, warm=2, clock=time.process_time)
    first = next(iter(timed.seconds))
    lines = [
        "| way | pictures a second of a core, median | times Pillow, median of pairs | of the fastest |",
        "|---|---:|---:|---:|",
    ]
    for way, seconds in timed.seconds.items():
        ratios = f"{timed.ratio(way, first):.2f} | {timed.best(way, first):.2f}"
        lines.append(f"| {way} | {2 * pairs / median(seconds):,.0f} | {ratios} |")
    return lines


def through_loaders(sets: Sets, data: DataSettings, rounds: int, pairs: int) -> list[str]:
    """From the first batch on, all that goes on in other processes included."""
    shelves = open_caches(sets, data, print, lambda: False)
    kept = UnpairedPictures(sets, data, 0, shelves)
    number = pairs // data.pairs

    def endless(workers: int) -> Iterator[object]:
        asked = data.model_copy(update={"workers": workers})
        places = Places(0, 1 << 40, batch=data.pairs, rank=0, processes=1)
        return iter(build_loader(UnpairedPictures(sets, asked, 0), places, asked, pin=False))

    running = {
        "files, in the process itself": endless(0),
        "files, 2 workers": endless(2),
        "cached": gathered(kept, Places(0, 1 << 40, batch=data.pairs, rank=0, processes=1), CPU),
    }

    def taking(batches: Iterator[object]) -> Callable[[], None]:
        def take() -> None:
            for _ in range(number):
                next(batches).to(CPU)  # type: ignore[missing-attribute]

        return take

    timed = take_turns({name: taking(batches) for name, batches in running.items()}, rounds, warm=2)
    first = next(iter(timed.seconds))
    lines = ["| way | pairs a second, median | times, median of pairs | of the fastest |", "|---|---:|---:|---:|"]
    for way, seconds in timed.seconds.items():
        ratios = f"{timed.ratio(way, first):.2f} | {timed.best(way, first):.2f}"
        lines.append(f"| {way} | {pairs / median(seconds):,.0f} | {ratios} |")
    running["files, 2 workers"]._shutdown_workers()  # type: ignore[missing-attribute]
    return lines


def waiting(sets: Sets, data: DataSettings, steps: int) -> list[str]:
    """The share of a step that is spent waiting for its pictures, with small networks: the hardest for a loader."""
    from accelerate import Accelerator

    settings = Settings.model_validate(
        {
            "run": "unused",
            "data": data.model_dump() | {"crop": 128, "resize": 143, "batch": 1},
            "generator": {"width": 16, "blocks": 6},
            "discriminator": {"width": 16},
            "schedule": {"steps": steps},
        }
    )
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    learner = Learner(settings, accelerator, Processes.join())
    lines = ["| pictures | seconds a step | waiting |", "|---|---:|---:|"]
    for cache in ("off", "auto"):
        asked = settings.data.model_copy(update={"cache": cache, "workers": 0})
        shelves = open_caches(sets, asked, print, lambda: False)
        pictures = UnpairedPictures(sets, asked, 0, shelves)

        def begin(
            first: int, pictures: UnpairedPictures = pictures, asked: DataSettings = asked, kept: bool = bool(shelves)
        ) -> Iterator[object]:
            places = Places(first, 1 << 40, batch=1, rank=0, processes=1)
            if kept:
                return gathered(pictures, places, accelerator.device)
            return iter(build_loader(pictures, places, asked, pin=False))

        feed = Feed(begin, 0, print)  # type: ignore[bad-argument-type]
        for _ in range(3):
            learner.take_step(feed, 1.0)
        feed.waited, begun = 0.0, time.perf_counter()
        for _ in range(steps):
            learner.take_step(feed, 1.0)
        spent = time.perf_counter() - begun
        lines.append(f"| {'cached' if shelves else 'files'} | {spent / steps:.3f} | {feed.waited / spent:.2%} |")
        feed.close()
    return lines


def main() -> None:
    as_the_program_runs()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--paintings", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pairs", type=int, default=64, help="a turn")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sets = Sets(list_pictures(arguments.photos), list_pictures(arguments.paintings), [], [])
    data = DataSettings(batch=arguments.batch, workers=0)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CYCLESTYLE_CACHE"] = folder
        print(f"{hardware()}; {len(sets.photos):,} photos and {len(sets.paintings):,} paintings")
        print("\n".join(on_one_core(sets, data, arguments.rounds, arguments.pairs)), flush=True)
        gc.collect()
        print("\nIn batches, through the loaders:\n")
        print("\n".join(through_loaders(sets, data, arguments.rounds, arguments.pairs)), flush=True)
        print("\nTraining at 128 pixels, width 16, batch 1, one thread:\n")
        print("\n".join(waiting(sets, data, arguments.steps)), flush=True)


if __name__ == "__main__":
    main()
