"""Files written so that a reader never meets half of one."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IN_PROGRESS = ".part-"
"""Prefix of files being written; listings pass over names with a leading dot."""


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; on success it is synced and takes the place of `path`.

    On any failure, an interrupt included, what was written is removed and an older `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept: some writers choose the format by it. The name is not: it may be as long as names can be.
    aside = path.with_name(f"{IN_PROGRESS}{secrets.token_hex(8)}{path.suffix}")
    try:
        yield aside
        sync(aside)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk, not only in the system's memory."""
    # Windows cannot open a folder, nor sync what was opened for reading.
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step (UTF-8)."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
