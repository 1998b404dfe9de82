"""How this process was started: alone, or as one of several."""

import os

import torch


def wants_cpu() -> bool:
    """Whether to compute on the processor: asked for (ACCELERATE_USE_CPU), or nothing else is there.

    Accelerate has to be told. Left to itself it takes several processes on a machine without a GPU for as many separate
    ones, each of which believes to be alone.
    """
    asked = os.environ.get("ACCELERATE_USE_CPU", "").lower() in {"1", "true", "yes", "on"}
    return asked or not torch.accelerator.is_available()


def must_be_together(found: int) -> None:
    """Raise ValueError if `found` processes met where more were started: they would overwrite each other's files."""
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != found:
        raise ValueError(
            f"{started} processes were started, but each sees only {found}; "
            "without a GPU for each, set ACCELERATE_USE_CPU=true to run them on the processor"
        )
