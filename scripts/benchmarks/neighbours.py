"""What one competing process costs, by how threads wait for one another.

    python scripts/benchmarks/neighbours.py --cores 0,1 --rounds 4

OpenMP's threads wait by spinning unless told otherwise. A core that spins computes nothing, and what waits for the core
waits longer. Each way of waiting is measured in processes of its own, since it is read once, when PyTorch is loaded;
rounds take turns. Both processes are bound to the same cores and have as many threads. The competitor computes the same
thing, waiting in the same way, all the time.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

PROGRAM = "what the program chooses"
WAYS: dict[str, dict[str, str] | None] = {
    "OpenMP's own": {},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "GOMP_SPINCOUNT=2000": {"GOMP_SPINCOUNT": "2000"},
    "GOMP_SPINCOUNT=3000": {"GOMP_SPINCOUNT": "3000"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "GOMP_SPINCOUNT=30000": {"GOMP_SPINCOUNT": "30000"},
    "GOMP_SPINCOUNT=100000": {"GOMP_SPINCOUNT": "100000"},
    PROGRAM: None,
}
TASKS = ("painting 256", "step 64", "step 128")


def worker(task: str) -> None:
    """Answer each line on standard input with the seconds that some calls took; after `-`, compute without end."""
    if os.environ.pop("CHOOSE", ""):
        from cyclestyle.cli import let_threads_rest

        let_threads_rest()
    call, times = work(task)
    call()
    print("ready", flush=True)
    for line in sys.stdin:
        while line.strip() == "-" and os.getppid() != 1:
            call()
        begun = time.perf_counter()
        for _ in range(times):
            call()
        print((time.perf_counter() - begun) / times, flush=True)


def work(task: str) -> tuple[Callable[[], object], int]:
    """What is computed (painting, or a training step), and how many times for a measurement."""
    import torch

    from cyclestyle.config import DiscriminatorSettings, GeneratorSettings
    from cyclestyle.networks.discriminator import build_discriminator
    from cyclestyle.networks.generator import build_generator
    from cyclestyle.networks.painter import Painter, PainterCard

    if task == "painting 256":
        settings = GeneratorSettings()
        card = PainterCard(direction="unknown", generator=settings, side=None, step=None)
        painter = Painter(build_generator(settings).eval().to(memory_format=torch.channels_last), card, "")
        images = torch.rand(1, 3, 256, 256) * 2 - 1
        return lambda: painter(images), 1
    demo = task == "step 64"
    settings = (
        GeneratorSettings(kind="unet", width=16, depth=5, upsampling="resize", residual=True)
        if demo
        else GeneratorSettings(width=32)
    )
    kind = DiscriminatorSettings(width=24, layers=2) if demo else DiscriminatorSettings(width=32)
    paint, unpaint = build_generator(settings), build_generator(settings)
    critic = build_discriminator(kind)
    images = torch.rand(4 if demo else 1, 3, 64 if demo else 128, 64 if demo else 128) * 2 - 1
    optimizer = torch.optim.Adam([*paint.parameters(), *unpaint.parameters(), *critic.parameters()], fused=True)

    def step() -> None:  # the passes of a step; what its losses are does not change its time
        fake = paint(images)
        loss = (unpaint(fake) - images).abs().mean() + (critic(fake) - 1).square().mean()
        back = unpaint(images)
        loss = loss + (paint(back) - images).abs().mean() + (critic(back) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step, 3 if demo else 2


def start(task: str, way: str, cores: list[int], stack: ExitStack) -> subprocess.Popen[str]:
    """A process that computes when asked to, bound to some cores; killed at the end."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    plain |= {"OMP_NUM_THREADS": str(len(cores))} | ({"CHOOSE": "1"} if WAYS[way] is None else WAYS[way] or {})
    words = [sys.executable, __file__, "--work", task]
    process = subprocess.Popen(words, env=plain, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.kill)
    os.sched_setaffinity(process.pid, cores)  # before PyTorch is loaded and starts threads
    return process


def measure(process: subprocess.Popen[str]) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def compared(task: str, ways: list[str], cores: list[int], rounds: int) -> list[str]:
    """One table: each way quiet and with a competitor, by turns. Competitors sleep until it is their turn."""
    quiet: dict[str, list[float]] = {way: [] for way in ways}
    busy: dict[str, list[float]] = {way: [] for way in ways}
    with ExitStack() as stack:
        ours = {way: start(task, way, cores, stack) for way in ways}
        others = {way: start(task, way, cores, stack) for way in ways}
        for process in (*ours.values(), *others.values()):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for other in others.values():
            os.kill(other.pid, signal.SIGSTOP)
            assert other.stdin is not None
            other.stdin.write("-\n")
            other.stdin.flush()
        for turn in range(rounds):
            for way in ways if turn % 2 == 0 else ways[::-1]:
                quiet[way].append(measure(ours[way]))
                os.kill(others[way].pid, signal.SIGCONT)
                busy[way].append(measure(ours[way]))
                os.kill(others[way].pid, signal.SIGSTOP)
    return table(quiet, busy, ways)


def table(quiet: dict[str, list[float]], busy: dict[str, list[float]], ways: list[str]) -> list[str]:
    """Lines of Markdown."""
    first = ways[0]
    lines = [
        "| threads wait as | alone, ms | against the first: median of pairs | of the fastest | with a competitor, ms "
        "| times as slow: median of pairs | of the fastest |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for way in ways:
        beside = median(one / other for one, other in zip(quiet[way], quiet[first], strict=True))
        slower = median(one / other for one, other in zip(busy[way], quiet[way], strict=True))
        lines.append(
            f"| {way} | {1e3 * median(quiet[way]):.4g} | {beside:.2f} | {min(quiet[way]) / min(quiet[first]):.2f} "
            f"| {1e3 * median(busy[way]):.4g} | {slower:.2f} | {min(busy[way]) / min(quiet[way]):.2f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", default="0,1", help="that both processes are bound to; each has a thread a core")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--task", choices=TASKS, action="append")
    parser.add_argument("--way", choices=tuple(WAYS), action="append")
    parser.add_argument("--work", choices=TASKS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        worker(arguments.work)
        return
    cores = [int(core) for core in arguments.cores.split(",")]
    for task in arguments.task or TASKS:
        print(f"\n## {task}\n", flush=True)
        print("\n".join(compared(task, arguments.way or list(WAYS), cores, arguments.rounds)), flush=True)


if __name__ == "__main__":
    main()
