"""Checkpoints: everything that is needed to go on, complete or not there at all.

A checkpoint is written into a folder aside, each file synced, described by a manifest (sizes, SHA-256, and the facts
that are not tensors) and renamed; only then are older ones removed. At no instant is there none. Nothing in it is
executed when read: it is safetensors and JSON.
"""

import hashlib
import json
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclestyle.files import IN_PROGRESS, MEGABYTE, sha256, sync, write_synced
from cyclestyle.networks.stored import Tensors, read
from cyclestyle.processes import Processes

MANIFEST = "manifest.json"
LARGEST_MANIFEST = MEGABYTE
LARGEST_FILE = 1 << 35
"""Bytes; looked at before a file is hashed: one with a hole of terabytes takes no room, and hours to read."""

PREFIX = "step-"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose every file has been verified."""

    path: Path
    facts: dict[str, Any]

    def tensors(self, name: str, expected: Mapping[str, Any]) -> Tensors:
        """The tensors of a file, whose names, shapes and types must be those expected. Raises ValueError otherwise."""
        if not (self.path / name).is_file():
            raise ValueError(f"{self.path} lacks {name}")
        return read(self.path / name, expected)


def save_checkpoint(
    folder: Path, step: int, files: Mapping[str, Callable[[], bytes]], facts: dict[str, Any], processes: Processes
) -> Path:
    """Write `folder/step-NNNNNNN` and return it. Every process calls it with the files that are its to write.

    `facts` (JSON) are the main process's. All processes must see one file system. Where it cannot be written, raises
    OSError on the process that found out and ValueError on the others; whatever was there stays as it was. `folder`
    must exist: if it has vanished, so have the checkpoints before, and nothing should make it look as if all were well.
    """
    path = folder / f"{PREFIX}{step:07d}"
    aside = folder / f"{IN_PROGRESS}{path.name}"
    try:
        with processes.all_or_none():
            if processes.main:
                forget_unfinished(folder)
                aside.mkdir()
        with processes.all_or_none():
            for name, content in files.items():
                write_synced(aside / name, content())
        with processes.all_or_none():
            if processes.main:
                _finish(aside, path, facts | {"step": step})
    except Exception:
        if processes.main:
            shutil.rmtree(aside, ignore_errors=True)
        raise
    return path


def _finish(aside: Path, path: Path, facts: dict[str, Any]) -> None:
    files = {file.name: {"bytes": file.stat().st_size, "sha256": sha256(file)} for file in sorted(aside.iterdir())}
    write_synced(aside / MANIFEST, _sealed({"facts": facts, "files": files}))
    sync(aside)
    if path.exists():  # only a damaged one can stand there: a sound one would have been resumed from
        _remove(path)
    aside.rename(path)
    sync(path.parent)


def _sealed(content: dict[str, Any]) -> bytes:
    """A manifest that vouches for itself too: the last entry is the SHA-256 of the others."""
    seal = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return (json.dumps(content | {"sha256": seal}, indent=1, sort_keys=True) + "\n").encode()


def forget_unfinished(folder: Path) -> None:
    """Remove what was being written by a process that was killed."""
    for left in folder.glob(f"{IN_PROGRESS}{PREFIX}*"):
        shutil.rmtree(left)


def prune(latest: Path, *, keep: int, best: int | None) -> None:
    """Remove all but the last `keep` checkpoints up to `latest`, and the one of step `best`."""
    found = steps(latest.parent)
    # Newer ones than the one just written can only be damaged, or they would have been gone on from.
    newer = [path for path in found if _step_of(path) > _step_of(latest)]
    for path in [path for path in found if path not in newer][:-keep] + newer:
        if _step_of(path) != best or path in newer:
            _remove(path)
    sync(latest.parent)


def _remove(path: Path) -> None:
    """Remove a checkpoint so that it is never there in part: under its name it is gone at once."""
    going = path.with_name(f"{IN_PROGRESS}{path.name}-old")
    shutil.rmtree(going, ignore_errors=True)
    path.rename(going)
    shutil.rmtree(going)


def steps(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    found = [path for path in folder.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdecimal()]
    return sorted((path for path in found if path.is_dir()), key=_step_of)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix(PREFIX))


def last_checkpoint(folder: Path, complain: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint that verifies; None if none was ever written.

    Each newer one that is passed over is named with the reason. Raises ValueError if there are checkpoints and none
    verifies: starting anew in silence would throw a run away.
    """
    found = steps(folder)
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
        content = _read_manifest(path / MANIFEST)
        for name, expected in content["files"].items():
            _check(path, name, expected["bytes"], expected["sha256"])
        if content["facts"]["step"] != _step_of(path):
            raise ValueError(f"{path} is a checkpoint of step {content['facts']['step']!s:.20}")
        return Checkpoint(path, content["facts"])
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} has no readable {MANIFEST} or lacks a file ({type(error).__name__}: {error})"
        ) from None


def _check(path: Path, name: str, size: int, digest: str) -> None:
    file = path / name
    if Path(name).name != name or not stat.S_ISREG(file.lstat().st_mode):
        raise ValueError(f"{path} names {name[:80]}, which is not a file of its own")
    found = file.stat().st_size
    if found > LARGEST_FILE:
        raise ValueError(f"{file} has {found:,} bytes, more than any checkpoint")
    if found != size:
        raise ValueError(f"{file} has {found} bytes, not {size!s:.20}")
    if sha256(file) != digest:
        raise ValueError(f"{file} is not what was written (SHA-256)")


def _read_manifest(file: Path) -> dict[str, Any]:
    found = file.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_MANIFEST:
        raise ValueError(f"{file} is no manifest ({found.st_size:,} bytes)")
    written = file.read_bytes()
    try:
        content = json.loads(written)
        del content["sha256"]
        if _sealed(content) == written:
            return content
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise ValueError(f"{file} is not what was written (SHA-256)")
