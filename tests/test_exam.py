"""An exam (cyclestyle.training.exam) is KID of painted photos, one at a time, and is quick to leave."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Draw
from PIL import Image
from torch import nn

from cyclestyle.evaluation.gauge import Gauge
from cyclestyle.images import fit, load, to_images
from cyclestyle.training import exam as examining
from cyclestyle.training.exam import Exam, open_exam, spread, time_to_sit

CPU = torch.device("cpu")
COLOURS = Gauge("mean colours", lambda images: images.mean((2, 3)))


class Counting(nn.Module):
    """Paints by a rule, and counts how many pictures it is given at once."""

    def __init__(self, rule: Callable[[torch.Tensor], torch.Tensor] = lambda images: images) -> None:
        super().__init__()
        self.rule, self.given = rule, []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert torch.is_inference_mode_enabled()
        self.given.append(len(images))
        return self.rule(images)


def exam_of(photos: list[Path], paintings: list[Path], gauge: Gauge = COLOURS, **options: Any) -> Exam | None:
    usual: dict[str, Any] = {
        "pictures": 100,
        "side": 16,
        "device": CPU,
        "complain": lambda said: pytest.fail(said),
        "hurried": lambda: False,
    }
    return open_exam(gauge, photos, paintings, **usual | options)


@pytest.fixture
def sets(tmp_path: Path, draw: Draw) -> tuple[list[Path], list[Path]]:
    return draw(tmp_path / "photos", 5, seed=1), draw(tmp_path / "paintings", 4, seed=2)


def opened(sets: tuple[list[Path], list[Path]], **options: Any) -> Exam:
    exam = exam_of(*sets, **options)
    assert exam is not None
    return exam


def colours(paths: list[Path], rule: Callable[[torch.Tensor], torch.Tensor] = lambda images: images) -> np.ndarray:
    """Mean colours of pictures once they are painted and rounded."""
    images = rule(to_images([fit(load(path), 16) for path in paths])).clamp(-1, 1)
    return ((images.double() + 1) * 127.5).round().div(127.5).sub(1).mean((2, 3)).numpy()


def by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """KID x 1000 as Binkowski et al. define it, with loops over pairs."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (a @ b / len(a) + 1) ** 3

    within = [np.mean([kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j]) for s in (x, y)]
    return 1000 * float(sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y]))


def test_a_painter_is_measured_by_kid_and_so_are_the_photos(sets: tuple[list[Path], list[Path]]) -> None:
    photos, paintings = sets
    exam, dim = opened(sets), lambda images: images * 0.25 + 0.1
    found = exam.sit({"kid": Counting(dim), "other": Counting(torch.neg)}, lambda: False)
    assert found == {
        "kid_untouched": pytest.approx(by_hand(colours(photos), colours(paintings)), rel=1e-4),
        "kid": pytest.approx(by_hand(colours(photos, dim), colours(paintings)), rel=1e-4),
        "other": pytest.approx(by_hand(colours(photos, torch.neg), colours(paintings)), rel=1e-4),
    }
    assert len({round(value, 3) for value in found.values()}) == 3


def test_who_paints_the_paintings_comes_nearer_than_who_paints_nothing(tmp_path: Path, draw: Draw) -> None:
    photos, paintings = draw(tmp_path / "photos", 6, seed=1), draw(tmp_path / "paintings", 6, seed=2)
    for path in paintings:  # of another kind: dark and blue
        Image.blend(load(path), Image.new("RGB", (24, 24), (0, 0, 90)), 0.7).save(path)
    blue = torch.tensor([-1.0, -1.0, 90 / 127.5 - 1])[:, None, None]
    found = opened((photos, paintings)).sit(
        {"kid": Counting(lambda images: images * 0.3 + blue * 0.7), "half": Counting(lambda i: i * 0.65 + blue * 0.35)},
        lambda: False,
    )
    assert found is not None
    assert found["kid"] < found["half"] < found["kid_untouched"]


def test_photos_are_held_as_bytes_and_painted_one_at_a_time(sets: tuple[list[Path], list[Path]]) -> None:
    exam, painter = opened(sets), Counting()
    assert [(photo.mode, photo.size) for photo in exam.photos] == [("RGB", (16, 16))] * 5
    exam.sit({"kid": painter}, lambda: False)
    assert painter.given == [1] * 5


def test_the_network_sees_one_picture_at_a_time_and_each_painting_only_once(
    sets: tuple[list[Path], list[Path]],
) -> None:
    seen: list[int] = []
    exam = opened(sets, gauge=Gauge("counting", lambda images: (seen.append(len(images)), images.mean((2, 3)))[1]))
    assert seen == [1] * 9
    for _ in range(2):
        exam.sit({"kid": Counting()}, lambda: False)
    assert seen == [1] * 19


