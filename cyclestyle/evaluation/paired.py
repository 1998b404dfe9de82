"""Methods side by side where the truth is known: how near each comes to it, how often it is nearer than another."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch

from cyclestyle.evaluation.truth import ciede2000, psnr, ssim
from cyclestyle.images import Images


class Nearness(NamedTuple):
    """Three distances to the truth for each of n pictures."""

    psnr: torch.Tensor  # (n,) dB, higher is nearer
    ssim: torch.Tensor  # (n,) at most 1, higher is nearer
    ciede2000: torch.Tensor  # (n,) lower is nearer


HIGHER_IS_NEARER = Nearness(psnr=True, ssim=True, ciede2000=False)  # type: ignore[arg-type] - flags, not numbers


def nearness(pairs: Iterable[tuple[Images, Images]]) -> Nearness:
    """Measure (made, true) batches, which may differ in size from one another."""
    parts = [(psnr(made, true), ssim(made, true), ciede2000(made, true)) for made, true in pairs]
    if not parts:
        raise ValueError("no pictures to measure")
    return Nearness(*(torch.cat(column) for column in zip(*parts, strict=True)))


def medians(found: Nearness) -> dict[str, float]:
    """The middle of each distance over the pictures."""
    return {name: values.quantile(0.5).item() for name, values in found._asdict().items()}


def share_nearer(one: Nearness, other: Nearness) -> dict[str, float]:
    """On which share of the pictures `one` is nearer to the truth than `other`, by each distance."""
    return {
        name: ((a > b) if higher else (a < b)).double().mean().item()
        for name, a, b, higher in zip(Nearness._fields, one, other, HIGHER_IS_NEARER, strict=True)
    }


def summary(found: Mapping[str, Nearness], ours: str) -> dict[str, Any]:
    """Everything that the table says, as plain numbers."""
    return {
        "pictures": len(found[ours].psnr),
        "median": {name: medians(one) for name, one in found.items()},
        f"{ours} nearer than": {name: share_nearer(found[ours], one) for name, one in found.items() if name != ours},
    }


def table(found: Mapping[str, Nearness], ours: str) -> str:
    """Medians of every method, and how often `ours` is nearer, as lines for a terminal (and for Markdown)."""
    lines = [
        f"| distance to the truth, {len(found[ours].psnr)} pictures | PSNR dB ↑ | SSIM ↑ | CIEDE2000 ↓ "
        f"| {ours} nearer by PSNR | SSIM | CIEDE2000 |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, one in found.items():
        middle = medians(one)
        cells = [f"{middle['psnr']:.2f}", f"{middle['ssim']:.3f}", f"{middle['ciede2000']:.2f}"]
        cells += [f"{share:.0%}" for share in share_nearer(found[ours], one).values()] if name != ours else [""] * 3
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
