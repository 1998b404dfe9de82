"""Caches are made once, bounded, shared, and never in the way."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Draw

from cyclestyle.config import DataSettings
from cyclestyle.data import cache as cache_module
from cyclestyle.data import caching as module
from cyclestyle.data.cache import Cache
from cyclestyle.data.caching import LEFT_OVER, cache_folder, open_caches
from cyclestyle.data.decoding import read_pixels
from cyclestyle.data.folders import Sets
from cyclestyle.files import held

Opening = Callable[..., tuple[Cache, Cache] | None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CYCLESTYLE_CACHE", str(tmp_path / "caches"))
    return tmp_path / "caches"


@pytest.fixture
def sets(tmp_path: Path, draw: Draw) -> Sets:
    return Sets(draw(tmp_path / "photos", 5), draw(tmp_path / "paintings", 4, seed=1), [], [])


def settings(**asked: object) -> DataSettings:
    return DataSettings.model_validate({"augmentation": "paper", "crop": 16, "resize": 20} | asked)


def opened(sets: Sets, said: list[str] | None = None, **asked: object) -> tuple[Cache, Cache] | None:
    return open_caches(sets, settings(**asked), pytest.fail if said is None else said.append, lambda: False)


def held_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.pixels"))


def decoding(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    decoded: list[str] = []
    monkeypatch.setattr(cache_module, "read_pixels", lambda path: (decoded.append(path.name), read_pixels(path))[1])
    return decoded


def test_pictures_are_decoded_once(folder: Path, sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = decoding(monkeypatch)
    first = opened(sets)
    assert first is not None
    assert [len(cache) for cache in first] == [5, 4]
    assert len(decoded) == 9
    again = opened(sets, batch=3, workers=7)
    assert again is not None
    assert len(decoded) == 9
    assert [cache.path for cache in again] == [cache.path for cache in first]


def test_paintings_are_shared_between_runs_with_other_photos(folder: Path, sets: Sets, draw: Draw) -> None:
    opened(sets)
    opened(Sets(draw(folder.parent / "more", 3, seed=5), sets.paintings, [], []))
    assert len(held_in(folder)) == 3


def test_one_set_for_both_is_one_file(folder: Path, sets: Sets) -> None:
    found = opened(Sets(sets.photos, sets.photos, [], []))
    assert found is not None
    assert len(held_in(folder)) == 1


def test_a_changed_picture_is_decoded_again(folder: Path, sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(sets)
    sets.photos[3].write_bytes(sets.photos[0].read_bytes())
    os.utime(sets.photos[3], (0, 0))
    decoded = decoding(monkeypatch)
    found = opened(sets)
    assert found is not None
    assert decoded == [sets.photos[3].name]
    assert (found[0][3] == found[0][0]).all()


def test_a_damaged_cache_is_made_anew(folder: Path, sets: Sets) -> None:
    first = opened(sets)
    assert first is not None
    whole = first[0].path.read_bytes()
    del first  # a file that is mapped must not be cut off: it is replaced by another
    path = folder / next(name for name in held_in(folder) if (folder / name).read_bytes() == whole)
    path.unlink()
    path.write_bytes(whole[:-30])
    assert opened(sets) is not None
    assert path.read_bytes() == whole


def test_off_makes_nothing(folder: Path, sets: Sets) -> None:
    assert opened(sets, cache="off") is None
    assert not folder.exists()


# --- where --------------------------------------------------------------------------------------------------------


def test_the_folder_is_the_one_that_is_given_else_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYCLESTYLE_CACHE", "/here")
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert cache_folder() == Path("/here")
    monkeypatch.delenv("CYCLESTYLE_CACHE")
    assert cache_folder() == Path("/there/cyclestyle/pictures")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/cyclestyle/pictures")


# --- how much -----------------------------------------------------------------------------------------------------

ROW = 3 * 20 * 20


def test_what_was_used_longest_ago_gives_way(folder: Path, sets: Sets, draw: Draw, tmp_path: Path) -> None:
    others = {name: draw(tmp_path / name, 4, seed=3) for name in ("oldest", "older", "newer")}
    for age, (name, paths) in enumerate(others.items()):
        before = set(held_in(folder)) if folder.exists() else set()
        opened(Sets(paths, paths, [], []))
        (made,) = {*held_in(folder)} - before
        (folder / made).rename(folder / f"{name}.pixels")
        os.utime(folder / f"{name}.pixels", (age, age))
    size = (folder / "newer.pixels").stat().st_size
    # Room for both sets and one and a half of the others.
    opened(sets, cache=f"{(9 * ROW + 1.5 * size) / 1e9:.9f}GB")
    left = held_in(folder)
    assert "newer.pixels" in left
    assert "older.pixels" not in left
    assert "oldest.pixels" not in left
    assert len(left) == 3


def test_what_is_used_counts_as_new(folder: Path, sets: Sets) -> None:
    found = opened(sets)
    assert found is not None
    for cache in found:
        os.utime(cache.path, (0, 0))
    opened(sets)
    assert all(cache.path.stat().st_mtime > time.time() - 60 for cache in found)


@pytest.mark.parametrize("preset", ["paper", "zoom"])
def test_more_than_is_allowed_is_not_cached_and_said(preset: str, folder: Path, sets: Sets) -> None:
    said: list[str] = []
    needed = 9 * (ROW if preset == "paper" else 3 * 24 * 24)
    assert opened(sets, said, cache=f"{(needed - 1) / 1e9:.9f}GB", augmentation=preset) is None
    (sentence,) = said
    assert "not cached" in sentence
    assert "--data.cache" in sentence
    assert held_in(folder) == []
    assert opened(sets, cache=f"{needed / 1e9:.9f}GB", augmentation=preset) is not None


def test_half_of_the_free_disk_is_left(folder: Path, sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 9 * ROW * 2 - 2

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    said: list[str] = []
    assert opened(sets, said) is None
    assert "--data.cache auto" in said[0]
    Usage.free += 2
    assert opened(sets) is not None


def test_what_killed_processes_left_is_removed(folder: Path, sets: Sets) -> None:
    folder.mkdir()
    for name, age in ((".part-old.pixels", LEFT_OVER + 60), (".part-new.pixels", 5)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age, time.time() - age))
    opened(sets)
    assert not (folder / ".part-old.pixels").exists()
    assert (folder / ".part-new.pixels").exists()  # of a process that may be writing it


# --- what is in the way -------------------------------------------------------------------------------------------


def test_a_full_disk_is_a_sentence(folder: Path, sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cyclestyle.files.sync", full)
    said: list[str] = []
    assert opened(sets, said) is None
    (sentence,) = said
    assert "not cached" in sentence
    assert "No space left" in sentence
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_a_folder_that_cannot_be_made_is_a_sentence(
    sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CYCLESTYLE_CACHE", str(tmp_path / "file" / "below"))
    said: list[str] = []
    assert opened(sets, said) is None
    assert len(said) == 1


def test_a_cache_that_can_only_be_read_is_used(folder: Path, sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(sets)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "utime", refused)
    monkeypatch.setattr(module, "held", refused)
    monkeypatch.setattr(Path, "mkdir", refused)
    assert opened(sets) is not None


def test_being_asked_to_stop_leaves_no_half_of_a_cache(folder: Path, sets: Sets) -> None:
    asked: list[int] = []

    def hurried() -> bool:
        asked.append(1)
        return len(asked) > 3

    assert open_caches(sets, settings(), pytest.fail, hurried) is None
    assert [path.name for path in folder.iterdir()] == ["lock"]
    assert opened(sets) is not None  # and the next one begins again


# --- together -----------------------------------------------------------------------------------------------------

MAKING = """
import sys
from pathlib import Path
from cyclestyle.config import DataSettings
from cyclestyle.data import caching
from cyclestyle.data.folders import Sets

