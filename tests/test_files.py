"""A reader meets the old file or the new one, never half of one, and no leftovers stay behind."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cyclestyle import files
from cyclestyle.files import IN_PROGRESS, held, reason, sha256, write_synced, write_text, writing_to, written_aside

FAILURES = [ValueError("wrong"), OSError(errno.ENOSPC, "disk full"), KeyboardInterrupt(), SystemExit(3)]


def fail_while_writing(path: Path, failure: BaseException) -> None:
    with written_aside(path) as aside:
        aside.write_bytes(b"half of the n")
        raise failure


def test_what_was_written_aside_takes_the_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")
    with written_aside(path) as aside:
        aside.write_bytes(b"new")
        assert path.read_bytes() == b"old"  # until the end a reader meets the old one
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_failure_leaves_the_old_file_and_no_leftovers(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(failure)) as caught:
        fail_while_writing(path, failure)
    assert caught.value is failure
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_failure_before_the_first_version_leaves_an_empty_folder(tmp_path: Path, failure: BaseException) -> None:
    with pytest.raises(type(failure)):
        fail_while_writing(tmp_path / "weights.bin", failure)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> None:
        raise OSError(errno.EIO, "input/output error")

    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")
    monkeypatch.setattr(files, "sync", broken)
    with pytest.raises(OSError, match="input/output error"), written_aside(path) as aside:
        aside.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")
    seen: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(files, "sync", lambda aside: seen.append((aside.read_bytes(), path.read_bytes())))
    with written_aside(path) as aside:
        aside.write_bytes(b"new")
    assert seen == [(b"new", b"old")]


def test_a_writer_that_wrote_nothing_is_an_error_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), written_aside(path):
        pass
    assert path.read_bytes() == b"old"


def test_the_file_in_progress_is_hidden_lies_beside_and_keeps_the_suffix(tmp_path: Path) -> None:
    with written_aside(tmp_path / "painting.JPG") as aside:
        aside.touch()
        assert aside.parent == tmp_path  # a rename is one step only within a file system
        assert aside.name.startswith(IN_PROGRESS)
        assert IN_PROGRESS.startswith(".")
        assert aside.suffix == ".JPG"
        with written_aside(tmp_path / "painting.JPG") as another:
            another.touch()
            assert another != aside  # two processes do not write to one file


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "here")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "here"


def test_text_is_written_as_utf8_and_replaces_the_old_text_entirely(tmp_path: Path) -> None:
    path = tmp_path / "card.txt"
    write_text(path, "a much longer text than the next one")
    write_text(path, "Monet à Étretat 🎨\n")
    assert path.read_bytes() == "Monet à Étretat 🎨\n".encode()


def test_sha256_is_that_of_the_standard(tmp_path: Path) -> None:
    """FIPS 180-2, appendix B, and the empty message."""
    path = tmp_path / "message"
    for content, digest in (
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ):
        path.write_bytes(content)
        assert sha256(path) == digest


# --- new files that are on the disk -------------------------------------------------------------------------------


def test_a_new_file_is_whole_and_on_the_disk_also_if_the_system_takes_it_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, content = tmp_path / "weights.bin", bytes(range(256)) * 3
    real_write, real_sync, synced = os.write, os.fsync, []

    def sync(descriptor: int) -> None:
        synced.append(path.read_bytes())
        real_sync(descriptor)

    monkeypatch.setattr(files.os, "write", lambda descriptor, rest: real_write(descriptor, rest[:7]))
    monkeypatch.setattr(files.os, "fsync", sync)
    write_synced(path, content)
    assert synced == [content]
    assert path.read_bytes() == content


def test_a_file_of_several_megabytes_and_an_empty_one_are_whole(tmp_path: Path) -> None:
    content = os.urandom(2 * files.MEGABYTE + 17)
    write_synced(tmp_path / "large", content)
    write_synced(tmp_path / "empty", b"")
    assert (tmp_path / "large").read_bytes() == content
    assert (tmp_path / "empty").read_bytes() == b""


def test_a_new_file_is_never_written_over_another(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"old")
    (tmp_path / "link.bin").symlink_to(tmp_path / "elsewhere")
    for name in ("weights.bin", "link.bin"):
        with pytest.raises(FileExistsError):
            write_synced(tmp_path / name, b"new")
    assert (tmp_path / "weights.bin").read_bytes() == b"old"
    assert not (tmp_path / "elsewhere").exists()


def test_a_new_file_that_does_not_fit_is_an_error_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, rest: memoryview) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a listing of numbers
    monkeypatch.setattr(files.os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        write_synced(tmp_path / "weights.bin", b"new")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


# --- what went wrong ----------------------------------------------------------------------------------------------


def test_a_write_that_fails_names_the_file_although_the_system_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "weights.bin"
    with pytest.raises(OSError, match="No space left") as caught, written_aside(path):
        full()
    assert caught.value.filename == str(path)
    monkeypatch.setattr(files.os, "write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_synced(path, b"new")
    assert caught.value.filename == str(path)
    assert reason(caught.value) == f"No space left on device ({path})"


def test_an_error_that_is_not_the_systems_keeps_its_words(tmp_path: Path) -> None:
    """Pillow's have no number."""
    with pytest.raises(OSError, match="encoder error -2"), written_aside(tmp_path / "picture.png"):
        raise OSError("encoder error -2 when writing image file")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "there"), "No space left on device (there)"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError("encoder error -2"), "encoder error -2"),
        (ValueError("wrong"), "wrong"),
    ],
)
def test_reasons_are_told_without_numbers(error: Exception, said: str) -> None:
    assert reason(error) == said


