"""The training step against the plain one: time by turns, memory of processes of their own, and how far losses differ.

    python scripts/benchmarks/step.py --side 128 --width 32 --blocks 6 --threads 2

The plain step is written as the reference implementation writes it, with our networks: PyTorch's own instance norm,
every picture through its network by itself, Adam parameter by parameter, a memory of pictures in Python. Ours is what
`cyclestyle train` does, with all that it does besides: norms of the gradients looked at before the update, averaged
weights, means.
"""

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Callable
from statistics import mean
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import nn
from turns import hardware, take_turns

from cyclestyle.config import Settings
from cyclestyle.data.unpaired import Batch
from cyclestyle.footprint import peak_memory
from cyclestyle.networks.layers import InstanceNorm
from cyclestyle.training.cyclegan import Fakes, Losses, gradients
from cyclestyle.training.learner import Learner, build_networks

WAYS: dict[str, dict[str, Any]] = {
    "ours": {},
    "ours, apart": {"joined": False},
    "winograd": {"winograd": "auto"},
    "winograd, checkpointed": {"winograd": "auto", "checkpointing": True},
    "compiled": {"compile": True},
    "winograd, compiled": {"winograd": "auto", "compile": True},
    "winograd, compiled, checkpointed": {"winograd": "auto", "compile": True, "checkpointing": True},
    "checkpointed": {"checkpointing": True},
    "bf16": {"mixed_precision": "bf16"},
    "bf16, compiled": {"mixed_precision": "bf16", "compile": True},
    "bf16, checkpointed": {"mixed_precision": "bf16", "checkpointing": True},
    "graph": {"graph": True},
    "bf16, graph": {"mixed_precision": "bf16", "graph": True},
    "bf16, compiled, graph": {"mixed_precision": "bf16", "compile": True, "graph": True},
}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def settings(arguments: argparse.Namespace, **compute: Any) -> Settings:
    return Settings.model_validate(
        {
            "run": "nowhere",
            "data": {"crop": arguments.side, "resize": arguments.side, "batch": arguments.batch},
            "generator": {"width": arguments.width, "blocks": arguments.blocks},
            "discriminator": {"width": arguments.width},
            "schedule": {"steps": 1_000_000},
            "compute": {"mixed_precision": "no", "exact": False} | compute,
        }
    )