def test_the_same_pictures_give_the_same_number_though_they_have_vanished(sets: tuple[list[Path], list[Path]]) -> None:
    exam = opened(sets)
    for path in (*sets[0], *sets[1]):
        path.unlink()
    one, other = (exam.sit({"kid": Counting(torch.neg)}, lambda: False) for _ in range(2))
    assert one == other
    assert one is not None


def test_who_becomes_hurried_leaves_at_once_and_nothing_is_known(sets: tuple[list[Path], list[Path]]) -> None:
    exam, first, second = opened(sets), Counting(), Counting()
    assert exam.sit({"kid": first, "kid_last": second}, lambda: len(second.given) == 2) is None
    assert (first.given, second.given) == ([1] * 5, [1, 1])
    assert exam.sit({"kid": first}, lambda: True) is None


@pytest.mark.parametrize("after", [0, 2, 4, 7])  # while the paintings are seen, and the photos
def test_who_becomes_hurried_before_the_first_exam_has_none_and_is_not_told_of_few_pictures(
    after: int, sets: tuple[list[Path], list[Path]]
) -> None:
    seen: list[int] = []
    gauge = Gauge("counting", lambda images: (seen.append(1), images.mean((2, 3)))[1])
    assert exam_of(*sets, gauge=gauge, hurried=lambda: len(seen) >= after) is None
    assert len(seen) == after


def test_a_painter_of_pictures_that_are_not_finite_has_a_kid_that_is_not(sets: tuple[list[Path], list[Path]]) -> None:
    found = opened(sets).sit({"kid": Counting(lambda images: images * math.nan)}, lambda: False)
    assert found is not None
    assert math.isnan(found["kid"])
    assert math.isfinite(found["kid_untouched"])


def test_what_cannot_be_read_is_passed_over_the_first_named_and_the_others_counted(
    sets: tuple[list[Path], list[Path]], tmp_path: Path, draw: Draw
) -> None:
    photos = draw(tmp_path / "more", 8, seed=1)
    for path in photos[2:6]:
        path.write_bytes(b"<html>")
    photos[6].unlink()
    said: list[str] = []
    exam = opened((photos, sets[1]), complain=said.append)
    assert [sentence.startswith("not in the evaluation: ") for sentence in said] == [True] * 3 + [False]
    assert [path.name in sentence for path, sentence in zip(photos[2:5], said, strict=False)] == [True] * 3
    assert said[-1] == "nor are 2 more pictures"
    usable = [photos[0], photos[1], photos[7]]
    assert exam.untouched == pytest.approx(by_hand(colours(usable), colours(sets[1])), rel=1e-4)


@pytest.mark.parametrize(("photos", "paintings"), [(1, 4), (5, 1), (0, 4), (5, 0), (0, 0)])
def test_fewer_than_two_pictures_of_either_are_told_and_not_measured_with(
    photos: int, paintings: int, sets: tuple[list[Path], list[Path]]
) -> None:
    for path in (*sets[0][photos:], *sets[1][paintings:]):
        path.write_bytes(b"")
    said: list[str] = []
    assert exam_of(*sets, complain=said.append) is None
    assert said[-1].startswith(f"painters are not measured: {photos} photos and {paintings} paintings")


def test_two_of_each_are_enough(sets: tuple[list[Path], list[Path]]) -> None:
    exam = opened((sets[0][:2], sets[1][:2]))
    assert exam.untouched == pytest.approx(by_hand(colours(sets[0][:2]), colours(sets[1][:2])), rel=1e-4)


def test_of_many_pictures_some_from_all_over_are_taken(
    sets: tuple[list[Path], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examining, "PAINTINGS_AT_MOST", 2)
    photos, paintings = sets
    exam = opened(sets, pictures=3)
    assert exam.photos == [fit(load(photos[index]), 16) for index in (0, 1, 3)]
    assert exam.untouched == pytest.approx(
        by_hand(colours([photos[0], photos[1], photos[3]]), colours([paintings[0], paintings[2]])), rel=1e-4
    )
    assert len([*spread(photos, 0, 16, pytest.fail)]) == 0


def test_the_time_of_an_exam_is_that_of_two_painters(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 9.0, 10.0, 10.5, 20.0, 20.25, 30.0, 31.0])  # the first picture takes longest
    monkeypatch.setattr(examining.time, "monotonic", lambda: next(clock))
    assert time_to_sit(COLOURS, Counting(), pictures=100, side=16, device=CPU) == 2 * 100 * 0.25
