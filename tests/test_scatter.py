"""Style against content: who is on the front, and whether every label can be read."""

import itertools

import numpy as np
import pytest

from cyclestyle.comparison.scatter import FONT, LETTER, Point, front, plot, ticks, width_of

NAMES = ("photo", "reinhard", "gatys-nearest", "gatys-random", "gatys-mean", "wasserstein-nearest", "mmd-random")
NAMES = (*NAMES, "histogram-mean", "monet-128", "rough-128")


def test_the_front_holds_whom_nobody_beats_from_left_to_right() -> None:
    places = {"a": (1.0, 0.0), "b": (0.5, 0.5), "c": (0.4, 0.5), "d": (0.0, 1.0), "e": (0.4, 0.1)}
    points = [Point(name, x, y) for name, (x, y) in places.items()]
    assert [point.name for point in front(points)] == ["d", "b", "a"]


def test_two_at_one_place_are_both_on_the_front() -> None:
    assert len(front([Point("a", 1.0, 1.0), Point("b", 1.0, 1.0)])) == 2


@pytest.mark.parametrize(("width", "height"), [(720.0, 440.0), (356.0, 420.0)])
@pytest.mark.parametrize("spread", [1.0, 0.2])
@pytest.mark.parametrize("seed", range(5))
def test_ten_labels_lie_inside_and_on_no_point_and_on_no_other(
    width: float, height: float, spread: float, seed: int
) -> None:
    places = 0.5 + spread * (np.random.default_rng(seed).random((len(NAMES), 2)) - 0.5)
    places[0] = (1.0, 0.0)  # the photos hold the frame open: the others stand in a crowd
    found = plot([Point(name, float(x), float(y)) for name, (x, y) in zip(NAMES, places, strict=True)], width, height)
    boxes = [one.label.box for one in found.points]
    assert all(one.overlap(other) == 0 for one, other in itertools.combinations(boxes, 2))
    for box in boxes:
        assert found.frame.left <= box.left + 0.1
        assert box.right <= found.frame.right + 0.1
        assert found.frame.top <= box.top + 0.1
        assert box.bottom <= found.frame.bottom + 0.1
        assert not any(box.left < one.x < box.right and box.top < one.y < box.bottom for one in found.points)


def test_more_content_is_farther_right_and_more_style_farther_up() -> None:
    found = plot([Point("a", 0.2, 0.1), Point("b", 0.9, 0.8)], 400, 400)
    a, b = found.points
    assert a.x < b.x
    assert a.y > b.y  # pixels count from the top
    assert found.photos is not None  # skill 0 is always shown
    assert found.photos > a.y


def test_a_label_is_held_at_the_end_that_is_next_to_its_point() -> None:
    found = plot([Point("alone", 0.0, 0.0), Point("far away", 1.0, 1.0)], 720, 440)
    for one in found.points:
        label = one.label
        held = {"start": label.box.left, "middle": (label.box.left + label.box.right) / 2, "end": label.box.right}
        assert label.x == pytest.approx(held[label.anchor], abs=0.06)
        assert min(abs(one.x - end) for end in label.box[::2]) > abs(one.x - label.x) - 0.06 or label.anchor == "middle"
    assert width_of("mmmm", bold=True) > width_of("mmmm", bold=False) > width_of("iiii", bold=False)


def test_an_interval_that_is_not_much_longer_than_the_drawing_is_shown_whole() -> None:
    points = [Point("a", 0.4, 0.4, None, (0.2, 0.59)), Point("b", 0.6, 0.1), Point("c", 1.0, 0.0)]
    one = plot(points, 720, 440).points[0]
    assert one.y_whisker is not None
    above, below = one.y - one.y_whisker[0], one.y_whisker[1] - one.y
    assert above / below == pytest.approx(0.19 / 0.2, abs=0.01)


def test_intervals_are_cut_at_the_frame() -> None:
    (one, _) = plot([Point("a", 0.5, 0.5, (-9.0, 9.0), (0.4, 0.6)), Point("b", 0.6, 0.6)], 400, 400).points
    assert one.x_whisker == (44.0, 390.0)
    assert one.y_whisker is not None
    assert one.y_whisker[0] < one.y < one.y_whisker[1]


@pytest.mark.parametrize(
    ("low", "high", "wanted", "text"),
    [
        (0.38, 1.02, 6, ["0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]),
        (-1.1, 1.2, 4, ["−1.0", "−0.5", "0.0", "0.5", "1.0"]),
        (0.0, 37.0, 4, ["0", "10", "20", "30"]),
    ],
)
def test_axes_have_round_numbers(low: float, high: float, wanted: float, text: list[str]) -> None:
    assert [one for _, one in ticks(low, high, wanted)] == text


def test_equal_values_and_long_names_are_drawn_too() -> None:
    found = plot([Point("x" * 80, 0.5, 0.0), Point("y" * 80, 0.5, 0.0)], 356, 420)
    assert all(len(one.label.text) <= 22 for one in found.points)
    assert found.points[0].label.box.overlap(found.points[1].label.box) == 0
    assert len("x" * 22) * FONT * LETTER < 356
