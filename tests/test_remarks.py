"""What is said of a run, and what is not (cyclestyle.training.page.remarks)."""

from pathlib import Path
from typing import Any

import pytest
from told_run import make_run, write_lines

from cyclestyle.training.page.record import read_run
from cyclestyle.training.page.remarks import headline, nearness, remarks
from cyclestyle.training.score import CHANCE

FAR, NEAR, GO, TURN, WRONG = (
    "How far is it?",
    "Did it go well?",
    "Should it go on?",
    "Where did it turn?",
    "What may be wrong?",
)


def said(place: Path, **more: Any) -> dict[str, str]:
    return {one.question: one.answer for one in remarks(read_run(make_run(place / "run", **more)))}


def test_a_run_on_its_way_tells_how_far_it_is_and_how_long_the_rest_takes(tmp_path: Path) -> None:
    told = said(tmp_path, steps=250)
    assert told[FAR] == "250 of 1,000 steps (0.625 epochs) in 2:05 min; at that pace the others take 6:15 min."
    assert "goes on from its last checkpoint" in told[GO]
    assert headline(read_run(tmp_path / "run")) == "At step 250 of 1,000 in 2:05 min."


def test_a_budget_is_told_as_such(tmp_path: Path) -> None:
    assert said(tmp_path, steps=300, total="20m")[FAR] == "300 steps (0.75 epochs) in 2:30 min, of a budget of 20m."


@pytest.mark.parametrize(
    ("distance", "standing"),
    [
        (CHANCE, "as near to the paintings as these are to one another"),
        (CHANCE + 0.01, "nearer to the paintings than the untouched photos"),
        (1 - CHANCE - 0.01, "nearer to the paintings than the untouched photos"),
        (1 - CHANCE, "no nearer to the paintings than the untouched photos"),
        (1 + CHANCE, "no nearer to the paintings than the untouched photos"),
        (1 + CHANCE + 0.01, "farther from the paintings than the untouched photos"),
    ],
)
def test_where_it_stands_is_told_with_regard_to_chance(distance: float, standing: str, tmp_path: Path) -> None:
    told = said(tmp_path, distances={1000: distance})
    assert f"is {standing} by its own yardstick" in told[NEAR]
    assert "the untouched photos 1, other paintings about 0." in told[NEAR]
    assert f"what it paints is {standing}" in headline(read_run(tmp_path / "run"))


def test_kid_is_trusted_more_than_the_yardstick(tmp_path: Path) -> None:
    told = said(tmp_path, distances={1000: 5.0}, kids={1000: 1.0})
    assert "nearer to the paintings than the untouched photos by KID × 1000" in told[NEAR]
    assert ": 1, the untouched photos 2." in told[NEAR]


def test_what_was_not_looked_at_is_said(tmp_path: Path) -> None:
    told = said(tmp_path)
    assert "was not looked at" in told[NEAR]
    assert TURN not in told
    assert "Look at the pictures" in told[GO]
    assert headline(read_run(tmp_path / "run")) == "Finished: 1,000 steps in 8:20 min."


def test_round_trips_are_told_at_both_ends(tmp_path: Path) -> None:
    # of the first and the last two of 20 lines: 0.26 and 0.11 of 127.5 levels
    assert "differs from itself by 14 of 255 levels, 33 at the beginning" in said(tmp_path)[NEAR]


def test_one_that_came_nearer_to_the_end_has_not_turned_and_may_go_on(tmp_path: Path) -> None:
    told = said(tmp_path, distances={250: 0.9, 500: 0.75, 750: 0.6, 1000: 0.4})
    assert told[TURN].startswith("It did not")
    assert told[GO].startswith("Probably: in the last third it still came nearer, by 0.35.")


def test_one_that_came_no_nearer_at_the_end_need_not_go_on(tmp_path: Path) -> None:
    told = said(tmp_path, distances={250: 0.9, 500: 0.5, 750: 0.5, 1000: 0.45})
    assert told[TURN].startswith("It did not")
    assert told[GO].startswith("Hardly: in the last third")


@pytest.mark.parametrize("kept", [True, False])
def test_one_that_turned_names_the_step_and_its_checkpoint(kept: bool, tmp_path: Path) -> None:
    told = said(tmp_path, distances={250: 0.9, 500: 0.3, 750: 0.6, 1000: 0.8}, kept=[500, 1000] if kept else [1000])
    assert told[TURN].startswith("After step 500: there it was at 0.3, at step 1,000 it is at 0.8")
    assert ("Its checkpoint is kept." in told[TURN]) == kept
    assert ("step-0000500 PHOTOS --to FOLDER`" in told[GO]) == kept
    assert told[GO].startswith("No")


def test_chance_is_no_turn(tmp_path: Path) -> None:
    found = nearness(read_run(make_run(tmp_path / "run", distances={250: 0.5, 500: 0.3, 750: 0.35, 1000: 0.39})))
    assert found is not None
    assert (found.best, found.turned) == (1000, False)
    found = nearness(read_run(make_run(tmp_path / "kid", kids={250: 1.5, 500: 1.0, 750: 1.09, 1000: 1.3})))
    assert found is not None
    assert (found.best, found.turned) == (750, True)


def test_with_few_looks_no_trend_is_made_up(tmp_path: Path) -> None:
    told = said(tmp_path, distances={500: 0.9, 1000: 0.5})
    assert told[GO].startswith("Too few looks")
    again = tmp_path / "again"
    assert "most likely it was too short" in said(again, distances={500: 3.0, 1000: 1.9})[GO]
    assert "looked at once" in said(tmp_path / "once", distances={1000: 0.5})[TURN]


def test_where_nothing_is_left_to_win_it_is_said(tmp_path: Path) -> None:
    assert "nothing left to win" in said(tmp_path, distances={500: 0.9, 1000: -0.05})[GO]


def test_alarms_are_told_once_with_the_steps_at_which_they_rang(tmp_path: Path) -> None:
    told = said(tmp_path, alarms=[250, 500, 1000], distances={1000: 0.5})
    assert told[WRONG] == "From step 250 to 1,000: flat at 1000."
    assert told[GO].startswith("First see to what may be wrong")
    assert headline(read_run(tmp_path / "run")).endswith("; 1 alarm at the end (flat).")
    other = said(tmp_path / "other", alarms=[250], distances={250: 0.6, 1000: 0.5})  # it did not ring again
    assert other[WRONG] == "At step 250: flat at 250."
    assert not other[GO].startswith("First")
    assert "alarm" not in headline(read_run(tmp_path / "other" / "run"))


def test_scores_that_are_none_are_not_looked_at(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    write_lines(run / "scores.jsonl", [{"step": 500, "distance": None, "untouched": 1.0}, {"step": 1000}])
    assert nearness(read_run(run)) is None


def test_without_a_step_little_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=0)
    record = read_run(run)
    assert headline(record) == "Nothing was learnt yet."
    assert remarks(record) == []
