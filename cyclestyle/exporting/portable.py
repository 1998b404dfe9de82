"""A painter's ONNX file, ready for use: what `load_painter` is for the files of a run."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from cyclestyle.exporting.card import KEY, ExportCard
from cyclestyle.exporting.packages import require
from cyclestyle.images import Images
from cyclestyle.settings import describe


@dataclass(frozen=True)
class PortablePainter:
    """A generator in ONNX Runtime, on the CPU."""

    session: Any
    card: ExportCard
    sha256: str
    """Of the file it came from."""

    def __call__(self, images: Images) -> Images:
        """Paint (n, 3, h, w) in [-1, 1], any height and width; the size stays, and so does the device."""
        return run(self.session, images).to(images.device)


def load_portable(path: Path) -> PortablePainter:
    """A painter from the file that `cyclestyle export` wrote.

    Raises FileNotFoundError or ValueError, saying what the file is missing, or what is to be installed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such painter: {path}")
    content = path.read_bytes()
    session = open_session(content, path)
    written = session.get_modelmeta().custom_metadata_map.get(KEY)
    if written is None:
        raise ValueError(f"{path} is an ONNX file, but not one that `cyclestyle export` wrote")
    try:
        card = ExportCard.model_validate_json(written)
    except ValidationError as error:
        raise ValueError(f"{path} has a card that cannot be read: {describe(error)}") from None
    return PortablePainter(session, card, hashlib.sha256(content).hexdigest())


def open_session(content: bytes, path: Path) -> Any:
    """ONNX Runtime's session for a model. Raises ValueError, naming the file, for anything that is none."""
    (ort,) = require("onnxruntime", why=f"painting with {path.name}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # what was said to PyTorch holds here too
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others want the processor as well
    options.enable_mem_pattern = False  # which is for pictures that all have one size
    options.log_severity_level = 4  # what goes wrong is raised, and said once
    try:
        # From memory, so that no file can name others that should be read with it.
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of a dozen kinds, which share no class
        said = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} is not a whole ONNX file that can be painted with: {said}") from None


def run(session: Any, images: Images) -> Images:
    """Paint (n, 3, h, w) in [-1, 1] on the CPU."""
    name = session.get_inputs()[0].name
    (painted,) = session.run(None, {name: images.detach().float().cpu().contiguous().numpy()})
    return torch.from_numpy(painted)
