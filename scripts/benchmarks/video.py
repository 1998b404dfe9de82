"""Flicker of painted videos: how much of it averaging along the optical flow takes away, and what that costs.

    python scripts/benchmarks/video.py --painter runs/monet/paint.safetensors --photos DIR --count 4

The camera goes over photos and closer to them (75 frames), once as they are, once with the noise of a sensor. Frames
are painted one by one; then they are averaged with those before by several shares. `flicker` is the mean difference
between each frame and the one before moved onto it, in levels of 255, where the flow is trusted. `detail` is the mean
gradient of the last frames against that of the frames as painted: below 1, averaging has blurred, or taken noise away.
Last, seconds and memory of a whole video, by the command itself.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import av
import numpy as np
import torch
from PIL import Image
from turns import hardware

from cyclestyle.images import list_pictures, load
from cyclestyle.networks.painter import Painter, load_painter
from cyclestyle.translation.whole import paint_picture
from cyclestyle.video.flow import Motion, Pixels, motion
from cyclestyle.video.steadying import Steadier

SHARES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9)
MEASURED = """
import atexit
from cyclestyle.cli import main
from cyclestyle.footprint import peak_memory
atexit.register(lambda: print(peak_memory()))
main()
"""
NOISE = 4.0
"""Levels: a camera in the evening."""


def camera(photo: Image.Image, size: tuple[int, int], frames: int, noise: float) -> list[Pixels]:
    """Frames of a camera that goes over a photo and closer to it."""
    rng, made = np.random.default_rng(0), []
    for share in np.linspace(0, 1, frames):
        seen = 0.8 - 0.15 * share
        across = seen * min(photo.width, photo.height * size[0] / size[1])
        down = across * size[1] / size[0]
        left, top = share * (photo.width - across), (0.3 + 0.4 * share) * (photo.height - down)
        frame = photo.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + across, top + down))
        made.append((np.asarray(frame) + rng.normal(0, noise, (size[1], size[0], 3))).clip(0, 255).astype(np.uint8))
    return made


def gradient(pixels: Pixels) -> float:
    grey = pixels.astype(float).mean(2)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


def damped(
    photos: list[Pixels], painted: list[Pixels], along: list[Motion | None], share: float
) -> tuple[dict[str, float], float]:
    """Flicker, and detail against the frames as painted, of the second half."""
    steadier = Steadier(kept=share)
    shown = [steadier.next(*given) for given in zip(photos, painted, along, strict=True)]
    half = len(shown) // 2
    details = mean(gradient(frame) for frame in shown[half:]) / mean(gradient(frame) for frame in painted[half:])
    return steadier.flicker.levels(), details


def shares(painter: Painter, paths: list[Path], noise: float) -> list[str]:
    """One table, means over photos."""
    found: dict[float, list[tuple[dict[str, float], float]]] = {share: [] for share in SHARES}
    for path in paths:
        photos = camera(load(path), (320, 240), 75, noise)
        painted = [np.asarray(paint_picture(painter, Image.fromarray(photo))) for photo in photos]
        along = [None, *(motion(*pair) for pair in pairwise(photos))]
        for share in SHARES:
            found[share].append(damped(photos, painted, along, share))
    lines = [
        "| kept of the frames before | flicker of the video | as painted | damped | detail |",
        "|---:|---:|---:|---:|---:|",
    ]
    for share, results in found.items():
        levels = (mean(levels[name] for levels, _ in results) for name in ("photo", "painted", "steadied"))
        numbers = " | ".join(f"{value:.2f}" for value in (*levels, mean(detail for _, detail in results)))
        lines.append(f"| {share:g} | {numbers} |")
    return lines


def whole(painter: Path, photo: Path, size: tuple[int, int], *words: str) -> str:
    """Seconds and peak memory of the command, of two seconds of video."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        with av.open(clip, "w") as file:
            stream: Any = file.add_stream("libx264", rate=Fraction(25))
            (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
            for pixels in camera(load(photo), size, 50, 0.0):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            file.mux(stream.encode())
        words_of_it = ["translate", painter, clip, "--to", clip.with_name("to.mp4"), *words]
        begun = time.perf_counter()
        run = subprocess.run([sys.executable, "-c", MEASURED, *words_of_it], stdout=subprocess.PIPE, check=True)
        took = time.perf_counter() - begun
        peak = int(run.stdout.split()[-1]) / 1e9
    return f"| {size[0]} x {size[1]} | {' '.join(words)} | {took:.0f} | {took / 50:.2f} | {peak:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--painter", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    paths = list_pictures(arguments.photos)[:: max(1, len(list_pictures(arguments.photos)) // arguments.count)]
    painter = load_painter(arguments.painter, torch.device("cpu"))
    print(hardware())
    for name, noise in (("as they are", 0.0), (f"with noise of {NOISE:g} levels", NOISE)):
        print(f"\n## Photos {name}\n")
        print("\n".join(shares(painter, paths[: arguments.count], noise)), flush=True)
    print(
        "\n## Fifty frames, by the command\n\n| size | with | seconds | a frame | peak, GB |\n|---|---|---:|---:|---:|"
    )
    for size, words in (
        ((640, 360), ()),
        ((1280, 720), ()),
        ((1280, 720), ("--no-steady",)),
        ((1280, 720), ("--max-memory", "1.5GB")),
    ):
        print(whole(arguments.painter, paths[0], size, *words), flush=True)


if __name__ == "__main__":
    main()
