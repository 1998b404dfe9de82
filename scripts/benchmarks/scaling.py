"""What a run costs as pictures, pixels, GPUs and machines become more: computed, not measured.

    python scripts/benchmarks/scaling.py

Operations are counted by PyTorch on networks without numbers. Times follow from them and from the speeds below, which
are assumptions about an H100 or H200: say your own with --teraflops, --gigabytes and --network.
"""

import argparse
from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from cyclestyle.config import Settings
from cyclestyle.data.unpaired import Batch
from cyclestyle.networks.layers import count_parameters
from cyclestyle.training.cyclegan import gradients
from cyclestyle.training.learner import build_networks

META = torch.device("meta")


def step(side: int, width: int, identity: float = 5.0) -> tuple[float, int]:
    """Operations of a step of one pair (a multiplication and an addition are two), and numbers that are learnt."""
    sections = {
        "run": "nowhere",
        "data": {"crop": side, "resize": side},
        "generator": {"width": width},
        "discriminator": {"width": width},
        "objective": {"identity": identity},
        "schedule": {"steps": 1},
    }
    settings = Settings.model_validate(sections)
    with torch.device("cpu"):
        nets = build_networks(settings)
    for net in nets:
        net.to(META)
    pictures = torch.empty(1, 3, side, side, device=META)
    with FlopCounterMode(display=False) as counter:
        gradients(nets, Batch(pictures, pictures), lambda fakes: fakes, settings.objective, torch.Tensor.backward)
    return float(counter.get_total_flops()), sum(count_parameters(net) for net in nets)


def sizes(teraflops: float) -> list[str]:
    """The cost of a pair as pictures grow."""
    lines = [
        "| side, width | TFLOP a step of one pair | of 256 px, 64 | ms at that speed | without identity loss |",
        "|---|---:|---:|---:|---:|",
    ]
    usual = step(256, 64)[0]
    for side, width in ((128, 32), (128, 64), (256, 32), (256, 64), (512, 64), (1024, 64)):
        flops, without = step(side, width)[0], step(side, width, 0.0)[0]
        lines.append(
            f"| {side} px, {width} | {flops / 1e12:.3g} | {flops / usual:.3g} | {flops / teraflops / 1e9:.3g} | "
            f"{without / flops:.2f} |"
        )
    return lines


def machines(flops: float, numbers: int, teraflops: float, links: dict[int, float], photos: int) -> list[str]:
    """One run on more and more GPUs, a pair each: the ring's traffic against the time to compute.

    All gradients in fp32: each GPU sends and receives 2 (n - 1) / n of them (Patarasuk, Yuan 2009). Under DDP they
    travel while the way back goes on, which is two thirds of a step.
    """
    lines = [
        "| GPUs | pairs a step | compute, ms | traffic of a GPU, MB | its time, ms | step, ms | efficiency | "
        "steps an epoch |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    compute = flops / teraflops / 1e9
    for gpus, gigabytes in links.items():
        traffic = 2 * (gpus - 1) / gpus * 4 * numbers
        travel = traffic / gigabytes / 1e6
        whole = max(compute, compute / 3 + travel)
        lines.append(
            f"| {gpus} | {gpus} | {compute:.1f} | {traffic / 1e6:.0f} | {travel:.1f} | {whole:.1f} | "
            f"{compute / whole:.0%} | {photos / gpus:,.0f} |"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--teraflops", type=float, default=160.0, help="that a GPU really does with one pair at a time")
    parser.add_argument("--gigabytes", type=float, default=300.0, help="a second, within a machine, each way")
    parser.add_argument("--network", type=float, default=40.0, help="gigabytes a second and GPU between machines")
    parser.add_argument("--photos", type=int, default=7038)
    given = parser.parse_args(arguments)
    print("\n".join(sizes(given.teraflops)))
    flops, numbers = step(256, 64)
    print(f"\n{numbers / 1e6:.1f} M gradients, {4 * numbers / 1e6:.0f} MB in fp32\n")
    links = {gpus: given.gigabytes if gpus <= 8 else given.network for gpus in (1, 2, 4, 8, 16, 64, 512)}
    print("\n".join(machines(flops, numbers, given.teraflops, links, given.photos)))
    print("\nThe same with one 25 Gbit Ethernet for each machine of 8, through which the ring passes once:\n")
    slow = {gpus: given.gigabytes if gpus <= 8 else 25 / 8 for gpus in (8, 16, 64)}
    print("\n".join(machines(flops, numbers, given.teraflops, slow, given.photos)))


if __name__ == "__main__":
    main()
