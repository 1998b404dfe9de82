"""How much of a budget of time is gone, also after the program was killed and begun again."""

import json
import math
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from cyclestyle.files import write_text
from cyclestyle.lifetime import seconds_since_start

NOTED_EVERY = 10.0
"""Seconds."""


class Timekeeper:
    """Counts seconds, and keeps them in a file.

    Within one session (one start of the machine or the container) all time since the first start counts, pauses too:
    that is how a limit counts. Of an earlier session only what was used counts, since its limit ended with it.
    """

    def __init__(self, path: Path, budget: float, *, afresh: bool = False) -> None:
        """`budget` in seconds. `afresh`: forget what was used before."""
        self.path, self.budget, self.session = path, budget, session()
        now = time.monotonic()
        self.began, self.before, self.noted = now - seconds_since_start(), 0.0, -math.inf
        kept = {} if afresh else _kept(path)
        if kept.get("session") == self.session and _number(kept.get("began")) <= now:
            self.began, self.before = _number(kept.get("began")), _number(kept.get("before"))
        elif kept:
            self.before = _number(kept.get("used"))
        self.note()

    @property
    def used(self) -> float:
        return self.before + time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Seconds; less than nothing if the budget is over."""
        return self.budget - self.used

    def note(self) -> None:
        """Write it down, if that was long ago. A disk that is full does not stop the clock."""
        if time.monotonic() - self.noted < NOTED_EVERY:
            return
        self.noted = time.monotonic()
        kept = {"session": self.session, "began": self.began, "before": self.before, "used": self.used}
        with suppress(OSError):
            write_text(self.path, json.dumps(kept) + "\n")


def session() -> str:
    """What stays the same until the machine or the container is started again."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    with suppress(OSError, psutil.Error):
        return f"{boot.read_text().strip()} {psutil.Process(1).create_time():.0f}"
    return f"{os.name} {psutil.boot_time():.0f}"


def _kept(path: Path) -> dict[str, Any]:
    """What was written down; nothing if that cannot be read."""
    with suppress(OSError, ValueError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        return kept if isinstance(kept, dict) else {}
    return {}


def _number(value: object) -> float:
    """A time that was written down; 0 for what is none."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) and value >= 0 else 0.0
