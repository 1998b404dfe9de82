"""Batches go on as they would have, whatever happens to the processes that load them."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import Draw
from torch.utils.data import dataloader

from cyclestyle.config import DataSettings
from cyclestyle.data.folders import Sets
from cyclestyle.data.loaders import build_loader
from cyclestyle.data.unpaired import Batch, Places, UnpairedPictures
from cyclestyle.training.feed import HANDLER, RESTARTS, Feed


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look every half second whether the loaders live, not every five."""
    monkeypatch.setattr(dataloader._MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.5,))


class Loading:
    """Begins loading, and keeps what it began."""

    def __init__(self, folder: Path, draw: Draw, *, workers: int, last: int = 12) -> None:
        self.sets = Sets(draw(folder / "photos", 5), draw(folder / "paintings", 4, seed=1), [], [])
        self.settings = DataSettings(augmentation="zoom", crop=16, workers=workers, batch=2)
        self.last, self.begun, self.at = last, [], []

    def __call__(self, first: int) -> Iterator[Batch]:
        places = Places(first, self.last, batch=2, rank=0, processes=1)
        pictures = UnpairedPictures(self.sets, self.settings, 3)
        self.at.append(first)
        self.begun.append(iter(build_loader(pictures, places, self.settings, pin=False)))
        return self.begun[-1]

    def kill(self) -> None:
        """All that are loading now."""
        for worker in self.begun[-1]._workers:
            os.kill(worker.pid, signal.SIGKILL)


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.photos, b.photos) and torch.equal(a.paintings, b.paintings)
        for a, b in zip(one, other, strict=True)
    )


@pytest.fixture(params=[False, True], ids=["no handler", "handler of another loader"])
def left(request: pytest.FixtureRequest) -> Iterator[None]:
    """What PyTorch leaves behind: it raises the death of any loader wherever the program is."""

    def handler(*_: object) -> None:
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")

    handler.__module__ = HANDLER
    before = signal.signal(signal.SIGCHLD, handler if request.param else signal.SIG_DFL)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.usefixtures("hasty", "left")
def test_loaders_that_are_killed_change_nothing_but_the_time(tmp_path: Path, draw: Draw) -> None:
    loading, complaints = Loading(tmp_path, draw, workers=2), []
    expected = list(Loading(tmp_path, draw, workers=0)(0))
    feed = Feed(loading, 0, complaints.append)
    found = [next(feed) for _ in range(4)]
    loading.kill()
    found += [next(feed) for _ in range(4)]
    loading.kill()
    found += [next(feed) for _ in range(4)]
    assert same(found, expected)
    assert len(loading.at) == len(complaints) + 1 == 3
    assert all("a process that loads pictures died" in complaint for complaint in complaints)
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    with pytest.raises(StopIteration):
        next(feed)


@pytest.mark.usefixtures("hasty")
def test_a_dead_loader_is_not_noticed_in_the_midst_of_something_else(tmp_path: Path, draw: Draw) -> None:
    loading = Loading(tmp_path, draw, workers=1)
    feed = Feed(loading, 0, lambda complaint: None)
    next(feed)
    loading.kill()
    (worker,) = loading.begun[-1]._workers
    worker.join()  # the signal of its death has come by now
    sum(range(10_000))
    loading.begun[-1]._shutdown_workers()


def mortal(begun: list[int], deaths: list[Exception]) -> Iterator[Batch]:
    """Batches that carry their number; each of `deaths` comes once, before a batch."""

    def begin(first: int) -> Iterator[Batch]:
        begun.append(first)
        for number in range(first, 100):
            if deaths and number == 2:
                raise deaths.pop(0)
            pictures = torch.full((1, 3, 2, 2), float(number))
            yield Batch(pictures, pictures, (f"lost {number}",) if number % 2 else ())

    return begin  # type: ignore[return-value]


DEATHS = [
    RuntimeError("DataLoader worker (pid 4711) is killed by signal: Killed. "),
    RuntimeError("DataLoader worker (pid(s) 4711, 4712) exited unexpectedly"),
    RuntimeError(
        "DataLoader worker (pid 4711) is killed by signal: Bus error. It is possible that dataloader's workers are out "
        "of shared memory. Please try to raise your shared memory limit."
    ),
    # one that has just died, and that PyTorch still takes to be alive, gives no batch out of its hands
    ConnectionResetError(104, "Connection reset by peer"),
    ConnectionRefusedError(111, "Connection refused"),
    EOFError(),
]


