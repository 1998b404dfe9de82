"""A run killed directly before and directly after every single change that a save makes to the disk."""

import builtins
import io
import os
import random
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from trial import Row, at_each_step, draw_sets, main, run_to_end, signal_at, start, tiny, train

import cyclestyle.files
from cyclestyle.config import Settings
from cyclestyle.files import IN_PROGRESS
from cyclestyle.runs import RunFolder
from cyclestyle.stopping import EXIT_CODE
from cyclestyle.training.checkpoints import last_checkpoint
from cyclestyle.training.story import Story

CHANGES = ("write", "fsync", "mkdir", "rename", "replace", "unlink", "remove", "rmdir", "truncate", "ftruncate")
"""Functions of `os`; opening for writing is watched besides."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
STEPS = 3


class Changes:
    """In a child: what one save changes on the disk, each change with its number; it can be killed at one of them."""

    def __init__(self, log: Path, step: int, doom: tuple[int, str] | None) -> None:
        """Watch the save of `step`. `doom`: the number of a change, and `before` or `after` it."""
        self.log, self.step, self.doom = log, step, doom
        self.watching, self.seen = False, list[str]()
        cyclestyle.files.MEGABYTE = 1 << 14  # so that files are written in several pieces
        for name in CHANGES:
            setattr(os, name, self._watched(getattr(os, name), lambda *_, name=name, **__: name))
        os.open = self._watched(os.open, _opening)
        io.open = builtins.open = self._watched(io.open, _opening)
        at_each_step(self._begin)
        Story._prune = self._until(Story._prune)  # type: ignore[method-assign]

    def _begin(self, step: int) -> None:
        self.watching = step == self.step

    def _until(self, method: Callable[[Story], None]) -> Callable[[Story], None]:
        def then_end(story: Story) -> None:
            method(story)
            if self.watching:
                self.watching = False
                self.log.write_text(" ".join(self.seen), encoding="utf-8")

        return then_end

    def _watched(self, function: Callable[..., Any], kind: Callable[..., str | None]) -> Any:
        def watched(*arguments: Any, **options: Any) -> Any:
            name = kind(*arguments, **options)
            # TensorBoard writes from a thread of its own, whenever it likes.
            if not self.watching or name is None or threading.current_thread() is not threading.main_thread():
                return function(*arguments, **options)
            number = len(self.seen)
            self.seen.append(name)
            self._die_if((number, "before"))
            try:
                return function(*arguments, **options)
            finally:  # some fail as they should: to make a folder that is there
                self._die_if((number, "after"))

        return watched

    def _die_if(self, now: tuple[int, str]) -> None:
        if now == self.doom:
            os.kill(os.getpid(), signal.SIGKILL)


def _opening(_: Any, how: str | int = "r", *__: Any, **___: Any) -> str | None:
    """`open` if it is for writing; the third argument and the mode by name do not occur where it matters."""
    writing = how & WRITING if isinstance(how, int) else set(how) & set("wxa+")
    return "open" if writing else None


@dataclass(frozen=True)
class Case:
    """A save that is disturbed, of one process."""

    name: str
    step: int
    """The step that is saved."""
    processes: int = 1
    rank: int = 0
    """The process that is killed; any other ends by itself."""

    @property
    def before(self) -> int | None:
        """The step that was saved before."""
        return self.step - 1 or None


CASES = [Case("first save", 1), Case("second save, with pruning", 2)]
CASES += [Case(f"second save of process {rank + 1} of 2", 2, processes=2, rank=rank) for rank in range(2)]


@dataclass
class Tally:
    """What came of one case."""

    kinds: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    states: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    ended: int = 0


class Trial:
    """All kills of one case."""

    def __init__(self, place: Path, case: Case, data: Path, expected: dict[str, str]) -> None:
        self.place, self.case, self.data, self.expected = place, case, data, expected
        self.tally = Tally()
        self.begun = place / "begun"
        if case.before:  # what is there before the save is the same each time
            work = partial(self._begin, self.settings(self.begun), case.before)
            codes = [child.wait() for child in start(work, place / "said", processes=case.processes)]
            assert codes == [EXIT_CODE] * case.processes

    def settings(self, run: Path) -> Settings:
        """A save after each step. No judge, or the older checkpoint might be kept as the best."""
        often = {"log_every": 1, "checkpoint_every": 1, "keep": 1, "judge": 0}
        return tiny(run, self.data, schedule={"steps": STEPS}, report=often)

    def _begin(self, settings: Settings, step: int) -> int:
        signal_at(step, signal.SIGTERM)
        return train(settings)

    def changes(self) -> list[str]:
        """What one save does, by watching one that nobody disturbs."""
        self._train(self.place / "watched", None)
        return (self.place / "changes").read_text(encoding="utf-8").split()

    def kill(self, number: int, when: str, *, to_the_end: bool) -> None:
        """Kill one save there, and look; then go on, if wanted."""
        run, tally = self.place / f"{when}-{number}", self.tally
        codes = self._train(run, (number, when))
        tally.kills += 1
        if codes[self.case.rank] != -signal.SIGKILL or 0 in codes:
            tally.wrong.append(f"{run.name}: was not killed: {codes}")
        tally.states[self._state(run)] += 1
        if to_the_end:
            try:
                same = run_to_end(self.settings(run), self.place / "said", processes=self.case.processes)
            except (RuntimeError, TimeoutError) as error:
                tally.wrong.append(f"{run.name}: {error}")
                return
            left = [path.name for path in run.rglob("*") if path.name.startswith(IN_PROGRESS)]
            if same != self.expected or left:
                tally.wrong.append(f"{run.name}: ended otherwise {left}")
            tally.ended += 1
        shutil.rmtree(run)

    def _train(self, run: Path, doom: tuple[int, str] | None) -> list[int]:
        if self.begun.exists():
            shutil.copytree(self.begun, run)
        work = partial(self._watch, self.settings(run), doom)
        return [child.wait() for child in start(work, self.place / "said", processes=self.case.processes)]

    def _watch(self, settings: Settings, doom: tuple[int, str] | None) -> int:
        if int(os.environ.get("RANK", "0")) == self.case.rank:
            Changes(self.place / "changes", self.case.step, doom)
        return train(settings)

    def _state(self, run: Path) -> str:
        complaints, found = list[str](), None
        try:
            found = last_checkpoint(RunFolder(run).checkpoints, complaints.append)
        except ValueError as error:
            complaints.append(str(error))
        if complaints:
            self.tally.wrong.append(f"{run.name}: {complaints}")
            return "none that is whole"
        step = found.facts["step"] if found else None
        if step not in {self.case.before, self.case.step}:
            self.tally.wrong.append(f"{run.name}: step {step}")
            return "another"
        return "old" if step == self.case.before else "new"


def trial(place: Path, full: bool) -> list[Row]:
    """Every change of every case; or, small, of the cases with one process, some of each kind."""
    rows, data, chances = [], draw_sets(place / "data"), random.Random(0)
    known: dict[int, dict[str, str]] = {}
    for number, case in enumerate(CASES if full else CASES[:2]):
        home = place / f"case-{number}"
        one = Trial(home, case, data, known.get(case.processes, {}))
        if not one.expected:
            quiet = one.settings(home / "undisturbed")
            one.expected = known[case.processes] = run_to_end(quiet, home / "said", processes=case.processes)
        changes = one.changes()
        one.tally.kinds.update(changes)
        for index, kind in enumerate(changes):
            first = kind not in changes[:index]
            for when in ("before", "after"):
                if full or (first and when == "after") or chances.random() < 0.05:
                    one.kill(index, when, to_the_end=full or first)
        rows += _rows(case, one.tally, full)
    return rows


def _rows(case: Case, tally: Tally, full: bool) -> list[Row]:
    total = 2 * tally.kinds.total()
    kinds = ", ".join(f"{count} {kind}" for kind, count in tally.kinds.most_common())
    wrong = f" ({' '.join(tally.wrong[0].split())[:300]})" if tally.wrong else ""
    states = ", ".join(f"{count} {state}" for state, count in sorted(tally.states.items()))
    enough = tally.kills == total if full else tally.kills >= 4
    return [
        Row(f"{case.name}: kills", f"before and after each of {kinds}" if full else "some", str(tally.kills), enough),
        Row(f"{case.name}: states left", "old or new", states, tally.states.keys() <= {"old", "new"}),
        Row(f"{case.name}: gone on with", "as never killed", f"{tally.ended}{wrong}", not tally.wrong),
    ]


if __name__ == "__main__":
    main("Killed at every write of a save", trial)
