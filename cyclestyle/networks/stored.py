"""Tensors in safetensors files, looked at before they are believed: nothing is loaded but what was expected."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

Tensors = dict[str, torch.Tensor]

LARGEST_HEADER = 1 << 22
"""Bytes; the largest network here needs 30 KB. The format itself allows 100 MB, which take a GB to read."""

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


def to_bytes(tensors: Mapping[str, torch.Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """A safetensors file. One metadata entry at most: the format's writer puts several in an order left to chance."""
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return save(plain, metadata=metadata)


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether it holds a number of its own for each place: an expanded tensor claims more than its file has."""
    strided = tensor.layout is torch.strided and tensor.device.type == "cpu"
    return strided and tensor.nbytes <= tensor.untyped_storage().nbytes()


class Kind(NamedTuple):
    """What a tensor is, without what it holds."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} {list(self.shape)}"


def kinds(path: Path) -> tuple[dict[str, Kind], dict[str, str]]:
    """What a file says it holds, without loading it; and its metadata.

    Raises ValueError for anything that is not a whole safetensors file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if length > LARGEST_HEADER:
            raise ValueError(f"{path} is not a whole safetensors file: its header claims {length:,} bytes")
        with safe_open(path, framework="pt") as stored:
            parts = {name: stored.get_slice(name) for name in stored.keys()}  # noqa: SIM118 - not a dictionary
            metadata = stored.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None
    found = {}
    for name, part in parts.items():
        if part.get_dtype() not in DTYPES:
            raise ValueError(f"{path} holds {name[:80]} as {part.get_dtype()}, which nothing here is")
        found[name] = Kind(DTYPES[part.get_dtype()], tuple(part.get_shape()))
    return found, metadata


def read(path: Path, expected: Mapping[str, torch.Tensor]) -> Tensors:
    """The tensors of a file whose names, shapes and types are the expected ones.

    Raises ValueError, naming the first that is not, before anything is loaded.
    """
    found, _ = kinds(path)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found or name not in expected:
            raise ValueError(f"{path} {'lacks' if name in expected else 'holds something else:'} {name[:80]}")
        wanted = Kind(expected[name].dtype, tuple(expected[name].shape))
        if found[name] != wanted:
            raise ValueError(f"{path} holds {name} as {str(found[name])[:80]}; expected {wanted}")
    try:
        with safe_open(path, framework="pt") as stored:
            # Copied: what the library gives is mapped, and would change with the file.
            return {name: stored.get_tensor(name).clone() for name in expected}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None
