"""Thousands of tiny steps in one process: memory, file descriptors, threads and child processes stay flat.

The bound on memory is 50 kB per 1,000 steps at full size. Measured: 11 kB (0.2 MB over the last 15,000 steps). A leak
worth the name is far above it: one remembered picture of 16 px per step would be 3,000 kB per 1,000 steps, one small
Python object per step 50 to 100. What is below is the allocator's doing.
The small size is too short for a slope; its bound only catches what would fill a machine in a day.
"""

import json
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from trial import Row, draw_sets, main, start, tiny, train

from cyclestyle.config import Settings
from cyclestyle.data.unpaired import Batch
from cyclestyle.training.learner import Learner, Taken

EVERY = 100
"""Steps between two looks."""

WARM = 0.25
"""Share of the run that is left out: pools fill, the schedule of checkpoints comes round, allocators settle."""

LONG_BOUND, SHORT_BOUND = 50, 5_000
"""Kilobytes per 1,000 steps, for 20,000 steps and for fewer."""

PAGE = os.sysconf("SC_PAGE_SIZE")


class Look(NamedTuple):
    """At a process, after some steps."""

    step: int
    kilobytes: float
    files: int
    threads: int
    children: int


def look(step: int) -> Look:
    """At this process, now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    children = sum(
        len(Path(f"/proc/self/task/{task.name}/children").read_text().split())
        for task in Path("/proc/self/task").iterdir()
    )
    files = len(list(Path("/proc/self/fd").iterdir()))
    return Look(step, pages * PAGE / 1000, files, threading.active_count(), children)


def watched(settings: Settings, notes: Path) -> int:
    """Train, and look every so often."""
    step_as_it_is, looks = Learner.take_step, []

    def step_and_look(self: Learner, batches: Iterator[Batch], factor: float) -> Taken:
        taken = step_as_it_is(self, batches, factor)
        if self.step % EVERY == 0:
            looks.append(look(self.step))
        return taken

    Learner.take_step = step_and_look  # type: ignore[method-assign]
    code = train(settings)
    notes.write_text(json.dumps(looks), encoding="utf-8")
    return code


def slope(steps: "np.ndarray[Any, Any]", values: "np.ndarray[Any, Any]") -> float:
    """Per 1,000 steps, by least squares."""
    return float(np.polyfit(steps, values, 1)[0] * 1000)


def rows_of(what: str, looks: list[Look], bound: float) -> list[Row]:
    """What the looks show once warm."""
    warm = [one for one in looks if one.step > WARM * looks[-1].step]
    steps, memory = np.array([one.step for one in warm]), np.array([one.kilobytes for one in warm])
    files = np.array([one.files for one in warm])
    found, more = slope(steps, memory), slope(steps, files)
    told = f"{found:+.1f} kB; {memory[0] / 1000:.1f} MB at step {steps[0]:,}, {memory[-1] / 1000:.1f} at {steps[-1]:,}"
    counts = [(set(counted), name) for counted, name in ((files, "files"), ([w.children for w in warm], "children"))]
    counts.append(({one.threads for one in warm}, "threads"))
    flat = ", ".join(f"{min(seen)} to {max(seen)} {name}" for seen, name in counts)
    same = all(max(w[at] for w in warm) - min(w[at] for w in warm) <= 2 for at in (2, 3, 4))
    of_counts = Row(
        f"{what}: file descriptors, threads, children",
        "flat (a file may be open at the time)",
        f"{flat}; descriptors {more:+.3f} per 1,000 steps",
        same and abs(more) < 0.5,
    )
    return [Row(f"{what}: memory per 1,000 steps", f"at most {bound:,} kB more", told, found < bound), of_counts]


def trial(place: Path, full: bool) -> list[Row]:
    """One long run without helpers, and a shorter one with processes that load pictures; both at once."""
    data, runs = draw_sets(place / "data"), []
    every = 250 if full else 100
    report = {"log_every": 50, "sample_every": 2 * every, "checkpoint_every": every, "judge": 2}
    plan = [("alone", 0, 20_000), ("2 workers", 2, 4_000)] if full else [("alone", 0, 700)]
    for what, workers, steps in plan:
        settings = tiny(
            place / f"run-{workers}",
            data,
            data={"workers": workers},
            generator={"width": 2},
            discriminator={"width": 2},
            objective={"identity": 0.0},  # a third faster
            schedule={"steps": steps},
            report=report,
        )
        notes = place / f"looks-{workers}.json"
        child = start(partial(watched, settings, notes), place / f"said-{workers}.txt")[0]
        bound = LONG_BOUND if steps > 10_000 else SHORT_BOUND
        runs.append((f"{what}, {steps:,} steps", child, notes, bound))
    rows = []
    for what, child, notes, bound in runs:
        code = child.wait(5_000)
        if code:
            rows.append(Row(what, "exit code 0", f"{code}: {child.said()[-200:]}", False))
            continue
        looks = [Look(*values) for values in json.loads(notes.read_text())]
        rows += rows_of(what, looks, bound)
    return rows


if __name__ == "__main__":
    main("Memory and file descriptors over many steps", trial)
