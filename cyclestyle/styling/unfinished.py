"""Batches that were begun and not ended: kept beside the pictures, so that a long one is not lost."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save_file

from cyclestyle.files import sha256, written_aside
from cyclestyle.styling.descent import State

FOLDER = ".unfinished"
"""Below the pictures' folder; listings pass over names with a leading dot."""
FORM = "1"
"""Of what is kept: another one's is begun anew."""
DIGEST = hashlib.sha256().digest_size
"""Bytes at the end of a file."""


class Unfinished:
    """Where the states of one folder's batches are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER

    def _path(self, descriptions: Sequence[str]) -> Path:
        """A batch is known by what its pictures will say of themselves."""
        return self.folder / f"{hashlib.sha256(chr(0).join([FORM, *descriptions]).encode()).hexdigest()[:32]}.kept"

    def keep(self, descriptions: Sequence[str], state: State) -> None:
        """Replace what was kept of a batch, in one step: a safetensors file, and after it the SHA-256 of all before."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        with written_aside(self._path(descriptions)) as aside:
            save_file(tensors, aside)  # of L-BFGS they are many pictures: no copy of them is made
            digest = bytes.fromhex(sha256(aside))
            with aside.open("ab") as file:
                file.write(digest)

    def find(self, descriptions: Sequence[str], device: torch.device) -> State | None:
        """What was kept of a batch; None if nothing was, or it is damaged: then it is begun anew."""
        try:
            stored = self._path(descriptions).read_bytes()
        except OSError:
            return None
        content, digest = stored[:-DIGEST], stored[-DIGEST:]
        if hashlib.sha256(content).digest() != digest:
            return None
        found = from_bytes(content)
        return {name: tensor.to(device) if tensor.ndim else tensor for name, tensor in found.items()}

    def drop(self, descriptions: Sequence[str]) -> None:
        """A batch is finished."""
        self._path(descriptions).unlink(missing_ok=True)
        with suppress(OSError):  # others are in it, or none ever was
            self.folder.rmdir()
