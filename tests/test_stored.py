"""Tensors come back to the bit; of any other file nothing is loaded, and the reason is one sentence."""

import json
import pickle
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cyclestyle.networks import stored
from cyclestyle.networks.stored import LARGEST_HEADER, Kind, kinds, read, to_bytes


def tensors() -> dict[str, torch.Tensor]:
    chances = torch.Generator().manual_seed(0)
    return {
        "weight": torch.randn(4, 3, generator=chances),
        "half": torch.randn(5, generator=chances).to(torch.bfloat16),
        "count": torch.tensor(7),
        "none": torch.empty(0, 3, 16, 16),
    }


def file_with(header: dict[str, Any] | bytes, data: bytes = b"") -> bytes:
    """A safetensors file of which header and data need not fit."""
    written = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + data


def entry(shape: list[int], size: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tensors that were loaded."""
    seen: list[str] = []
    real = stored.safe_open

    class Watched:
        def __init__(self, *given: Any, **named: Any) -> None:
            self.file = real(*given, **named)

        def __enter__(self) -> "Watched":
            self.inside = self.file.__enter__()
            return self

        def __exit__(self, *given: Any) -> None:
            self.file.__exit__(*given)

        def get_tensor(self, name: str) -> torch.Tensor:
            seen.append(name)
            return self.inside.get_tensor(name)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inside, name)

    monkeypatch.setattr(stored, "safe_open", Watched)
    return seen


def refusal(path: Path, expected: dict[str, torch.Tensor], loads: list[str]) -> str:
    """The sentence in which a file is refused, before anything of it is loaded."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        read(path, expected)
    said = str(caught.value)
    assert loads == []
    assert str(path) in said
    assert "\n" not in said
    assert len(said) < 400 + len(str(path))
    return said


def test_what_is_written_is_read_to_the_bit(tmp_path: Path, loads: list[str]) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(to_bytes(tensors()))
    found = read(path, tensors())
    assert sorted(loads) == sorted(tensors())  # or nothing below would be seen
    assert found.keys() == tensors().keys()
    for name, value in tensors().items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


def test_what_is_read_does_not_change_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(to_bytes(tensors()))
    found = read(path, tensors())
    with path.open("r+b") as file:
        file.seek(-200, 2)
        file.write(bytes(200))
    assert torch.equal(found["weight"], tensors()["weight"])


def test_what_learns_lies_crosswise_or_is_shared_can_be_written_and_the_same_gives_the_same_bytes(
    tmp_path: Path,
) -> None:
    weight = torch.arange(6.0).reshape(2, 3).requires_grad_().t()
    one = {"a": weight, "b": weight}
    assert to_bytes(one, {"m": "x"}) == to_bytes(one, {"m": "x"})
    path = tmp_path / "a.safetensors"
    path.write_bytes(to_bytes(one, {"m": "x"}))
    assert kinds(path) == ({name: Kind(torch.float32, (3, 2)) for name in "ab"}, {"m": "x"})
    assert torch.equal(read(path, one)["b"], weight)


def other_shape(held: dict[str, torch.Tensor]) -> None:
    held["weight"] = torch.zeros(3, 4)


def more_dimensions(held: dict[str, torch.Tensor]) -> None:
    held["weight"] = torch.zeros(4, 3, 1)


def other_type(held: dict[str, torch.Tensor]) -> None:
    held["weight"] = held["weight"].half()


def one_less(held: dict[str, torch.Tensor]) -> None:
    del held["weight"]


def one_more(held: dict[str, torch.Tensor]) -> None:
    held["x" * 5000] = torch.zeros(1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_shape, "holds weight as float32 [3, 4]; expected float32 [4, 3]"),
        (more_dimensions, "holds weight as float32 [4, 3, 1]; expected float32 [4, 3]"),
        (other_type, "holds weight as float16 [4, 3]; expected float32 [4, 3]"),
        (one_less, "lacks weight"),
        (one_more, f"holds something else: {'x' * 80}"),
    ],
)
def test_names_shapes_and_types_must_be_the_expected_ones(
    change: Callable[[dict[str, torch.Tensor]], None], said: str, tmp_path: Path, loads: list[str]
) -> None:
    held, path = tensors(), tmp_path / "a.safetensors"
    change(held)
    path.write_bytes(to_bytes(held))
    assert refusal(path, tensors(), loads) == f"{path} {said}"


WHOLE = to_bytes({"weight": torch.ones(4, 3)})

HOSTILE = {
    "nothing": b"",
    "a few bytes": b"\x00\x01",
    "a header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "a header that is sound but too large": file_with(
        json.dumps({"weight": entry([4, 3], 48)}).encode().ljust(LARGEST_HEADER + 8), bytes(48)
    ),
    "a header longer than the file": struct.pack("<Q", 1000) + b"{}",
    "a header that is no JSON": file_with(b"weights please"),
    "a pickle": pickle.dumps({"weight": [1.0]}),
    "one byte less": WHOLE[:-1],
    "one byte more": WHOLE + b"x",
    "half of it": WHOLE[: len(WHOLE) // 2],
    "a shape beyond int64": file_with({"weight": entry([2**63], 0)}),
    "a shape beyond int64 that holds nothing": file_with({"weight": entry([2**63, 0], 0)}),
    "a shape beyond everything": file_with(
        b'{"weight":{"dtype":"F32","shape":[1' + b"0" * 400 + b'],"data_offsets":[0,0]}}'
    ),
    "shapes whose product overflows": file_with({"weight": entry([2**32, 2**32], 0)}),
    "a negative shape": file_with({"weight": entry([-4, 3], 48)}, bytes(48)),
    "a terabyte": file_with({"weight": entry([2**38], 2**40)}),
    "data outside the file": file_with({"weight": entry([4, 3], 48)}, bytes(47)),
    "offsets the wrong way round": file_with(
        {"weight": {"dtype": "F32", "shape": [4, 3], "data_offsets": [48, 0]}}, bytes(48)
    ),
    "a type that nothing here is": file_with({"weight": entry([48], 48, "U8")}, bytes(48)),
    "a type that does not exist": file_with({"weight": entry([4, 3], 48, "F33")}, bytes(48)),
    "deep": file_with(b"[" * 100_000),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_any_other_file_is_refused_in_a_sentence_and_in_little_memory(
    kind: str, tmp_path: Path, loads: list[str]
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(HOSTILE[kind])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusal(path, {"weight": torch.zeros(4, 3)}, loads)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB


def test_every_cut_of_a_file_is_refused(tmp_path: Path, loads: list[str]) -> None:
    path = tmp_path / "a.safetensors"
    for length in range(len(WHOLE)):
        path.write_bytes(WHOLE[:length])
        assert "is not a whole safetensors file" in refusal(path, {"weight": torch.zeros(4, 3)}, loads)


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path, loads: list[str]) -> None:
    refusal(tmp_path / "nowhere", {}, loads)
    refusal(tmp_path, {}, loads)


def test_looking_at_what_a_file_holds_loads_nothing(tmp_path: Path, loads: list[str]) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(to_bytes(tensors()))
    found, metadata = kinds(path)
    assert found == {name: Kind(value.dtype, tuple(value.shape)) for name, value in tensors().items()}
    assert metadata == {}
    assert loads == []
    assert str(found["half"]) == "bfloat16 [5]"
