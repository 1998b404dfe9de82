"""The sentences of a card: each case has its own, with the names of rows, and claims no more than is certain."""

import pytest

from cyclestyle.evaluation.behaviour import Behaviour
from cyclestyle.evaluation.measures import COLOUR, PAINTED, PHOTOS, REAL, Measure, Value, row_name, skill_of
from cyclestyle.evaluation.verdict import contradictions, resolution, verdict

NAMES = {key: row_name(key) for key in (PHOTOS, COLOUR, PAINTED, REAL, "also:older")}
GRID = Behaviour("Checkerboard", "", {"period": 4.0}, alarming=True)
FAINT = Behaviour("Checkerboard", "", {"period": 4.0})
AT = {"painted": 190, "reference": 300}


def measure(key: str = "kid/Inception-768", *, different: bool = True, wide: float = 0.1, **values: float) -> Measure:
    """Of rows; `painted`, `photos`, `real` ..., with intervals of half the width `wide`."""
    values = {name.replace("also_", "also:"): value for name, value in values.items()}
    found = {name: Value(value, value - wide, value + wide) for name, value in values.items()}
    skill = {name: skill_of(found, name) for name in found}
    main = key.startswith("kid") and "192" not in key
    level = key.partition("/")[2]
    name = "KID-768 × 10³" if main else "another"
    apart = {PAINTED: different}
    return Measure(key, "sets", name, level, "", main=main, values=found, skill=skill, resolvable=wide, different=apart)


def said(*measures: Measure) -> str:
    return verdict(measures, random=False)


def test_nearer_is_a_share_of_the_way_with_its_interval() -> None:
    found = measure(photos=2.0, colour=1.5, painted=0.5, real=0.0)
    found.skill_interval[PAINTED] = (0.7, 0.8)
    assert said(found) == (
        "By KID-768 the painted pictures have come 75% of the way from photos to real paintings (95 %: 70% to 80%); "
        "colour transfer alone comes to 25%."
    )


def test_farther_is_said_to_be_farther() -> None:
    told = said(measure(photos=2.0, colour=1.5, painted=3.0, real=0.0))
    assert "farther from the paintings than the untouched photos are (at -0.50, photos 0, paintings 1)" in told
    assert told.startswith("By KID-768 the painted pictures are farther")


def test_what_cannot_be_told_apart_is_not_called_better_or_worse() -> None:
    for painted in (1.9, 2.1):
        told = said(measure(photos=2.0, colour=1.5, painted=painted, real=0.0, different=False))
        assert told.startswith("By KID-768 the painted pictures cannot be told from untouched photos;")


@pytest.mark.parametrize(
    ("painted", "different", "end"),
    [
        (0.5, True, "the painted pictures are nearer to the paintings than the photos."),
        (5.0, True, "the painted pictures are farther from the paintings than the photos."),
        (1.0, False, "the painted pictures cannot be told from untouched photos either."),
    ],
)
def test_without_a_scale_nothing_is_placed_on_it(painted: float, different: bool, end: str) -> None:
    for photos in (1.0, 1.05):  # nearer than real paintings; farther, but within the interval
        told = said(measure(photos=photos, colour=1.5, painted=painted, real=1.0, different=different))
        assert told.startswith("By KID-768 the untouched photos cannot be told from real paintings")
        assert told.endswith(end)
        assert "%" not in told


@pytest.mark.parametrize(
    "measures",
    [
        [],
        [measure("palette", photos=1, painted=1, real=0)],
        [measure(photos=1, painted=1)],
        [measure(photos=1, real=0)],
    ],
)
def test_too_few_pictures(measures: list[Measure]) -> None:
    assert said(*measures).startswith("There are too few pictures")


def test_random_weights_are_named_before_any_number() -> None:
    told = verdict([measure(photos=2.0, painted=0.5, real=0.0)], random=True)
    assert told.startswith("With random weights, which say nothing about quality: by KID-768 the painted")


def test_the_first_main_measure_is_the_one_that_counts() -> None:
    first, second = measure(photos=2.0, painted=1.0, real=0.0), measure(photos=2.0, painted=0.0, real=0.0)
    assert "50% of the way" in said(first, second)


