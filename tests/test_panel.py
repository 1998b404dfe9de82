"""A panel (cyclestyle.training.panel) looks at the test pictures where there are some, and at both painters."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Draw
from torch import nn

from cyclestyle.config import Settings
from cyclestyle.data.folders import Sets
from cyclestyle.evaluation.gauge import Gauge
from cyclestyle.images import fit, load, to_images
from cyclestyle.training.panel import Panel

COLOURS = Gauge("mean colours", lambda images: images.mean((2, 3)))


class Scaling(nn.Module):
    """Multiplies pictures by its one weight."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.calls = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return images * self.factor


def panel(sets: Sets, gauge: Gauge | None = COLOURS, *, judge: int = 0, hurried: bool = False) -> Panel:
    settings = Settings.model_validate(
        {
            "run": "run",
            "data": {"augmentation": "zoom", "crop": 16},
            "schedule": {"steps": 1},
            "discriminator": {"layers": 1},
            "report": {"samples": 3, "judge": judge},
            "evaluation": {"pictures": 10},
        }
    )
    return Panel(sets, settings, gauge, torch.device("cpu"), pytest.fail, lambda: hurried)


def look(judges: Panel, paint: nn.Module, last: nn.Module, **options: Any) -> dict[str, float]:
    found = judges.look(paint, last, **{"examined": True, "hurried": lambda: False} | options)
    assert found is not None
    return found.score


@pytest.fixture
def sets(tmp_path: Path, draw: Draw) -> Sets:
    return Sets(draw(tmp_path / "photos", 6, seed=1), draw(tmp_path / "paintings", 5, seed=2), [], [])


def test_both_painters_and_the_photos_are_measured_in_one_score(sets: Sets) -> None:
    judges, painter, last = panel(sets), Scaling(0.5), Scaling(0.25)
    found = look(judges, painter, last)
    assert list(found) == ["kid", "kid_last", "kid_untouched"]
    assert found["kid_last"] == look(judges, Scaling(0.25), Scaling(9.0))["kid"]
    assert found["kid_untouched"] == look(judges, Scaling(1.0), Scaling(9.0))["kid"]
    assert len({*found.values()}) == 3


def test_the_last_weights_paint_as_the_averaged_ones_do_whatever_the_training_made_of_their_network(sets: Sets) -> None:
    last = Scaling(0.25)
    last.forward = lambda images: images.bfloat16() * 3  # type: ignore[method-assign] - as Accelerate wraps it
    found = look(panel(sets), Scaling(0.5), last)
    assert found["kid_last"] == look(panel(sets), Scaling(0.25), Scaling(0.25))["kid"]


def test_painters_are_left_as_they_were(sets: Sets) -> None:
    painter, last = Scaling(0.5), Scaling(0.25)
    before = copy.deepcopy((painter.state_dict(), last.state_dict()))
    look(panel(sets), painter, last)
    assert (painter.state_dict(), last.state_dict()) == before
    assert painter.factor.requires_grad


def test_equal_painters_are_measured_once(sets: Sets) -> None:
    painter, last = Scaling(0.5), Scaling(0.5)
    found = look(panel(sets), painter, last)
    assert found["kid_last"] == found["kid"]
    assert (painter.calls, last.calls) == (6, 0)


def test_test_pictures_are_looked_at_where_there_are_some(sets: Sets, tmp_path: Path, draw: Draw) -> None:
    tests = draw(tmp_path / "test photos", 4, seed=3), draw(tmp_path / "test paintings", 3, seed=4)
    kept_apart = panel(Sets(sets.photos, sets.paintings, *tests))
    found = look(kept_apart, Scaling(0.5), Scaling(0.25))
    assert found == look(panel(Sets(*tests, [], [])), Scaling(0.5), Scaling(0.25))
    assert found != look(panel(sets), Scaling(0.5), Scaling(0.25))
    assert kept_apart.samples is not None
    assert torch.equal(kept_apart.samples[0][0], to_images([fit(load(tests[0][0]), 16)])[0])


def test_without_a_judge_or_a_gauge_the_other_looks_alone(sets: Sets) -> None:
    pair = Scaling(0.5), Scaling(0.25)
    assert set(look(panel(sets, judge=4), *pair)) == {"distance", "untouched", "kid", "kid_last", "kid_untouched"}
    assert set(look(panel(sets, None, judge=4), *pair)) == {"distance", "untouched"}
    assert look(panel(sets, None), *pair) == {}


def test_only_those_who_are_examined_are_measured(sets: Sets) -> None:
    assert look(panel(sets), Scaling(0.5), Scaling(0.25), examined=False) == {}
    assert set(look(panel(sets, judge=4), Scaling(0.5), Scaling(0.25), examined=False)) == {"distance", "untouched"}


@pytest.mark.parametrize("after", [0, 3, 5, 9])  # while it is judged, and while it is measured
def test_who_becomes_hurried_knows_nothing_also_not_the_half_of_it(after: int, sets: Sets) -> None:
    painter, last = Scaling(0.5), Scaling(0.25)
    found = panel(sets, judge=4).look(painter, last, examined=True, hurried=lambda: painter.calls >= after)
    assert found is None
    assert painter.calls == after


def test_who_is_hurried_from_the_start_is_not_kept(sets: Sets) -> None:
    assert panel(sets, hurried=True).exam is None
