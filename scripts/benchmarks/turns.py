"""Ways of doing the same thing, timed by turns in one process: what else the machine does meets all of them alike.

A round goes A B C C B A. What counts is the ratio within a round: the median over the rounds, and that of the fastest
times as a check. Where the two do not agree, the machine was too busy to tell.
"""

import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from cyclestyle.cli import let_threads_rest


@dataclass(frozen=True)
class Timed:
    """Seconds of each way: one number a round, the mean of its two turns."""

    seconds: Mapping[str, Sequence[float]]

    def ratio(self, way: str, baseline: str) -> float:
        """How many times as fast as the baseline: the median over the rounds."""
        pairs = zip(self.seconds[baseline], self.seconds[way], strict=True)
        return median(one / other for one, other in pairs)

    def best(self, way: str, baseline: str) -> float:
        """The same of the fastest times of both."""
        return min(self.seconds[baseline]) / min(self.seconds[way])

    def table(self, baseline: str, unit: str = "ms", scale: float = 1e3) -> list[str]:
        """Lines of Markdown: each way's median time, and how many times as fast as the baseline it is."""
        lines = [f"| way | {unit}, median | fastest | times as fast, median of pairs | of the fastest |"]
        lines.append("|---|---:|---:|---:|---:|")
        for way, found in self.seconds.items():
            times = f"{scale * median(found):.4g} | {scale * min(found):.4g}"
            lines.append(f"| {way} | {times} | {self.ratio(way, baseline):.2f} | {self.best(way, baseline):.2f} |")
        return lines


def take_turns(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    warm: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Timed:
    """Time each way twice a round, there and back.

    Args:
        ways: what is timed, by name. On a GPU each is to end with a synchronisation.
        rounds: how many.
        warm: calls of each before any is timed: compilers, caches and allocators settle.
        clock: gives seconds; `time.process_time` those of the processor, which others' work changes less.
    """
    for way in ways.values():
        for _ in range(warm):
            way()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        spent = dict.fromkeys(ways, 0.0)
        for name in (*ways, *reversed(list(ways))):
            begun = clock()
            ways[name]()
            spent[name] += (clock() - begun) / 2
        for name, seconds in spent.items():
            found[name].append(seconds)
    return Timed(found)


def as_the_program_runs() -> None:
    """Begin again, if need be, with threads that wait as the program's do; OpenMP reads that when it is loaded.

    To be called before anything is measured. What is in the environment already stays.
    """
    before = dict(os.environ)
    let_threads_rest()
    if os.environ != before:
        os.execv(sys.executable, [sys.executable, *sys.argv])


def settle() -> None:
    """Wait until a GPU, if there is one, has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def waited(work: Callable[[], object]) -> Callable[[], None]:
    """Done when the device is."""

    def call() -> None:
        work()
        settle()

    return call


def hardware() -> str:
    """What it was measured on, in words."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    asked = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    waiting = [f"{name}={os.environ[name]}" for name in asked if name in os.environ]
    return ", ".join([device, f"{torch.get_num_threads()} threads", *waiting, f"PyTorch {torch.__version__}"])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in _lines(cpuinfo) if line.startswith("model name")]
    flags = next((line.split(":")[1].split() for line in _lines(cpuinfo) if line.startswith("flags")), [])
    widest = next((flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in flags), "")
    return " ".join(part for part in (names[0] if names else platform.machine(), widest) if part)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
