"""Pictures come into a data folder whole or not at all. Covers cyclestyle.data.fetching.arriving.

A stand-in for `fetch` puts a zip down, where that matters; the real client is in test_client and test_download.
"""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import competition_zip, jpeg, keep_at_home
from test_verifying import write_sets

from cyclestyle.data.fetching import arriving
from cyclestyle.data.fetching.arriving import Place, bring
from cyclestyle.data.fetching.verifying import there_already
from cyclestyle.stopping import Stopped, StopRequest


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Should the client be started by mistake, it knows nobody and reaches nothing."""
    keep_at_home(monkeypatch, tmp_path_factory.mktemp("home"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "monet"


@pytest.fixture
def zipped(tmp_path: Path) -> Path:
    path = tmp_path / "given.zip"
    path.write_bytes(competition_zip(2, 3))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


FILES = [
    "download.json",
    *(f"monet_jpg/{number:010x}.jpg" for number in range(2)),
    *(f"photo_jpg/{number:010x}.jpg" for number in range(3)),
]


def test_a_zip_fills_a_folder_and_stays(target: Path, zipped: Path) -> None:
    found = bring("monet", target, StopRequest(), from_zip=zipped)
    assert found.told == "2 paintings, 3 photos"
    assert found.folder == target
    assert names(target) == FILES
    assert zipped.exists()
    assert [path.name for path in target.parent.iterdir()] == ["monet"]
    assert there_already(target) is not None


def test_an_empty_folder_and_a_link_to_one_are_filled(tmp_path: Path, zipped: Path) -> None:
    (tmp_path / "elsewhere" / "empty").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "empty")
    bring("monet", tmp_path / "link", StopRequest(), from_zip=zipped)
    assert names(tmp_path / "elsewhere" / "empty") == FILES
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("below", ["", "input", "input/competitions/gan-getting-started"])
def test_a_folder_is_copied_from_wherever_both_sets_are_in_it(tmp_path: Path, target: Path, below: str) -> None:
    given = write_sets(tmp_path / "given" / below)
    (given / "monet_tfrec").mkdir()
    (given / "monet_tfrec" / "x.tfrec").write_bytes(b"x")
    (given / "monet_jpg" / "notes.txt").write_text("x")
    (given / "photo_jpg" / "page.jpg").write_bytes(b"<html>")
    before = names(tmp_path / "given")
    found = bring("monet", target, StopRequest(), from_folder=tmp_path / "given")
    assert names(tmp_path / "given") == before
    sets = [f"{folder}/{number}.jpg" for folder in ("monet_jpg", "photo_jpg") for number in (0, 1)]
    assert names(target) == ["download.json", *sets, "photo_jpg/page.jpg"]
    assert [one.path for one in found.unusable] == [target / "photo_jpg" / "page.jpg"]  # where it is now


def test_a_folder_without_both_sets_is_refused_with_a_hint(tmp_path: Path, target: Path, zipped: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds none of the known pairs.*; its given\.zip can be given with"):
        bring("monet", target, StopRequest(), from_folder=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*given\.zip; give a zip with --from-zip"):
        bring("monet", target, StopRequest(), from_folder=zipped)
    assert not target.parent.exists() or list(target.parent.iterdir()) == []


def test_for_styles_that_are_not_on_kaggle_a_zip_is_asked_for(target: Path, zipped: Path) -> None:
    with pytest.raises(ValueError, match=r"Kaggle has no competition for cezanne: .*cezanne2photo\.zip"):
        bring("cezanne", target, StopRequest())
    assert not target.parent.exists()
    bring("cezanne", target, StopRequest(), from_zip=zipped)
    assert names(target) == FILES


class AskedAfter(StopRequest):
    """Somebody asks after so many looks."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    @property
    def asked(self) -> str | None:
        self.looks -= 1
        return "SIGTERM" if self.looks < 0 else None


