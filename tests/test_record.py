"""A run folder read back, whatever has become of it (cyclestyle.training.page.record)."""

import json
from pathlib import Path

import pytest
from told_run import make_run, sheet, write_lines

from cyclestyle.training.page.record import read_run


def test_everything_that_a_run_told_is_read_back(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run", distances={500: 0.5, 1000: 0.25}, alarms=[500], sheets=[500, 1000], kept=[500, 1000]
    )
    record = read_run(run)
    assert (record.step, record.total, record.finished) == (1000, 1000, True)
    assert record.per_epoch == pytest.approx(400)
    assert record.seconds == 500.0
    assert record.scored("distance") == [(500, 0.5), (1000, 0.25)]
    assert record.points("learning_rate")[0] == (50, 2e-4)
    assert [step for step, _ in record.paced("pairs_per_second")] == list(range(50, 1001, 50))
    assert list(record.sheets) == [500, 1000]
    assert record.kept == [500, 1000]
    assert record.alarms == {"flat": [{"step": 500, "event": "alarm", "kind": "flat", "said": "flat at 500"}]}
    assert record.setting("objective", "cycle") == 10.0
    assert record.setting("nothing", "there", 7) == 7


def test_the_length_of_a_run_in_epochs_follows_from_the_steps_of_one(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=500)
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("steps = 1000", "epochs = 2.5"))
    record = read_run(run)
    assert (record.total, record.finished) == (1000, False)


@pytest.mark.parametrize(("over", "finished"), [(1.0, True), (0.0, False)])
def test_a_budget_is_over_when_the_last_checkpoint_says_so(over: float, finished: bool, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=300, total="20m", kept=[300])
    manifest = {"facts": {"step": 300, "budget": {"used": 9.0, "rate": 0.5, "over": over}}}
    (run / "checkpoints" / "step-0000300" / "manifest.json").write_text(json.dumps(manifest))
    record = read_run(run)
    assert (record.total, record.finished) == (None, finished)


def test_what_was_lost_when_a_run_was_killed_is_not_taken_for_its_last_step(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=400, sheets=[200, 600], kept=[400])
    with (run / "pace.jsonl").open("a") as file:
        file.write('{"step": 600, "pairs_per_second": 2.0, "seconds": 900.0}\n{"step": 400, "seconds": 1000.0}\n')
    record = read_run(run)
    assert record.step == 400
    assert record.seconds == 1000.0  # that time was spent all the same
    assert list(record.shown) == [200]
    assert max(step for step, _ in record.paced("pairs_per_second")) == 400


def test_of_a_step_that_was_taken_twice_the_last_word_counts(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=100)
    write_lines(run / "pace.jsonl", [{"step": s, "pairs_per_second": v} for s, v in ((50, 1.0), (100, 2.0), (50, 3.0))])
    assert read_run(run).paced("pairs_per_second") == [(50, 3.0), (100, 2.0)]


@pytest.mark.parametrize("name", ["config.toml", "provenance.json", "scores.jsonl", "events.jsonl", "pace.jsonl"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[[[", b"7", b'{"step": "x"}\n{"step"', None])
def test_a_file_that_is_damaged_or_missing_takes_no_other_with_it(
    name: str, content: bytes | None, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", distances={1000: 0.25}, sheets=[1000], kept=[1000])
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(content)
    record = read_run(run)
    assert record.step == 1000
    assert len(record.points("epoch")) == 20
    assert list(record.sheets) == [1000]


def test_numbers_that_are_none_leave_a_gap(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=100)
    lines = [{"step": step, "a": value} for step, value in enumerate([1, None, "x", True, 2.5, [3]])]
    write_lines(run / "metrics.jsonl", lines)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "a": NaN}\n{"step": 7, "a": Infinity}\n')
    assert read_run(run).points("a") == [(0, 1.0), (4, 2.5)]


def test_older_runs_told_their_pace_among_the_metrics(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=100)
    (run / "pace.jsonl").unlink()
    write_lines(run / "metrics.jsonl", [{"step": 50, "pairs_per_second": 0.5}])
    record = read_run(run)
    assert record.paced("pairs_per_second") == [(50, 0.5)]
    assert record.seconds is None


def test_files_that_are_not_sheets_are_passed_over(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", sheets=[100])
    sheet(run / "samples" / "step-last.png", 1, 8)
    (run / "samples" / "step-0000200.txt").write_text("no")
    assert list(read_run(run).sheets) == [100]


def test_what_is_no_run_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such run: .*give the folder that `cyclestyle train` wrote"):
        read_run(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no run \(no config.toml, no metrics.jsonl\)"):
        read_run(tmp_path / "empty")
