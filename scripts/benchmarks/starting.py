"""How long until something happens: the help, and the first step of the demo's training.

    python scripts/benchmarks/starting.py --data data/scenes

Each is a process of its own. The first start after an installation also compiles and reads everything from the disk:
the table is of those after it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from turns import hardware

IMPORTS = (
    "torch",
    "torchvision.models.inception",
    "torch._dynamo",
    "albumentations",
    "accelerate",
    "cyclestyle.config",
    "cyclestyle.training.loop",
)
"""Of which the training's start is made; some are part of others."""

STEP = """
import os, sys
from cyclestyle.cli import main, let_threads_rest
let_threads_rest()
from cyclestyle.training.learner import Learner
plain = Learner.take_step
def step(self, *words, **named):
    plain(self, *words, **named)
    os._exit(0)
Learner.take_step = step
main()
"""
"""The command line, but for its end: after the first step."""


def helping() -> float:
    """Seconds that `cyclestyle --help` takes."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "cyclestyle", "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def training(data: Path) -> float:
    """Seconds until the demo's training has made its first step."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", "--config", "configs/demo.toml", "--run", f"{folder}/run", "--data.folder", str(data)]
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", STEP, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert list(Path(folder).iterdir()), "it did not begin"
        return time.perf_counter() - begun


def imports() -> dict[str, float]:
    """Seconds of importing what training needs, each with all that it imports first."""
    words = [sys.executable, "-X", "importtime", "-c", "import cyclestyle.training.loop"]
    told = subprocess.run(words, check=True, stderr=subprocess.PIPE, text=True).stderr
    found: dict[str, float] = {}
    for line in told.splitlines():
        parts = line.split("|")
        if len(parts) == 3 and parts[1].strip().isdigit():
            found[parts[2].strip()] = int(parts[1]) / 1e6
    return {name: found[name] for name in IMPORTS if name in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/scenes"), help="made by `cyclestyle synthesize`")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{hardware()}\n")
    print("| until | seconds, median | fastest |\n|---|---:|---:|")
    for name, call in (("the help is there", helping), ("the first step is made", lambda: training(arguments.data))):
        call()
        found = [call() for _ in range(arguments.rounds)]
        print(f"| {name} | {median(found):.2f} | {min(found):.2f} |", flush=True)
    rounds = [imports() for _ in range(arguments.rounds)]
    print("\n| imported for training | seconds, median |\n|---|---:|")
    for name in rounds[0]:
        print(f"| {name} | {median(one[name] for one in rounds):.2f} |")


if __name__ == "__main__":
    main()
