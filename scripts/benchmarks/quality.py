"""Quality a second: how soon the demo's painter is as near to the truth as the plain configuration is at its end.

    python scripts/benchmarks/quality.py --seeds 0 1 2 --to runs/benchmark-quality

The plain one is the paper's (`configs/paper.toml`: its objective, its rates, its up-sampling, its step, last weights),
with half of the width and six blocks, since these pictures have 64 pixels, and a learning rate that falls to zero in
the same time that the demo takes. Both are run as a user would. The demo's painter is taken from its checkpoints, each
at the second at which it was there; making and judging them is part of its time.

Run `bash scripts/demo.sh` first; it makes the environment and the pictures.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from turns import hardware

from cyclestyle.evaluation.paired import nearness
from cyclestyle.images import list_pictures, load, to_images
from cyclestyle.networks.painter import load_painter

DATA = Path("data/scenes")
PLAIN = (
    "--config", "configs/paper.toml", "--data.folder", DATA, "--data.resize", 72, "--data.crop", 64,
    "--data.workers", 0, "--generator.width", 32, "--generator.blocks", 6, "--discriminator.width", 32,
    "--report.checkpoint-every", 1_000_000,
)  # fmt: skip
DEMO = (
    "--config", "configs/demo.toml", "--report.log-every", 25, "--report.checkpoint-every", 25, "--report.keep", 1000,
)  # fmt: skip


def train(run: Path, seed: int, *words: object) -> float:
    """As a user would, unless it was done before; gives the seconds that learning took."""
    command = [sys.executable, "-m", "cyclestyle", "train", "--run", run, "--seed", seed, *words]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE)
    return lines(run / "pace.jsonl")[-1]["seconds"]


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def psnr(painter: Path) -> float:
    """Median PSNR of the painted test photos against the truth, in dB."""
    paint = load_painter(painter)
    photos, truths = (list_pictures(DATA / "test" / name) for name in ("photos", "paintings"))
    found = nearness((paint(to_images([load(p)])), to_images([load(t)])) for p, t in zip(photos, truths, strict=True))
    return median(found.psnr.tolist())


def compare(seed: int, to: Path) -> str:
    """A row: both painters at their end, and when the demo's had come as near as the plain one's."""
    demo, plain = to / f"demo-{seed}", to / f"plain-{seed}"
    took = train(demo, seed, *DEMO)
    train(plain, seed, *PLAIN, "--schedule.budget", f"{took:.0f}s")
    goal = psnr(plain / "paint.safetensors")
    when = {int(line["step"]): line["seconds"] for line in lines(demo / "pace.jsonl")}
    checkpoints = sorted((demo / "checkpoints").glob("step-*"))
    curve = [(when[int(path.name.removeprefix("step-"))], psnr(path / "paint.safetensors")) for path in checkpoints]
    reached = next((seconds for seconds, value in curve if value >= goal), float("nan"))
    steps = lines(plain / "metrics.jsonl")[-1]["step"]
    spent = lines(plain / "pace.jsonl")[-1]["seconds"]
    return (
        f"| {seed} | {goal:.2f} | {spent:.0f} | {steps:,.0f} | {reached:.0f} | {spent / reached:.1f} | "
        f"{curve[-1][1]:.2f} | {took:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--to", type=Path, default=Path("runs/benchmark-quality"))
    arguments = parser.parse_args()
    if not (DATA / "test").is_dir():
        raise SystemExit(f"there are no pictures in {DATA}; run `bash scripts/demo.sh` first")
    print(f"{time.strftime('%Y-%m-%d')}, {hardware()}\n")
    print("| seed | plain: dB at its end | s | steps | demo: as near after s | times as soon | dB at its end | s |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    for seed in arguments.seeds:
        print(compare(seed, arguments.to), flush=True)


if __name__ == "__main__":
    main()
