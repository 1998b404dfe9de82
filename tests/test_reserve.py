"""What painting will take is found by painting a few photos; what else a budget keeps back is counted."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Draw, as_processes
from torch import nn

from cyclestyle.networks import painter as painters_file
from cyclestyle.networks.painter import Painter
from cyclestyle.processes import Processes
from cyclestyle.training import reserve
from cyclestyle.training.reserve import (
    FIRST,
    FIRST_ON_A_GPU,
    JUDGED,
    LEAVING,
    LEAVING_TOGETHER,
    LONGEST_TRIAL,
    LOOKED_AT,
    MOST_SPARE,
    OF_THAT,
    SAFETY,
    SPARE,
    STARTED,
    WRITTEN,
    ZIPPING,
    time_to_paint,
)

CROP = 16
BUDGET = 1000.0


class Slow(nn.Module):
    """Takes a second for 256 x 256 pixels, on the clock of the test; what it has seen is kept."""

    multiple = 4

    def __init__(self, clock: list[float]) -> None:
        super().__init__()
        self.clock, self.seen = clock, list[tuple[int, ...]]()
        self.weight = nn.Parameter(torch.zeros(100))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert torch.is_inference_mode_enabled()
        self.seen.append(tuple(images.shape))
        self.clock[0] += images.shape[-1] * images.shape[-2] / 256**2
        return images


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(reserve.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def network(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> Slow:
    made = Slow(clock)
    monkeypatch.setattr(reserve, "_painter", lambda learner, path: Painter(made, None, ""))  # type: ignore[arg-type]
    return made


def learner(network: Slow, run: Path, processes: Processes | None = None, **report: int) -> SimpleNamespace:
    alone = SimpleNamespace(
        count=1, rank=0, main=True, most=lambda *values: list(values), batch=lambda wanted: wanted or 1
    )
    alone.all_or_none = Processes.all_or_none.__get__(SimpleNamespace(collect=lambda items: items))
    return SimpleNamespace(
        averages={"paint": SimpleNamespace(network=network)},
        bare=[network],
        accelerator=SimpleNamespace(device=torch.device("cpu"), print=lambda said: None),
        settings=SimpleNamespace(
            run=run,
            data=SimpleNamespace(crop=CROP),
            objective=SimpleNamespace(replay=0),
            report=SimpleNamespace(**{"judge": 0, "samples": 0} | report),
        ),
        processes=processes or alone,
    )


def parts(run: Path) -> dict[str, float]:
    return json.loads((run / "budget.json").read_text())


def painting(seconds_each: float, count: int, processes: int = 1) -> float:
    return OF_THAT * STARTED + FIRST + SAFETY * count * (seconds_each / processes + ZIPPING)


def test_it_follows_the_number_of_photos_and_their_size_as_they_are_submitted(
    network: Slow, tmp_path: Path, draw: Draw
) -> None:
    small = draw(tmp_path / "small", 20, size=(64, 64))
    large = draw(tmp_path / "large", 20, size=(300, 512))  # comes down to 256 x 256
    wide = draw(tmp_path / "wide", 20, size=(128, 300))  # its centred square
    for photos, each in ((small, 1 / 16), (small * 2, 1 / 16), (large, 1.0), (wide, 1 / 4)):
        total = time_to_paint(learner(network, tmp_path), photos, BUDGET)
        found = parts(tmp_path)
        assert found["painting"] == pytest.approx(painting(each, len(photos)))
        assert total == pytest.approx(sum(found.values()))
        assert found["gone"] == STARTED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["budget.json", "large", "small", "wide"]


def test_processes_divide_what_they_do_side_by_side(network: Slow, tmp_path: Path, draw: Draw) -> None:
    photos = draw(tmp_path / "photos", 8, size=(256, 256))
    some = learner(network, tmp_path)
    some.processes.count = 4
    time_to_paint(some, photos, BUDGET)
    assert parts(tmp_path)["painting"] == pytest.approx(painting(1.0, 8, 4))


def test_a_trial_ends_when_all_is_written_and_leaves_the_first_painting_out(
    network: Slow, clock: list[float], tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, real, by = draw(tmp_path / "photos", 4, size=(256, 256)), reserve.save, set[int]()

    def slow_save(*given: Any) -> None:
        by.add(threading.get_ident())
        real(*given)
        if given[1].name == "4.jpg":  # the last of the four, after the one to begin with
            clock[0] += 2.0

    monkeypatch.setattr(reserve, "save", slow_save)
    time_to_paint(learner(network, tmp_path), photos, BUDGET)
    assert parts(tmp_path)["painting"] == pytest.approx(painting(1.0 + 2.0 / 4, 4))
    assert threading.get_ident() not in by


def test_photos_are_tried_in_batches_as_large_as_they_will_be_painted_in(
    network: Slow, tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = draw(tmp_path / "photos", 20, size=(256, 256))
    monkeypatch.setattr(painters_file, "ONE_BY_ONE", frozenset())  # as on a GPU
    some = learner(network, tmp_path)
    some.processes.batch = lambda wanted: 8
    monkeypatch.setattr(reserve, "LONGEST_TRIAL", 100.0)
    time_to_paint(some, photos, BUDGET)
    assert [shape[0] for shape in network.seen if shape[-1] == 256] == [8, 8, 8, 4]
    assert parts(tmp_path)["painting"] == pytest.approx(painting(3 / 20, 20))  # a second each time


def test_photos_from_all_over_are_tried_and_the_trial_ends_after_some_seconds(
    network: Slow, tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, seen, real = draw(tmp_path / "photos", 100, size=(16, 16)), list[Path](), reserve.load
    monkeypatch.setattr(reserve, "load", lambda path: (seen.append(path), real(path))[1])
    time_to_paint(learner(network, tmp_path), photos, BUDGET)
    assert 30 <= len(seen) - 1 <= LOOKED_AT  # one more to begin with
    assert max(map(photos.index, seen)) > 90
    large, before = draw(tmp_path / "large", 100, size=(256, 256)), len(network.seen)  # a second each
    time_to_paint(learner(network, tmp_path), large, BUDGET)
    assert LONGEST_TRIAL <= len(network.seen) - before - 4 <= LONGEST_TRIAL + 2  # 4 are for the end of a training


def test_a_broken_photo_is_painted_too_and_a_single_one_will_do(network: Slow, tmp_path: Path, draw: Draw) -> None:
    photos = draw(tmp_path / "photos", 3, size=(256, 256))
    photos[0].unlink()
    photos[1].write_bytes(b"<html>")
    time_to_paint(learner(network, tmp_path), photos, BUDGET)
    assert parts(tmp_path)["painting"] == pytest.approx(painting(1.0, 3))
    assert time_to_paint(learner(network, tmp_path), photos[2:], BUDGET) > STARTED + FIRST


def test_what_a_killed_trial_left_is_no_hindrance(network: Slow, tmp_path: Path, draw: Draw) -> None:
    photos = draw(tmp_path / "photos", 2, size=(32, 32))
    (tmp_path / ".trial-0").mkdir()
    (tmp_path / ".trial-0" / "painting.jpg").write_bytes(b"half")
    time_to_paint(learner(network, tmp_path), photos, BUDGET)
    assert not (tmp_path / ".trial-0").exists()


def test_the_end_of_a_training_is_counted_twice(network: Slow, tmp_path: Path, draw: Draw) -> None:
    photos, each = draw(tmp_path / "photos", 2, size=(32, 32)), CROP**2 / 256**2
    time_to_paint(learner(network, tmp_path), photos, BUDGET)
    saving = 4 * 4 * 100 / WRITTEN
    assert parts(tmp_path)["ending"] == pytest.approx(LEAVING + 2 * saving)
    time_to_paint(learner(network, tmp_path, judge=10, samples=3), photos, BUDGET)
    assert parts(tmp_path)["ending"] == pytest.approx(
        LEAVING + 2 * (saving + (10 + 4 * 3) * each + 10 * JUDGED * CROP**2)
    )


def test_processes_agree_on_the_longest_and_one_writes_it_down(
    network: Slow, tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = draw(tmp_path / "photos", 6, size=(32, 32))
    monkeypatch.setattr(reserve, "_each", lambda learner, photos: 4.0 if learner.processes.rank else 2.0)
    monkeypatch.setattr(reserve, "_ending", lambda learner: 3.0 if learner.processes.main else 1.0)
    totals = as_processes(2, lambda processes: time_to_paint(learner(network, tmp_path, processes), photos, BUDGET))
    assert totals == [pytest.approx(STARTED + 2 * 3.0 + LEAVING_TOGETHER + painting(4.0, 6, 2) + SPARE * BUDGET)] * 2
    assert sum(parts(tmp_path).values()) == pytest.approx(totals[0])


def test_a_gpu_takes_longer_to_begin(
    network: Slow, tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = draw(tmp_path / "photos", 2, size=(32, 32))
    monkeypatch.setattr(reserve, "_each", lambda learner, photos: 1.0)
    monkeypatch.setattr(reserve, "_ending", lambda learner: 0.0)
    some = learner(network, tmp_path)
    some.accelerator.device = torch.device("cuda")
    time_to_paint(some, photos, BUDGET)
    assert parts(tmp_path)["painting"] == pytest.approx(painting(1.0, 2) - FIRST + FIRST_ON_A_GPU)


def test_a_little_is_for_nothing(network: Slow, tmp_path: Path, draw: Draw) -> None:
    photos = draw(tmp_path / "photos", 2, size=(32, 32))
    for budget, spare in ((100.0, SPARE * 100.0), (10 * 3600.0, MOST_SPARE)):
        time_to_paint(learner(network, tmp_path), photos, budget)
        assert parts(tmp_path)["spare"] == pytest.approx(spare)
