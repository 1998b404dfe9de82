"""What a run is said to take is taken from a little of it, of which nothing stays."""

import re
import signal
from pathlib import Path
from typing import Any

import pytest
from conftest import Draw

from cyclestyle.config import Settings
from cyclestyle.stopping import Stopped, StopRequest
from cyclestyle.training.rehearsal import Forecast, rehearse
from cyclestyle.training.schedule import Tried

pytestmark = pytest.mark.usefixtures("fresh_accelerate", "quickly_tried")


@pytest.fixture
def quickly_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tried, "SETTLING", 0.1)
    monkeypatch.setattr(Tried, "COUNTED", 0.2)


def wanted(data: Path, run: Path, **sections: Any) -> Settings:
    return Settings.model_validate(
        {
            "run": run,
            "data": {"folder": data, "crop": 16, "resize": 18, "workers": 0, "batch": 2},
            "generator": {"width": 4, "blocks": 1},
            "discriminator": {"width": 4, "layers": 1},
            "schedule": {"epochs": 50},
            "report": {"checkpoint_every": 40, "judge": 4, "samples": 2},
        }
        | sections
    )


@pytest.fixture
def data(tmp_path: Path, draw: Draw) -> Path:
    draw(tmp_path / "data/photos", 6)
    draw(tmp_path / "data/paintings", 6)
    return tmp_path / "data"


def test_lengths_follow_from_the_schedule_and_nothing_stays(data: Path, tmp_path: Path) -> None:
    found = rehearse(wanted(data, tmp_path / "runs/x"))
    assert (found.pairs, found.photos, found.steps) == (2, 6, 150)  # 50 epochs of 6 photos, 2 at once
    assert found.savings == 4  # at 40, 80, 120 and at the end
    assert found.memory > 100e6  # torch alone takes more
    assert 0 < found.step < found.start
    assert found.gpu_memory is None
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_budget_has_room_for_as_many_steps_as_it_is_long(data: Path, tmp_path: Path) -> None:
    found = rehearse(wanted(data, tmp_path / "runs/x", schedule={"budget": "10m"}))
    assert found.steps == int(600 / found.step)


def test_what_would_stop_the_run_stops_the_rehearsal(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        rehearse(wanted(tmp_path / "nowhere", tmp_path / "runs/x"))
    assert not (tmp_path / "runs/.x.rehearsal").exists()


def test_stopped_in_the_midst_it_says_that_nothing_is_kept(data: Path, tmp_path: Path) -> None:
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped, match=r"^stopped; nothing of the trial is kept$"):
            rehearse(wanted(data, tmp_path / "runs/x"), stop=stop)
    assert not (tmp_path / "runs/.x.rehearsal").exists()


def test_a_forecast_adds_up_steps_and_checkpoints() -> None:
    found = Forecast(
        start=20.0,
        step=0.5,
        saving=10.0,
        pairs=4,
        photos=100,
        steps=1000,
        savings=3,
        memory=2 * 10**9,
        gpu_memory=None,
    )
    assert found.total == 550
    text = found.told()
    assert "2.00 GB" in text
    assert "8 pairs/s (500 ms for a step of 4)" in text
    assert "1,000 steps (40 epochs of 100 photos)" in text
    assert re.search(r"time +9:10 min, until \d{4}-\d\d-\d\d \d\d:\d\d; 3 checkpoints take 30 s of it", text)
