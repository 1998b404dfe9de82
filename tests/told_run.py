"""A run folder as training leaves it behind, made in no time: what pages are written from."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cyclestyle.images import grid

CONFIG = """run = "runs/told"
seed = 0
[data]
folder = "data"
crop = {side}
[objective]
adversarial = "lsgan"
cycle = 10.0
identity = 5.0
[schedule]
{schedule}
"""
SIDES = ("painting", "photo")


def write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def metrics(step: int, total: int) -> dict[str, Any]:
    """Losses that fall as they do in a training."""
    share = step / total
    told: dict[str, Any] = {"step": step}
    for side in SIDES:
        told |= {f"cycle/{side}": 10 * (0.1 + 0.2 * math.exp(-3 * share)), f"identity/{side}": 0.5, f"fool/{side}": 0.4}
        told |= {f"real/{side}": 0.1, f"fake/{side}": 0.1 + 0.1 * math.exp(-9 * share)}
    told |= {"gradient/generators": 10.0, "gradient/discriminators": 3.0}
    return told | {"epoch": step / 400, "learning_rate": 2e-4 * min(1.0, 2 * (1 - share)), "skipped": 0}


def sheet(path: Path, rows: int, side: int, seed: int = 0) -> None:
    """Six columns of pictures, each of one grey of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [
        [Image.new("RGB", (side, side), (40 * column, 30 * row, seed % 256)) for column in range(6)]
        for row in range(rows)
    ]
    grid(pictures).save(path)


def make_run(
    folder: Path,
    *,
    steps: int = 1000,
    total: int | str = 1000,
    distances: Mapping[int, float] | None = None,
    kids: Mapping[int, float] | None = None,
    alarms: Sequence[int] = (),
    sheets: Sequence[int] = (),
    rows: int = 2,
    side: int = 16,
    kept: Sequence[int] = (),
) -> Path:
    """Write one that has taken `steps` of `total` (or of a budget)."""
    folder.mkdir(parents=True)
    schedule = f'budget = "{total}"' if isinstance(total, str) else f"steps = {total}"
    (folder / "config.toml").write_text(CONFIG.format(side=side, schedule=schedule))
    length = steps if isinstance(total, str) else total
    logged = range(50, steps + 1, 50)
    write_lines(folder / "metrics.jsonl", [metrics(step, length) for step in logged])
    write_lines(
        folder / "pace.jsonl",
        [{"step": step, "pairs_per_second": 2.0, "seconds": step / 2, "waiting": 0.01} for step in logged],
    )
    scores: dict[int, dict[str, Any]] = {}
    for step, value in (distances or {}).items():
        scores.setdefault(step, {"step": step}).update({"distance": value, "untouched": 1.0})
    for step, value in (kids or {}).items():
        scores.setdefault(step, {"step": step}).update({"kid": value, "kid_last": value + 0.1, "kid_untouched": 2.0})
    write_lines(folder / "scores.jsonl", [scores[step] for step in sorted(scores)])
    rung = [{"step": step, "event": "alarm", "kind": "flat", "said": f"flat at {step}"} for step in alarms]
    write_lines(folder / "events.jsonl", [*rung, {"step": 60, "event": "lost", "said": "a.png is gone"}])
    (folder / "provenance.json").write_text(
        json.dumps({"seed": 0, "counts": {"photos": 400, "paintings": 300}, "versions": {"python": "3.12"}})
    )
    for step in sheets:
        sheet(folder / "samples" / f"step-{step:07d}.png", rows, side, step)
    for step in kept:
        (folder / "checkpoints" / f"step-{step:07d}").mkdir(parents=True)
    return folder


def noise_sheet(path: Path, rows: int, side: int, seed: int) -> None:
    """A sheet as heavy as sheets can be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chances = np.random.default_rng(seed)
    pictures = [
        [Image.fromarray(chances.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(6)]
        for _ in range(rows)
    ]
    grid(pictures).save(path)
