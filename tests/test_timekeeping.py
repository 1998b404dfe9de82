"""What is gone of a budget survives the program, and not the session (cyclestyle.competing.timekeeping)."""

import json
from pathlib import Path

import pytest

from cyclestyle.competing import timekeeping
from cyclestyle.competing.timekeeping import NOTED_EVERY, Timekeeper, session


class World:
    """A clock and a session that the test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.session, self.since_start = 1000.0, "first", 2.0
        monkeypatch.setattr(timekeeping.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(timekeeping, "session", lambda: self.session)
        monkeypatch.setattr(timekeeping, "seconds_since_start", lambda: self.since_start)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_it_counts_from_the_start_of_the_program(world: World, tmp_path: Path) -> None:
    keeper = Timekeeper(tmp_path / "clock.json", 60.0)
    assert (keeper.used, keeper.left) == (2.0, 58.0)
    world.now += 100
    assert (keeper.used, keeper.left) == (102.0, -42.0)


def test_in_one_session_pauses_count(world: World, tmp_path: Path) -> None:
    Timekeeper(tmp_path / "clock.json", 60.0)
    world.now += 30  # killed at once, and begun again half a minute later
    assert Timekeeper(tmp_path / "clock.json", 60.0).used == 32.0
    world.now += 5
    assert Timekeeper(tmp_path / "clock.json", 90.0).left == 90.0 - 37.0  # another budget, the same start


def test_of_an_earlier_session_what_was_used_counts(world: World, tmp_path: Path) -> None:
    keeper = Timekeeper(tmp_path / "clock.json", 600.0)
    world.now += NOTED_EVERY + 5
    keeper.note()
    world.now, world.session = 50.0, "second"  # a new machine: its clock began anew
    again = Timekeeper(tmp_path / "clock.json", 600.0)
    assert again.used == NOTED_EVERY + 5 + 2 + 2
    world.now += 7
    assert Timekeeper(tmp_path / "clock.json", 600.0).used == again.before + 2 + 7


def test_the_clock_can_be_started_anew(world: World, tmp_path: Path) -> None:
    Timekeeper(tmp_path / "clock.json", 60.0)
    world.now += 50
    assert Timekeeper(tmp_path / "clock.json", 60.0, afresh=True).used == 2.0
    world.now += 1
    assert Timekeeper(tmp_path / "clock.json", 60.0).used == 3.0


def test_it_is_written_down_now_and_then(world: World, tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    keeper = Timekeeper(path, 60.0)
    first = path.read_text()
    world.now += NOTED_EVERY / 2
    keeper.note()
    assert path.read_text() == first
    world.now += NOTED_EVERY
    keeper.note()
    assert json.loads(path.read_text())["used"] == 2.0 + 1.5 * NOTED_EVERY


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "{",
        "[1]",
        '{"session": "first"}',
        '{"session": "first", "began": "soon", "before": null}',
        '{"session": "first", "began": 1e9, "before": 5}',
        '{"session": "other", "used": -5}',
        '{"session": "other", "used": NaN}',
    ],
)
def test_what_cannot_be_read_does_not_stop_it(kept: str, world: World, tmp_path: Path) -> None:
    (tmp_path / "clock.json").write_text(kept)
    assert Timekeeper(tmp_path / "clock.json", 60.0).used in {2.0, 1000.0}


def test_a_disk_that_cannot_be_written_does_not_stop_it(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    keeper = Timekeeper(tmp_path / "file" / "clock.json", 60.0)
    world.now += 20
    keeper.note()
    assert keeper.used == 22.0


def test_a_session_stays_the_same_while_it_lasts() -> None:
    assert session() == session()
