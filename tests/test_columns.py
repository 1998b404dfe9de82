"""Who is best at what, and when nobody is."""

import math

import pytest
import torch

from cyclestyle.comparison.columns import CONTENT, SETS, Cell, Column, behaviours, between_sets, costs, ranked
from cyclestyle.comparison.cost import Cost
from cyclestyle.comparison.together import distance
from cyclestyle.comparison.winners import headline, listed, nearest, seconds, sentences
from cyclestyle.evaluation.measures import PHOTOS, REAL, Measure, Value


def kid(apart: list[tuple[str, str]], different: dict[str, bool] | None = None, **values: float) -> Measure:
    """A distance to the paintings with photos at 2 and real paintings at 0."""
    everything = {PHOTOS: 2.0, **values, REAL: 0.0}
    skill = {key: 1 - value / 2 for key, value in everything.items()}
    return Measure(
        "kid/Inception-768",
        "sets",
        "KID-768 × 10³",
        "Inception-768",
        "told",
        main=True,
        values={key: Value(value, value - 0.1, value + 0.1) for key, value in everything.items()},
        skill=skill,
        skill_interval={key: (skill[key] - 0.1, skill[key] + 0.1) for key in values},
        apart=apart,
        different=dict.fromkeys(values, True) if different is None else different,
    )


def test_the_best_is_alone_if_it_is_apart_from_all_others() -> None:
    (column,) = between_sets([kid([("a", "b"), ("c", "a")], a=0.5, b=1.0, c=1.5)], ["a", "b", "c"])
    assert column.best == ["a"]
    assert column.certain
    assert nearest(column, ["a", "b", "c"]) == (
        "By KID-768 a comes nearest to the paintings (75% of the way from the photos, 95 %: 65% to 85%), by more than "
        "chance."
    )


def test_no_winner_is_crowned_among_those_within_chance() -> None:
    (column,) = between_sets([kid([("b", "c")], a=0.5, b=0.6, c=1.5)], ["a", "b", "c"])
    assert column.best == ["a", "b", "c"]
    assert nearest(column, ["a", "b", "c"]).endswith(", but no other method can be told from it.")
    assert headline([column], ["a", "b", "c"]) == "No method can be said to be nearest to the paintings."
    (column,) = between_sets([kid([("a", "c")], a=0.5, b=0.6, c=1.5)], ["a", "b", "c"])
    assert nearest(column, ["a", "b", "c"]).endswith("; not to be told apart from it: b.")
    assert headline([column], ["a", "b", "c"]) == "a or b may be nearest to the paintings."


def test_the_untouched_photos_are_no_competitor_and_the_bar_to_be_passed() -> None:
    (column,) = between_sets([kid([("a", "b")], {"a": False, "b": True}, a=1.9, b=3.0)], ["a", "b"])
    assert "no method can be told to be nearer to the paintings" in nearest(column, ["a", "b"])
    assert "a has the best number (5% of the way" in nearest(column, ["a", "b"])
    (column,) = between_sets([kid([("a", "b")], a=2.5, b=3.0)], ["a", "b"])
    assert nearest(column, ["a", "b"]) == (
        "By KID-768 every method is farther from the paintings than the untouched photos, a the least."
    )
    assert headline([column], ["a", "b"]).startswith("No method can be told to be nearer to the paintings")


def test_one_method_wins_nothing() -> None:
    (column,) = between_sets([kid([], a=0.5)], ["a"])
    assert nearest(column, ["a"]).endswith("65% to 85%).")
    assert not column.certain
    assert headline([column], ["a"]).startswith("One method")
    assert headline([column], []).startswith("Only the untouched photos")
    assert sentences([column], []) == []


def test_without_intervals_there_is_a_best_number_and_no_more() -> None:
    column = ranked(Column("x", SETS, "x", "", "higher", cells={"a": Cell(1.0), "b": Cell(3.0)}), ["a", "b"], None)
    assert (column.best, column.certain) == (["b"], False)
    column = ranked(Column("x", SETS, "x", "", "lower", cells={"a": Cell(None), "b": Cell(math.nan)}), ["a", "b"], [])
    assert column.best == []


def test_pictures_are_compared_pair_by_pair() -> None:
    """Photos differ much more from one another than methods do; a constant difference is seen all the same."""
    photos = torch.linspace(0, 10, 12)
    found = distance("lpips", "lower", {"a": photos, "b": photos + 0.01, "c": photos + torch.tensor([1.0, -1.0] * 6)})
    assert found.apart == [("a", "b")]
    assert found.spreads["a"]["median"] == pytest.approx(5.0)


@pytest.mark.parametrize(("count", "apart"), [(1, 0), (5, 0), (6, 1)])
def test_few_pictures_show_no_difference(count: int, apart: int) -> None:
    values = torch.arange(count, dtype=torch.float64)
    assert len(distance("ssim", "higher", {"a": values, "b": values + 1}).apart) == apart


def test_identical_pictures_have_an_infinite_psnr_and_do_not_differ() -> None:
    found = distance("truth/psnr", "higher", {"a": torch.full((8,), math.inf), "b": torch.full((8,), math.inf)})
    assert found.apart == []
    assert found.spreads["a"]["median"] == math.inf
    far = distance("truth/psnr", "higher", {"a": torch.full((8,), math.inf), "b": torch.full((8,), 20.0)})
    assert far.apart == [("a", "b")]


def test_alarms_are_told() -> None:
    habit = {"name": "Copying", "sentence": "It copies.", "numbers": {"suspicious": 0.4}, "alarming": True}
    calm = habit | {"alarming": False, "numbers": {"suspicious": 0.0}}
    columns = behaviours({"a": {"behaviour": {"copying": habit}}, "b": {"behaviour": {"copying": calm}}, "c": {}})
    (column,) = columns
    assert column.cells == {"a": Cell(0.4, alarming=True), "b": Cell(0.0)}
    (said,) = sentences(columns, ["a", "b"])
    assert said == ("Alarming", "a: copying; its card tells more.")


def test_costs_are_ranked_on_one_device_alone() -> None:
    fast, slow = Cost("cpu", 4, made=10, seconds=1.0), Cost("cpu", 4, made=2, seconds=60.0)
    columns = costs({"a": fast, "b": slow, "c": None, "d": Cost("cpu", 4)})
    assert columns[0].cells == {"a": Cell(0.1), "b": Cell(30.0)}
    assert columns[0].best == ["a"]
    (said,) = sentences(columns, ["a", "b"])
    assert said.sentence == "a is the fastest with 0.10 s a picture, b the slowest with 30 s."
    assert costs({"a": fast, "b": Cost("an H100", 4, made=2, seconds=1.0)})[0].best == []
    assert costs({"a": None}) == []


def test_content_is_said_by_its_first_column() -> None:
    column = ranked(
        Column("lpips", CONTENT, "LPIPS", "", "lower", cells={"a": Cell(0.2), "b": Cell(0.4)}), ["a", "b"], [("a", "b")]
    )
    (said,) = sentences([column], ["a", "b"])
    assert said == ("Content", "By LPIPS a keeps most of the photos (0.200), by more than chance.")


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0012, "1.2 ms"), (0.041, "41 ms"), (0.54, "0.54 s"), (42.4, "42 s"), (1800.0, "30 min")],
)
def test_durations_are_readable(value: float, written: str) -> None:
    assert seconds(value) == written


def test_names_in_a_row() -> None:
    assert [listed(list(names), "and") for names in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
