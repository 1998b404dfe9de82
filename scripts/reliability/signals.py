"""Runs that are asked to stop at any moment, then gone on with; and launchers that leave orphans behind.

A request is noted from the first line of `cyclestyle train` on, before PyTorch is imported; before that line, while
Python itself starts (0.1 s), it ends the process as it ends any other, and there is nothing to lose.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from trial import (
    Child,
    Launched,
    Row,
    digest,
    draw_sets,
    free_port,
    main,
    settings_file,
    start,
    tiny,
    type_command,
    wait_for,
)

from cyclestyle.config import Settings
from cyclestyle.stopping import EXIT_CODE, StopRequest
from cyclestyle.training import loop, pictures, story
from cyclestyle.training.judge import Judge
from cyclestyle.training.learner import Learner

WITHIN = 20.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
PAUSE = 0.4
"""Seconds by which a place is slowed, so that a signal falls into it."""

MOMENTS: dict[str, tuple[Any, str]] = {
    "start-up": (loop, "_accelerator"),
    "scanning": (pictures, "inspect"),
    "building": (Learner, "__init__"),
    "saving": (story, "save_checkpoint"),
    "handing over": (story.Story, "_hand_over"),
    "sampling": (story, "sample_sheet"),
    "judging": (Judge, "look"),
}
"""Where signals should fall into: what is slowed for that."""


EVERYWHERE = ("start-up", "scanning", "building", "training")
"""Moments that come in every process, and early: all should be there, or one is killed before it notes signals."""


@dataclass(frozen=True)
class Way:
    """How a run is run, and who gets the signal."""

    what: str
    workers: int = 0
    processes: int = 1
    group: bool = False
    """The whole process group, as Ctrl-C in a terminal does it."""
    only: int | None = None
    """One of the processes; None: each of them."""


@dataclass
class Tally:
    """What came of the signals of one way."""

    stopped: int = 0
    late: int = 0
    """The run was over before the signal came."""
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)
    same: int = 0
    moments: set[str] = field(default_factory=set)


def _slow(moment: str, mark: Path) -> None:
    """Make a moment last, and tell that it has come."""
    owner, name = MOMENTS[moment]
    as_it_is: Callable[..., Any] = getattr(owner, name)

    def slowed(*given: Any, **named: Any) -> Any:
        mark.touch()
        time.sleep(PAUSE)
        return as_it_is(*given, **named)

    setattr(owner, name, slowed)


def _run(settings: Settings, began: Path, moment: str | None = None, *, alone: bool = False) -> int:
    """The command, in a group of its own if there is a signal for the group. Tells that signals are noted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let what they put in the background ignore it
    if alone:
        os.setsid()
    began = _mark(began, int(os.environ.get("RANK", "0")))
    if moment in MOMENTS:
        _slow(moment, began)
    enter = StopRequest.__enter__

    def enter_and_tell(self: StopRequest) -> StopRequest:
        entered = enter(self)
        if moment not in MOMENTS:
            began.touch()
        return entered

    StopRequest.__enter__ = enter_and_tell  # type: ignore[method-assign]
    return type_command("train", "--config", settings_file(settings))


def _mark(began: Path, rank: int) -> Path:
    """The file with which a process tells that its moment has come."""
    return began.with_name(f"{began.name}-{rank}")


def _send(children: list[Child], way: Way, number: int) -> None:
    chosen = children if way.only is None else [children[way.only]]
    for child in chosen:
        if not child.ended():
            (os.killpg if way.group else os.kill)(child.pid, number)


@dataclass(frozen=True)
class Request:
    """Which signal, and when."""

    number: int
    moment: str
    delay: float

    def __str__(self) -> str:
        return f"{signal.Signals(self.number).name} while {self.moment}"