@pytest.mark.parametrize("looks", [0, 2, 5, 7])
@pytest.mark.parametrize("way", ["from_zip", "from_folder"])
def test_stopped_anywhere_nothing_is_left(tmp_path: Path, target: Path, zipped: Path, looks: int, way: str) -> None:
    given = {"from_zip": zipped, "from_folder": write_sets(tmp_path / "given")}[way]
    with pytest.raises(Stopped, match=r"stopped \(SIGTERM\): nothing half-written is left"):
        bring("monet", target, AskedAfter(looks), **{way: given})
    assert list(target.parent.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from cyclestyle.data.fetching import arriving
from cyclestyle.stopping import StopRequest
arriving.record = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
arriving.bring("monet", Path(sys.argv[1]), StopRequest(), from_zip=Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_what_a_killed_run_left_is_cleared_away(target: Path, zipped: Path) -> None:
    run = subprocess.run([sys.executable, "-c", KILLED, target, zipped], capture_output=True, check=False)
    assert run.returncode == -signal.SIGKILL
    assert not target.exists()
    (target.parent / ".monet.arriving" / "unpacked" / "monet_jpg" / "old.jpg").write_bytes(jpeg(0))
    bring("monet", target, StopRequest(), from_zip=zipped)
    assert names(target.parent) == [f"monet/{name}" for name in FILES]


def test_two_at_once_do_not_meet(target: Path, zipped: Path) -> None:
    place = Place(target)
    place.arriving.mkdir(parents=True)
    holder = "import sys, time; from pathlib import Path; from cyclestyle.files import held\n"
    holder += "with held(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, place.arriving / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match=r"another process is bringing pictures to .*; wait until it has ended"):
            bring("monet", target, StopRequest(), from_zip=zipped)
        assert not target.exists()
        other.stdin.close()
    bring("monet", target, StopRequest(), from_zip=zipped)


Usage = namedtuple("Usage", "total used free")


def test_too_little_room_is_told_before_it_is_used_up(
    target: Path, zipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 700_000_000))
    with pytest.raises(OSError, match=r"data has 0\.70 GB of free disk, and the zip and the pictures .* take 0\.80: "):
        bring("monet", target, StopRequest())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 1_000))
    with pytest.raises(OSError, match=r"has 0\.00 GB of free disk, and the pictures take"):
        bring("monet", target, StopRequest(), from_zip=zipped)
    with pytest.raises(OSError, match=r"has 0\.00 GB of free disk, and the pictures take"):
        bring("monet", target, StopRequest(), from_folder=write_sets(target.parent.parent / "given"))
    assert list(target.parent.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("not permitted to mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_disk_that_fills_up_is_told_and_emptied(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = write_sets(tmp_path / "given", count=150)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 10**12))  # somebody else takes it meanwhile
    with pytest.raises(OSError, match="monet cannot be filled: No space left on device; free some room, or choose"):
        bring("monet", small_disk / "monet", StopRequest(), from_folder=given)
    assert list(small_disk.iterdir()) == []
    with pytest.raises(ValueError, match="is where a disk is mounted; choose a folder in it with --to"):
        bring("monet", small_disk, StopRequest(), from_folder=given)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, zipped: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match=r"file/monet cannot be filled: .*; choose another place with --to$"):
        bring("monet", tmp_path / "file" / "monet", StopRequest(), from_zip=zipped)
    with pytest.raises(OSError, match=r"cannot be filled: .*; choose another place with --to$"):
        bring("monet", Path("/proc/monet"), StopRequest(), from_zip=zipped)


class Brought:
    """Stands for the client: puts a zip down, and counts how often."""

    def __init__(self, content: bytes) -> None:
        self.content, self.times = content, 0

    def __call__(self, folder: Path, stop: StopRequest) -> Path:
        self.times += 1
        (folder / "gan-getting-started.zip").write_bytes(self.content)
        return folder / "gan-getting-started.zip"


def test_a_whole_zip_is_not_downloaded_again_after_unpacking_was_stopped(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arriving, "fetch", client := Brought(competition_zip(2, 3)))
    with pytest.raises(Stopped):
        bring("monet", target, AskedAfter(2))
    assert names(target.parent) == [".monet.arriving/lock", ".monet.arriving/whole.zip"]
    bring("monet", target, StopRequest())
    assert names(target.parent) == [f"monet/{name}" for name in FILES]
    assert client.times == 1


def test_a_zip_that_the_disk_has_no_room_for_is_kept(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "fetch", Brought(competition_zip(2, 3)))
    with monkeypatch.context() as patch:
        patch.setattr(arriving, "unpack_into", full)
        with pytest.raises(OSError, match="cannot be filled: No space left"):
            bring("monet", target, StopRequest())
    assert names(target.parent) == [".monet.arriving/lock", ".monet.arriving/whole.zip"]
    bring("monet", target, StopRequest(), keep_zip=True)
    assert names(target.parent) == ["gan-getting-started.zip", *(f"monet/{name}" for name in FILES)]


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_zip_that_is_none_is_removed_or_kept_where_that_was_asked_for(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arriving, "fetch", Brought(b"<html>"))
    with pytest.raises(ValueError, match=r"^gan-getting-started\.zip: this is HTML .*; it was removed, and the same"):
        bring("monet", target, StopRequest())
    assert list(target.parent.iterdir()) == []
    with pytest.raises(ValueError, match=r"this is HTML .* \(kept: .*data/gan-getting-started\.zip\)$"):
        bring("monet", target, StopRequest(), keep_zip=True)
    assert names(target.parent) == ["gan-getting-started.zip"]
