"""Runs killed at random times, many of them inside a save, and gone on with until they end."""

import ctypes
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from trial import COMBINATIONS, Child, Combination, Row, at_each_step, digest, draw_sets, main, run_to_end, start, train

import cyclestyle.files
from cyclestyle.config import Settings
from cyclestyle.processes import Processes
from cyclestyle.runs import RunFolder
from cyclestyle.training.checkpoints import last_checkpoint
from cyclestyle.training.story import Story

INTERVAL = 5
"""Steps from save to save."""

SLOWED = 0.01
"""Seconds that each sync takes longer in runs that shall be killed inside a save."""

LONGEST = 40.0
"""Seconds after which a process that lost another should have ended."""


@dataclass
class Tally:
    """What came out, over all runs."""

    kills: int = 0
    in_saves: int = 0
    alone: int = 0
    """Kills of one of two processes."""
    runs: Counter[Combination] = field(default_factory=Counter)
    lost: Counter[int] = field(default_factory=Counter)
    """How often a kill cost so many steps."""
    unloadable: list[str] = field(default_factory=list)
    misled: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)


class Notes:
    """What the processes of a run write down for us, by rank: the first and last step of a life, and `saving`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def forget(self) -> None:
        for note in self.folder.iterdir():
            note.unlink()

    def number(self, name: str) -> int | None:
        """The largest that a process wrote."""
        found = [int(note.read_bytes()) for note in self.folder.glob(f"{name}-*") if note.stat().st_size == 8]
        return max(found, default=None)

    @property
    def saving(self) -> bool:
        return any(self.folder.glob("saving-*"))

    @property
    def met(self) -> int:
        """How many processes have met the others."""
        return len(list(self.folder.glob("met-*")))

    def keep(self, *, slowly: bool) -> None:
        """In a child: write them from now on."""
        rank = os.environ.get("RANK", "0")
        first, last, saving = (self.folder / f"{name}-{rank}" for name in ("first", "last", "saving"))
        descriptor = os.open(last, os.O_WRONLY | os.O_CREAT)

        def note(step: int) -> None:
            if not first.exists():
                first.write_bytes(b"%8d" % (step - 1))
            os.pwrite(descriptor, b"%8d" % step, 0)

        at_each_step(note)
        for name in ("_save", "_prune"):
            setattr(Story, name, _marked(getattr(Story, name), saving))
        Processes.join = partial(_met, Processes.join, self.folder / f"met-{rank}")  # type: ignore[method-assign]
        if slowly:
            cyclestyle.files.MEGABYTE = 1 << 14  # so that kills find files half written
            os.fsync = _slowed(os.fsync)  # type: ignore[assignment]


def _marked(method: Callable[[Story], None], mark: Path) -> Callable[[Story], None]:
    def within(story: Story) -> None:
        mark.touch()
        method(story)
        mark.unlink()

    return within


def _met(join: Callable[[], Processes], mark: Path) -> Processes:
    processes = join()
    mark.touch()
    return processes


def _slowed(function: Callable[[int], None]) -> Callable[[int], None]:
    def slow(descriptor: int) -> None:
        time.sleep(SLOWED)
        function(descriptor)
        time.sleep(SLOWED)

    return slow


@dataclass
class Life:
    """One run, killed again and again until it ends."""

    place: Path
    settings: Settings
    kind: Combination
    expected: dict[str, str]
    usual: float
    """Seconds that it takes if nobody disturbs it."""
    chances: random.Random
    tally: Tally
    reached: int = 0

    def live(self, kills: int) -> None:
        """Until it ended, after at most so many kills."""
        notes = Notes(self.place / "notes")
        while True:
            in_save = self.tally.kills % 3 == 0
            notes.forget()
            children = start(partial(self._train, notes, in_save), self.place / "said", processes=self.kind.processes)
            if kills:
                self._wait_and_kill(children, notes, in_save=in_save)
            codes = self._ended(children)
            self._compare_steps(notes)
            if not any(codes):
                break
            if -9 not in codes:
                self.tally.unloadable.append(f"{self.settings.run.name}: {codes}: {children[0].said()[-300:]}")
                return
            kills -= 1
            self.tally.kills += 1
            self.tally.in_saves += notes.saving
            self._look()
        if digest(self.settings.run) != self.expected:
            self.tally.different.append(f"{self.settings.run.name} ({self.kind})")

    def _train(self, notes: Notes, slowly: bool) -> int:
        notes.keep(slowly=slowly)
        return train(self.settings)

    def _wait_and_kill(self, children: list[Child], notes: Notes, *, in_save: bool) -> None:
        """Kill at any time of a life, or of a save; with two processes, sometimes only one."""
        until = time.monotonic() + (LONGEST if in_save else self.chances.uniform(0.0, 0.7 * self.usual))
        waiting = in_save
        while not any(child.ended() for child in children):
            if waiting and notes.saving:
                waiting, until = False, time.monotonic() + self.chances.uniform(0.0, 20 * SLOWED)
            if time.monotonic() > until:
                if waiting or notes.saving or not in_save:
                    break
                waiting, until = True, time.monotonic() + LONGEST  # it was over before: the next one, then
            time.sleep(0.001)
        doomed = children
        # Before all have met there is nobody to miss: one that waits for the others is then for the launcher to end.
        if len(children) > 1 and self.chances.random() < 0.4 and notes.met == len(children):
            doomed = [self.chances.choice(children)]
            self.tally.alone += 1
        for child in doomed:
            child.kill()

    def _ended(self, children: list[Child]) -> list[int]:
        try:
            return [child.wait(LONGEST) for child in children]
        except TimeoutError as error:
            self.tally.stuck.append(str(error)[-300:])
            for child in children:
                child.kill()
            return [child.wait() for child in children]

    def _compare_steps(self, notes: Notes) -> None:
        """Where this life began, against what the one before had reached."""
        first, last = notes.number("first"), notes.number("last")
        if first is not None and last is not None:
            self.tally.lost[self.reached - first] += 1
            self.reached = last

    def _look(self) -> None:
        """The state that was left: there must be one, and no damaged one beside it."""
        complaints: list[str] = []
        due = (self.reached - 1) // INTERVAL * INTERVAL  # the step before was begun, so it was saved
        try:
            found = last_checkpoint(RunFolder(self.settings.run).checkpoints, complaints.append)
        except ValueError as error:
            self.tally.unloadable.append(str(error))
            return
        if complaints or (found is None and due > 0):
            self.tally.unloadable.append("; ".join(complaints) or f"none after {self.reached} steps")
        if found is not None and not due <= found.facts["step"] <= self.reached:
            self.tally.misled.append(f"step {found.facts['step']} after {self.reached} steps")


def adopt_orphans() -> None:
    """Have what killed processes leave behind become children of this one, so that none is overlooked (Linux)."""
    become_subreaper = 36
    ctypes.CDLL(None).prctl(become_subreaper, 1, 0, 0, 0)


def left_behind(seconds: float) -> int:
    """How many children are left after so many seconds at most; then none. PyTorch's look for theirs every five."""
    until = time.monotonic() + seconds
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return 0
        if time.monotonic() > until:
            ours = [e for e in Path("/proc").glob("[0-9]*") if f"\nPPid:\t{os.getpid()}\n" in _status(e)]
            for entry in ours:
                os.kill(int(entry.name), signal.SIGKILL)
            return len(ours)
        time.sleep(0.1)


