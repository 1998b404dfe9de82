"""What several test modules share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Draw = Callable[..., list[Path]]


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