def test_what_is_resolvable_is_said_in_the_unit_and_on_the_scale() -> None:
    told = resolution([measure(photos=2.0, painted=0.5, real=0.0, wide=0.2)], AT)
    assert told == (
        "With 190 painted pictures and 300 reference paintings, differences in KID-768 × 10³ below about 0.2 cannot be "
        "told from chance (95 %): 0.10 on the scale. Another training of the same painter may move it by more."
    )
    without = resolution([measure(photos=0.1, painted=0.5, real=0.0, wide=0.2)], AT)
    assert "chance (95 %). Another" in without
    assert resolution([], AT) == ""


def test_palette_nearer_but_texture_farther_is_a_contradiction_with_its_reason() -> None:
    measures = [
        measure(photos=2.0, painted=2.5, real=0.0),
        measure("mmd_gram/relu1_1", photos=1.0, painted=2.0, real=0.0),
        measure("mmd_texture/relu1_1", photos=1.0, painted=2.0, real=0.0),
        measure("mmd_gram/relu3_1", photos=1.0, painted=0.5, real=0.0),
        measure("palette", photos=1.0, painted=0.2, real=0.0),
    ]
    (told,) = contradictions(measures, GRID, NAMES)
    assert told == (
        "The painted pictures are farther from the paintings than the photos are, although their palette is nearer: "
        "what is wrong is texture (at relu1_1; most by another at relu1_1); see the grid of period 4 pixels in the "
        "spectrum."
    )
    for grid in (None, FAINT):
        assert contradictions(measures, grid, NAMES)[0].endswith("by another at relu1_1).")
    for palette in (
        measure("palette", photos=1.0, painted=0.2, real=0.0, different=False),
        measure("palette", photos=1.0, painted=1.2, real=0.0),
    ):
        (told,) = contradictions([*measures[:-1], palette], GRID, NAMES)
        assert "palette" not in told
        assert "what is wrong is texture (at relu1_1;" in told
    measures[0] = measure(photos=2.0, painted=1.5, real=0.0)
    assert contradictions(measures, GRID, NAMES) == [
        "Yet at relu1_1 the painted pictures are farther from the paintings than the photos are, most by another at "
        "relu1_1."
    ]
    for place in (1, 2):
        measures[place] = measure("mmd_gram/relu1_1", photos=1.0, painted=2.0, real=0.0, different=False)
    assert contradictions(measures, GRID, NAMES) == []


def test_a_palette_is_nearer_also_where_there_is_no_scale() -> None:
    measures = [
        measure(photos=0.5, painted=2.5, real=0.6),
        measure("palette", photos=1.0, painted=0.2, real=0.0),
    ]
    assert len(contradictions(measures, None, NAMES)) == 1


def test_levels_that_agree_are_not_mentioned() -> None:
    deep = measure(photos=2.0, painted=0.5, real=0.0)
    shallow = measure("kid/Inception-192", photos=20.0, painted=5.0, real=1.0)
    assert contradictions([deep, shallow], None, NAMES) == []
    assert contradictions([deep], None, NAMES) == []


def test_levels_that_disagree_name_the_rows_and_say_whether_it_is_certain() -> None:
    deep = measure(photos=2.0, painted=1.0, also_older=0.5, real=0.0)
    shallow = measure("kid/Inception-192", photos=2.0, painted=3.0, also_older=0.6, real=0.0)
    for one in (deep, shallow):
        one.apart.append((PAINTED, PHOTOS))
    (told,) = contradictions([deep, shallow], GRID, NAMES)
    assert told.startswith("Inception-768 and Inception-192 put photos, untouched and painted in different order: the")
    assert told.endswith("(there is a grid on the painted pictures).")
    assert "grid" not in contradictions([deep, shallow], FAINT, NAMES)[0]
    shallow = measure("kid/Inception-192", photos=2.0, painted=2.1, also_older=0.6, real=0.0, wide=0.5)
    assert contradictions([deep, shallow], GRID, NAMES) == [
        "Inception-768 and Inception-192 put photos, untouched and painted in different order, which may be chance."
    ]


def test_real_paintings_are_no_row_that_levels_could_put_elsewhere() -> None:
    deep = measure(photos=2.0, painted=1.0, real=0.0)
    shallow = measure("kid/Inception-192", photos=2.0, painted=1.0, real=1.5)
    assert contradictions([deep, shallow], None, NAMES) == []


def test_what_is_alarming_stands_in_the_verdict_whatever_the_numbers() -> None:
    good = [measure(photos=2.0, painted=0.5, real=0.0)]
    assert verdict(good, [GRID, FAINT], random=False).endswith(
        "real paintings (95 %: 75% to 75%). Alarming: checkerboard."
    )
    assert "Alarming" not in verdict(good, [FAINT], random=False)
