"""From a painter's file to one that needs neither PyTorch nor this package: drawn, compared, written."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cyclestyle.exporting.card import KEY, ExportCard, Portable
from cyclestyle.exporting.describing import describe_export
from cyclestyle.exporting.packages import require
from cyclestyle.exporting.parity import Difference, differences
from cyclestyle.exporting.portable import open_session, run
from cyclestyle.files import written_aside
from cyclestyle.networks.painter import load_painter


@dataclass(frozen=True)
class Exported:
    """A painter that was exported, and how near it is."""

    path: Path
    bytes: int
    card: ExportCard
    differences: list[Difference]
    """From PyTorch, for each size."""


def export_painter(weights: Path, to: Path, precision: Portable = "fp32", *, licence: str | None = None) -> Exported:
    """Write a painter as an ONNX file, in one step, if it paints what PyTorch paints.

    Args:
        weights: `paint.safetensors` or the reference implementation's `latest_net_G.pth`.
        to: ends in .onnx.
        precision: fp32, fp16 or int8.
        licence: under which terms it may be passed on; for the card.

    Raises:
        ValueError: what cannot be exported, further from PyTorch than allowed, or packages missing. Nothing is written.
        FileNotFoundError: no such painter.
    """
    must_be_onnx(to)
    require("onnx", "onnxruntime", why="exporting")
    from cyclestyle.exporting.graph import describe, draw

    painter = load_painter(weights)
    model = draw(painter.network, precision)
    session = open_session(model.SerializeToString(), to)
    found = differences(painter, partial(run, session), precision)
    card = describe_export(painter, weights, precision, found, licence)
    describe(model, {KEY: card.model_dump_json(indent=1)}, card.use)
    with written_aside(to) as aside:
        aside.write_bytes(model.SerializeToString())
    return Exported(to, to.stat().st_size, card, found)


def must_be_onnx(to: Path) -> None:
    """Raises ValueError for a place that no ONNX file can be written to."""
    if to.is_dir():
        raise ValueError(f"{to} is a folder; give a file name that ends in .onnx after --to, such as {to}/painter.onnx")
    if to.suffix.lower() != ".onnx":
        raise ValueError(f"{to} does not end in .onnx; give such a file name after --to")
