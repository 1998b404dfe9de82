"""Processes that load batches end when they are told to, and never keep the others from it."""

import multiprocessing
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from conftest import Draw

from cyclestyle.config import DataSettings
from cyclestyle.data.folders import Sets
from cyclestyle.data.loaders import Flag, build_loader, require_workers
from cyclestyle.data.unpaired import Places, UnpairedPictures


@pytest.fixture
def pictures(tmp_path: Path, draw: Draw) -> UnpairedPictures:
    sets = Sets(draw(tmp_path / "photos", 5), draw(tmp_path / "paintings", 4, seed=1), [], [])
    return UnpairedPictures(sets, settings(), 3)


def settings(workers: int = 0) -> DataSettings:
    return DataSettings(augmentation="zoom", crop=16, workers=workers, batch=2)


PLACES = Places(0, 9, batch=2, rank=0, processes=1)


OTHERS = sorted({*multiprocessing.get_all_start_methods()} - {"fork"})


@pytest.mark.parametrize("method", ["fork", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_they_look_at_a_flag_without_a_lock_and_end_by_themselves(
    method: str, pictures: UnpairedPictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's own event has a lock; one that is killed while it looks keeps it, and its death goes unnoticed."""
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: method)
    loader = iter(build_loader(pictures, PLACES, settings(workers=2), pin=False))
    assert isinstance(loader._workers_done_event, Flag)
    for found, expected in zip(loader, build_loader(pictures, PLACES, settings(), pin=False), strict=True):
        assert torch.equal(found.photos, expected.photos)
    loader._shutdown_workers()
    assert [worker.exitcode for worker in loader._workers] == [0, 0]


LOADING = """
import multiprocessing, sys, time
from pathlib import Path
from cyclestyle.config import DataSettings
from cyclestyle.data.folders import Sets
from cyclestyle.data.loaders import build_loader
from cyclestyle.data.unpaired import Places, UnpairedPictures

if __name__ == "__main__":
    method, folder = sys.argv[1:]
    multiprocessing.set_start_method(method)
    settings = DataSettings(augmentation="zoom", crop=16, workers=2, batch=2)
    sets = Sets(*(sorted(Path(folder, name).iterdir()) for name in ("photos", "paintings")), [], [])
    places = Places(0, 9, batch=2, rank=0, processes=1)
    loader = iter(build_loader(UnpairedPictures(sets, settings, 3), places, settings, pin=False))
    next(loader)
    print(*(worker.pid for worker in loader._workers), flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills as only POSIX systems do")
@pytest.mark.parametrize("method", ["fork", *OTHERS])
def test_none_is_left_when_the_process_that_they_help_is_killed(method: str, tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "photos", 5), draw(tmp_path / "paintings", 4, seed=1)
    (tmp_path / "loading.py").write_text(LOADING)
    words = [sys.executable, str(tmp_path / "loading.py"), method, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers = [psutil.Process(int(word)) for word in process.stdout.readline().split()]
        assert len(workers) == 2
        process.kill()
    _, left = psutil.wait_procs(workers, 30)
    for worker in left:
        worker.kill()
    assert left == []


def test_the_system_s_own_context_keeps_its_events() -> None:
    assert not isinstance(multiprocessing.get_context().Event(), Flag)


def test_they_leave_signals_to_the_process_that_they_help(pictures: UnpairedPictures) -> None:
    loader = iter(build_loader(pictures, PLACES, settings(workers=1), pin=False))
    next(loader)
    (worker,) = loader._workers
    ignored = next(
        line for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines() if line.startswith("SigIgn")
    )
    mask = int(ignored.split()[1], 16)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        assert mask >> (number - 1) & 1
    loader._shutdown_workers()


@pytest.mark.parametrize(("cores", "most"), [(1, 16), (2, 16), (64, 256), (None, 16)])
def test_more_processes_than_a_machine_has_any_use_of_are_refused(
    cores: int | None, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    for workers in (0, 2, most):
        require_workers(workers)
    sentence = f"data.workers = {most + 1}: .* has {cores or 1} processor cores; give at most {most}"
    with pytest.raises(ValueError, match=sentence):
        require_workers(most + 1)
