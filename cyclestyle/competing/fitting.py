"""Settings fitted to a machine and to the time that is left, as words for `cyclestyle train`."""

import json
from contextlib import suppress
from typing import Any

from cyclestyle.competing.devices import Machine
from cyclestyle.config import Settings, seconds
from cyclestyle.runs import RunFolder
from cyclestyle.settings import read_toml

LARGEST_CROP, LARGEST_WIDTH = 128, 32
"""Pixels and channels for a processor alone: with more, hours would be a few hundred steps."""


def fitted(settings: Settings, machine: Machine, *, as_written: bool) -> list[str]:
    """What is changed for the machine, as options."""
    words = []
    if settings.compute.mixed_precision == "auto" and machine.precision == "fp16":
        words += ["--compute.mixed-precision", "fp16"]
    if as_written or not machine.cpu:
        return words
    crop, resize = settings.data.crop, settings.data.resize
    if crop > LARGEST_CROP and settings.generator.kind == "resnet":
        words += ["--data.crop", str(LARGEST_CROP), "--data.resize", str(resize * LARGEST_CROP // crop)]
    for name, width in (("generator", settings.generator.width), ("discriminator", settings.discriminator.width)):
        if width > LARGEST_WIDTH:
            words += [f"--{name}.width", str(LARGEST_WIDTH)]
    return words


def budget_for(run: RunFolder, left: float) -> str:
    """The budget to train with, if so many seconds are left for training, painting and zipping.

    A run keeps the budget that it was begun with. So that it ends in time all the same, its pace is told what was lost
    since: the run goes on from the last line on it.
    """
    kept = _begun_with(run)
    if kept is None:
        return f"{max(1, round(left))}s"
    _tell_lost(run, seconds(kept) - left)
    return kept


def painting_time(run: RunFolder) -> float | None:
    """Seconds that the training measured for painting and zipping; None where it has not come so far."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return float(json.loads((run.path / "budget.json").read_text(encoding="utf-8"))["painting"])
    return None


def _begun_with(run: RunFolder) -> str | None:
    """The budget of a run that has a checkpoint; None if there is no such run."""
    if not any(run.checkpoints.glob("step-*")):
        return None
    with suppress(FileNotFoundError):
        schedule: Any = read_toml(run.config).get("schedule")
        return schedule.get("budget") if isinstance(schedule, dict) else None
    return None


def _tell_lost(run: RunFolder, used: float) -> None:
    """Add a line to the run's pace that so many seconds are gone, if it does not know."""
    step, known, whole = 0, 0.0, True
    with suppress(OSError):
        content = run.pace.read_bytes()
        whole = not content or content.endswith(b"\n")
        for text in content.splitlines():
            with suppress(ValueError, KeyError, TypeError):
                line = json.loads(text)
                step, known = int(line["step"]), max(known, float(line["seconds"]))
    if used > known:
        line = json.dumps({"step": step, "seconds": used})
        with run.pace.open("a", encoding="utf-8") as file:
            file.write(f"{'' if whole else chr(10)}{line}\n")