def _ask(settings: Settings, way: Way, request: Request) -> tuple[list[Child], float]:
    """Begin a run, and ask it to stop at a moment: a named one, or any."""
    began = settings.run.with_name(f"{settings.run.name}.began")
    work = partial(_run, settings, began, request.moment, alone=way.group)
    children = start(work, settings.run.with_name(f"{settings.run.name}.txt"), processes=way.processes)
    marks = [_mark(began, rank) for rank in range(way.processes if request.moment in EVERYWHERE else 1)]
    wait_for(lambda: all(mark.exists() for mark in marks), 60, 0.002)
    time.sleep(request.delay)
    _send(children, way, request.number)
    asked = time.monotonic()
    while any(not child.ended() for child in children) and time.monotonic() < asked + 60:
        time.sleep(0.005)
    took = time.monotonic() - asked
    for child in children:
        child.kill()
        child.wait()
    return children, took


def _stop_and_go_on(settings: Settings, way: Way, request: Request, expected: dict[str, str], tally: Tally) -> None:
    """Ask a run to stop, look at how it does, and let it go on to its end."""
    children, took = _ask(settings, way, request)
    codes, said = [child.code for child in children], children[0].said()
    if set(codes) == {0}:
        tally.late += 1
    else:
        tally.stopped += 1
        tally.moments.add(request.moment)
        tally.slowest = max(tally.slowest, took)
        told = "the same command" in said and "stopped" in said and "Traceback" not in said
        if set(codes) != {EXIT_CODE} or took > WITHIN or not told:
            tally.wrong.append(f"{request}: {codes} after {took:.1f} s: {' '.join(said.split())[-200:]}")
    again = start(partial(_run, settings, settings.run.with_name("again")), children[0].output, processes=way.processes)
    try:
        went_on = [child.wait() for child in again]
    except TimeoutError as error:
        for child in again:
            child.kill()
        tally.wrong.append(f"{request}: gone on with, {' '.join(str(error).split())[-200:]}")
        return
    found = digest(settings.run) if not any(went_on) else {}
    other = [name for name in expected if expected[name] != found.get(name)]
    tally.same += not other
    if other:
        tally.wrong.append(f"{request}: gone on with {went_on}, other bits in {', '.join(other)}")


def asked_to_stop(place: Path, data: Path, way: Way, moments: Iterable[str], chances: random.Random) -> Row:
    """Signals at moments of a run of its own each, then the same command again."""
    name = way.what.replace(" ", "-").replace(",", "")
    sections = {"data": {"workers": way.workers}, "report": {"sample_every": 10}, "schedule": {"steps": 24}}
    straight, tally = tiny(place / f"{name}-straight", data, **sections), Tally()
    began = time.monotonic()
    first = start(partial(_run, straight, place / "began"), place / "straight.txt", processes=way.processes)
    codes = [child.wait() for child in first]
    assert not any(codes), first[0].said()
    lasts, expected, count = 0.9 * (time.monotonic() - began), digest(straight.run), 0
    for count, moment in enumerate(moments, 1):
        delay = chances.random() * (PAUSE if moment in MOMENTS else lasts)
        request = Request(SIGNALS[count % len(SIGNALS)], moment, delay)
        _stop_and_go_on(tiny(place / f"{name}-{count}", data, **sections), way, request, expected, tally)
    found = f"{tally.stopped} stopped ({tally.late} were over before), slowest {tally.slowest:.1f} s, "
    found += f"{tally.same} of {count} end in the same bits"
    found += f"; while {', '.join(sorted(tally.moments))}" if tally.moments & MOMENTS.keys() else ""
    found += f"; **wrong: {'; '.join(tally.wrong[:3])}**" if tally.wrong else ""
    demanded = f"exit code {EXIT_CODE} within {WITHIN:.0f} s in a sentence, same bits in the end"
    holds = not tally.wrong and tally.same == count and tally.stopped > 0
    return Row(f"{count} signals: {way.what}", demanded, found, holds)


# --- launchers ----------------------------------------------------------------------------------------------------


