"""Disks that are full, fail, may not be written to or are gone; and two runs in one folder."""

import atexit
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from trial import Child, Row, at_each_step, digest, draw_sets, main, run_to_end, signal_at, start, tiny, train

import cyclestyle.training.journal
from cyclestyle import cli
from cyclestyle.config import Settings
from cyclestyle.files import IN_PROGRESS
from cyclestyle.runs import RunFolder
from cyclestyle.settings import write_settings
from cyclestyle.stopping import EXIT_CODE
from cyclestyle.training.checkpoints import last_checkpoint

STEPS, EVERY = 6, 2
TROUBLE = 3
"""The step after which the disk fails: one save is behind it, the next is at 4."""

LONGEST = 60.0
UNWRITTEN = "the journal cannot be written"
DEMANDED = "exit code 2, one sentence, last state whole; then to the same end"
Spoil = Callable[[], object]


def command(config: Path, spoil: Spoil) -> int:
    """`cyclestyle train`, as typed, in a process that is ours to spoil; left as Python leaves."""
    atexit._clear()  # what the trial itself does in the end, such as removing its folder
    spoil()
    sys.argv = ["cyclestyle", "train", "--config", str(config)]
    code = 0
    try:
        cli.main()
    except SystemExit as left:
        code = int(left.code or 0)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    return code


class Trial:
    """Runs of so many processes, each begun, disturbed, and gone on with."""

    def __init__(self, place: Path, data: Path, processes: int) -> None:
        self.place, self.data, self.processes = place, data, processes
        self.expected = run_to_end(self.settings(place / "undisturbed"), place / "said", processes=processes)
        self.begun = place / "begun"  # a run with one checkpoint
        work = partial(_begin, self.settings(self.begun))
        codes = [child.wait() for child in start(work, place / "said", processes=processes)]
        assert codes == [EXIT_CODE] * processes

    def settings(self, run: Path) -> Settings:
        return tiny(run, self.data, schedule={"steps": STEPS}, report={"log_every": 1, "checkpoint_every": EVERY})

    def begin(self, run: Path) -> Path:
        """A copy of the begun run."""
        shutil.copytree(self.begun, run)
        return run

    def start(self, run: Path, spoil: Spoil = lambda: None, said: str = "said") -> list[Child]:
        """The command."""
        config = self.place / "config.toml"
        config.write_text(write_settings(self.settings(run)), encoding="utf-8")
        return start(partial(command, config, spoil), self.place / said, processes=self.processes)

    def disturb(
        self, what: str, run: Path, spoil: Spoil = lambda: None, *, mend: Spoil = lambda: None, kept: bool = True
    ) -> Row:
        """The command under a disk that fails, what is left, and the command again after the disk was mended."""
        children = self.start(run, spoil)
        wrong, sentence = refused(children)
        mend()
        wrong += self._state(run, EVERY if kept else None)
        wrong += self._go_on(run)
        return self.row(what, DEMANDED, sentence, wrong)

    def row(self, what: str, demanded: str, found: str, wrong: list[str]) -> Row:
        several = f" ({self.processes} processes)" if self.processes > 1 else ""
        found = f"{found}; but {'; '.join(wrong)}" if wrong else found
        return Row(what + several, demanded, " ".join(found.replace(str(self.place.parent), "").split()), not wrong)

    def _state(self, run: Path, step: int | None) -> list[str]:
        complaints: list[str] = []
        try:
            found = last_checkpoint(RunFolder(run).checkpoints, complaints.append)
        except ValueError as error:
            return [str(error)]
        there = found.facts["step"] if found else None
        return complaints if there == step else [*complaints, f"the last state is {there}, not {step}"]

    def _go_on(self, run: Path) -> list[str]:
        try:
            found = run_to_end(self.settings(run), self.place / "said", processes=self.processes)
        except (RuntimeError, TimeoutError) as error:
            return [f"does not go on: {' '.join(str(error).split())[-400:]}"]
        left = [path.name for path in run.rglob("*") if path.name.startswith(IN_PROGRESS)]
        other = [name for name in self.expected.keys() | found.keys() if self.expected.get(name) != found.get(name)]
        return [f"ends with another {name}" for name in other] + [f"{name} is left lying" for name in left]


def _begin(settings: Settings) -> int:
    signal_at(EVERY, signal.SIGTERM)
    return train(settings)


