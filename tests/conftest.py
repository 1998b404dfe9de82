"""What several test modules share."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cyclestyle.processes import Processes

# Shells start what runs in the background with interrupts ignored, and what is ignored stays so in the package.
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # tests load ONNX Runtime by themselves, too, which would tell of it

Draw = Callable[..., list[Path]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest module first: side by side with the others, it would otherwise be waited for at the end."""
    items.sort(key=lambda item: item.path.stem != "test_reliability")


class InThreads(Processes):
    """Stands for one of several processes; they meet as threads of this one, which need no launch."""

    def collect(self, items: list[Any]) -> list[Any]:
        barrier, brought = self.group
        brought[self.rank] = list(items)
        barrier.wait()
        everything = [item for rank in range(self.count) for item in brought[rank]]
        barrier.wait()  # nobody brings the next before all have taken this
        return everything

    def most(self, *values: float) -> list[float]:
        together = self.collect([values])
        return [float(max(column)) for column in zip(*together, strict=True)]

    def wait(self) -> None:
        self.collect([])


def as_processes(count: int, work: Callable[[Processes], Any]) -> list[Any]:
    """What each of several processes returns of `work`, or raises in it."""
    meeting, ended = (threading.Barrier(count, timeout=20), {}), [None] * count

    def one(rank: int) -> None:
        state = SimpleNamespace(process_index=rank, num_processes=count, is_main_process=rank == 0)
        try:
            ended[rank] = work(InThreads(state, torch.device("cpu"), meeting))
        except Exception as error:
            ended[rank] = error

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended


@pytest.fixture(scope="session", autouse=True)
def no_loader_outlives_the_tests() -> Iterator[None]:
    """Loaders ignore the signal with which Python would end those that are left over, and it would wait for them."""
    yield
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch would raise their deaths
    for child in multiprocessing.active_children():
        child.kill()


@pytest.fixture(scope="session", autouse=True)
def caches_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is left in the folder where a user's pictures are cached; processes that tests start inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CYCLESTYLE_CACHE", str(tmp_path_factory.mktemp("caches")))
        yield


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    """Accelerate keeps its state for the life of a process; a test begins and ends without one."""
    from accelerate.state import AcceleratorState, GradientState

    def forget() -> None:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()

    forget()
    yield
    forget()


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Makes smooth, different pictures in a folder."""

    def make(
        folder: Path, count: int, *, size: tuple[int, int] = (24, 24), seed: int = 0, suffix: str = ".png"
    ) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        chances, paths = np.random.default_rng(seed), []
        for number in range(count):
            coarse = Image.fromarray(chances.integers(0, 256, (4, 4, 3), dtype=np.uint8))
            paths.append(folder / f"picture-{number:02d}{suffix}")
            coarse.resize(size, Image.Resampling.BICUBIC).save(paths[-1])
        return paths

    return make
