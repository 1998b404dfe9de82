"""Memory, cores and a compiler: what there is, and what of it this process may take."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Iterable, Iterator, NamedTuple  # noqa: UP035 - for Python 3.8

from cyclestyle.doctor.findings import Finding, fine, note, size, wrong

LEAST_MEMORY, SMALL_MEMORY = 10**9, 4 * 10**9
"""Bytes. The libraries alone take 0.8 GB, the demo 1 GB; what another run takes, `train --plan` tells."""
SMALL_SHARED = 256 * 10**6
"""Bytes. Containers have 64 MB unless told otherwise; two processes keep eight batches there."""


class Memory(NamedTuple):
    """Bytes of memory."""

    free: int
    total: int
    limit: int | None
    """Of a control group (a container, a batch system), where that is less than the machine has."""


def memory(root: Path = Path("/")) -> Iterable[Finding]:
    """How much memory a training may take, in the machine and in the container."""
    there = memory_of(root)
    if there is None:
        yield note("memory", "unknown: this system does not tell")
        return
    within = f"{size(there.limit)} allowed here" if there.limit else size(there.total)
    found = f"{size(there.free)} free of {within}"
    do = "close other programs, or ask for more (docker --memory, Slurm --mem)"
    if there.free < LEAST_MEMORY:
        yield wrong("memory", f"{found}; the libraries alone take 0.8 GB", do)
    elif there.free < SMALL_MEMORY:
        plan = "`cyclestyle train --config FILE --plan` tells what a run takes; --data.batch 1 takes least"
        yield note("memory", found, plan)
    else:
        yield fine("memory", found)


def memory_of(root: Path = Path("/")) -> Memory | None:
    """What the system says, and the narrowest of the control groups above this process."""
    told = _meminfo(root) or _psutil()
    if told is None:
        return None
    free, total = told
    narrowest = None
    for limit, used in _groups(root):
        # Version 1 says a number larger than any machine has where there is no limit.
        if limit < total and (narrowest is None or limit < narrowest):
            narrowest = limit
        free = min(free, max(limit - used, 0))
    return Memory(free, total, narrowest)


def _meminfo(root: Path) -> tuple[int, int] | None:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        told = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
        return told["MemAvailable"], told["MemTotal"]
    except (OSError, KeyError, ValueError):
        return None


def _psutil() -> tuple[int, int] | None:
    """Windows and macOS have no file that tells."""
    try:
        import psutil
    except ImportError:
        return None
    told = psutil.virtual_memory()
    return told.available, told.total


def _groups(root: Path) -> Iterator[tuple[int, int]]:
    """(limit, used) of the control groups that hold this process, of both versions, from inside to outside.

    A container sees its own group as the outermost, whatever path it is told. Pages of files that nobody needs now
    count as used; they are given back when something else asks for them.
    """
    for place, version in _group_folders(root):
        limit_name, used_name, idle = (
            ("memory.max", "memory.current", "inactive_file")
            if version == 2
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        try:
            limit = int((place / limit_name).read_text())
            used = int((place / used_name).read_text())
            stat = dict(line.split() for line in (place / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no such file; "max", which is no number
            continue
        yield limit, max(used - int(stat.get(idle, 0)), 0)


def _group_folders(root: Path) -> Iterator[tuple[Path, int]]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / ("sys/fs/cgroup/memory" if controllers else "sys/fs/cgroup")
        place = top / path.lstrip("/")
        for folder in (place, *place.parents):
            yield folder, 1 if controllers else 2
            if folder == top:
                break


def shared_memory(folder: Path = Path("/dev/shm")) -> Iterable[Finding]:
    """Where processes that load pictures leave them for the one that trains."""
    if not folder.is_dir():
        return
    there = shutil.disk_usage(folder)
    found = f"{size(there.free)} free of {size(there.total)} in {folder}"
    if there.free < SMALL_SHARED:
        do = "docker run --shm-size 1g (or --ipc host); or --data.workers 0"
        yield note("shared memory", f"{found}: processes that load pictures may die of it", do)
    else:
        yield fine("shared memory", found)


def cores(root: Path = Path("/")) -> Iterable[Finding]:
    """How many cores this process may use."""
    machine = os.cpu_count() or 1
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    share = _share(root)
    usable = min(mine, share) if share else mine
    found = f"{usable:g} of {machine}" if usable < machine else f"{machine}"
    if usable < 2:
        yield note("cores", f"{found}: pictures are loaded by the core that trains", "--data.cache saves most of that")
    else:
        yield fine("cores", found)


def _share(root: Path) -> float | None:
    """Cores that a control group allows in the mean; None if as many as there are."""
    for name, period in (("sys/fs/cgroup/cpu.max", None), ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            told = (root / name).read_text().split()
            if period:
                told.append((root / name).with_name(period).read_text())
            quota, of = (float(part) for part in told)
        except (OSError, ValueError):  # not there; "max"
            continue
        if quota > 0 and of > 0:
            return quota / of
    return None


def compiler() -> Iterable[Finding]:
    """What `compute.compile` needs besides PyTorch; without it, networks run as they are."""
    names = [os.environ.get("CXX"), "g++", "clang++", "cl" if os.name == "nt" else None]
    there = next((found for name in names if name for found in [shutil.which(name)] if found), None)
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    lost = "networks are not compiled (compute.compile), which changes nothing but the speed"
    newest = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if there is None:
        yield note("compiler", f"none: {lost}", "on Debian: apt-get install g++")
    elif not header.is_file():
        yield note("compiler", f"{there}, but Python's headers are missing: {lost}", f"apt-get install {newest}-dev")
    else:
        yield fine("compiler", there)
