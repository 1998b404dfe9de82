"""Which pictures a run learns from: looked through once, written down, and the same for the whole life of the run."""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclestyle.config import DataSettings
from cyclestyle.data.folders import Sets, find_roots, find_tests
from cyclestyle.data.inspection import Unusable, candidates, inspect
from cyclestyle.processes import Processes
from cyclestyle.progress import Progress
from cyclestyle.stopping import Stopped, StopRequest

LEARNT_FROM = ("photos", "paintings")
BEARABLE = 0.1
"""Share of a set that may be lost in the course of a run."""


@dataclass(frozen=True)
class Entry:
    """A picture of a set, as it was when the run began."""

    name: str
    """Below the set's folder, with slashes."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Choice:
    """The pictures of a run, by set."""

    usable: dict[str, list[Entry]]
    unusable: dict[str, list[tuple[str, str]]]
    """Names and reasons."""

    def fingerprints(self) -> dict[str, str]:
        """A digest of the usable pictures' names and sizes, in order, for each set."""
        return {name: _fingerprint(entries) for name, entries in self.usable.items()}

    def as_json(self) -> str:
        """For `pictures.json`."""
        sets = {
            name: {
                "usable": [[entry.name, entry.size] for entry in self.usable[name]],
                "unusable": [list(pair) for pair in self.unusable[name]],
            }
            for name in self.usable
        }
        return json.dumps(sets, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Choice":
        """The inverse. Raises ValueError for anything else."""
        try:
            sets = {name: json.loads(text)[name] for name in LEARNT_FROM}
            usable = {n: [Entry(str(name), int(size)) for name, size in one["usable"]] for n, one in sets.items()}
            unusable = {n: [(str(name), str(why)) for name, why in one["unusable"]] for n, one in sets.items()}
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"not a list of pictures: {error}") from None
        return cls(usable, unusable)

    def sets(self, roots: Mapping[str, Path]) -> Sets:
        """Where the pictures lie."""
        photos, paintings = ([roots[name] / entry.name for entry in self.usable[name]] for name in LEARNT_FROM)
        return Sets(photos, paintings, *find_tests(roots), roots=dict(roots))

    def told(self, where: Path) -> str | None:
        """How many are left out, and the first of them; None if none is."""
        left_out = [f"{name}/{path}: {why}" for name, pairs in self.unusable.items() for path, why in pairs]
        if not left_out:
            return None
        total = sum(map(len, self.usable.values())) + len(left_out)
        shown = "".join(f"\n  {line}" for line in map(_printable, left_out[:10]))
        more = f"\n  and {len(left_out) - 10} more" if len(left_out) > 10 else ""
        return f"{len(left_out)} of {total:,} pictures cannot be learnt from and are left out ({where}):{shown}{more}"


def choose(settings: DataSettings, processes: Processes, stop: StopRequest) -> Choice:
    """Look through both sets, each process at its share. Raises ValueError if nothing is left of a set."""
    roots = find_roots(settings)
    usable, unusable = {}, {}
    for name in LEARNT_FROM:
        found = candidates(roots[name])
        _must_be_the_same([_relative(path, roots[name]) for path in found], roots[name], processes)
        broken = _look_through(name, found, processes, stop)
        reasons = dict(broken)
        unusable[name] = [(_relative(p, roots[name]), reasons[str(p)]) for p in found if str(p) in reasons]
        good = [path for path in found if str(path) not in reasons]
        if not good:
            first = f", such as {unusable[name][0][0]}: {unusable[name][0][1]}" if unusable[name] else ""
            raise ValueError(f"no {name[:-1]} in {roots[name]} can be learnt from ({len(found)} looked at{first})")
        usable[name] = [Entry(_relative(path, roots[name]), path.stat().st_size) for path in good]
    return Choice(usable, unusable)


def _look_through(name: str, found: list[Path], processes: Processes, stop: StopRequest) -> list[tuple[str, str]]:
    """Paths that cannot be used, with the reason, of all processes."""
    share = list(processes.share(found))
    broken: list[Unusable] = []

    def advance(count: int) -> None:
        progress.advance(count)
        if stop.asked:
            raise InterruptedError

    threads = max(1, (os.cpu_count() or 1) // processes.count)
    progress = Progress(f"looking through the {name}", len(share), unit="pictures", show=processes.main)
    with progress, suppress(InterruptedError):
        broken = inspect(share, threads=threads, progress=advance)
    if any(processes.most(stop.asked is not None)):
        raise Stopped("stopped before the first step; nothing was learnt yet, and the same command begins again")
    return processes.collect([(str(one.path), one.reason) for one in broken])


def _must_be_the_same(names: list[str], root: Path, processes: Processes) -> None:
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()
    if len(set(processes.collect([digest]))) > 1:
        raise ValueError(f"the processes do not see the same pictures in {root}; all machines need the same files")


def still_there(choice: Choice, settings: DataSettings) -> list[str]:
    """What was lost since the run began, a sentence for each picture; the run goes on with others in their place.

    Raises ValueError if there are pictures that it was not begun with, or too many are lost.
    """
    roots = find_roots(settings)
    lost: list[str] = []
    for name in LEARNT_FROM:
        entries, root = choice.usable[name], roots[name]
        gone = [entry.name for entry in entries if _size(root / entry.name) != entry.size]
        known = {entry.name for entry in entries} | {path for path, _ in choice.unusable[name]}
        new = [path for path in (_relative(found, root) for found in candidates(root)) if path not in known]
        if new:
            raise ValueError(
                f"{name}: not the pictures that it was begun with ({len(new)} new, such as {_printable(new[0])})"
            )
        if len(gone) > BEARABLE * len(entries):
            raise ValueError(
                f"{name}: not the pictures that it was begun with "
                f"({len(gone)} of {len(entries)} are gone or changed, such as {_printable(gone[0])})"
            )
        lost += [f"{root / path} is gone or was changed" for path in gone]
    return lost


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _fingerprint(entries: list[Entry]) -> str:
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(os.fsencode(entry.name) + f"\0{entry.size}\n".encode())
    return digest.hexdigest()


def _printable(name: str) -> str:
    """A name as it can be printed: bytes that are no UTF-8 are spelt out."""
    return name.encode("utf-8", "backslashreplace").decode()


def provenance_of(choice: Choice) -> dict[str, Any]:
    """What `provenance.json` tells of the pictures."""
    return {
        "pictures": choice.fingerprints(),
        "counts": {name: len(entries) for name, entries in choice.usable.items()},
        "left out": {name: len(pairs) for name, pairs in choice.unusable.items()},
    }