class Batches:
    """The same smooth pictures for every way, one batch after the other."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        chances = torch.Generator().manual_seed(0)
        small = torch.rand(2 * 16 * arguments.batch, 3, 8, 8, generator=chances) * 2 - 1
        pictures = nn.functional.interpolate(small, (arguments.side, arguments.side), mode="bicubic").clamp(-1, 1)
        self.pairs = pictures.to(DEVICE).view(16, 2, arguments.batch, *pictures.shape[1:])
        self.number = 0

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Batch:
        photos, paintings = self.pairs[self.number % len(self.pairs)]
        self.number += 1
        return Batch(photos, paintings)


def plain(arguments: argparse.Namespace) -> Callable[[], Losses]:
    """The step as the reference writes it."""
    wanted, batches, chances = settings(arguments), Batches(arguments), random.Random(0)
    nets = build_networks(wanted)
    for net in nets:
        net.to(DEVICE)
        for module in list(net.modules()):
            for name, child in module.named_children():
                if isinstance(child, InstanceNorm):
                    setattr(module, name, nn.InstanceNorm2d(child.channels))
    pools: dict[str, list[torch.Tensor]] = {"paintings": [], "photos": []}

    def shown(pool: list[torch.Tensor], fresh: torch.Tensor) -> torch.Tensor:
        found = []
        for picture in fresh.split(1):
            if len(pool) < 50:
                pool.append(picture)
                found.append(picture)
            elif chances.random() < 0.5:
                place = chances.randrange(50)
                found.append(pool[place].clone())
                pool[place] = picture
            else:
                found.append(picture)
        return torch.cat(found)

    def remember(fakes: Fakes) -> Fakes:
        return Fakes(shown(pools["paintings"], fakes.paintings), shown(pools["photos"], fakes.photos))

    adams = [
        torch.optim.Adam([p for net in pair for p in net.parameters()], 2e-4, (0.5, 0.999), foreach=False)
        for pair in (nets.generators, nets.discriminators)
    ]

    def step() -> Losses:
        losses = gradients(nets, next(batches), remember, wanted.objective, torch.Tensor.backward)
        for adam in adams:
            adam.step()
            adam.zero_grad(set_to_none=True)
        settle()
        return losses

    return step


def ours(arguments: argparse.Namespace, **compute: Any) -> Callable[[], Losses]:
    """What a run does at each step."""
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    wanted = settings(arguments, **compute)
    accelerator = Accelerator(mixed_precision=wanted.compute.mixed_precision, cpu=DEVICE.type == "cpu")
    learner, batches = Learner(wanted, accelerator), Batches(arguments)
    for note in learner.notes:
        raise SystemExit(note)

    def step() -> Losses:
        losses = learner.take_step(batches, 1.0).losses
        settle()
        return losses

    return step


def settle() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def build(arguments: argparse.Namespace, way: str) -> Callable[[], Losses]:
    return plain(arguments) if way == "plain" else ours(arguments, **WAYS[way])


def peak(arguments: argparse.Namespace, way: str) -> None:
    """In a process of its own: what a few steps take above the imports."""
    before = peak_memory()
    step = build(arguments, way)
    for _ in range(4):
        step()
    told = torch.cuda.max_memory_allocated() if DEVICE.type == "cuda" else peak_memory() - before
    print(json.dumps({"bytes": told}))


def memory(ways: list[str]) -> list[str]:
    """Peaks of every way."""
    found = {}
    for way in ways:
        said = subprocess.run([sys.executable, *sys.argv, "--peak", way], capture_output=True, text=True, check=True)
        found[way] = json.loads(said.stdout.splitlines()[-1])["bytes"]
    lines = ["| way | memory above the imports, MiB | of the plain step's |", "|---|---:|---:|"]
    return lines + [f"| {way} | {found[way] / 2**20:,.0f} | {found[way] / found['plain']:.2f} |" for way in ways]


def differences(arguments: argparse.Namespace, ways: list[str]) -> list[str]:
    """Losses of the first step, and their means over the last 20 of `--curve` steps, against the plain ones."""
    curves: dict[str, list[float]] = {}
    for way in ways:
        step = build(arguments, way)
        told = [
            {name: loss.item() for name, loss in step().items() if not name.startswith("gradient/")}
            for _ in range(arguments.curve)
        ]
        curves[way] = [sum(one.values()) for one in told]
    truth = curves["plain"]
    lines = [f"| way | first step's objective, off by | mean of the last 20 of {arguments.curve} |", "|---|---:|---:|"]
    for way, curve in curves.items():
        off = abs(curve[0] - truth[0]) / truth[0]
        lines.append(f"| {way} | {off:.1e} | {mean(curve[-20:]):.3f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--curve", type=int, default=0, help="steps of which losses are compared; 0: none")
    parser.add_argument("--ways", nargs="+", default=["ours", "ours, apart", "compiled", "checkpointed"], choices=WAYS)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--peak", choices=["plain", *WAYS], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak:
        peak(arguments, arguments.peak)
        return
    ways = ["plain", *arguments.ways]
    networks = f"{arguments.side} px, width {arguments.width}, {arguments.blocks} blocks, batch {arguments.batch}"
    print(f"{networks}; {hardware()}\n")
    timed = take_turns({way: build(arguments, way) for way in ways}, arguments.rounds, warm=3)
    print("\n".join(timed.table("plain")), flush=True)
    if not arguments.no_memory:
        print("\n" + "\n".join(memory(ways)), flush=True)
    if arguments.curve:
        print("\n" + "\n".join(differences(arguments, ways)), flush=True)


if __name__ == "__main__":
    main()
