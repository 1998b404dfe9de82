"""Checkpoints: everything that is needed to go on, complete or not there at all.

A checkpoint is written into a folder aside, each file synced, described by a manifest (sizes, SHA-256) and renamed;
only then are older ones removed. At no instant is there none. Nothing in it is executed when read: it is
safetensors and JSON.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as as_bytes

from cyclestyle.files import IN_PROGRESS, sha256, sync

Tensors = dict[str, torch.Tensor]

MANIFEST = "manifest.json"
FACTS = "facts.json"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose every file has been verified."""

    path: Path
    facts: dict[str, Any]

    def tensors(self, name: str) -> Tensors:
        """The tensors saved under a name."""
        return load_file(self.path / f"{name}.safetensors")


def save_checkpoint(
    folder: Path,
    step: int,
    tensors: dict[str, Tensors],
    facts: dict[str, Any],
    *,
    keep: int,
    main: bool = True,
    barrier: Callable[[], None] = lambda: None,
) -> None:
    """Write `folder/step-NNNNNNN`. Every process calls it with the tensors that are its to write.

    `facts` (JSON) are the main process's. All processes must see one file system.
    """
    path = folder / f"step-{step:07d}"
    aside = folder / f"{IN_PROGRESS}{path.name}"
    if main:
        for left in folder.glob(f"{IN_PROGRESS}step-*"):  # by a process that was killed, or found the disk full
            shutil.rmtree(left)
        aside.mkdir(parents=True)
    barrier()
    for name, values in tensors.items():
        file = aside / f"{name}.safetensors"
        file.write_bytes(as_bytes({key: value.detach().cpu().contiguous() for key, value in values.items()}))
        sync(file)
    barrier()
    if main:
        _finish(aside, path, facts | {"step": step})
        _prune(path, keep)
    barrier()


def _finish(aside: Path, path: Path, facts: dict[str, Any]) -> None:
    file = aside / FACTS
    file.write_text(json.dumps(facts, indent=2) + "\n")
    sync(file)
    files = {file.name: {"bytes": file.stat().st_size, "sha256": sha256(file)} for file in sorted(aside.iterdir())}
    manifest = aside / MANIFEST
    manifest.write_text(json.dumps({"files": files}, indent=2) + "\n")
    sync(manifest)
    sync(aside)
    if path.exists():  # only a damaged one can stand there: a sound one would have been resumed from
        shutil.rmtree(path)
    aside.rename(path)
    sync(path.parent)


def _prune(latest: Path, keep: int) -> None:
    found = _steps(latest.parent)
    # Newer ones than the one just written can only be damaged, or they would have been gone on from.
    newer = [path for path in found if path > latest]
    for path in [path for path in found if path <= latest][:-keep] + newer:
        shutil.rmtree(path)


def _steps(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("step-*") if path.is_dir() and path.name[5:].isdecimal()]
    return sorted(found, key=lambda path: int(path.name[5:]))


def last_checkpoint(folder: Path, complain: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint that verifies; None if none was ever written.

    Each newer one that is passed over is named with the reason. Raises ValueError if there are checkpoints and none
    verifies: starting anew in silence would throw a run away.
    """
    found = _steps(folder)
    for path in reversed(found):
        try:
            return verify(path)
        except ValueError as error:
            complain(f"passing over a damaged checkpoint: {error}")
    if found:
        raise ValueError(
            f"no checkpoint in {folder} is whole; remove the folder to start anew, or choose another --run"
        )
    return None


def verify(path: Path) -> Checkpoint:
    """Check a checkpoint's files against its manifest. Raises ValueError naming what is wrong."""
    try:
        files = json.loads((path / MANIFEST).read_text())["files"]
        for name, expected in files.items():
            file = path / name
            if file.stat().st_size != expected["bytes"]:
                raise ValueError(f"{file} has {file.stat().st_size:,} bytes, not {expected['bytes']:,}")
            if sha256(file) != expected["sha256"]:
                raise ValueError(f"{file} is not what was written (SHA-256)")
        files[FACTS]  # must be among them
        facts = json.loads((path / FACTS).read_text())
    except (OSError, KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} has no readable {MANIFEST} or lacks a file ({type(error).__name__}: {error})"
        ) from None
    return Checkpoint(path, facts)
