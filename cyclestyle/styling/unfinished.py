"""Batches that were begun and not ended: kept beside the pictures, so that a long one is not lost."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from cyclestyle.files import written_aside
from cyclestyle.styling.descent import State

FOLDER = ".unfinished"
"""Below the pictures' folder; listings pass over names with a leading dot."""


class Unfinished:
    """Where the states of one folder's batches are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER

    def _path(self, descriptions: Sequence[str]) -> Path:
        """A batch is known by what its pictures will say of themselves."""
        return self.folder / f"{hashlib.sha256(chr(0).join(descriptions).encode()).hexdigest()[:32]}.safetensors"

    def keep(self, descriptions: Sequence[str], state: State) -> None:
        """Replace what was kept of a batch, in one step."""
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
        with written_aside(self._path(descriptions)) as aside:
            aside.write_bytes(to_bytes(tensors))

    def find(self, descriptions: Sequence[str], device: torch.device) -> State | None:
        """What was kept of a batch; None if nothing was, or it is damaged: then it is begun anew."""
        try:
            found = from_bytes(self._path(descriptions).read_bytes())
        except (OSError, SafetensorError):
            return None
        return {name: tensor.to(device) if tensor.ndim else tensor for name, tensor in found.items()}

    def drop(self, descriptions: Sequence[str]) -> None:
        """A batch is finished."""
        self._path(descriptions).unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            shutil.rmtree(self.folder, ignore_errors=True)
