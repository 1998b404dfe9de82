"""How near the demo's painter comes to the truth, between the untouched photos and a supervised twin.

The twin has the demo's generator, optimizer, augmentation and averaging, and the same time, but is trained on pairs:
each training photo with the true painting of its scene, by L1. It is the ceiling for unpaired training in that time.

    python scripts/benchmarks/scenes.py --seeds 0 1 2 --to runs/benchmark-scenes

Run `bash scripts/demo.sh` first; it makes the environment and the pictures.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image

from cyclestyle.config import Settings
from cyclestyle.data.augment import Augmentation, augment
from cyclestyle.data.draws import draw_seed
from cyclestyle.data.folders import find_sets
from cyclestyle.data.scenes.description import describe
from cyclestyle.data.scenes.folder import RECORD, SETS
from cyclestyle.data.scenes.painting import paint_truth
from cyclestyle.images import load
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import initialise
from cyclestyle.networks.painter import PainterCard, save_painter
from cyclestyle.settings import read_settings
from cyclestyle.training.average import Average


def cyclestyle(*words: object) -> str:
    """Run a command of the package, as a user would; returns what it printed."""
    command = [sys.executable, "-m", "cyclestyle", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def true_paintings(settings: Settings) -> list[Image.Image]:
    """The true painting of each training photo's scene, which unpaired training never sees."""
    assert settings.data.folder is not None
    record = json.loads((settings.data.folder / RECORD).read_text())
    return [
        Image.fromarray(paint_truth(describe(record["seed"], number * SETS), record["size"]))
        for number in range(record["photos"])
    ]


def train_twin(settings: Settings, paintings: list[Image.Image], seconds: float, to: Path) -> int:
    """Train the demo's generator on pairs for a time; returns the number of steps."""
    photos = [load(path) for path in find_sets(settings.data).photos]
    chain = Augmentation(settings.data)
    network = build_generator(settings.generator)
    chances = torch.Generator().manual_seed(settings.seed)
    initialise(network, chances)
    average = Average(network, settings.compute.average)
    rate = settings.optimizer.learning_rate
    adam = torch.optim.Adam(network.parameters(), rate, (settings.optimizer.beta1, settings.optimizer.beta2))
    began, step = time.monotonic(), 0
    while (elapsed := (time.monotonic() - began) / seconds) < 1:
        adam.param_groups[0]["lr"] = rate * min(1.0, 2 * (1 - elapsed))
        chosen = torch.randint(len(photos), (settings.data.pairs,), generator=chances).tolist()
        # One seed for both: the pair is cut and mirrored alike.
        seeds = [draw_seed(settings.seed, step, index) for index in chosen]
        images = torch.stack([augment(chain, photos[index], seed) for index, seed in zip(chosen, seeds, strict=True)])
        truth = torch.stack([augment(chain, paintings[index], seed) for index, seed in zip(chosen, seeds, strict=True)])
        adam.zero_grad()
        F.l1_loss(network(images), truth).backward()
        adam.step()
        step += 1
        average.update(network, step)
    card = PainterCard(direction="photo to painting", generator=settings.generator, side=settings.data.crop, step=step)
    save_painter(average.network, card, to)
    return step


def compare(config: Path, seed: int, to: Path) -> str:
    """Train both with one seed, paint, measure; returns the table with what it cost."""
    settings = read_settings(config).model_copy(update={"seed": seed})
    run, twin = to / f"seed-{seed}", to / f"seed-{seed}-twin.safetensors"
    began = time.monotonic()
    cyclestyle("train", "--config", config, "--run", run, "--seed", seed)
    seconds = time.monotonic() - began
    pairs = true_paintings(settings)
    steps = train_twin(settings, pairs, seconds, twin)
    data = settings.data.folder
    assert data is not None
    cyclestyle("translate", run, data / "test/photos", "--to", run / "painted")
    cyclestyle("translate", twin, data / "test/photos", "--to", run / "twin")
    cyclestyle(
        "evaluate", "--painted", run / "painted", "--photos", data / "test/photos", "--truth", data / "test/paintings",
        "--paintings", data / "paintings", "--to", run / "evaluation", "--also.supervised-twin", run / "twin",
    )  # fmt: skip
    rows = json.loads((run / "evaluation/card.json").read_text())["truth"]["table"]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    table = "\n".join([lines[0], "|---|" + "---:|" * (len(rows[0]) - 1), *lines[1:]])
    return f"Seed {seed}, {seconds:.0f} s of training (twin: as long, {steps:,} steps):\n\n{table}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/demo.toml"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--to", type=Path, default=Path("runs/benchmark-scenes"), help="folder for runs and the table")
    options = parser.parse_args()
    head = (
        "# Distance to the truth on the embedded data\n\n"
        f"`python scripts/benchmarks/scenes.py --seeds {' '.join(map(str, options.seeds))}`, "
        f"{time.strftime('%Y-%m-%d')}, {torch.get_num_threads()} threads, {platform.machine()}, "
        f"PyTorch {torch.__version__}.\n"
    )
    for seed in options.seeds:  # each kept as soon as it is there: a stopped benchmark goes on
        part = options.to / f"seed-{seed}.md"
        if not part.exists():
            part.write_text(compare(options.config, seed, options.to))
    text = "\n".join([head, *((options.to / f"seed-{seed}.md").read_text() for seed in options.seeds)])
    (options.to / "scenes.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