def refused(children: list[Child]) -> tuple[list[str], str]:
    """What was wrong with how a command refused, and what it said."""
    wrong, sentences = [], []
    for child in children:
        try:
            code = child.wait(LONGEST)
        except TimeoutError:
            code = None
        lines = child.said().strip().splitlines() or [""]
        errors = [line for line in lines if "error: " in line]
        if code != 2:
            wrong.append(f"exit code {code}: {lines[-1]}" if code is not None else f"not over after {LONGEST:.0f} s")
        elif len(errors) != 1 or errors[0] != lines[-1] or "Traceback" in child.said():
            wrong.append(f"said {' / '.join(lines)[-600:]}")
        sentences += errors[:1]
    return wrong, sentences[0] if sentences else "no sentence"


# What may befall a disk: run in each child, before the training.


def fail(names: tuple[str, ...], number: int, *, rank: int = 0, after: int = TROUBLE) -> None:
    """These functions of `os` fail from a step on, on one process."""
    if int(os.environ.get("RANK", "0")) != rank:
        return
    reached = [0]
    at_each_step(lambda step: reached.__setitem__(0, step))
    for name in names:
        setattr(os, name, _failing(getattr(os, name), number, lambda: reached[0] >= after))


def _failing(function: Callable[..., object], number: int, now: Callable[[], bool]) -> Callable[..., object]:
    def failing(*arguments: object, **options: object) -> object:
        if now():
            raise OSError(number, os.strerror(number))
        return function(*arguments, **options)

    return failing


def limit(size: int) -> None:
    """No file may become larger; the kernel sees to it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def once(do: Spoil) -> None:
    """When the step has come, on the main process."""
    if os.environ.get("RANK", "0") == "0":
        at_each_step(lambda step: do() if step == TROUBLE else None)


def fill(folder: Path, leave: int) -> None:
    """Fill a small file system up, but for so many bytes."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, filler.stat().st_size - leave))


def empty(folder: Path) -> None:
    """Make room again."""
    (folder / "filler").unlink(missing_ok=True)


def break_journal() -> None:
    """Nothing that is only told can be written."""
    cyclestyle.training.journal._append = _failing(lambda: None, errno.ENOSPC, lambda: True)  # type: ignore[assignment]


# The trials.


@contextmanager
def mounted(place: Path, *words: str) -> Iterator[Path | None]:
    """Something mounted there; None where that is not permitted."""
    place.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", *words, str(place)], capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


SMALL_DISK = ("-t", "tmpfs", "-o", "size=4m", "tmpfs")


def full_disks(trial: Trial, full: bool) -> Iterator[Row]:
    """Real ones."""
    checkpoint = RunFolder(trial.begun).checkpoints / f"step-{EVERY:07d}"
    half = sum(file.stat().st_size for file in checkpoint.iterdir()) // 2
    with mounted(trial.place / "disk", *SMALL_DISK) as disk:
        for room, leave in [("half a checkpoint", half), ("nothing", 0)][: 2 if full else 1]:
            what = f"a disk that fills up but for {room}"
            if disk is None:
                yield Row(what, DEMANDED, "not permitted to mount one", None)
                continue
            filled = partial(once, partial(fill, disk, leave))
            yield trial.disturb(what, trial.begin(disk / f"run-{leave}"), filled, mend=partial(empty, disk))
        if disk is not None and full:
            run = trial.begin(disk / "run")
            fill(disk, 0)
            yield trial.disturb("a disk that was full before", run, mend=partial(empty, disk))
            fill(disk, 0)
            yield trial.disturb("the same, and a new run", disk / "new", mend=partial(empty, disk), kept=False)


def failing_disks(trial: Trial, full: bool) -> Iterator[Row]:
    """Calls that fail as they would on such disks."""
    last = trial.processes - 1
    cases: dict[str, Spoil] = {"EIO at a sync": partial(fail, ("fsync",), errno.EIO)}
    if full or last:
        cases["EIO at a write of the last process"] = partial(fail, ("write",), errno.EIO, rank=last)
    if full:
        cases |= {
            "ENOSPC at a write": partial(fail, ("write",), errno.ENOSPC),
            "EIO at a rename": partial(fail, ("rename",), errno.EIO),
            "EDQUOT at a write": partial(fail, ("write",), errno.EDQUOT),
            "EROFS in mid-run": partial(fail, ("mkdir", "open", "rename", "replace", "unlink", "rmdir"), errno.EROFS),
            "EIO at all of them": partial(fail, ("open", "write", "fsync", "mkdir", "rename", "replace"), errno.EIO),
            "files limited to 20 kB (RLIMIT_FSIZE)": partial(limit, 20_000),
        }
    for number, (what, spoil) in enumerate(cases.items()):
        yield trial.disturb(what, trial.begin(trial.place / f"failing-{number}"), spoil)


