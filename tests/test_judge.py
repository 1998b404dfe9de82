"""A judge paints the same photos every time, is quick to leave, and rings only when it is sure."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from cyclestyle.training import judge as judging
from cyclestyle.training.judge import IN_A_ROW, Judge, best_step


def pictures(count: int, seed: int) -> torch.Tensor:
    """Smooth ones, (n, 3, 32, 32)."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return nn.functional.interpolate(coarse, size=32, mode="bicubic", align_corners=False).clamp(-1, 1)


class Counting(nn.Module):
    """Paints by a rule, and counts how many pictures it is given at once."""

    def __init__(self, rule: object) -> None:
        super().__init__()
        self.rule, self.given = rule, []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert torch.is_inference_mode_enabled()
        self.given.append(len(images))
        return self.rule(images)  # type: ignore[operator]


@pytest.fixture
def judge() -> Judge:
    return Judge(pictures(6, seed=1), pictures(8, seed=2) * 0.3)


def test_a_painter_is_judged_by_how_near_it_comes_one_picture_at_a_time(judge: Judge) -> None:
    painter = Counting(lambda images: images * 0.3)
    found = judge.look(painter, lambda: False)
    assert found is not None
    assert painter.given == [1] * 6
    assert set(found.score) == {"distance", "untouched"}
    assert found.score["distance"] < found.score["untouched"]
    again = judge.look(painter, lambda: False)
    assert again == found


def test_a_painter_that_changes_nothing_is_as_far_as_the_photos_and_rings(judge: Judge) -> None:
    found = judge.look(Counting(lambda images: images), lambda: False)
    assert found is not None
    assert found.score["distance"] == found.score["untouched"]
    assert "copy" in found.alarms


def test_who_becomes_hurried_leaves_at_once(judge: Judge) -> None:
    painter = Counting(lambda images: images)
    assert judge.look(painter, lambda: len(painter.given) == 2) is None
    assert painter.given == [1, 1]
    assert judge.look(painter, lambda: True) is None


def test_losses_ring_only_if_they_did_several_times_in_a_row(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "loss_alarms", lambda losses, kind: {name: f"{name}!" for name in losses})
    heard = [judge.listen(dict.fromkeys(names, 1.0), "lsgan") for names in ("a", "ab", "ab", "b", "ab", "ab", "a")]
    assert IN_A_ROW == 3
    assert heard == [{}, {}, {"a": "a!"}, {"b": "b!"}, {"b": "b!"}, {"b": "b!"}, {"a": "a!"}]


def test_a_line_without_losses_rings_nothing_and_begins_anew(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "loss_alarms", lambda losses, kind: {"a": "a!"})
    told = [
        judge.listen(losses, "lsgan") for losses in ({"x": 1.0}, {"x": 1.0}, {}, {"x": 1.0}, {"x": 1.0}, {"x": 1.0})
    ]
    assert told == [{}] * 5 + [{"a": "a!"}]


# --- which checkpoint is the best ---------------------------------------------------------------------------------


def kids(*values: float | None, untouched: float | None = 9.0) -> dict[int, dict[str, Any]]:
    """Scores of steps 1, 2, ...; the distances would choose the first."""
    return {
        step: {"step": step, "distance": float(step), "kid": value, "kid_last": -9.0, "kid_untouched": untouched}
        for step, value in enumerate(values, start=1)
    }


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ((3.0, 1.0, 2.0), 2),
        ((3.0, 1.0, 1.0), 3),  # of equal ones the last
        ((3.0, 1.0, 1.0001), 2),
        ((-1.0, -2.0, 0.0), 2),
        ((3.0, None, 4.0), 1),  # what was not finite stands in the file as null
        ((None, None, 4.0), 3),
        ((None, None, None), 1),  # then by the distance
        ((3.0, math.nan, 4.0), 1),
        ((3.0, math.inf, -math.inf), 1),
    ],
)
def test_the_best_is_the_lowest_kid_that_is_a_number(values: tuple[float | None, ...], best: int) -> None:
    assert best_step(kids(*values), range(1, len(values) + 1)) == best


def test_only_what_is_there_and_known_can_be_the_best() -> None:
    assert best_step(kids(3.0, 1.0, 2.0), {1, 3}) == 3
    assert best_step(kids(3.0, 1.0, 2.0), {3, 4, 5}) == 3
    assert best_step(kids(3.0, 1.0, 2.0), {4}) is None
    assert best_step(kids(3.0, 1.0, 2.0), ()) is None
    assert best_step({}, {1, 2}) is None


def test_a_kid_decides_over_distances_and_those_decide_where_none_was_measured() -> None:
    scores: dict[int, dict[str, Any]] = {step: {"distance": value} for step, value in enumerate((0.9, 0.1, 0.5))}
    assert best_step(scores, {0, 1, 2}) == 1
    assert best_step(scores, {0, 2}) == 2
    assert best_step(scores | {0: {"distance": 0.9, "kid": 50.0, "kid_untouched": 9.0}}, {0, 1, 2}) == 0
    assert best_step(scores | {0: {"distance": 0.9, "kid": 50.0, "kid_untouched": 9.0}}, {1, 2}) == 1


def test_distances_that_chance_may_explain_are_equal_and_kids_are_not() -> None:
    near = {1: 0.50, 2: 0.50 + 0.11, 3: 0.50 + 0.13}
    assert best_step({step: {"distance": value} for step, value in near.items()}, near) == 2
    assert best_step(kids(*near.values()), near) == 1


def test_by_what_is_asked_alone() -> None:
    assert best_step(kids(3.0, 1.0, 2.0), {1, 2, 3}, ["distance"]) == 1
    assert best_step(kids(None, None), {1, 2}, ["kid"]) is None
    assert best_step(kids(3.0, 1.0), {1, 2}, []) is None


def test_kids_of_another_network_or_other_photos_are_not_compared_with_the_latest() -> None:
    scores = kids(3.0, 1.0, untouched=9.0) | {
        step: score for step, score in kids(0, 0, 20.0, 18.0, 19.0, untouched=40.0).items() if step > 2
    }
    assert best_step(scores, scores) == 4
    assert best_step(scores, {1, 2}) == 2
    assert best_step(scores | {6: {"distance": 0.0, "kid": None, "kid_untouched": 9.0}}, range(1, 7)) == 4
    rounded = kids(3.0, 1.0, untouched=9.0) | {3: {"kid": 2.0, "kid_untouched": 9.00001}}
    assert best_step(rounded, rounded) == 2


@pytest.mark.parametrize("strange", ["soon", [1.0], {}])
def test_a_score_that_somebody_edited_counts_as_not_known(strange: object) -> None:
    scores = kids(3.0, 1.0) | {3: {"kid": strange, "kid_untouched": 9.0, "distance": strange}}
    assert best_step(scores, {1, 2, 3}) == 2
