"""What a run folder tells of its training, read back. Whatever is missing or damaged in it is left out."""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cyclestyle.runs import RunFolder
from cyclestyle.training.checkpoints import MANIFEST, steps
from cyclestyle.training.journal import read_lines

Points = list[tuple[int, float]]
"""Steps, and a finite number at each."""


@dataclass(frozen=True)
class Record:
    """The lines, settings and files of a run."""

    run: RunFolder
    settings: Mapping[str, Any]
    """As `config.toml` holds them, section by section; older runs have fewer."""
    provenance: Mapping[str, Any]
    metrics: list[dict[str, Any]]
    pace: list[dict[str, Any]]
    scores: dict[int, dict[str, Any]]
    """By step."""
    events: list[dict[str, Any]]
    sheets: dict[int, Path]
    """Sheets of samples, by step."""
    kept: list[int]
    """Steps of the checkpoints that are there."""
    over: bool
    """Whether a budget of time has been used up."""

    def points(self, name: str) -> Points:
        """A number of the metrics over the steps, where it is finite."""
        return _points(self.metrics, name)

    def paced(self, name: str) -> Points:
        """The same of the pace."""
        return [(step, value) for step, value in _points(self.pace, name) if step <= self.step]

    def scored(self, name: str) -> Points:
        """The same of the scores."""
        return _points([line | {"step": step} for step, line in sorted(self.scores.items())], name)

    def setting(self, section: str, name: str, default: Any = None) -> Any:
        """A setting, where the file has it."""
        found = self.settings.get(section)
        return found.get(name, default) if isinstance(found, Mapping) else default

    @cached_property
    def step(self) -> int:
        """The last one of which anything is known."""
        told = [*(int(line["step"]) for line in self.metrics), *self.scores, *self.kept]
        # Sheets and paces may be left of steps that were lost when the run was killed.
        return max(told or [*self.sheets, 0])

    @property
    def shown(self) -> dict[int, Path]:
        """The sheets up to there."""
        return {step: path for step, path in self.sheets.items() if step <= self.step}

    @cached_property
    def per_epoch(self) -> float | None:
        """Steps in an epoch."""
        known = [step / epoch for step, epoch in self.points("epoch") if epoch > 0]
        return known[-1] if known else None

    @cached_property
    def total(self) -> int | None:
        """Steps that the schedule has; None where its length is a time, or the pictures of an epoch are not known."""
        planned, epochs = self.setting("schedule", "steps"), self.setting("schedule", "epochs")
        if isinstance(planned, int):
            return planned
        if isinstance(epochs, (int, float)) and self.per_epoch:
            return math.ceil(epochs * self.per_epoch - 1e-6)
        return None

    @property
    def finished(self) -> bool:
        """Whether the schedule has come to its end."""
        return self.over or (self.total is not None and self.step >= self.total)

    @cached_property
    def seconds(self) -> float | None:
        """That it took so far, interruptions left out, but not what was lost in them."""
        return max((value for _, value in _points(self.pace, "seconds")), default=None)

    @property
    def alarms(self) -> dict[str, list[dict[str, Any]]]:
        """The events of each kind of alarm, oldest first."""
        found: dict[str, list[dict[str, Any]]] = {}
        for line in self.events:
            if line.get("event") == "alarm" and isinstance(line.get("said"), str):
                found.setdefault(str(line.get("kind", "alarm")), []).append(line)
        return found


def read_run(folder: Path) -> Record:
    """Read a run folder. Raises FileNotFoundError where there is none, or nothing of a run in it."""
    run = RunFolder(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no such run: {folder}; give the folder that `cyclestyle train` wrote, as runs/NAME")
    if not run.config.is_file() and not run.metrics.is_file():
        raise FileNotFoundError(
            f"{folder} holds no run (no {run.config.name}, no {run.metrics.name}); give the folder that `cyclestyle "
            "train` wrote, as runs/NAME"
        )
    metrics = read_lines(run.metrics)
    kept = [_number(path.name) for path in steps(run.checkpoints)] if run.checkpoints.is_dir() else []
    sheets = {_number(path.stem): path for path in run.sample(0).parent.glob("step-*.png")}
    return Record(
        run,
        _toml(run.config),
        _json(run.provenance),
        metrics,
        read_lines(run.pace) or metrics,  # older runs told it among the metrics
        {int(line["step"]): line for line in read_lines(run.scores)},
        read_lines(run.events),
        {step: path for step, path in sorted(sheets.items()) if step >= 0},
        kept,
        bool(kept) and _is_over(steps(run.checkpoints)[-1]),
    )


def number_of(value: object) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _points(lines: list[dict[str, Any]], name: str) -> Points:
    found = {int(line["step"]): value for line in lines if (value := number_of(line.get(name))) is not None}
    return sorted(found.items())  # of a step that was taken twice, what was told last


def _number(name: str) -> int:
    digits = name.removeprefix("step-")
    return int(digits) if digits.isdecimal() else -1


def _is_over(checkpoint: Path) -> bool:
    facts = _json(checkpoint / MANIFEST).get("facts")
    budget = facts.get("budget") if isinstance(facts, dict) else None
    return isinstance(budget, dict) and bool(budget.get("over"))


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
