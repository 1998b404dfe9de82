"""Which curves a run's page shows, and in which units (cyclestyle.training.page.charts)."""

from pathlib import Path
from typing import Any

import pytest
from told_run import make_run, write_lines

from cyclestyle.training.page.charts import charts
from cyclestyle.training.page.curves import Chart
from cyclestyle.training.page.record import read_run


def by_key(run: Path) -> dict[str, Chart]:
    return {one.wanted.key: one for one in charts(read_run(run))}


def points(found: Chart, place: int = 0) -> list[tuple[int, float]]:
    return found.wanted.series[place].points


def test_a_run_that_told_everything_has_every_curve_nearness_first(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", distances={500: 0.5, 1000: 0.2}, kids={1000: 1.0})
    assert list(by_key(run)) == [
        *("kid", "distance", "cycle", "identity", "contest-painting", "contest-photo", "gradients", "rate", "pace"),
        "waiting",
    ]


def test_only_what_was_told_is_drawn(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    write_lines(run / "metrics.jsonl", [{"step": 50, "learning_rate": 1e-4}, {"step": 100, "learning_rate": 0.0}])
    write_lines(run / "pace.jsonl", [])
    assert list(by_key(run)) == ["rate"]
    write_lines(run / "metrics.jsonl", [])
    assert by_key(run) == {}


def test_round_trips_are_in_levels_of_255_whatever_their_weight(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    # a loss of 2 with a weight of 10 is a mean difference of 0.2 between pictures in [-1, 1]: a tenth of 255
    write_lines(run / "metrics.jsonl", [{"step": 50, "cycle/photo": 2.0, "identity/photo": 1.0}])
    found = by_key(run)
    assert points(found["cycle"]) == [(50, pytest.approx(25.5))]
    assert points(found["identity"]) == [(50, pytest.approx(25.5))]
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("cycle = 10.0", "cycle = 0.0").replace("identity = 5.0", ""))
    assert not {"cycle", "identity"} & set(by_key(run))


def test_distances_stand_beside_those_of_the_photos_themselves(tmp_path: Path) -> None:
    found = by_key(make_run(tmp_path / "run", distances={500: 0.5, 1000: 0.2}, kids={1000: 1.0}))
    assert [tick.text for tick in found["distance"].levels] == ["untouched photos", "other paintings"]
    assert [level.value for level in found["distance"].wanted.levels] == [1.0, 0.0]
    assert [level.value for level in found["kid"].wanted.levels] == [2.0]
    assert [one.name for one in found["kid"].wanted.series] == ["averaged weights", "last weights"]
    assert points(found["kid"], 1) == [(1000, pytest.approx(1.1))]


def test_a_judge_has_one_loss_the_sum_of_its_two_halves(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    lines: list[dict[str, Any]] = [
        {"step": 50, "real/photo": 0.1, "fake/photo": 0.25, "fool/photo": 0.5},
        {"step": 100, "real/photo": 0.1, "fake/photo": None, "fool/photo": 0.4},
    ]
    write_lines(run / "metrics.jsonl", lines)
    found = by_key(run)["contest-photo"]
    assert points(found) == [(50, 0.5), (100, 0.4)]
    assert points(found, 1) == [(50, pytest.approx(0.35))]
    assert "stays below 0.05 and the way back's above 0.8" in found.wanted.explained


def test_alarms_are_marked_on_every_chart(tmp_path: Path) -> None:
    found = by_key(make_run(tmp_path / "run", alarms=[250, 500]))
    assert {tuple(one.alarms) for one in found.values()} == {(25.0, 50.0)}
