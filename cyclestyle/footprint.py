"""What a process takes of the machine."""

import sys
from pathlib import Path


def peak_memory() -> int:
    """Bytes that this process had in memory at the most.

    Linux tells it in VmHWM. `ru_maxrss` would not do there: a process inherits it from the one that started it, even
    through exec, so that a small child of a large parent looks large.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        import resource  # which Windows does not have

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
