"""The scale of a card: photos at 0, real paintings at 1, and what cannot be told apart is not called different."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from cyclestyle.evaluation.frechet import frechet
from cyclestyle.evaluation.kernels import energy, estimate, polynomial
from cyclestyle.evaluation.measures import (
    COLOUR,
    DRAWS,
    PAINTED,
    PHOTOS,
    REAL,
    Measure,
    Tables,
    Value,
    at_equal_sizes,
    discrepancy,
    row_name,
    skill_of,
    spread_over,
)
from cyclestyle.evaluation.store import Rows

WIDTH = 6
TOLD = Measure("kid/x", "sets", "KID", "x", "explained")


def rows_of(folder: Path, values: np.ndarray) -> Rows:
    folder.mkdir(exist_ok=True)
    path = folder / f"{len(list(folder.iterdir()))}.f32"
    path.write_bytes(values.astype("<f4").tobytes())
    return Rows(path, *values.shape)


@pytest.fixture
def world(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Tables out of arrays."""

    def make(reference: np.ndarray, real: np.ndarray | None = None, seed: int = 0, **rows: np.ndarray) -> Tables:
        parts = {name: {"x": rows_of(tmp_path / "m", values)} for name, values in rows.items()}
        others = None if real is None else {"x": rows_of(tmp_path / "m", real)}
        return Tables(parts, {"x": rows_of(tmp_path / "m", reference)}, others, seed)

    return make


def cloud(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (count, WIDTH))


PAINTINGS, OTHERS = cloud(80, 1), cloud(60, 2)
PHOTO = cloud(50, 3, 1.5)


@pytest.mark.parametrize("kernel", [polynomial(), energy()])
@pytest.mark.parametrize("real", [None, OTHERS])
def test_photos_stand_at_0_and_real_paintings_at_1_and_others_between(world, kernel, real) -> None:  # type: ignore[no-untyped-def]
    half_way = PHOTO - 0.75
    tables = world(PAINTINGS, real, photos=PHOTO, painted=half_way, arrived=PHOTO - 1.5, away=PHOTO + 1)
    found = discrepancy(TOLD, "x", kernel, tables, scale=10)
    assert found.skill[PHOTOS] == 0.0
    assert found.skill[REAL] == pytest.approx(1.0)
    assert 0.2 < found.skill[PAINTED] < 0.95
    assert found.skill["arrived"] == pytest.approx(1, abs=0.1)
    assert found.skill["away"] < 0
    assert found.different == {PAINTED: True, "arrived": True, "away": True}
    assert found.resolvable > 0


def test_values_are_those_of_the_kernels_in_the_unit_of_the_card(world) -> None:  # type: ignore[no-untyped-def]
    tables = world(PAINTINGS, OTHERS, photos=PHOTO, painted=PHOTO - 1)
    found = discrepancy(TOLD, "x", polynomial(), tables, scale=1e3)
    for key, rows in ((PHOTOS, PHOTO), (PAINTED, PHOTO - 1), (REAL, OTHERS)):
        expected = estimate(rows.astype("f4"), PAINTINGS.astype("f4"), polynomial())
        value = found.values[key]
        assert value.value == pytest.approx(1e3 * expected.value, rel=1e-9)
        assert (value.low, value.high) == pytest.approx([1e3 * end for end in expected.interval], rel=1e-9)
        assert value.low < value.value < value.high
    low, high = found.skill_interval[PAINTED]
    assert low < found.skill[PAINTED] < high


def test_what_equals_the_photos_is_not_different_and_has_skill_0(world) -> None:  # type: ignore[no-untyped-def]
    found = discrepancy(TOLD, "x", energy(), world(PAINTINGS, None, photos=PHOTO, painted=PHOTO))
    assert found.skill[PAINTED] == 0.0
    assert found.skill_interval[PAINTED] == pytest.approx((0, 0), abs=1e-6)
    assert found.different == {PAINTED: False}


def test_other_real_paintings_have_skill_about_1(world) -> None:  # type: ignore[no-untyped-def]
    skills = []
    for seed in range(5):
        tables = world(PAINTINGS, OTHERS, photos=PHOTO, painted=cloud(50, 100 + seed))
        skills.append(discrepancy(TOLD, "x", energy(), tables).skill[PAINTED])
    assert np.mean(skills) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("statistic", ["discrepancy", "draws"])
def test_there_is_no_scale_where_photos_are_like_real_paintings(world, statistic: str) -> None:  # type: ignore[no-untyped-def]
    """Else a number by chance would stand for quality, or with the ends of the scale turned round."""
    for seed in range(4):
        tables = world(PAINTINGS, OTHERS, photos=cloud(50, seed + 10), painted=PHOTO)
        if statistic == "discrepancy":
            found = discrepancy(TOLD, "x", energy(), tables)
            assert set(found.skill.values()) == {None}
            assert found.skill_interval == {}
            assert found.different == {PAINTED: True}
        else:  # whichever is nearer by chance
            found = at_equal_sizes(TOLD, ("x",), frechet, tables)
            turned = found.values[PHOTOS].value <= found.values[REAL].value
            assert found.skill[PAINTED] is None or not turned
            assert found.skill[PAINTED] is None or found.skill[PAINTED] < 0