@pytest.mark.parametrize("death", DEATHS, ids=repr)
def test_it_begins_again_at_the_batch_that_was_due_and_says_why(death: Exception) -> None:
    begun, complaints = [], []
    feed = Feed(mortal(begun, [death, DEATHS[0]]), 0, complaints.append)
    assert [next(feed).photos[0, 0, 0, 0].item() for _ in range(6)] == [0, 1, 2, 3, 4, 5]
    assert begun == [0, 2, 2]
    assert len(complaints) == 2
    assert "Killed" in complaints[1]
    assert all("a process that loads pictures died" in complaint for complaint in complaints)
    assert "()" not in complaints[0]
    assert "\n" not in complaints[0]
    assert feed.lost == ["lost 1", "lost 3", "lost 5"]


def test_it_begins_where_it_is_told_to() -> None:
    begun: list[int] = []
    feed = Feed(mortal(begun, []), 7, pytest.fail)
    assert next(feed).photos[0, 0, 0, 0] == 7
    assert begun == [7]


def test_deaths_that_do_not_end_do_and_say_what_helps() -> None:
    begun: list[int] = []
    feed = Feed(mortal(begun, DEATHS * 5), 0, lambda complaint: None)
    for _ in range(2):
        next(feed)
    with pytest.raises(ValueError, match=r"--data\.workers 0.*/dev/shm"):
        next(feed)
    assert begun == [0] + [2] * (RESTARTS - 1)


def test_deaths_that_are_not_in_a_row_never_end_it() -> None:
    def begin(first: int) -> Iterator[Batch]:
        pictures = torch.full((1, 3, 2, 2), float(first))
        yield Batch(pictures, pictures)
        raise DEATHS[0]

    complaints: list[str] = []
    feed = Feed(begin, 0, complaints.append)
    assert [next(feed).photos[0, 0, 0, 0].item() for _ in range(5 * RESTARTS)] == list(range(5 * RESTARTS))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: out of memory"),
        ValueError("8 pictures in a row cannot be read"),
        RuntimeError(
            "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback (most recent call last): x"
        ),
        EOFError("Caught EOFError in DataLoader worker process 0.\nOriginal Traceback (most recent call last): x"),
    ],
    ids=repr,
)
def test_what_is_no_death_is_passed_on(error: Exception) -> None:
    def begin(first: int) -> Iterator[Batch]:
        raise error
        yield

    with pytest.raises(type(error)) as caught:
        next(Feed(begin, 0, pytest.fail))
    assert caught.value is error


def test_it_can_be_used_outside_the_main_thread(tmp_path: Path, draw: Draw) -> None:
    found: list[Batch] = []
    feed = Feed(Loading(tmp_path, draw, workers=0), 0, pytest.fail)
    thread = threading.Thread(target=lambda: found.extend(feed))
    thread.start()
    thread.join()
    assert len(found) == 12


def test_closing_ends_the_loaders_at_once_also_if_something_still_holds_them(tmp_path: Path, draw: Draw) -> None:
    """Loaders that are left over when Python ends would be waited for, for ever."""
    loading = Loading(tmp_path, draw, workers=2, last=1000)
    feed = Feed(loading, 0, pytest.fail)
    next(feed)
    workers = loading.begun[-1]._workers
    assert all(worker.is_alive() for worker in workers)
    feed.close()
    assert [worker.exitcode for worker in workers] == [0, 0]  # by themselves, none was killed
    feed.close()  # there is nothing more to close


def test_what_was_never_begun_or_has_no_loaders_can_be_closed(tmp_path: Path, draw: Draw) -> None:
    Feed(pytest.fail, 0, pytest.fail).close()
    feed = Feed(Loading(tmp_path, draw, workers=0), 0, pytest.fail)
    next(feed)
    feed.close()


def test_the_time_that_batches_are_waited_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("cyclestyle.training.feed.time", SimpleNamespace(monotonic=lambda: now[0]))

    class Slow:
        """Takes two seconds for each; and is closed as generators are."""

        closed = False

        def __next__(self) -> Batch:
            now[0] += 2
            return Batch(torch.zeros(1), torch.zeros(1))

        def close(self) -> None:
            self.closed = True

    slow = Slow()
    feed = Feed(lambda first: slow, 0, pytest.fail)  # type: ignore[arg-type]
    assert feed.waited == 0
    for _ in range(3):
        next(feed)
        now[0] += 50  # the step itself
    assert feed.waited == 6
    feed.close()
    assert slow.closed
