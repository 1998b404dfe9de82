"""A judge paints the same photos every time, is quick to leave, and rings only when it is sure."""

import pytest
import torch
from torch import nn

from cyclestyle.training import judge as judging
from cyclestyle.training.judge import IN_A_ROW, Judge


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
