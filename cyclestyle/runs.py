"""What a run folder holds, and how it is found again."""

import json
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cyclestyle.config import Settings, contradictions, read_settings, write_settings
from cyclestyle.data.folders import Sets, fingerprint
from cyclestyle.files import write_text

PACKAGES = ("cyclestyle", "torch", "torchvision", "accelerate", "albumentations", "numpy", "pillow", "safetensors")


@dataclass(frozen=True)
class RunFolder:
    """Names and places of everything that a training run writes."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def sample(self, step: int) -> Path:
        return self.path / "samples" / f"step-{step:07d}.png"

    def painter(self, *, back: bool = False) -> Path:
        return self.path / ("unpaint.safetensors" if back else "paint.safetensors")


def open_run(settings: Settings, sets: Sets) -> RunFolder:
    """Begin a run folder, or come back to one that was begun with the same settings on the same pictures.

    Raises ValueError naming every difference otherwise; nothing is overwritten.
    """
    run = RunFolder(settings.run)
    pictures = {"photos": fingerprint(sets.photos), "paintings": fingerprint(sets.paintings)}
    if any(run.checkpoints.glob("step-*")):  # without one, nothing has been learnt that could be lost
        before = read_settings(run.config)
        different = contradictions(before, settings)
        if run.provenance.exists():
            seen = json.loads(run.provenance.read_text())["pictures"]
            different += [
                f"{name}: not the pictures that it was begun with" for name in pictures if pictures[name] != seen[name]
            ]
        if different:
            raise ValueError(
                f"{run.path} holds a run with other settings ({'; '.join(different)}); "
                "go on with those, or choose another folder with --run"
            )
    else:
        write_text(run.provenance, json.dumps(_provenance(settings, sets, pictures), indent=2) + "\n")
    write_text(run.config, write_settings(settings))
    return run


def _provenance(settings: Settings, sets: Sets, pictures: dict[str, str]) -> dict[str, Any]:
    return {
        "seed": settings.seed,
        "pictures": pictures,
        "counts": {"photos": len(sets.photos), "paintings": len(sets.paintings)},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "commit": _commit(),
        "hardware": _hardware(),
    }


def _hardware() -> dict[str, Any]:
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"machine": platform.machine(), "system": platform.system(), "devices": devices or ["cpu"]}


def _commit() -> str | None:
    """The git commit of the source that runs, with a `+` if it was changed; None where it is not a checkout."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "."], cwd=here, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")


def find_painter(run: Path, *, back: bool = False) -> Path:
    """The weights that `RUN` on a command line means: a run folder's painter, or a single file.

    Raises FileNotFoundError saying what is missing.
    """
    if run.is_file():
        if back:
            raise ValueError(f"{run} is a single network, so --back has nothing to choose; give the run folder")
        return run
    if not run.is_dir():
        raise FileNotFoundError(f"no such run or painter: {run}")
    painter = RunFolder(run).painter(back=back)
    if not painter.exists():
        raise FileNotFoundError(f"{run} holds no {painter.name} yet; training writes it with each checkpoint")
    return painter
