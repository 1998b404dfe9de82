"""A checkpoint is whole or not there, damage is noticed, and there is always one to go back to."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from cyclestyle.training import checkpoints
from cyclestyle.training.checkpoints import MANIFEST, Tensors, last_checkpoint, save_checkpoint, verify


def tensors(seed: int) -> dict[str, Tensors]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "paint": {"weight": torch.randn(4, 3, generator=generator), "bias": torch.randn(4, generator=generator)},
        "adam": {"0.step": torch.tensor(float(seed)), "0.exp_avg": torch.randn(4, 3, generator=generator)},
    }


def write(folder: Path, step: int, *, keep: int = 2, **options: Any) -> Path:
    save_checkpoint(folder, step, tensors(step), {"processes": 1, "scaler": None}, keep=keep, **options)
    return folder / f"step-{step:07d}"


def steps(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def last(folder: Path) -> tuple[int | None, list[str]]:
    """The step of the newest whole checkpoint, and the complaints."""
    complaints: list[str] = []
    found = last_checkpoint(folder, complaints.append)
    return (None if found is None else found.facts["step"]), complaints


def test_what_is_saved_comes_back_to_the_bit(tmp_path: Path) -> None:
    write(tmp_path, 12)
    checkpoint = last_checkpoint(tmp_path, pytest.fail)
    assert checkpoint is not None
    assert checkpoint.path == tmp_path / "step-0000012"
    assert checkpoint.facts == {"processes": 1, "scaler": None, "step": 12}
    for name, values in tensors(12).items():
        found = checkpoint.tensors(name)
        assert found.keys() == values.keys()
        assert all(torch.equal(found[key], value) for key, value in values.items())


def test_views_and_tensors_that_learn_can_be_saved(tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(2, 3).requires_grad_().t()
    save_checkpoint(tmp_path, 1, {"paint": {"weight": weight}, "nothing": {}}, {}, keep=1)
    checkpoint = last_checkpoint(tmp_path, pytest.fail)
    assert checkpoint is not None
    assert torch.equal(checkpoint.tensors("paint")["weight"], weight)
    assert checkpoint.tensors("nothing") == {}


def test_none_was_ever_written(tmp_path: Path) -> None:
    assert last(tmp_path) == (None, [])
    assert last(tmp_path / "missing") == (None, [])


def flip(file: Path, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


DAMAGES = {
    "a flipped bit": (lambda path: flip(path / "paint.safetensors", 8 * 100 + 3), "paint.safetensors"),
    "the last bit flipped": (
        lambda path: flip(path / "adam.safetensors", 8 * (path / "adam.safetensors").stat().st_size - 1),
        "adam.safetensors",
    ),
    "a truncated file": (lambda path: cut(path / "paint.safetensors"), "paint.safetensors"),
    "an empty file": (lambda path: (path / "adam.safetensors").write_bytes(b""), "adam.safetensors"),
    "a missing file": (lambda path: (path / "adam.safetensors").unlink(), "adam.safetensors"),
    "no manifest": (lambda path: (path / MANIFEST).unlink(), MANIFEST),
    "a truncated manifest": (lambda path: cut_in_half(path / MANIFEST), MANIFEST),
    "an empty manifest": (lambda path: (path / MANIFEST).write_text(""), MANIFEST),
    "a manifest of NULs": (lambda path: (path / MANIFEST).write_bytes(bytes(300)), MANIFEST),
    "a manifest that is not text": (lambda path: (path / MANIFEST).write_bytes(b"\xff\xfe\x80"), MANIFEST),
    "a manifest of another kind": (lambda path: (path / MANIFEST).write_text("[1, 2]"), MANIFEST),
    "a manifest without facts": (lambda path: (path / MANIFEST).write_text('{"files": {}}'), MANIFEST),
    "a manifest of strange files": (lambda path: (path / MANIFEST).write_text('{"facts": {}, "files": 3}'), MANIFEST),
    "nothing at all": (lambda path: [file.unlink() for file in path.iterdir()], MANIFEST),
}


def cut_in_half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_for_the_older_one_and_named_with_the_reason(
    damage: str, tmp_path: Path
) -> None:
    do, named = DAMAGES[damage]
    write(tmp_path, 10)
    newer = write(tmp_path, 20)
    do(newer)
    with pytest.raises(ValueError, match=named):
        verify(newer)
    step, complaints = last(tmp_path)
    assert step == 10
    (complaint,) = complaints
    assert str(newer) in complaint
    assert named in complaint
    assert "\n" not in complaint


def test_no_flipped_bit_of_the_manifest_changes_what_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints"
    save_checkpoint(path, 37, {"paint": {"bias": torch.ones(1)}}, {"processes": 2, "scaler": {"scale": 64.0}}, keep=1)
    sound = path / "step-0000037"
    expected, pristine = verify(sound).facts, (sound / MANIFEST).read_bytes()
    believed = []
    for bit in range(0, 8 * len(pristine), 3):  # every byte, two or three of its bits
        flipped = bytearray(pristine)
        flipped[bit // 8] ^= 1 << bit % 8
        (sound / MANIFEST).write_bytes(flipped)
        try:
            if verify(sound).facts != expected:
                believed.append(bytes(flipped))
        except ValueError:
            pass
    assert believed == []


def test_it_stops_if_none_is_whole_instead_of_starting_anew(tmp_path: Path) -> None:
    for step in (10, 20):
        cut(write(tmp_path, step) / "paint.safetensors")
    complaints: list[str] = []
    with pytest.raises(ValueError, match=r"no checkpoint in .* is whole"):
        last_checkpoint(tmp_path, complaints.append)
    assert len(complaints) == 2


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_last_ones_are_kept(keep: int, tmp_path: Path) -> None:
    for step in range(1, 6):
        write(tmp_path, step, keep=keep)
    assert steps(tmp_path) == [f"step-{step:07d}" for step in range(6 - keep, 6)]


def test_older_ones_are_removed_only_after_the_new_one_is_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1, keep=1)
    removed: list[str] = []
    rmtree = shutil.rmtree

    def watched(path: Path, **options: Any) -> None:
        if Path(path).exists():
            verify(tmp_path / "step-0000002")
            removed.append(Path(path).name)
        rmtree(path, **options)

    monkeypatch.setattr(checkpoints.shutil, "rmtree", watched)
    write(tmp_path, 2, keep=1)
    assert removed == ["step-0000001"]


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("broken", ["as_bytes", "sync", "sha256"])
def test_a_write_that_fails_leaves_the_older_ones_and_nothing_half_visible(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, broken, no_space)
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path, 3)
    assert [name for name in steps(tmp_path) if not name.startswith(".")] == ["step-0000001", "step-0000002"]
    assert last(tmp_path) == (2, [])
    # and once there is space, it goes on
    write(tmp_path, 3)
    assert steps(tmp_path) == ["step-0000002", "step-0000003"]
    assert last(tmp_path) == (3, [])


def test_the_second_file_may_fail_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)
    real, calls = checkpoints.as_bytes, []

    def second_fails(values: Tensors) -> bytes:
        calls.append(values)
        if len(calls) == 2:
            no_space()
        return real(values)

    monkeypatch.setattr(checkpoints, "as_bytes", second_fails)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, 2)
    assert last(tmp_path) == (1, [])


def test_what_a_killed_process_left_aside_is_ignored_and_replaced(tmp_path: Path) -> None:
    write(tmp_path, 1)
    aside = tmp_path / f"{checkpoints.IN_PROGRESS}step-0000002"
    aside.mkdir()
    (aside / "paint.safetensors").write_bytes(b"half")
    (aside / "of another version.safetensors").write_bytes(b"half")
    assert last(tmp_path) == (1, [])
    path = write(tmp_path, 2)
    assert steps(tmp_path) == ["step-0000001", "step-0000002"]
    assert sorted(file.name for file in path.iterdir() if file.suffix == ".safetensors") == [
        "adam.safetensors",
        "paint.safetensors",
    ]
    assert last(tmp_path) == (2, [])


def test_a_damaged_one_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    write(tmp_path, 1)
    cut(write(tmp_path, 2) / "paint.safetensors")
    write(tmp_path, 2)
    assert last(tmp_path) == (2, [])


def test_a_damaged_newer_one_does_not_push_out_the_one_just_written(tmp_path: Path) -> None:
    write(tmp_path, 10)
    cut(write(tmp_path, 30) / "paint.safetensors")
    assert last(tmp_path)[0] == 10
    # gone on from step 10, with shorter ways between checkpoints, and keeping one
    write(tmp_path, 20, keep=1)
    assert last(tmp_path)[0] == 20


def test_only_the_main_process_makes_the_folder_and_each_writes_its_own(tmp_path: Path) -> None:
    # Two processes in turn: the second's files are written where the first waits.
    met: list[str] = []

    def other_process() -> None:
        met.append("barrier")
        if len(met) == 1:
            own = {"replay-1": {"photos": torch.ones(2)}}
            save_checkpoint(tmp_path, 5, own, {"processes": 9}, keep=1, main=False)

    write(tmp_path, 5, barrier=other_process)
    checkpoint = last_checkpoint(tmp_path, pytest.fail)
    assert checkpoint is not None
    assert torch.equal(checkpoint.tensors("replay-1")["photos"], torch.ones(2))
    assert checkpoint.facts["processes"] == 1
    manifest = json.loads((checkpoint.path / MANIFEST).read_text())
    assert {"adam.safetensors", "paint.safetensors", "replay-1.safetensors"} <= set(manifest["files"])
