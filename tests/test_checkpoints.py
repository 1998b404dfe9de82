"""A checkpoint is whole or not there, damage is noticed, and there is always one to go back to."""

import errno
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import as_processes

from cyclestyle.networks.stored import Tensors, to_bytes
from cyclestyle.processes import Processes
from cyclestyle.training import checkpoints
from cyclestyle.training.checkpoints import (
    LARGEST_MANIFEST,
    MANIFEST,
    forget_unfinished,
    last_checkpoint,
    prune,
    save_checkpoint,
    verify,
)

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


def tensors(seed: int) -> dict[str, Tensors]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "paint": {"weight": torch.randn(4, 3, generator=generator), "bias": torch.randn(4, generator=generator)},
        "adam": {"0.step": torch.tensor(float(seed)), "0.exp_avg": torch.randn(4, 3, generator=generator)},
    }


def as_files(values: dict[str, Tensors]) -> dict[str, Callable[[], bytes]]:
    return {f"{name}.safetensors": lambda held=held: to_bytes(held) for name, held in values.items()}


def save(folder: Path, step: int, files: dict[str, Callable[[], bytes]], facts: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return save_checkpoint(folder, step, files, facts, Processes.join())


def write(folder: Path, step: int) -> Path:
    return save(folder, step, as_files(tensors(step)), {"processes": 1, "scaler": None})


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
        found = checkpoint.tensors(f"{name}.safetensors", values)
        assert found.keys() == values.keys()
        assert all(torch.equal(found[key], value) for key, value in values.items())


def test_views_and_tensors_that_learn_can_be_saved(tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(2, 3).requires_grad_().t()
    save(tmp_path, 1, as_files({"paint": {"weight": weight}, "nothing": {}}), {})
    checkpoint = last_checkpoint(tmp_path, pytest.fail)
    assert checkpoint is not None
    assert torch.equal(checkpoint.tensors("paint.safetensors", {"weight": weight})["weight"], weight)
    assert checkpoint.tensors("nothing.safetensors", {}) == {}


def test_what_was_not_expected_of_a_file_is_not_loaded(tmp_path: Path) -> None:
    checkpoint = verify(write(tmp_path, 12))
    with pytest.raises(ValueError, match=r"lacks replay\.safetensors"):
        checkpoint.tensors("replay.safetensors", {})
    wider = tensors(12)["paint"] | {"weight": torch.zeros(5, 3)}
    with pytest.raises(ValueError, match=r"holds weight as float32 \[4, 3\]; expected float32 \[5, 3\]"):
        checkpoint.tensors("paint.safetensors", wider)


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


def test_every_flipped_bit_of_the_manifest_is_noticed(tmp_path: Path) -> None:
    sound = save(tmp_path, 37, {"p": lambda: b"x"}, {"scale": 64.0})
    pristine = (sound / MANIFEST).read_bytes()
    believed = []
    for bit in range(8 * len(pristine)):
        flipped = bytearray(pristine)
        flipped[bit // 8] ^= 1 << bit % 8
        (sound / MANIFEST).write_bytes(flipped)
        try:
            verify(sound)
        except ValueError:
            continue
        believed.append(bytes(flipped))
    assert believed == []
    (sound / MANIFEST).write_bytes(pristine)
    assert verify(sound).facts == {"scale": 64.0, "step": 37}


def test_a_hundred_flipped_bits_and_ten_cuts_of_each_file_are_noticed(tmp_path: Path) -> None:
    path, chances = write(tmp_path, 5), random.Random(0)
    for file in sorted(path.glob("*.safetensors")):
        pristine = file.read_bytes()
        damaged = [pristine[: chances.randrange(len(pristine))] for _ in range(10)]
        for bit in chances.sample(range(8 * len(pristine)), 100):
            flipped = bytearray(pristine)
            flipped[bit // 8] ^= 1 << bit % 8
            damaged.append(bytes(flipped))
        for content in damaged:
            file.write_bytes(content)
            with pytest.raises(ValueError, match=file.name):
                verify(path)
        file.write_bytes(pristine)
    verify(path)


def reseal(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest as somebody would who knows how it is sealed."""
    content = json.loads((path / MANIFEST).read_text())
    del content["sha256"]
    change(content)
    (path / MANIFEST).write_bytes(checkpoints._sealed(content))


@pytest.mark.parametrize(
    "name", ["../step-0000001/paint.safetensors", "/etc/hostname", "..", ".", "", "a/../b", "a\0b"]
)
def test_a_manifest_that_names_something_outside_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    write(tmp_path, 1)
    path = write(tmp_path, 2)
    entry = json.loads((tmp_path / "step-0000001" / MANIFEST).read_text())["files"]["paint.safetensors"]
    reseal(path, lambda content: content["files"].update({name: entry}))
    with pytest.raises(ValueError, match=r"not a file of its own|null"):
        verify(path)
    assert last(tmp_path)[0] == 1


def to_a_link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def to_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)  # whoever opened it would wait for ever


def to_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("name", ["paint.safetensors", MANIFEST])
@pytest.mark.parametrize("turn", [to_a_link, to_a_pipe, to_a_folder])
def test_links_pipes_and_folders_are_no_files_of_a_checkpoint(
    turn: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    write(tmp_path, 1)
    turn(write(tmp_path, 2) / name)
    step, (complaint,) = last(tmp_path)
    assert step == 1
    assert name in complaint


def test_a_checkpoint_under_the_number_of_another_step_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, 1)
    shutil.copytree(tmp_path / "step-0000001", tmp_path / "step-0000009")
    step, (complaint,) = last(tmp_path)
    assert step == 1
    assert "is a checkpoint of step 1" in complaint


@pytest.mark.parametrize(
    "content",
    [
        b" " * (LARGEST_MANIFEST + 1),
        b"[" * 200_000,
        b'{"sha256": 1}',
        b'{"facts": NaN, "sha256": "x"}',
        b"\xef\xbb\xbf{}",
    ],
    ids=["too large", "deep", "empty", "no number", "byte order mark"],
)
def test_a_strange_manifest_is_refused_in_a_sentence(content: bytes, tmp_path: Path) -> None:
    path = write(tmp_path, 1)
    (path / MANIFEST).write_bytes(content)
    with pytest.raises(ValueError, match=MANIFEST) as refusal:
        verify(path)
    assert len(str(refusal.value)) < 200 + len(str(path))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(files=3),
        lambda content: content.update(facts=None),
        lambda content: content.update(files={"paint.safetensors": "x"}),
        lambda content: content["files"]["paint.safetensors"].update(bytes="many"),
        lambda content: content["files"]["paint.safetensors"].pop("sha256"),
        lambda content: content["facts"].pop("step"),
        lambda content: content["facts"].update(step=[1] * 1000),
    ],
)
def test_a_manifest_that_is_sealed_but_makes_no_sense_is_refused_in_a_sentence(
    change: Callable[[dict[str, Any]], object], tmp_path: Path
) -> None:
    path = write(tmp_path, 1)
    reseal(path, change)
    with pytest.raises(ValueError, match="step-0000001") as refusal:
        verify(path)
    assert len(str(refusal.value)) < 300 + len(str(path))


def test_it_stops_if_none_is_whole_instead_of_starting_anew(tmp_path: Path) -> None:
    for step in (10, 20):
        cut(write(tmp_path, step) / "paint.safetensors")
    complaints: list[str] = []
    with pytest.raises(ValueError, match=r"no checkpoint in .* is whole"):
        last_checkpoint(tmp_path, complaints.append)
    assert len(complaints) == 2


def write_and_prune(folder: Path, step: int, *, keep: int, best: int | None = None) -> Path:
    path = write(folder, step)
    prune(path, keep=keep, best=best)
    return path


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_last_ones_are_kept(keep: int, tmp_path: Path) -> None:
    for step in range(1, 6):
        write_and_prune(tmp_path, step, keep=keep)
    assert steps(tmp_path) == [f"step-{step:07d}" for step in range(6 - keep, 6)]


def test_the_best_one_is_kept_besides_the_last_ones(tmp_path: Path) -> None:
    for step in range(1, 7):
        write_and_prune(tmp_path, step, keep=2, best=min(step, 2))
    assert steps(tmp_path) == [f"step-{step:07d}" for step in (2, 5, 6)]
    write_and_prune(tmp_path, 7, keep=2, best=6)  # a better one came: the best before goes
    assert steps(tmp_path) == [f"step-{step:07d}" for step in (6, 7)]


def test_numbers_of_more_digits_are_newer(tmp_path: Path) -> None:
    for step in (9_999_998, 9_999_999, 10_000_000):
        write_and_prune(tmp_path, step, keep=2)
    assert steps(tmp_path) == ["step-10000000", "step-9999999"]
    assert last(tmp_path) == (10_000_000, [])


def test_saving_removes_nothing_and_pruning_only_what_is_older_than_one_that_is_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)
    seen: list[list[str]] = []
    rmtree = shutil.rmtree

    def watched(path: Path, **options: Any) -> None:
        if Path(path).exists():
            verify(tmp_path / "step-0000002")
            seen.append([name for name in steps(tmp_path) if not name.startswith(".")])
        rmtree(path, **options)

    monkeypatch.setattr(checkpoints.shutil, "rmtree", watched)
    path = write(tmp_path, 2)
    assert seen == []
    prune(path, keep=1, best=None)
    assert seen == [["step-0000002"]]  # what goes is never there in part: its name is gone before its files are
    assert steps(tmp_path) == ["step-0000002"]


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("broken", ["write_synced", "sync", "sha256"])
def test_a_write_that_fails_leaves_the_older_ones_and_nothing_half_visible(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, broken, no_space)
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path, 3)
    assert steps(tmp_path) == ["step-0000001", "step-0000002"]
    assert last(tmp_path) == (2, [])
    # and once there is space, it goes on
    write_and_prune(tmp_path, 3, keep=2)
    assert steps(tmp_path) == ["step-0000002", "step-0000003"]
    assert last(tmp_path) == (3, [])


def fail_at(call: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """A function that runs out of space when it is called for the n-th time."""
    calls: list[object] = []

    def sometimes(*given: object) -> Any:
        calls.append(given)
        return no_space() if len(calls) == call else real(*given)

    return sometimes


@pytest.mark.parametrize("call", [1, 2, 3])
def test_each_file_may_fail_the_manifest_too(call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)
    monkeypatch.setattr(checkpoints, "write_synced", fail_at(call, checkpoints.write_synced))
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, 2)
    assert steps(tmp_path) == ["step-0000001"]
    assert last(tmp_path) == (1, [])


def test_it_is_not_in_place_before_every_file_and_the_folder_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_write, real_sync, real_rename = checkpoints.write_synced, checkpoints.sync, Path.rename
    monkeypatch.setattr(
        checkpoints, "write_synced", lambda path, content: (done.append(path.name), real_write(path, content))
    )
    monkeypatch.setattr(checkpoints, "sync", lambda path: (done.append(f"sync {path.name}"), real_sync(path)))
    monkeypatch.setattr(Path, "rename", lambda path, to: (done.append("rename"), real_rename(path, to))[1])
    write(tmp_path / "checkpoints", 2)
    *files, manifest, synced, renamed, told = done
    assert sorted(files) == ["adam.safetensors", "paint.safetensors"]
    assert (manifest, synced, renamed, told) == (MANIFEST, "sync .part-step-0000002", "rename", "sync checkpoints")


def test_saving_into_a_folder_that_has_vanished_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    write(folder, 1)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(FileNotFoundError):
        save_checkpoint(folder, 2, as_files(tensors(2)), {}, Processes.join())
    assert list(tmp_path.iterdir()) == []


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


def test_only_what_is_unfinished_is_forgotten(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / "mine").mkdir()
    (tmp_path / f"{checkpoints.IN_PROGRESS}step-0000003").mkdir()
    (tmp_path / f"{checkpoints.IN_PROGRESS}step-0000002-old").mkdir()  # it was being removed
    forget_unfinished(tmp_path)
    assert steps(tmp_path) == ["mine", "step-0000001"]


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
    write_and_prune(tmp_path, 20, keep=1, best=30)
    assert steps(tmp_path) == ["step-0000020"]
    assert last(tmp_path) == (20, [])


def own(rank: int) -> dict[str, Tensors]:
    return {f"process-{rank}": {"photos": torch.full((2,), float(rank))}} | (tensors(5) if rank == 0 else {})


def test_each_process_writes_its_own_and_the_facts_are_the_main_ones(tmp_path: Path) -> None:
    def share(processes: Processes) -> Path:
        facts = {"processes": 2, "by": processes.rank}
        return save_checkpoint(tmp_path, 5, as_files(own(processes.rank)), facts, processes)

    assert as_processes(2, share) == [tmp_path / "step-0000005"] * 2
    checkpoint = last_checkpoint(tmp_path, pytest.fail)
    assert checkpoint is not None
    for rank in (0, 1):
        (values,) = (held for name, held in own(rank).items() if name == f"process-{rank}")
        assert torch.equal(checkpoint.tensors(f"process-{rank}.safetensors", values)["photos"], values["photos"])
    assert checkpoint.facts == {"processes": 2, "by": 0, "step": 5}
    manifest = json.loads((checkpoint.path / MANIFEST).read_text())
    assert set(manifest["files"]) == {f"{name}.safetensors" for name in ("adam", "paint", "process-0", "process-1")}


@pytest.mark.parametrize("failing", [0, 1])
def test_what_one_process_cannot_write_is_not_in_place_and_none_waits_for_ever(failing: int, tmp_path: Path) -> None:
    write(tmp_path, 1)

    def share(processes: Processes) -> Path:
        files = as_files(own(processes.rank)) | ({"more": no_space} if processes.rank == failing else {})
        return save_checkpoint(tmp_path, 5, files, {}, processes)

    refused = as_processes(2, share)
    assert [type(one) for one in refused] == [OSError if rank == failing else ValueError for rank in (0, 1)]
    assert all("No space left" in str(one) for one in refused)
    assert steps(tmp_path) == ["step-0000001"]
