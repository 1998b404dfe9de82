"""What painting will take is estimated from few photos, in proportion to their number and size."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import Draw
from torch import nn

from cyclestyle.training import reserve
from cyclestyle.training.reserve import LOOKED_AT, SAFETY, STARTING, WRITING, time_to_paint


class Slow(nn.Module):
    """Takes a second a picture, on the clock of the test."""

    def __init__(self, clock: list[float]) -> None:
        super().__init__()
        self.clock = clock

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.shape == (1, 3, 16, 16)
        assert torch.is_inference_mode_enabled()
        self.clock[0] += 1.0
        return images


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(reserve.time, "monotonic", lambda: now[0])
    return now


def learner(clock: list[float], processes: int = 1) -> SimpleNamespace:
    return SimpleNamespace(
        averages={"paint": SimpleNamespace(network=Slow(clock))},
        accelerator=SimpleNamespace(device=torch.device("cpu")),
        settings=SimpleNamespace(data=SimpleNamespace(crop=16)),
        processes=SimpleNamespace(count=processes),
    )


def test_it_follows_the_number_and_the_size_of_the_photos_and_the_processes(
    clock: list[float], tmp_path: Path, draw: Draw
) -> None:
    small, large = draw(tmp_path / "small", 20, size=(16, 16)), draw(tmp_path / "large", 20, size=(32, 64))
    assert time_to_paint(learner(clock), small) == pytest.approx(STARTING + SAFETY * 20 * (1.0 + WRITING))
    assert time_to_paint(learner(clock), small * 2) == pytest.approx(STARTING + SAFETY * 40 * (1.0 + WRITING))
    assert time_to_paint(learner(clock), large) == pytest.approx(STARTING + SAFETY * 20 * (8.0 + WRITING))
    assert time_to_paint(learner(clock, 4), large) == pytest.approx(STARTING + SAFETY * 5 * (8.0 + WRITING))


def test_few_photos_are_looked_at_and_one_odd_or_broken_one_does_not_matter(
    clock: list[float], tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = draw(tmp_path, 100, size=(16, 16))
    expected = time_to_paint(learner(clock), paths)
    paths[0].unlink()
    seen: list[Path] = []
    real = reserve.load
    monkeypatch.setattr(reserve, "load", lambda path: (seen.append(path), real(path))[1])
    assert time_to_paint(learner(clock), paths) == pytest.approx(expected)
    assert 1 < len(seen) <= LOOKED_AT


def test_a_single_photo_will_do(clock: list[float], tmp_path: Path, draw: Draw) -> None:
    assert time_to_paint(learner(clock), draw(tmp_path, 1, size=(16, 16))) > STARTING
