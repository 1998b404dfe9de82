"""What a run folder holds, and how it is found again."""

import json
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cyclestyle.config import Settings
from cyclestyle.files import IN_PROGRESS, held, write_text

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
    def pictures(self) -> Path:
        return self.path / "pictures.json"

    @property
    def lock(self) -> Path:
        return self.path / ".lock"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def pace(self) -> Path:
        return self.path / "pace.jsonl"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def scores(self) -> Path:
        return self.path / "scores.jsonl"

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


@contextmanager
def held_run(path: Path) -> Iterator[RunFolder]:
    """Make a run folder, or come back to one, and keep others from training in it.

    Raises ValueError if another process does so already, OSError if it cannot be written.
    """
    run = RunFolder(path)
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    with held(run.lock) as ours:
        if not ours:
            who = run.lock.read_text(encoding="utf-8", errors="replace").strip() or "another process"
            raise ValueError(f"{path} is being trained in by {who}; wait for it, stop it, or choose another --run")
        for folder in (path, run.sample(0).parent):  # left by a process that was killed while it wrote
            for left in folder.glob(f"{IN_PROGRESS}*"):
                left.unlink(missing_ok=True)
        yield run


def write_provenance(run: RunFolder, settings: Settings, pictures: dict[str, Any]) -> None:
    """What a run was begun with: seed, pictures, versions, commit, hardware."""
    provenance = {"seed": settings.seed, **pictures, **circumstances()}
    write_text(run.provenance, json.dumps(provenance, indent=2) + "\n")


def circumstances() -> dict[str, Any]:
    """What any result depends on besides its settings: versions, the commit of the source, the hardware."""
    versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    return {"versions": versions, "commit": _commit(), "hardware": _hardware()}


def _hardware() -> dict[str, Any]:
    import torch  # here, since whoever only wants names need not wait for it

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
