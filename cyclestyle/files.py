"""Files written so that a reader never meets half of one."""

import errno
import hashlib
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IN_PROGRESS = ".part-"
"""Prefix of files being written; listings pass over names with a leading dot."""

MEGABYTE = 1 << 20


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
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise _named(error, path) from None
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


def reason(error: Exception) -> str:
    """What an error says; what the system says of a file without its number."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.strerror} ({error.filename})" if error.filename else error.strerror


def _named(error: OSError, path: Path) -> OSError:
    """With the file's name: the system does not say which file a write was to."""
    if error.errno is not None and error.filename is None:
        error.filename = str(path)
    return error


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Whatever cannot be written inside is told as a ValueError that names the folder: many errors name no file."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{folder} cannot be written: {reason(error)}") from None


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file and wait until it is on the disk. Raises FileExistsError if there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest[:MEGABYTE]) :]
        os.fsync(descriptor)
    except OSError as error:
        raise _named(error, path) from None
    finally:
        os.close(descriptor)


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a lock file; gives False if another process holds it. The system lets go of it when a process dies.

    Made of the record locks of POSIX, which belong to one process: with `flock`, processes that load pictures would
    hold on to it for some seconds after the one that started them was killed.
    """
    if sys.platform == "win32":
        yield True  # unguarded there
        return
    import fcntl

    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EAGAIN}:
                yield False
                return
            # A file system that knows no locks: better unguarded than not at all.
        else:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        yield True


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step (UTF-8)."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
