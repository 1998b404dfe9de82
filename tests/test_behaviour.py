"""Habits of painters, on vectors that are known: collapse, copying, deception."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cyclestyle.evaluation.behaviour import LEAST_REAL, copying, deceives, diversity
from cyclestyle.evaluation.measures import PAINTED, PHOTOS, Tables
from cyclestyle.evaluation.store import Rows

EYES: Any = SimpleNamespace(levels=("level-64",), style_taps=("tap",))


def rows_of(place: Path, values: np.ndarray) -> dict[str, Rows]:
    place.mkdir(exist_ok=True)
    path = place / f"{len(list(place.iterdir()))}.f32"
    path.write_bytes(values.astype("<f4").tobytes())
    rows = Rows(path, *values.shape)
    return {"level/level-64": rows, "mean_std/tap": rows}


def seen(
    place: Path, photos: np.ndarray, painted: np.ndarray, training: np.ndarray, held_out: np.ndarray | None = None
) -> Any:
    known = rows_of(place / "m", training)
    others = None if held_out is None else rows_of(place / "m", held_out)
    tables = Tables(
        {PHOTOS: rows_of(place / "m", photos), PAINTED: rows_of(place / "m", painted)},
        known if others is None else others,
        None if others is None else known,
    )
    views = {PHOTOS: [SimpleNamespace(item=SimpleNamespace(name=str(number))) for number in range(len(photos))]}
    return SimpleNamespace(tables=tables, training=known, views=views)


def cloud(count: int, seed: int, shift: float = 0.0, size: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, size, (count, 64))


@pytest.mark.parametrize(("spread", "ratio", "alarming"), [(1.0, 1.0, False), (0.5, 0.5, True), (0.0, 0.0, True)])
def test_diversity_is_the_ratio_of_mean_distances(tmp_path: Path, spread: float, ratio: float, alarming: bool) -> None:
    photos = cloud(30, 1)
    found = diversity(seen(tmp_path, photos, 5 + spread * photos, cloud(30, 2)), EYES)
    assert found is not None
    assert found.numbers["ratio"] == pytest.approx(ratio, abs=1e-6)
    assert found.alarming == alarming
    assert f"{ratio:.2f} times as much as their photos" in found.sentence


def test_painters_may_be_as_uniform_as_the_paintings_are(tmp_path: Path) -> None:
    photos, paintings = cloud(30, 1), cloud(30, 2, size=0.5)
    found = diversity(seen(tmp_path, photos, 0.5 * photos, paintings), EYES)
    assert found is not None
    assert not found.alarming


def test_of_one_photo_or_of_equal_ones_no_diversity_is_told(tmp_path: Path) -> None:
    assert diversity(seen(tmp_path, cloud(1, 1), cloud(1, 2), cloud(9, 3)), EYES) is None
    assert diversity(seen(tmp_path, np.ones((5, 64)), cloud(5, 2), cloud(9, 3)), EYES) is None


@pytest.mark.parametrize("held_out", [False, True])
def test_copies_ring_and_pictures_of_the_same_kind_do_not(tmp_path: Path, held_out: bool) -> None:
    training, others = cloud(60, 2, 2), cloud(40, 3, 2) if held_out else None
    for made, share in ((cloud(40, 4, 2), 0.0), (training[:40], 1.0), (training[:40] + cloud(40, 5, 0, 0.01), 1.0)):
        found, copies = copying(seen(tmp_path, cloud(40, 1), made, training, others), EYES)
        assert found is not None
        assert found.numbers["suspicious"] == share
        assert found.alarming == (share > 0)
        assert len(copies) == 6
    assert [copy.painting for copy in copies] == [copy.painted for copy in copies]
    assert [copy.distance for copy in copies] == sorted(copy.distance for copy in copies)


def test_a_few_copies_among_many_ring(tmp_path: Path) -> None:
    training, made = cloud(60, 2, 2), cloud(40, 4, 2)
    made[7], made[20], made[33] = training[3], 2 * training[4], training[5]  # brighter copies as well
    found, copies = copying(seen(tmp_path, cloud(40, 1), made, training), EYES)
    assert found is not None
    assert found.alarming
    assert {(copy.painted, copy.painting) for copy in copies[:3]} == {(7, 3), (20, 4), (33, 5)}


def test_few_paintings_make_no_alarm_of_what_is_merely_near(tmp_path: Path) -> None:
    """With a dozen, one picture in twelve is nearer than any of them by chance alone."""
    rings = 0
    for seed in range(20):
        found, _ = copying(seen(tmp_path, cloud(12, 1), cloud(12, seed + 50, 2), cloud(LEAST_REAL, seed, 2)), EYES)
        assert found is not None
        rings += found.alarming
    assert rings == 0


def test_copying_needs_paintings_to_compare_with(tmp_path: Path) -> None:
    assert copying(seen(tmp_path, cloud(5, 1), cloud(5, 2), cloud(2, 3)), EYES) == (None, [])
    for count in (LEAST_REAL - 1, LEAST_REAL):
        found, _ = copying(seen(tmp_path, cloud(5, 1), cloud(5, 2), cloud(2, 3), cloud(count, 4)), EYES)
        assert (found is None) == (count < LEAST_REAL)


def test_paintings_that_are_there_twice_hide_no_copies(tmp_path: Path) -> None:
    training = cloud(60, 2, 2)
    twice = np.concatenate([training, training[:2]])
    found, _ = copying(seen(tmp_path, cloud(40, 1), training[:40], twice), EYES)
    assert found is not None
    assert found.alarming
    assert found.numbers["suspicious"] == 1
    assert found.numbers["real"] > 0.01
    all_twice = np.repeat(training, 2, axis=0)
    assert copying(seen(tmp_path, cloud(40, 1), training[:40], all_twice), EYES) == (None, [])


@pytest.mark.parametrize(("shift", "deceived"), [(0.0, 0.0), (4.0, 1.0)])
def test_painted_pictures_are_taken_for_what_they_are_like(tmp_path: Path, shift: float, deceived: float) -> None:
    photos = cloud(30, 1)
    found = deceives(seen(tmp_path, photos, photos + shift, cloud(30, 2, 4.0)), EYES)
    assert found.numbers["deceived"] == pytest.approx(deceived, abs=0.05)
    assert found.numbers["floor"] == pytest.approx(0, abs=0.05)
    assert found.numbers["ceiling"] == pytest.approx(1, abs=0.05)
    assert f"{found.numbers['deceived']:.0%} (" in found.sentence


def test_no_classifier_is_trained_on_too_few(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs 10 photos and 10 paintings"):
        deceives(seen(tmp_path, cloud(9, 1), cloud(9, 2), cloud(30, 3)), EYES)
