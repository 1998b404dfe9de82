"""Can be written where something is to be written, and how much?"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Iterable, NamedTuple  # noqa: UP035 - for Python 3.8

from cyclestyle.doctor.findings import Finding, fine, note, size, wrong

LEAST_DISK, SMALL_DISK = 10**9, 4 * 10**9
"""Bytes. A checkpoint of configs/monet.toml takes 0.45 GB, and there are up to four at a time; its pictures take 1 GB
while they arrive."""
FEWEST_FILES = 20_000
"""The competition's photos and what is painted from them."""
TRIED = bytes(1 << 16)


class Place(NamedTuple):
    """Where something is written."""

    name: str
    folder: Path
    needed: bool
    """Whether nothing can be learnt without it."""
    otherwise: str
    """What to type where it cannot be used."""


class Tried(NamedTuple):
    """What came of writing there."""

    place: Place
    existing: Path
    """The folder itself, or the one in which it would be made."""
    refusal: str
    """Why nothing can be written; empty if it can."""


def home() -> Path | None:
    """The home folder as Python finds it; None if it finds none."""
    try:
        found = Path.home()
    except (RuntimeError, KeyError):
        return None
    return found if found.is_absolute() else None


def cache_of_pictures() -> Path | None:
    """Where `data.cache` puts decoded pictures: the same as `cyclestyle.data.caching.cache_folder`."""
    if os.environ.get("CYCLESTYLE_CACHE"):
        return Path(os.environ["CYCLESTYLE_CACHE"])
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"], "cyclestyle", "pictures")
    mine = home()
    return mine / ".cache" / "cyclestyle" / "pictures" if mine else None


def cache_of_torch() -> Path:
    """Where PyTorch keeps downloaded weights: the same as `torch.hub.get_dir`."""
    usual = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.path.expanduser(os.environ.get("TORCH_HOME", os.path.join(usual, "torch"))), "hub")  # noqa: PTH111, PTH118 - its words


def places(data: Path | None) -> list[Place]:
    """Everything that is written to on the way from photos to paintings."""
    elsewhere = "work in a folder on another disk, or give --run DIR there"
    cache, weights = "export CYCLESTYLE_CACHE=/a/folder; or --data.cache off", "export TORCH_HOME=/a/folder"
    found = [Place("this folder", Path(os.curdir), True, elsewhere), Place("runs", Path("runs"), True, elsewhere)]
    if data is None:  # otherwise they have arrived
        found.append(Place("data", Path("data"), True, "cyclestyle download monet --to /another/disk/monet"))
    pictures = cache_of_pictures()
    if pictures is not None:
        found.append(Place("cache of pictures", pictures, False, cache))
    found.append(Place("PyTorch's cache", cache_of_torch(), False, weights))
    return found


def disk(data: Path | None) -> Iterable[Finding]:
    """What can be written where; a line for each disk, and one for each folder that cannot be used."""
    disks: dict[int, list[Tried]] = {}
    refused: dict[tuple[Path, str], list[Place]] = {}
    for tried in [_tried(place) for place in places(data)]:
        if tried.refusal:
            refused.setdefault((tried.existing, tried.refusal), []).append(tried.place)
        else:
            disks.setdefault(tried.existing.stat().st_dev, []).append(tried)
    for (folder, why), sharing in refused.items():
        names = ", ".join(place.name for place in sharing)
        do = "; ".join(dict.fromkeys(place.otherwise for place in sharing))
        needed = any(place.needed for place in sharing)
        yield _judged(needed, sharing[0].name, f"{folder} cannot be written (for {names}): {why}", do)
    for sharing in disks.values():
        yield from _room(sharing)
    yield from _temporary()


def _room(sharing: list[Tried]) -> Iterable[Finding]:
    """How much can be written to a disk that several places share."""
    free = shutil.disk_usage(sharing[0].existing).free
    first = next((tried.place for tried in sharing if tried.place.needed), sharing[0].place)
    found = f"{size(free)} free for {', '.join(tried.place.name for tried in sharing)}"
    files = _files_left(sharing[0].existing)
    if free < LEAST_DISK:
        found += "; a run keeps up to four checkpoints of 0.45 GB" if first.needed else ""
        yield _judged(first.needed, "disk", found, f"free some (df -h); or {first.otherwise}")
    elif files is not None and files < FEWEST_FILES:
        found += f", but only {files:,} more files"
        yield _judged(first.needed, "disk", found, f"remove some (df -i); or {first.otherwise}")
    elif free < SMALL_DISK:
        yield note("disk", found, "--report.keep 1 keeps fewer checkpoints, --data.cache off no pictures")
    else:
        yield fine("disk", found)


def _judged(needed: bool, subject: str, found: str, do: str) -> Finding:
    return wrong(subject, found, do) if needed else note(subject, found, do)


def _files_left(folder: Path) -> int | None:
    """How many files can be made; None where the file system does not count them."""
    if not hasattr(os, "statvfs"):
        return None
    told = os.statvfs(folder)
    return told.f_favail if told.f_files else None


def _tried(place: Place) -> Tried:
    """Write where something would be written, and leave nothing."""
    existing = place.folder
    try:
        existing = existing.absolute()  # fails where the working folder was removed
        while not os.path.lexists(existing) and existing != existing.parent:
            existing = existing.parent
        _write(existing)
    except OSError as error:
        return Tried(place, existing, error.strerror or type(error).__name__)
    return Tried(place, existing, "")


def _write(folder: Path) -> None:
    """Write some bytes into a folder. Raises OSError if that cannot be done."""
    with tempfile.TemporaryFile(dir=folder, prefix=".doctor-") as file:
        file.write(TRIED)
        file.flush()
        os.fsync(file.fileno())


def home_folder() -> Iterable[Finding]:
    """The home folder: caches and the Kaggle client's settings lie there unless told otherwise."""
    do = "export HOME=/a/folder/of/yours; or CYCLESTYLE_CACHE, TORCH_HOME and KAGGLE_CONFIG_DIR, each a folder"
    mine = home()
    if mine is None:
        yield note("home", "there is none: HOME is not set", do)
        return
    if not mine.is_dir():
        yield note("home", f"{mine} is {'no folder' if os.path.lexists(mine) else 'not there'} (HOME)", do)
        return
    tried = _tried(Place("home", mine, False, do))
    if tried.refusal:
        yield note("home", f"{mine} cannot be written: {tried.refusal}; nothing is kept there between runs", do)
    else:
        yield fine("home", f"{mine} can be written")


def _temporary() -> Iterable[Finding]:
    """The folder for temporary files, which a compiler and processes that load pictures use."""
    try:
        tempfile.gettempdir()
    except OSError:
        do = "export TMPDIR=/a/folder"
        yield note("temporary files", "can be written nowhere (TMPDIR, /tmp, /var/tmp)", do)