def write(path, *rest):
    with Path(sys.argv[2]).open("a") as file:
        file.write(path.name + chr(10))
    real(path, *rest)

real, caching.write_cache = caching.write_cache, write
photos, paintings = (sorted((Path(sys.argv[1]) / name).iterdir()) for name in ("photos", "paintings"))
found = caching.open_caches(
    Sets(photos, paintings, [], []), DataSettings(crop=16, resize=20), print, lambda: False
)
print([len(cache) for cache in found])
"""


@pytest.mark.slow
def test_several_processes_make_it_once(folder: Path, sets: Sets, tmp_path: Path) -> None:
    words = [sys.executable, "-c", MAKING, str(tmp_path), str(tmp_path / "made")]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in running:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert said.splitlines()[-1] == "[5, 4]"
    made = (tmp_path / "made").read_text().split()
    assert len(made) == len({*made}) == 2


HOLDING = """
import sys, time
from pathlib import Path
from cyclestyle.files import held
with held(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def test_another_process_that_makes_it_is_waited_for_and_can_be_left(folder: Path, sets: Sets) -> None:
    folder.mkdir()
    words = [sys.executable, "-c", HOLDING, str(folder / "lock")]
    other = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        began, said = time.monotonic(), []
        assert open_caches(sets, settings(), said.append, lambda: time.monotonic() - began > 0.5) is None
        assert len(said) == 1
        assert "waiting" in said[0]
        other.kill()
        other.wait()
        assert opened(sets) is not None
    finally:
        other.kill()
        other.wait()
    with held(folder / "lock") as mine:
        assert mine
