"""The card of a painter that was exported: what its file, its run and the measurements say."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from cyclestyle.exporting.card import ExportCard, Parity, Portable
from cyclestyle.exporting.parity import Difference
from cyclestyle.networks.painter import Painter
from cyclestyle.settings import read_toml

USE = (
    "Input `photos`: float32 (pictures, 3, height, width), RGB, value / 127.5 - 1; any height and width. Output "
    "`paintings`: the same shape; (value + 1) * 127.5, rounded and cut to 0..255, is the picture."
)
EXAMPLE = """\
import numpy as np, onnxruntime
from PIL import Image

painter = onnxruntime.InferenceSession("painter.onnx")
photo = np.asarray(Image.open("photo.jpg").convert("RGB"), np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
painting = painter.run(None, {"photos": photo})[0][0].transpose(1, 2, 0)
Image.fromarray(((painting + 1) * 127.5).round().clip(0, 255).astype(np.uint8)).save("painting.png")
"""
TERMS = (
    "Nobody has said under which terms these weights may be passed on; that depends on the pictures they were trained "
    "on. The software that made the file is Apache-2.0."
)
NO_DATA = "The file that was exported does not say on which pictures it was trained."


def describe_export(
    painter: Painter, weights: Path, precision: Portable, found: list[Difference], licence: str | None
) -> ExportCard:
    """The card of a painter that was exported, with what was measured of it."""
    return ExportCard(
        direction=painter.card.direction,
        use=USE,
        example=EXAMPLE,
        precision=precision,
        preview=precision == "int8",
        generator=painter.card.generator,
        side=painter.card.side,
        step=painter.card.step,
        data=data_of(weights),
        licence=licence or TERMS,
        source={"file": weights.name, "sha256": painter.sha256},
        parity=Parity(
            sizes=[str(one) for one in found],
            largest=max(one.largest for one in found),
            mean=sum(one.mean for one in found) / len(found),
            allowed=max(one.allowed.largest for one in found),
        ),
        versions={name: version(name) for name in ("cyclestyle", "torch", "onnx", "onnxruntime")},
    )


def data_of(weights: Path) -> JsonValue:
    """What the run in which a painter lies says of its pictures: how many, their fingerprint, the folder's name.

    Names alone: where somebody keeps their pictures is nobody else's business.
    """
    run = next((folder for folder in (weights.parent, *weights.parents[1:3]) if _is_run(folder)), None)
    if run is None:
        return NO_DATA
    try:
        told: dict[str, Any] = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
        settings = read_toml(run / "config.toml").get("data", {})
        names: JsonValue = {
            key: Path(settings[key]).name for key in ("folder", "photos", "paintings") if key in settings
        }
        return {"count": told["counts"], "fingerprint": told["pictures"], "folders": names}
    except (OSError, ValueError, KeyError, TypeError):  # what stands beside a painter is no reason to refuse it
        return NO_DATA


def _is_run(folder: Path) -> bool:
    return (folder / "provenance.json").is_file() and (folder / "config.toml").is_file()
