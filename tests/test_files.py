"""A reader meets the old file or the new one, never half of one, and no leftovers stay behind."""

import errno
from pathlib import Path

import pytest

from cyclestyle import files
from cyclestyle.files import IN_PROGRESS, sha256, write_text, written_aside

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