def read_only(trial: Trial, full: bool) -> Iterator[Row]:
    """A run's folder, and one in which a run should be made."""
    for what, new in {"a read-only folder": False, "a new run in a read-only folder": True}.items():
        if new and not full:
            continue
        place = trial.place / f"read-only-{new}"
        run = place / "run"
        if new:
            place.mkdir()
        else:
            trial.begin(run)
        # Permissions do not hinder root; a mount does.
        subprocess.run(["mount", "--bind", str(place), str(place)], capture_output=True, check=False)
        with mounted(place, "-o", "remount,ro,bind") as mount:
            if mount is None:
                yield Row(what, DEMANDED, "not permitted to mount one", None)
                continue
            writable = partial(make_writable, place)
            yield trial.disturb(what, run, mend=writable, kept=not new)


def make_writable(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,rw,bind", str(place)], check=True)


def vanished(trial: Trial, full: bool) -> Iterator[Row]:
    """The folder of the run, removed or moved away, and then put back."""
    run = trial.begin(trial.place / "vanishing")
    yield trial.disturb(
        "a folder removed in mid-run (begins again)", run, partial(once, partial(shutil.rmtree, run)), kept=False
    )
    if full:
        run = trial.begin(trial.place / "moving")
        away = run.with_name("moved")
        moved = partial(once, partial(run.rename, away))
        yield trial.disturb("a folder moved away, and back", run, moved, mend=lambda: _put_back(away, run))


def _put_back(away: Path, run: Path) -> None:
    if run.exists():  # it must not have been made anew
        raise FileExistsError(f"{run} was made anew: {sorted(map(str, run.rglob('*')))}")
    away.rename(run)


def two_runs(trial: Trial) -> Row:
    """The second is refused, the first does not notice."""
    run = trial.begin(trial.place / "twice")
    there, go_on = trial.place / "there", trial.place / "go-on"

    def wait() -> None:
        there.touch()
        while not go_on.exists():
            time.sleep(0.01)

    first = trial.start(run, partial(once, wait), "first")
    while not there.exists() and not first[0].ended():
        time.sleep(0.01)
    wrong, sentence = refused(trial.start(run))
    go_on.touch()
    codes = [child.wait() for child in first]
    if any(codes):
        wrong.append(f"the first: {codes}")
    elif digest(run) != trial.expected:
        wrong.append("the first ends otherwise")
    demanded = "the second: exit code 2, one sentence; the first: as if alone"
    return trial.row("two runs in one folder", demanded, sentence, wrong)


def journal(trial: Trial, when: str) -> Row:
    """Metrics, curves and samples on a disk that is full `before` or `in mid-run`, checkpoints elsewhere."""
    run, spoil = trial.place / f"journal {when}", break_journal
    with mounted(trial.place / f"disk {when}", *SMALL_DISK) as disk:
        if disk is not None:
            run.mkdir()
            for name in ("tensorboard", "samples"):
                (disk / name).mkdir()
            for name in ("metrics.jsonl", "scores.jsonl", "pace.jsonl", "events.jsonl", "tensorboard", "samples"):
                (run / name).symlink_to(disk / name)
            filled = partial(fill, disk, 0)
            spoil = filled if when == "before" else partial(once, filled)
        children = trial.start(run, spoil)
        codes = [child.wait(LONGEST) for child in children]
        found = {} if any(codes) else digest(run)
        said = "".join(child.said() for child in children)
    wrong = [f"exit codes {codes}: {said[-300:]}"] if any(codes) else []
    told = ("metrics.jsonl", "scores.jsonl")
    wrong += [f"ends with another {n}" for n, d in trial.expected.items() if n not in told and found.get(n) != d]
    # One on the lines, one on TensorBoard, neither again.
    sentences = [line[line.index(UNWRITTEN) :] for line in said.splitlines() if UNWRITTEN in line]
    if len(sentences) != 1 or said.count("TensorBoard cannot be written") > 1 or "Traceback" in said:
        wrong.append(f"{len(sentences)} sentences, {said.count('Traceback')} tracebacks")
    demanded = "exit code 0, one sentence, the same end"
    return trial.row(f"the journal's disk is full {when}", demanded, (sentences or ["no sentence"])[0], wrong)


def trial(place: Path, full: bool) -> list[Row]:
    """Everything with one and with two processes; small, less with two."""
    data, rows = draw_sets(place / "data"), []
    for processes in (1, 2):
        one = Trial(place / f"processes-{processes}", data, processes)
        rows += full_disks(one, full)
        rows += failing_disks(one, full)
        if full or processes == 1:
            rows += [*read_only(one, full), *vanished(one, full), two_runs(one), journal(one, "before")]
        if full:
            rows.append(journal(one, "in mid-run"))
    return rows


if __name__ == "__main__":
    main("Disks that fail", trial)
