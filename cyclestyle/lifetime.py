"""How long this process has been there: what its imports took belongs to a budget of time, too."""

import os
import time

import psutil

LONGEST_START = 45.0
"""Seconds. A process that is older was not started for what it does now: a notebook's kernel, say."""


def seconds_since_start() -> float:
    """Seconds since this process was started, or the launcher that started it; at most `LONGEST_START`."""
    here = psutil.Process()
    born = here.create_time()
    parent = here.parent()
    # A launcher that starts its processes again is as old as the first of them.
    if parent is not None and _launched() and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        born = min(born, parent.create_time())
    return min(max(0.0, time.time() - born), LONGEST_START)


def _launched() -> bool:
    """Whether `accelerate launch` or torchrun started this process."""
    return not {"ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID"}.isdisjoint(os.environ)
