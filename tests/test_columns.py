"""Who is best at what, and when nobody is."""

import math

import pytest
import torch

from cyclestyle.comparison.columns import (
    CONTENT,
    HABITS,
    SETS,
    STYLED,
    TEXTURED,
    TRUTH,
    Cell,
    Column,
    behaviours,
    between_pictures,
    between_sets,
    costs,
    ranked,
    the_distance,
)
from cyclestyle.comparison.cost import Cost
from cyclestyle.comparison.together import distance
from cyclestyle.comparison.winners import headline, listed, nearest, seconds, sentences
from cyclestyle.evaluation.measures import PHOTOS, REAL, Measure, Value


def kid(
    apart: list[tuple[str, str]],
    different: dict[str, bool] | None = None,
    key: str = "kid/Inception-768",
    **values: float,
) -> Measure:
    """A distance to the paintings with photos at 2 and real paintings at 0."""
    everything = {PHOTOS: 2.0, **values, REAL: 0.0}
    skill = {key: 1 - value / 2 for key, value in everything.items()}
    return Measure(
        key,
        "sets" if key.startswith("kid") else "style",
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
    assert nearest(column, ["a", "b", "c"]).startswith("By KID-768 a has the best number (75%")
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


def said_above(near: Measure, **others: Measure) -> str:
    """The headline over three methods, of which c keeps the photos best."""
    kept = {"a": Cell(0.3), "b": Cell(0.4), "c": Cell(0.1)}
    content = ranked(
        Column("lpips", CONTENT, "LPIPS", "", "lower", cells=kept), ["a", "b", "c"], [("c", "a"), ("c", "b")]
    )
    columns = between_sets([near, *others.values()], ["a", "b", "c"])
    return headline([content, *columns], ["a", "b", "c"])


ALL_APART = [("a", "b"), ("a", "c"), ("b", "c")]


def test_the_headline_does_not_deny_what_a_section_says() -> None:
    nobody = kid([], dict.fromkeys("abc", False), a=1.9, b=1.8, c=1.95)
    style = kid(ALL_APART, key=f"{STYLED}relu3_1", a=0.2, b=0.9, c=1.5)
    texture = kid(ALL_APART, key=f"{TEXTURED}relu3_1", a=0.3, b=0.9, c=1.5)
    start = "No method can be told to be nearer to the paintings than the untouched photos"
    assert said_above(nobody) == f"{start}; c is truest to the photos."
    assert said_above(nobody, style=style) == f"{start} by KID-768; a is nearest by style; c is truest to the photos."
    assert said_above(nobody, style=style, texture=texture) == (
        f"{start} by KID-768; a is nearest by style and texture; c is truest to the photos."
    )


def test_the_headline_tells_of_another_winner_and_is_short_where_all_agree() -> None:
    b = kid(ALL_APART, a=0.9, b=0.2, c=1.5)
    a_style = kid(ALL_APART, key=f"{STYLED}relu3_1", a=0.2, b=0.9, c=1.5)
    both = kid([("a", "c"), ("b", "c")], key=f"{STYLED}relu3_1", a=0.2, b=0.21, c=1.5)
    c = kid(ALL_APART, a=0.9, b=1.5, c=0.2)
    other = "b is nearest to the paintings by KID-768; a is nearest by style; c is truest to the photos."
    assert said_above(b, style=a_style) == other
    assert said_above(b, style=both) == "b is nearest to the paintings; c is truest to the photos."
    assert said_above(c) == "c is nearest to the paintings and truest to the photos."
    alike = kid([], key=f"{STYLED}relu3_1", a=0.2, b=0.21, c=0.22)
    unmoved = kid(ALL_APART, dict.fromkeys("abc", False), f"{STYLED}relu3_1", a=0.2, b=0.9, c=1.5)
    for nothing in (alike, unmoved):  # who is not ahead by more than chance is not named
        assert said_above(c, style=nothing) == "c is nearest to the paintings and truest to the photos."


def test_the_distance_is_the_kernel_distance_at_the_deepest_level() -> None:
    keys = ["lpips", "fid_equal/Inception-768", "kid/Inception-768", "kid/Inception-192", "mmd_mean_std/relu3_1"]
    assert the_distance(keys) == "kid/Inception-768"
    assert the_distance(["lpips", "fid_equal/x"]) is None


def test_who_comes_no_nearer_to_the_truth_than_doing_nothing_is_told() -> None:
    def said(photo: float, better: str) -> str:
        cells = {"photo": Cell(photo), "a": Cell(0.6), "b": Cell(0.5 if better == "higher" else 0.7)}
        column = ranked(Column("truth/ssim", TRUTH, "SSIM", "", better, cells=cells), ["a", "b"], [("a", "b")])
        return sentences([column], ["a", "b"])[0].sentence

    for better, near, far in (("higher", 0.7, 0.1), ("lower", 0.1, 0.7)):
        assert said(far, better) == "By SSIM a comes nearest to the true paintings (0.600), by more than chance."
        assert said(near, better).endswith(f"chance. The untouched photos are no farther from them ({near:.3f}).")


def test_content_is_told_at_the_deepest_layer_and_first_by_what_people_see() -> None:
    keys = ("content/relu2_2", "content/relu3_1", "structure/relu3_1", "lpips", "ssim")
    numbers = {"a": torch.linspace(0, 1, 8), "b": torch.linspace(1, 2, 8)}
    found = [distance(key, "higher" if key == "ssim" else "lower", numbers) for key in keys]
    columns = between_pictures(found, CONTENT, ["a", "b"], "VGG-19")
    assert [one.key for one in columns] == ["lpips", "content/relu3_1", "structure/relu3_1", "ssim"]
    assert [one.level for one in columns] == ["", "VGG-19 relu3_1", "VGG-19 relu3_1", ""]
    assert [one.best for one in columns] == [["a"], ["a"], ["a"], ["b"]]


def test_style_over_layers_is_the_mean_of_the_skills() -> None:
    layers = [kid([], key=f"{STYLED}{tap}", a=one, b=1.0) for tap, one in (("relu1_1", 0.2), ("relu2_1", 0.6))]
    layers.append(kid([], key="mmd_gram/relu2_1", a=1.0, b=1.0))  # beside which it stands
    (found,) = (one for one in between_sets(layers, ["a", "b"]) if one.key == "style/layers")
    assert found.cells["a"].value == pytest.approx(1 - 0.4 / 2)
    assert (found.cells[PHOTOS].value, found.cells[REAL].value) == (0, 1)
    assert found.best == ["a"]


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
    for key, column in ((key, behaviours({"a": {"behaviour": {key: habit}}})[0]) for key in HABITS):
        assert column.title == key == sentences([column], ["a"])[0].sentence.removeprefix("a: ").partition(";")[0]


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
    assert said == ("Content", "By LPIPS a stays truest to the photos (0.200), by more than chance.")


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0012, "1.2 ms"), (0.041, "41 ms"), (0.54, "0.54 s"), (42.4, "42 s"), (1800.0, "30 min")],
)
def test_durations_are_readable(value: float, written: str) -> None:
    assert seconds(value) == written


def test_names_in_a_row() -> None:
    assert [listed(list(names), "and") for names in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
