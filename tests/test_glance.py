"""Bars of a comparison: each number stands where it is, and says no more than it can."""

from typing import Any

import pytest
from test_exhibition import cell, column, sample, without

from cyclestyle.comparison.glance import HIGHEST, LOWEST, SPARE, Answer, Bars, answers
from cyclestyle.comparison.winners import NEARNESS


def told(**more: Any) -> dict[str, Any]:
    """A comparison with a sentence for each axis."""
    found = sample() | more
    found["sentences"] = [
        {"axis": axis, "sentence": f"Of {axis}."} for axis in (NEARNESS, "Content", "Cost", "Alarming", "Style")
    ]
    return found


def by_axis(comparison: dict[str, Any]) -> dict[str, Answer]:
    return {one.axis: one for one in answers(comparison)}


def bars(comparison: dict[str, Any], axis: str) -> Bars:
    (drawn,) = by_axis(comparison)[axis].drawings
    return drawn


def test_each_sentence_keeps_its_place_and_has_bars_where_there_is_a_number() -> None:
    found = answers(told())
    assert [one.axis for one in found] == [NEARNESS, "Content", "Cost", "Alarming", "Style"]
    assert [one.sentence for one in found] == [f"Of {one.axis}." for one in found]
    assert [len(one.drawings) for one in found] == [1, 1, 1, 0, 0]


def test_skill_goes_from_the_photos_to_where_it_is() -> None:
    drawn = bars(told(), NEARNESS)
    low, high = (min(0.0051 - 0.11, 0.0), 1.0)

    def place(skill: float) -> float:
        return 100 * (skill - low) / (high - low)

    assert [guide.at for guide in drawn.guides] == pytest.approx([place(0), place(1)], abs=0.01)
    assert [bar.name for bar in drawn.bars] == ["reinhard", "gatys-nearest", "monet"]  # who competes, in their order
    for bar, skill in zip(drawn.bars, (0.0051, 0.2213, 0.4448), strict=True):
        assert bar.start == pytest.approx(place(0), abs=0.01)
        assert bar.start + bar.width == pytest.approx(place(skill), abs=0.02)
        assert bar.whisker == pytest.approx((place(skill - 0.11), place(skill + 0.12)), abs=0.01)
        assert f'value="{skill}"' in bar.value
    assert [bar.mark for bar in drawn.bars] == ["", "among", "among"]


def test_distances_grow_from_zero_and_the_shorter_is_said_to_be_better() -> None:
    drawn = bars(told(), "Content")
    assert "shorter" in drawn.better
    ends = [bar.start + bar.width for bar in drawn.bars]
    assert [bar.start for bar in drawn.bars] == [0.0, 0.0, 0.0]
    assert ends == pytest.approx([100 * value / (0.4813 + 0.017) for value in (0.2174, 0.4512, 0.4813)], abs=0.02)
    assert [bar.mark for bar in drawn.bars] == ["best", "", ""]
    assert "photo" not in [bar.name for bar in drawn.bars]  # it keeps all of itself for nothing


def test_where_there_is_no_skill_the_distance_is_drawn() -> None:
    drawn = bars(without(told(), "skill", "skill_low", "skill_high"), NEARNESS)
    assert "skill" not in drawn.title
    assert "shorter" in drawn.better
    assert [f'value="{value}"' in bar.value for bar, value in zip(drawn.bars, (2.171, 1.702, 1.262), strict=True)]
    longest = max(bar.width for bar in drawn.bars)
    assert drawn.bars[0].width == longest < 100.0


@pytest.mark.parametrize(("skill", "beyond"), [(-3.0, "low"), (2.0, "high"), (-0.9, ""), (1.2, "")])
def test_what_lies_beyond_the_axis_becomes_an_arrow(skill: float, beyond: str) -> None:
    comparison = told()
    comparison["columns"][1]["cells"]["monet"] = cell(1.0, skill)
    drawn = bars(comparison, NEARNESS)
    bar = drawn.bars[-1]
    assert bar.beyond == beyond
    assert 0.0 <= bar.start <= bar.start + bar.width <= 100.01
    assert f'value="{skill}"' in bar.value  # the number is told all the same
    if beyond:
        assert bar.caps == []


def test_one_wide_interval_does_not_make_all_bars_short() -> None:
    comparison = told()
    comparison["columns"][1]["cells"]["monet"] |= {"skill_low": -40.0, "skill_high": 50.0}
    drawn = bars(comparison, NEARNESS)
    photos, paintings = (guide.at for guide in drawn.guides)
    assert paintings - photos == pytest.approx(100 / (1 + 2 * SPARE), abs=0.1)
    assert drawn.bars[-1].caps == []  # its ends are not where the axis ends
    assert drawn.bars[-1].whisker == (0.0, 100.0)
    assert LOWEST < -SPARE
    assert HIGHEST >= 1 + SPARE


def test_no_interval_is_drawn_of_what_has_none() -> None:
    comparison = told()
    comparison["columns"][0]["cells"]["reinhard"] |= {"low": 0.2174, "high": 0.2174}
    comparison["columns"][0]["cells"]["monet"] |= {"low": None, "high": None}
    drawn = bars(comparison, "Content")
    assert [bar.whisker is None for bar in drawn.bars] == [True, False, True]
    assert [bool(bar.interval) for bar in drawn.bars] == [False, True, False]


def test_who_has_no_number_has_no_bar_and_a_column_without_any_is_not_drawn() -> None:
    comparison = told()
    comparison["columns"][0]["cells"]["monet"]["value"] = None
    assert [bar.name for bar in bars(comparison, "Content").bars] == ["reinhard", "gatys-nearest"]
    for found in comparison["columns"][0]["cells"].values():
        found["value"] = None
    assert by_axis(comparison)["Content"].drawings == []


def test_time_is_told_in_its_unit_and_memory_beside_it() -> None:
    comparison = told()
    memory = column("memory", "cost", "memory, GiB", {"monet": cell(1.5)}, ["monet"], certain=False)
    comparison["columns"].append(memory)
    seconds, room = by_axis(comparison)["Cost"].drawings
    assert "0.54 s" in seconds.bars[0].value
    assert "1.50" in room.bars[0].value