def test_what_cannot_be_written_to_a_folder_is_told_with_its_name(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=f"^{tmp_path} cannot be written: No space left on device"),
        writing_to(tmp_path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(KeyError), writing_to(tmp_path):
        raise KeyError("x")


# --- a lock file --------------------------------------------------------------------------------------------------

HOLD = """
import os, sys, time
from pathlib import Path
from cyclestyle.files import held
with held(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    for _ in range(int(sys.argv[2])):
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
        print(child, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another(path: Path, *, children: int = 0) -> Iterator[tuple[subprocess.Popen[str], bool]]:
    """Another process that tries to hold a file, until it is killed; and whether it does."""
    words = [sys.executable, "-c", HOLD, str(path), str(children)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline() == "True\n"
    finally:
        process.kill()
        process.communicate()


def holds(path: Path) -> bool:
    with held(path) as ours:
        return ours


def test_a_file_that_one_process_holds_no_other_can_hold_until_it_lets_go(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with held(path) as ours:
        assert ours
        written = path.read_bytes()
    with held(path) as ours:
        assert ours
        with another(path) as (_, theirs):
            assert not theirs
    assert written.startswith(f"process {os.getpid()} on ".encode())
    with another(path) as (process, theirs):
        assert theirs
        assert not holds(path)
        assert path.read_text().startswith(f"process {process.pid} on ")  # who was refused has not written over it


def test_the_system_lets_go_when_the_process_is_killed_also_if_its_children_live_on(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with another(path, children=1) as (process, theirs):
        assert theirs
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert not holds(path)
        process.kill()
        process.wait()
        try:
            os.kill(child, 0)  # it is still there
            assert holds(path)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("number", "ours"), [(errno.EACCES, False), (errno.EAGAIN, False), (errno.ENOLCK, True), (errno.EOPNOTSUPP, True)]
)
def test_where_the_file_system_knows_no_locks_it_goes_on_without(
    number: int, ours: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    assert holds(tmp_path / ".lock") is ours


def test_a_failure_while_it_is_held_lets_go_of_it_and_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wrong"), held(tmp_path / ".lock"):
        raise ValueError("wrong")
    with another(tmp_path / ".lock") as (_, theirs):
        assert theirs
