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


def restarts_may_hang() -> str | None:
    """A sentence if a launcher was told to restart processes, and those would look for the ones before them.

    That is pytorch #135712: with the store that torchrun shares with its processes, old addresses stay in it.
    """
    restarts = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0"))
    if restarts > 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        return "--max_restarts: restarted processes may hang; set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for the launcher"
    return None


def must_be_together(found: int) -> None:
    """Raise ValueError if `found` processes met where more were started: they would overwrite each other's files."""
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != found:
        raise ValueError(
            f"{started} processes were started, but each sees only {found}; "
            "without a GPU for each, set ACCELERATE_USE_CPU=true to run them on the processor"
        )
