"""Runs stopped at a step, by request and by force, gone on with, and compared with one that was never stopped."""

import os
import signal
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from trial import COMBINATIONS, Combination, Row, draw_sets, main, run_to_end, signal_at, start, train

from cyclestyle.config import Settings
from cyclestyle.runs import RunFolder
from cyclestyle.stopping import EXIT_CODE
from cyclestyle.training.checkpoints import steps

FULL_STEPS, SMALL_STEPS = 21, 8
SMALL_POINTS = (1, 5, 7)
"""Before the first save, at a save, between two."""

SMALL_COMBINATIONS = (Combination(0, 1, 1), Combination(2, 1, 2), Combination(2, 2, 1))


@dataclass
class Tally:
    """What came of one combination."""

    stops: int = 0
    misled: list[str] = field(default_factory=list)
    """Stops that did not end or save as they should."""
    same: int = 0
    different: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Runs:
    """The runs of one combination."""

    place: Path
    data: Path
    kind: Combination
    steps: int

    def settings(self, name: str) -> Settings:
        return self.kind.settings(self.place / name, self.data, schedule={"steps": self.steps})

    def undisturbed(self) -> dict[str, str]:
        return run_to_end(self.settings("undisturbed"), self.place / "said", processes=self.kind.processes)

    def compare(self, expected: dict[str, str], step: int, number: int, tally: Tally) -> None:
        """Stop a run at a step, go on, and compare."""
        name = f"{signal.Signals(number).name}-{step}"
        tally.stops += 1
        wrong = self._stop(self.settings(name), step, number)
        if wrong:
            tally.misled.append(f"{name}, {self.kind}: {wrong}")
        found = run_to_end(self.settings(name), self.place / "said", processes=self.kind.processes)
        other = [file for file in expected.keys() | found.keys() if expected.get(file) != found.get(file)]
        if other:
            tally.different.append(f"{name}, {self.kind}: {', '.join(sorted(other))}")
        tally.same += not other

    def _stop(self, settings: Settings, step: int, number: int) -> str | None:
        """What was wrong with how it ended; None if nothing."""
        # A request reaches one process, the kill all.
        asked = step % self.kind.processes if number == signal.SIGTERM else None
        work = partial(self._train, settings, step, number, asked)
        children = start(work, self.place / "said", processes=self.kind.processes)
        codes = [child.wait() for child in children]
        saved = [int(path.name.removeprefix("step-")) for path in steps(RunFolder(settings.run).checkpoints)]
        if asked is None:
            due = (step - 1) // settings.report.checkpoint_every * settings.report.checkpoint_every
        else:
            due = step
        if codes != [EXIT_CODE if asked is not None else -number] * len(codes):
            return f"exit codes {codes}: {' '.join(children[0].said().split())[-300:]}"
        return None if (saved[-1] if saved else 0) == due else f"saved {saved}, not {due}"

    @staticmethod
    def _train(settings: Settings, step: int, number: int, asked: int | None) -> int:
        signal_at(step, number, rank=int(os.environ.get("RANK", "0")) if asked is None else asked)
        return train(settings)


def trial(place: Path, full: bool) -> list[Row]:
    """Each combination at each point, by both; small, alternately."""
    data, rows = draw_sets(place / "data"), []
    known: dict[tuple[int, int], dict[str, str]] = {}
    for number, kind in enumerate(COMBINATIONS if full else SMALL_COMBINATIONS):
        runs, tally = Runs(place / f"kind-{number}", data, kind, FULL_STEPS if full else SMALL_STEPS), Tally()
        like = kind.processes, kind.accumulate  # the number of workers changes nothing
        if like not in known:
            known[like] = runs.undisturbed()
        for point in range(1, FULL_STEPS) if full else SMALL_POINTS:
            for way in (signal.SIGTERM, signal.SIGKILL):
                if full or (point + number + (way == signal.SIGKILL)) % 2:
                    runs.compare(known[like], point, way, tally)
        rows.append(_row(kind, tally, 2 * (FULL_STEPS - 1) if full else len(SMALL_POINTS)))
    return rows


def _row(kind: Combination, tally: Tally, wanted: int) -> Row:
    wrong = [*tally.misled, *tally.different]
    found = f"{tally.same} of {tally.stops}" + (f" ({wrong[0]})" if wrong else "")
    demanded = f"{wanted} stops, each ends as if never stopped"
    return Row(str(kind), demanded, found, tally.stops == wanted == tally.same and not wrong)


if __name__ == "__main__":
    main("Stopped and gone on with: SHA-256 of weights, optimizers, pools, painters, metrics and scores", trial)
