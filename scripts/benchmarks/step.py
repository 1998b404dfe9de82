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
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import Tensor, nn
from turns import as_the_program_runs, hardware, settle, take_turns

from cyclestyle.config import Settings
from cyclestyle.data.unpaired import Batch
from cyclestyle.footprint import peak_memory
from cyclestyle.networks.layers import InstanceNorm
from cyclestyle.networks.winograd import convolution
from cyclestyle.training.cyclegan import Fakes, Losses, Networks, gradients
from cyclestyle.training.learner import Learner, build_networks
from cyclestyle.training.recorded import WARM_UP

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


def plain_networks(wanted: Settings) -> Networks:
    """The four networks with PyTorch's own instance norm."""
    nets = build_networks(wanted)
    for net in nets:
        net.to(DEVICE)
        for module in list(net.modules()):
            for name, child in module.named_children():
                if isinstance(child, InstanceNorm):
                    setattr(module, name, nn.InstanceNorm2d(child.channels))
    return nets


def plain(arguments: argparse.Namespace) -> Callable[[], Losses]:
    """The step as the reference writes it."""
    wanted, batches, chances = settings(arguments), Batches(arguments), random.Random(0)
    nets = plain_networks(wanted)
    pools: dict[str, list[Tensor]] = {"paintings": [], "photos": []}

    def shown(pool: list[Tensor], fresh: Tensor) -> Tensor:
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
        losses = gradients(nets, next(batches), remember, wanted.objective, Tensor.backward)
        for adam in adams:
            adam.step()
            adam.zero_grad(set_to_none=True)
        settle()
        return losses

    return step


def learner_of(arguments: argparse.Namespace, **compute: Any) -> Learner:
    """Whose steps a run takes."""
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    wanted = settings(arguments, **compute)
    accelerator = Accelerator(mixed_precision=wanted.compute.mixed_precision, cpu=DEVICE.type == "cpu")
    learner = Learner(wanted, accelerator)
    for note in learner.notes:
        raise SystemExit(note)
    return learner


def ours(arguments: argparse.Namespace, **compute: Any) -> Callable[[], Losses]:
    """What a run does at each step."""
    learner, batches = learner_of(arguments, **compute), Batches(arguments)

    def step() -> Losses:
        losses = learner.take_step(batches, 1.0).losses
        settle()
        return losses

    return step


def build(arguments: argparse.Namespace, way: str) -> Callable[[], Losses]:
    return plain(arguments) if way == "plain" else ours(arguments, **WAYS[way])


def peak(arguments: argparse.Namespace, way: str) -> None:
    """In a process of its own: what a few steps take above the imports."""
    before = peak_memory()
    step = build(arguments, way)
    for _ in range(warming([way]) + 1):
        step()
    told = torch.cuda.max_memory_reserved() if DEVICE.type == "cuda" else peak_memory() - before
    print(json.dumps({"bytes": told}))


def warming(ways: list[str]) -> int:
    """Steps before any is timed: what is recorded is recorded by then, and was replayed once."""
    recorded = any(WAYS[way].get("graph") for way in ways if way in WAYS)
    return WARM_UP + 2 if recorded else 3


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


def first(arguments: argparse.Namespace, way: str, of: torch.dtype) -> tuple[dict[str, float], Tensor]:
    """The losses and all gradients of the first pass, before any update, computed in numbers of one type."""
    photos, paintings, _ = next(Batches(arguments))
    batch = Batch(photos.to(of), paintings.to(of))
    if way == "plain":
        nets = Networks(*(net.to(DEVICE, of) for net in plain_networks(settings(arguments))))
        losses = gradients(nets, batch, lambda fakes: fakes, settings(arguments).objective, Tensor.backward)
    else:
        learner = learner_of(arguments, **WAYS[way])
        nets = Networks(*(net.to(of) for net in learner.bare))
        losses = learner._pass(batch, 0)
    found = [p.grad.double().flatten() for net in nets for p in net.parameters() if p.grad is not None]
    return {name: loss.item() for name, loss in losses.items()}, torch.cat(found)