def _launch(settings: Settings, processes: int) -> Launched:
    words = [
        "--num_machines",
        "1",
        "--num_processes",
        str(processes),
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
    ]
    words += ["--multi_gpu", "--main_process_port", str(free_port())] if processes > 1 else []
    words += ["-m", "cyclestyle", "train", "--config", str(settings_file(settings))]
    said = settings.run.with_name(f"{settings.run.name}.txt")
    return Launched(words, said, ACCELERATE_USE_CPU="true", OMP_NUM_THREADS="1")


def _launcher_asked(settings: Settings, processes: int, number: int, delay: float, found: list[str]) -> None:
    """SIGTERM to a launcher; what is wrong with what comes of it goes to `found`, or how long it took."""
    launched = _launch(settings, processes)
    try:
        if not wait_for(lambda: (settings.run / "checkpoints" / "step-0000005").is_dir(), 90):
            found.append(f"wrong: never began: {launched.said()[-200:]}")
            return
        time.sleep(delay)
        children = launched.trainings()
        launched.launcher.send_signal(number)
        asked = time.monotonic()
        code = launched.wait(60)
        gone = wait_for(lambda: not set(launched.processes()) & set(children), 60)
        took = time.monotonic() - asked
    finally:
        launched.end()
    saved = "all is saved at step" in launched.said()
    told = f"{took:.1f} s, launcher {code}, {len(children)} child(ren)"
    good = gone and took < WITHIN and saved and len(children) == processes
    found.append(told if good else f"wrong: {told}, {'saved' if saved else 'not saved'}: {launched.said()[-300:]}")


def launchers(place: Path, data: Path, processes: int, count: int, chances: random.Random) -> Row:
    """Some launchers at a time; then the same again without one, to the end."""
    name = f"launched-{processes}"
    sections = {"schedule": {"steps": 80}, "data": {"workers": 2 if processes == 1 else 0}, "report": {"judge": 0}}
    runs = [tiny(place / f"{name}-{number}", data, **sections) for number in range(count)]
    found: list[list[str]] = [[] for _ in runs]
    for first in range(0, count, 2):
        threads = [
            threading.Thread(target=_launcher_asked, args=(run, processes, signal.SIGTERM, 0.5 * chances.random(), one))
            for run, one in list(zip(runs, found, strict=True))[first : first + 2]
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    again = start(partial(_run, runs[0], place / "again"), place / "again.txt", processes=processes)
    codes = [child.wait() for child in again]
    went_on = not any(codes) and "going on at step" in again[0].said()
    results = [" ".join(one).replace("\n", " ") for one in found]
    wrong = [one for one in results if one.startswith("wrong")]
    who = "its orphan" if processes == 1 else f"its {processes} processes"
    told = f"{'; '.join((wrong or results)[:2])}; the first goes on: {codes}"
    return Row(
        f"{count} x SIGTERM to `accelerate launch`, {who}", "saves, gone within 20 s", told, not wrong and went_on
    )


def trial(place: Path, full: bool) -> list[Row]:
    """Signals to forks of this process, then to launchers."""
    data, chances = draw_sets(place / "data"), random.Random(13)
    alone, helped = Way("1 process, workers 0"), Way("workers 2, to the whole group", workers=2, group=True)
    one, both = Way("2 processes, to the second alone", processes=2, only=1), Way("2 processes, to both", processes=2)
    named = list(MOMENTS)
    any_time = ["training"]
    plan: list[tuple[Way, list[str]]] = [(helped, ["saving", *any_time]), (one, any_time)]
    if full:
        plan = [
            *((alone, any_time * 25), (helped, any_time * 25), (alone, named * 3), (helped, named * 3)),
            *((one, any_time * 10 + named), (both, any_time * 10 + named)),
        ]
    rows = [asked_to_stop(place / f"{n}", data, way, moments, chances) for n, (way, moments) in enumerate(plan)]
    rows.append(launchers(place, data, 1, 10 if full else 1, chances))
    return [*rows, launchers(place, data, 2, 4 if full else 1, chances)]


if __name__ == "__main__":
    main("Being asked to stop", trial)
