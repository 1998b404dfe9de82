"""Does a budget hold? The whole by the clock: training, painting, zipping, within 1, 2 and 4 minutes.

    python scripts/benchmarks/budget.py --photos trainB --paintings trainA --count 500

Each budget is a competition of its own (`cyclestyle compete --practice --device cpu`) in an empty folder, with small
networks, so that minutes are some steps. Used should be between 85 and 100 %; what is below was kept back and not
needed. Run it alone: what else the machine does between measuring and painting moves the end.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from turns import hardware

from cyclestyle.config import seconds
from cyclestyle.images import list_pictures

SETTINGS = """\
run = "runs/budget"
[data]
augmentation = "flip"
crop = 64
batch = 4
workers = 0
[generator]
kind = "unet"
width = 16
depth = 5
upsampling = "resize"
residual = true
[discriminator]
width = 16
layers = 2
[schedule]
budget = "1m"
[report]
log_every = 10
checkpoint_every = 100
"""


def mount(photos: Path, paintings: Path, count: int, to: Path) -> None:
    """A folder as the competition's, of links."""
    for name, folder, most in (("photo_jpg", photos, count), ("monet_jpg", paintings, 300)):
        (to / name).mkdir(parents=True)
        found = list_pictures(folder)
        for number in range(most):
            path = found[number % len(found)]
            (to / name / f"{number:05d}.jpg").symlink_to(path.resolve())


def last(lines: Path) -> dict[str, float]:
    return json.loads(lines.read_text().splitlines()[-1])


def row(budget: str, place: Path, count: int) -> str:
    """One competition."""
    working, settings = place / budget, place / "settings.toml"
    settings.write_text(SETTINGS)
    words = [sys.executable, "-m", "cyclestyle", "compete", "--input", str(place / "input"), "--working", str(working)]
    words += ["--settings", str(settings), "--budget", budget, "--device", "cpu", "--practice"]
    begun = time.monotonic()
    with (place / f"{budget}.log").open("wb") as log:
        code = subprocess.run(words, stdout=log, stderr=log, check=False).returncode
    took = time.monotonic() - begun
    if code:
        return f"| {budget} | exit code {code}: {(place / f'{budget}.log').read_text()[-200:]!r} |"
    kept, metrics = json.loads((working / "run/budget.json").read_text()), last(working / "run/metrics.jsonl")
    trained = last(working / "run/pace.jsonl")["seconds"]
    share, rate = took / seconds(budget), metrics["learning_rate"] / 2e-4
    holds = "yes" if 0.85 <= share <= 1 else "**no**"
    reserve = f"{kept['painting']:.1f}"
    return (
        f"| {budget} | {took:.1f} | {share:.0%} | {trained:.1f} | {metrics['step']:.0f} | {rate:.3f} | {reserve} "
        f"| {count} | {holds} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--paintings", type=Path, required=True)
    parser.add_argument("--count", type=int, default=500, help="photos to paint")
    parser.add_argument("--budgets", nargs="+", default=["1m", "2m", "4m"])
    arguments = parser.parse_args()
    print(f"{hardware()}, {len(os.sched_getaffinity(0))} cores\n")
    print(
        "| budget | s in all | used | s of training | steps | last rate, of the first | s kept back to paint | photos "
        "| holds |\n|---|---:|---:|---:|---:|---:|---:|---:|---|"
    )
    with tempfile.TemporaryDirectory(prefix="budget-") as folder:
        mount(arguments.photos, arguments.paintings, arguments.count, Path(folder) / "input")
        for budget in arguments.budgets:
            print(row(budget, Path(folder), arguments.count), flush=True)


if __name__ == "__main__":
    main()