def same_mathematics(arguments: argparse.Namespace, ways: list[str]) -> list[str]:
    """How far the first losses and gradients are from the plain ones, and both from those in float64.

    Networks have kinks, and rounding alone turns some values from one side of theirs to the other. So it is float64
    that tells whether two ways compute the same.
    """
    told = ["| way | losses off | gradients off | gradients off float64's | in float64, losses off | gradients off |"]
    told.append("|---|---:|---:|---:|---:|---:|")
    plain, exact = (first(arguments, "plain", of) for of in (torch.float32, torch.float64))
    for way in ways:
        found, there = (first(arguments, way, of) for of in (torch.float32, torch.float64))
        numbers = [*apart(found, plain), apart(found, exact)[1], *apart(there, exact)]
        told.append(f"| {way} | {' | '.join(f'{number:.1e}' for number in numbers)} |")
    return told


def apart(found: tuple[dict[str, float], Tensor], expected: tuple[dict[str, float], Tensor]) -> tuple[float, float]:
    """By how much the farthest loss is off, and all gradients in their norm; relative."""
    (losses, flat), (true, exact) = found, expected
    farthest = max(abs(losses[name] / loss - 1) for name, loss in true.items())
    return farthest, ((flat - exact).norm() / exact.norm()).item()


def roundings() -> list[str]:
    """How far a convolution of 256 channels of 64 x 64 is from float64: its results, and its gradients."""
    chances = torch.Generator().manual_seed(0)
    x, weight, gradient = (
        torch.randn(shape, generator=chances) for shape in ((1, 256, 64, 64), (256, 256, 3, 3), (1, 256, 64, 64))
    )
    kinds: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "plain": lambda x, weight: F.conv2d(x, weight, padding=1),
        "Winograd": lambda x, weight: convolution(x, weight, None, None, 1),
    }

    def there_and_back(kind: str, of: torch.dtype) -> list[Tensor]:
        given = [one.to(of, copy=True).requires_grad_() for one in (x, weight)]
        made = kinds[kind](*given)
        made.backward(gradient.to(of))
        return [made.detach(), *(one.grad for one in given if one.grad is not None)]

    exact = there_and_back("plain", torch.float64)
    told = ["| convolution | results, off float64 | gradients of the map | of the weights |", "|---|---:|---:|---:|"]
    for kind in kinds:
        pairs = zip(there_and_back(kind, torch.float32), exact, strict=True)
        off = [f"{((found - true).norm() / true.norm()).item():.1e}" for found, true in pairs]
        told.append(f"| {kind} | {' | '.join(off)} |")
    return told


def main() -> None:
    as_the_program_runs()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="0: no times")
    parser.add_argument("--curve", type=int, default=0, help="steps of which losses are compared; 0: none")
    parser.add_argument("--gradients", action="store_true", help="how far first losses and gradients are off, too")
    parser.add_argument("--ways", nargs="+", default=["ours", "ours, apart", "compiled", "checkpointed"], choices=WAYS)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--peak", choices=["plain", *WAYS], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.backends.cudnn.benchmark = True  # as the reference does
    if arguments.peak:
        peak(arguments, arguments.peak)
        return
    ways = ["plain", *arguments.ways]
    networks = f"{arguments.side} px, width {arguments.width}, {arguments.blocks} blocks, batch {arguments.batch}"
    print(f"{networks}; {hardware()}\n")
    if arguments.rounds:
        timed = take_turns({way: build(arguments, way) for way in ways}, arguments.rounds, warm=warming(ways))
        print("\n".join(timed.table("plain")), flush=True)
    if not arguments.no_memory:
        print("\n" + "\n".join(memory(ways)), flush=True)
    if arguments.gradients:
        print("\n" + "\n".join([*same_mathematics(arguments, ways), "", *roundings()]), flush=True)
    if arguments.curve:
        print("\n" + "\n".join(differences(arguments, ways)), flush=True)


if __name__ == "__main__":
    main()