def test_skill_of_what_should_be_high_counts_the_other_way() -> None:
    values = {PHOTOS: Value(0.2), REAL: Value(0.9), PAINTED: Value(0.55), "worse": Value(0.1)}
    found = {key: skill_of(values, key, "higher") for key in values}
    assert found == {PHOTOS: 0.0, REAL: 1.0, PAINTED: pytest.approx(0.5), "worse": pytest.approx(-1 / 7)}
    assert {skill_of(values, key) for key in values} == {None}  # photos nearer than paintings


@pytest.mark.parametrize(
    "values",
    [
        {PHOTOS: Value(1.0)},
        {PHOTOS: Value(1.0), REAL: Value(1.0)},
        {PHOTOS: Value(0.0), REAL: Value(0.0)},
        {PHOTOS: Value(1.0), REAL: Value(1 - 1e-12)},
        {PHOTOS: Value(1.0), REAL: Value(2.0)},
        {PHOTOS: Value(1.0, 0.4, 1.6), REAL: Value(0.5)},
        {PHOTOS: Value(math.nan), REAL: Value(0.5)},
    ],
)
def test_no_scale_no_skill(values: dict[str, Value]) -> None:
    assert skill_of(values, PHOTOS) is None


def test_few_pictures_have_numbers_without_intervals(world) -> None:  # type: ignore[no-untyped-def]
    found = discrepancy(TOLD, "x", energy(), world(PAINTINGS[:2], None, photos=PHOTO[:2], painted=PHOTO[2:4]))
    assert found.values.keys() == {PHOTOS, PAINTED}  # two paintings have no halves
    assert found.values[PAINTED].low is None
    assert found.skill == {PHOTOS: None, PAINTED: None}
    assert found.different == {PAINTED: False}
    assert found.resolvable is None


def test_a_card_without_painted_pictures_resolves_nothing(world) -> None:  # type: ignore[no-untyped-def]
    assert discrepancy(TOLD, "x", energy(), world(PAINTINGS, None, photos=PHOTO)).resolvable is None


def named(count: int, base: int) -> np.ndarray:
    """Rows that tell which they are."""
    return base + np.repeat(np.arange(count)[:, None], 2, axis=1).astype(float)


@pytest.mark.parametrize("held_out", [None, 9])
def test_draws_have_equal_sizes_the_same_scenes_and_share_no_painting(world, held_out: int | None) -> None:  # type: ignore[no-untyped-def]
    real = None if held_out is None else named(held_out, 2000)
    tables = world(named(17, 1000), real, photos=named(12, 0), painted=named(12, 100), more=named(12, 200))
    count = tables.count("x")
    assert count == (8 if held_out is None else 9)
    draws = list(tables.draws("x"))
    assert len(draws) == DRAWS
    for rows, reference in draws:
        assert list(rows) == [PHOTOS, PAINTED, "more", REAL]
        scenes = rows[PHOTOS][:, 0].tolist()
        assert len(set(scenes)) == len(scenes) == count
        assert rows[PAINTED][:, 0].tolist() == [scene + 100 for scene in scenes]
        assert rows["more"][:, 0].tolist() == [scene + 200 for scene in scenes]
        first, second = set(reference[:, 0]), set(rows[REAL][:, 0])
        assert len(first) == len(second) == count
        assert not first & second
        assert reference.dtype == np.float64
    assert len({tuple(reference[:, 0]) for _, reference in draws}) > 1


def test_draws_follow_the_seed_alone(world) -> None:  # type: ignore[no-untyped-def]
    def drawn(seed: int) -> list[list[float]]:
        tables = world(named(17, 1000), None, seed, photos=named(12, 0), painted=named(12, 100))
        return [reference[:, 0].tolist() + rows[PHOTOS][:, 0].tolist() for rows, reference in tables.draws("x")]

    np.random.seed(1)
    torch.manual_seed(1)
    one = drawn(3)
    np.random.seed(2)
    assert drawn(3) == one
    assert drawn(4) != one


def test_parts_are_put_side_by_side(world) -> None:  # type: ignore[no-untyped-def]
    tables = world(named(8, 1000), None, photos=named(5, 0), painted=named(5, 100))
    both = Tables(
        {key: {"x": parts["x"], "y": parts["x"]} for key, parts in tables.rows.items()},
        {"x": tables.reference["x"], "y": tables.reference["x"]},
        None,
    )
    rows, reference = next(both.draws("x", "y"))
    assert rows[PAINTED].shape == (4, 4)
    assert reference[:, :2].tolist() == reference[:, 2:].tolist()


def test_numbers_at_equal_sizes_are_means_over_the_draws(world) -> None:  # type: ignore[no-untyped-def]
    tables = world(PAINTINGS, None, photos=PHOTO, painted=PHOTO - 1.5)
    found = at_equal_sizes(TOLD, ("x",), frechet, tables)
    expected = np.mean([frechet(rows[PAINTED], reference) for rows, reference in tables.draws("x")])
    assert found.values[PAINTED] == Value(pytest.approx(expected))
    assert found.skill[PHOTOS] == 0.0
    assert found.skill[REAL] == 1.0
    assert found.skill[PAINTED] == pytest.approx(1, abs=0.15)


def test_places_are_from_all_over_the_set() -> None:
    assert spread_over(10, 3).tolist() == [0, 3, 6]
    assert spread_over(3, 10).tolist() == [0, 1, 2]
    assert spread_over(0, 5).tolist() == []


def test_rows_have_names_for_people() -> None:
    assert [row_name(key) for key in (PHOTOS, COLOUR, REAL, "also:older")] == [
        "photos, untouched",
        "colour transfer",
        "real paintings",
        "older",
    ]
