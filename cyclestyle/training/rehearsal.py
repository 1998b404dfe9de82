"""What a run will take, found by running a little of it: its steps, a checkpoint, samples, a look at what it paints."""

import io
import json
import math
import os
import shutil
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta

import psutil
import torch
from accelerate import PartialState

from cyclestyle.config import Settings, seconds
from cyclestyle.footprint import peak_memory
from cyclestyle.progress import clock
from cyclestyle.runs import RunFolder
from cyclestyle.stopping import Stopped, StopRequest
from cyclestyle.training.loop import learn
from cyclestyle.training.recorded import WARM_UP
from cyclestyle.training.schedule import Tried, plan

SETTLING = 3
"""Steps at least that are not counted."""
COUNTED = 9
"""Steps at least that are."""
NEVER = 10**9
"""A number of steps, or of epochs, that no trial comes to."""


@dataclass(frozen=True)
class Forecast:
    """What is expected of a run."""

    start: float
    """Seconds until the first step is made: pictures are looked through and cached."""
    step: float
    """Seconds."""
    saving: float
    """Seconds that a checkpoint takes, with all that is looked at then."""
    pairs: int
    """In a step, over all processes."""
    photos: int
    steps: int
    savings: int
    memory: int
    """Bytes of a process at its largest, with the program."""
    gpu_memory: int | None

    @property
    def total(self) -> float:
        """Seconds, without imports."""
        return self.start + self.steps * self.step + self.savings * self.saving

    def told(self) -> str:
        """For people."""
        there = psutil.virtual_memory().total
        lines = [f"memory  {self.memory / 1e9:.2f} GB at the most, of {there / 1e9:.0f} that this machine has"]
        if self.gpu_memory is not None:
            of = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
            lines.append(f"        {self.gpu_memory / 1e9:.2f} GB of the GPU's {of / 1e9:.0f}, and some 0.5 for CUDA")
        each = f"{self.step:.2f} s" if self.step >= 1 else f"{1000 * self.step:.0f} ms"
        lines.append(f"speed   {self.pairs / self.step:.3g} pairs/s ({each} for a step of {self.pairs})")
        epochs = self.steps * self.pairs / self.photos
        lines.append(f"length  {self.steps:,} steps ({epochs:.3g} epochs of {self.photos:,} photos)")
        end = datetime.now() + timedelta(seconds=self.total)
        saving = f"{self.savings:,} checkpoints take {clock(self.savings * self.saving)} of it"
        lines.append(f"time    {clock(self.total)}, until {end:%Y-%m-%d %H:%M}; {saving}")
        return "\n".join(lines)


def rehearse(settings: Settings, *, strict: bool = False, stop: StopRequest | None = None) -> Forecast | None:
    """Run a few steps of what the settings describe, in a folder beside the run's that is removed afterwards.

    Of several processes, the main one learns what it will take.

    Raises what `learn` raises: what would stop the run stops the rehearsal.
    """
    folder = settings.run.parent / f".{settings.run.name}.rehearsal"
    main = int(os.environ.get("RANK", "0")) == 0
    if main:
        shutil.rmtree(folder, ignore_errors=True)
    tried = Tried(SETTLING + (WARM_UP if settings.compute.graph else 0), COUNTED)
    # What is saved and looked at comes after the last step, and is timed by itself.
    trial = {
        "run": folder,
        "report": settings.report.model_copy(update={"checkpoint_every": NEVER, "sample_every": NEVER}),
        "evaluation": settings.evaluation.model_copy(update={"every": NEVER if settings.evaluation.every else 0}),
    }
    begun = time.monotonic()
    try:
        said = f"trying steps for {Tried.SETTLING + Tried.COUNTED:.0f} seconds or more ..."
        print(said, file=sys.stderr, flush=True)  # noqa: T201
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # what they say is of no use
            learn(settings.model_copy(update=trial), strict=strict, stop=stop, tried=tried)
        # The main process alone: it removes what the forecast follows from. Some launchers tell only now who that is.
        main = PartialState().is_main_process
        return _forecast(settings, RunFolder(folder), tried, time.monotonic() - begun) if main else None
    except Stopped:  # it speaks of what is saved, and nothing is
        raise Stopped("stopped; nothing of the trial is kept") from None
    finally:
        if main:
            shutil.rmtree(folder, ignore_errors=True)


def _forecast(settings: Settings, run: RunFolder, tried: Tried, took: float) -> Forecast:
    last = json.loads(run.metrics.read_text(encoding="utf-8").splitlines()[-1])
    photos = json.loads(run.provenance.read_text(encoding="utf-8"))["counts"]["photos"]
    pairs = round(last["epoch"] * photos / last["step"])
    steps = _steps(settings, photos, pairs, tried.pace)
    examined = steps * pairs / photos / settings.evaluation.every if settings.evaluation.every else 0
    return Forecast(
        start=tried.ends[0],
        step=tried.pace,
        saving=max(0.0, took - tried.ends[-1]),
        pairs=pairs,
        photos=photos,
        steps=steps,
        savings=math.ceil(steps / settings.report.checkpoint_every) + int(examined),
        memory=peak_memory(),
        gpu_memory=torch.cuda.max_memory_reserved() if torch.cuda.is_initialized() else None,
    )


def _steps(settings: Settings, photos: int, pairs: int, step: float) -> int:
    """As many as the schedule has, or as a budget of time has room for, painting left out."""
    if settings.schedule.budget is not None:
        return int(seconds(settings.schedule.budget) / step)
    return plan(settings.schedule, photos, pairs).steps
