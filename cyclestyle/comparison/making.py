"""The pictures of a method, made in a process of its own, so that its cost is its own too.

The process loads what the method needs, then makes the pictures some at a time; after each time it writes down what
that took. It dies with the one that started it.
"""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from filecmp import cmp
from multiprocessing.connection import Connection
from pathlib import Path
from shutil import copyfile
from typing import Any

from cyclestyle.comparison.cost import here, read_cost, write_cost
from cyclestyle.comparison.makers import Materials, open_maker
from cyclestyle.comparison.methods import Method
from cyclestyle.data.jobs import Job
from cyclestyle.files import reason, writing_to, written_aside
from cyclestyle.images import list_pictures
from cyclestyle.processes import Processes
from cyclestyle.progress import Progress

AT_ONCE = {"cpu": 4}
"""Pictures between two notes of what they took; a process that is killed loses the note of so many."""
AT_ONCE_ON_GPU = 64
PATIENCE = 20.0
"""Seconds that a process is given to end when it is told to."""
ASIDE = ".aside"
"""Below a method's folder: pictures of photos that are not compared this time. Listings pass over the name."""


def make(method: Method, materials: Materials, jobs: Sequence[Job], folder: Path) -> list[str]:
    """Make what is not there yet of a method's pictures; afterwards `folder` holds those of `jobs` and no others.

    Args:
        method: which.
        materials: what it may use.
        jobs: photos, and where their pictures go, below `folder`.
        folder: of the method's pictures and its `cost.json`.

    Returns:
        Sentences: what is to be said of the method, and which photos could not be read.

    Raises:
        ValueError: it could not be made, or its process was killed; the sentence names the method.
    """
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        keep_only(folder, [job.painting for job in jobs])
        if method.kind in {"photo", "folder"}:
            for job in jobs:
                _copy(job.photo, job.painting)
            return []
    return _in_a_process(method, materials, jobs, folder)


def keep_only(folder: Path, wanted: Sequence[Path]) -> None:
    """Move other pictures aside, and bring back those that are wanted again: they cost something to make."""
    chosen, aside = set(wanted), folder / ASIDE
    for path in _listed(folder):
        if path not in chosen:
            _move(path, aside / path.relative_to(folder))
    for path in wanted:
        before = aside / path.relative_to(folder)
        if not path.exists() and before.exists():
            _move(before, path)


def _listed(folder: Path) -> list[Path]:
    try:
        return list_pictures(folder)
    except FileNotFoundError:  # nothing is made yet
        return []


def _move(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    path.replace(to)


def _copy(source: Path, to: Path) -> None:
    """The same bytes, unless they are there already."""
    if not (to.exists() and cmp(source, to, shallow=False)):
        with written_aside(to) as aside:
            copyfile(source, aside)


def _in_a_process(method: Method, materials: Materials, jobs: Sequence[Job], folder: Path) -> list[str]:
    """Start it, wait for what it says, and see it end, whatever happens here."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(method, materials, list(jobs), folder, theirs), name=method.name)
    try:
        with _no_interrupts():  # what is ignored here stays so there: it is for us to answer
            process.start()
        theirs.close()
        try:
            kind, said = ours.recv()
        except EOFError:
            process.join()
            raise ValueError(f"{method.name}: {_of_death(process.exitcode)}") from None
        process.join()
    finally:
        ours.close()
        if process.is_alive():
            process.terminate()
            process.join(PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()
    if kind == "refused":
        raise ValueError(f"{method.name}: {said}")
    return said


def _of_death(code: int | None) -> str:
    """What to say of a process that ended without a word."""
    if code is not None and code < 0:
        why = f"its process was killed ({signal.Signals(-code).name})"
        hint = "perhaps the memory was full; " if -code == signal.SIGKILL else ""
        return f"{why}; {hint}the same command goes on from what is finished, or leave this method out"
    return f"its process ended with code {code}; what it wrote above is the reason"


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Ctrl-C is passed over for as long as it takes to start a process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(method: Method, materials: Materials, jobs: list[Job], folder: Path, tell: Connection) -> None:
    """In the process: make the pictures, and say what became of it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that half-written files are removed
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        tell.send(("made", _make(method, materials, jobs, folder)))
    except KeyboardInterrupt:
        os._exit(130)
    except (ValueError, OSError) as error:
        tell.send(("refused", reason(error)))
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":
            tell.send(("refused", "the GPU's memory is full; lower --size, or leave this method out"))
            return
        traceback.print_exc()
        tell.send(("refused", f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _make(method: Method, materials: Materials, jobs: Sequence[Job], folder: Path) -> list[str]:
    began = time.perf_counter()
    device = Processes.join().device
    maker = open_maker(method, materials, device)
    cost = replace(here(device, maker.settings), preparation=time.perf_counter() - began)
    before = read_cost(folder)
    if before is not None and before.continues(cost):
        cost = replace(before, preparation=cost.preparation)
    if before is None:
        write_cost(folder, cost)  # its settings are known, though perhaps nothing is left to be made
    told = [f"{method.name}: {note}" for note in maker.notes]
    step = AT_ONCE.get(device.type, AT_ONCE_ON_GPU)
    unit = "pictures" if maker.units == 1 else "steps"
    with Progress(method.name, len(jobs) * maker.units, unit=unit) as progress:
        for first in range(0, len(jobs), step):
            began = time.perf_counter()
            made: Any = maker.make(jobs[first : first + step], progress)
            told += made.unread
            if made.painted:
                cost = cost.after(made.painted, time.perf_counter() - began)
                with writing_to(folder):
                    write_cost(folder, cost)
    return told
