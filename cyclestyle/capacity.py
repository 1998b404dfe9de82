"""What a device has left, and whether PyTorch can compute there."""

from contextlib import suppress
from pathlib import Path

import psutil
import torch

CONTAINER = [
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
]
"""A container's limit and what it has used of it, as Linux tells both: in version 2 and 1 of control groups."""
FULL = (
    "out of memory",
    "ALLOC_FAILED",
    "unable to find an engine",
    "can't allocate memory",
    "not enough memory",
)
"""What is said where memory is full, beside PyTorch's own error: by CUDA, cuBLAS, cuDNN (whose ways need some room),
and on the processor."""


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had where pictures are computed; of a container, what its limit leaves."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by PyTorch, for what comes
        return torch.cuda.mem_get_info(device)[0] + held
    left = psutil.virtual_memory().available
    for limit, used in CONTAINER:
        try:
            left = min(left, int(limit.read_text()) - int(used.read_text()) + _cached(used.parent))
        except (OSError, ValueError):  # no container; "max", which is no number
            continue
    return max(left, 0)


def total_memory() -> int:
    """Bytes that the machine has, swap included; of a container, its limit."""
    has = psutil.virtual_memory().total + psutil.swap_memory().total
    for limit, _ in CONTAINER:
        with suppress(OSError, ValueError):
            has = min(has, int(limit.read_text()))
    return has


def _cached(group: Path) -> int:
    """Bytes of files that a container keeps in memory as long as nobody asks for it; the system counts them as used."""
    try:
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return sum(int(stat.get(f"total_{name}", stat[name])) for name in ("inactive_file", "active_file"))
    except (OSError, ValueError, KeyError):
        return 0


def is_full(error: BaseException | None) -> bool:
    """Whether memory is what there was too little of, also for an error that came while another one was dealt with."""
    while error is not None:
        named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        if named or any(said in str(error) for said in FULL):
            return True
        error = error.__context__
    return False


def require_code(device: torch.device) -> None:
    """Raises ValueError for a GPU that this PyTorch was not built for, which is told only when it is to compute."""
    if device.type != "cuda":
        return
    try:
        torch.ones(1, device=device).add_(1)
        torch.cuda.synchronize(device)
    except RuntimeError as error:
        if "no kernel image" not in str(error):
            raise
        raise ValueError(
            f"PyTorch {torch.__version__} was not built for {torch.cuda.get_device_name(device)}; choose another card, "
            "or hide it (CUDA_VISIBLE_DEVICES=) and compute on the processor; `cyclestyle doctor` says more"
        ) from None