def _status(process: Path) -> str:
    try:
        return (process / "status").read_text(errors="replace")
    except OSError:
        return ""


def trial(place: Path, full: bool) -> list[Row]:
    """Runs of all kinds until enough were killed."""
    adopt_orphans()
    wanted, each, steps = (200, 8, 30) if full else (12, 6, 15)
    kinds = COMBINATIONS if full else [Combination(2, 1, 2), Combination(0, 2, 1)]
    data, chances, tally = draw_sets(place / "data"), random.Random(0), Tally()
    known: dict[tuple[int, int], tuple[dict[str, str], float]] = {}
    while tally.kills < wanted:
        number = sum(tally.runs.values())
        kind = kinds[number % len(kinds)]
        like = kind.processes, kind.accumulate
        if like not in known:
            began = time.monotonic()
            quiet = kind.settings(place / f"undisturbed-{like}", data, schedule={"steps": steps})
            known[like] = run_to_end(quiet, place / "said", processes=kind.processes), time.monotonic() - began
        home = place / f"life-{number:03d}"
        settings = kind.settings(home / "run", data, schedule={"steps": steps})
        tally.runs[kind] += 1
        Life(home, settings, kind, *known[like], chances, tally).live(min(each, wanted - tally.kills))
    return table(tally, wanted, kinds)


def table(tally: Tally, wanted: int, kinds: list[Combination]) -> list[Row]:
    """What was demanded, and what came out."""
    lost, left = max(tally.lost, default=0), left_behind(20.0)
    lives, ends = sum(tally.runs.values()), sum(tally.runs.values()) - len(tally.different)
    return [
        Row("kills (SIGKILL)", str(wanted), str(tally.kills), tally.kills >= wanted),
        Row("of them inside a save", f">= {wanted // 4}", str(tally.in_saves), tally.in_saves >= wanted // 4),
        Row("of them of one of two processes", "some", str(tally.alone), True),
        Row("kinds of runs", str(len(kinds)), str(len(tally.runs)), len(tally.runs) == len(kinds)),
        Row("states that cannot be loaded", "0", _counted(tally.unloadable), not tally.unloadable),
        Row("states of another step than they should be", "0", _counted(tally.misled), not tally.misled),
        Row("steps lost by a kill, at most", f"<= {INTERVAL}", str(lost), lost <= INTERVAL),
        Row("final states like those never killed", f"{lives}", f"{ends} {_first(tally.different)}", ends == lives),
        Row("processes that wait for a killed one", "0", _counted(tally.stuck), not tally.stuck),
        Row("processes left behind after 20 s", "0", str(left), left == 0),
    ]


def _counted(sentences: list[str]) -> str:
    return f"{len(sentences)} {_first(sentences)}".strip()


def _first(sentences: list[str]) -> str:
    return f"({' '.join(sentences[0].split())})" if sentences else ""


if __name__ == "__main__":
    main("Killed at random times", trial)
