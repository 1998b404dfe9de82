"""Style against content, one point for each method: who gives up the least of one for the other?

Labels are placed by trying the places around each point, near ones first, until one is free: of other labels, of points
and of the frame. Text widths are estimated, on the wide side, since no font can be asked here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from cyclestyle.evaluation.wording import Places, number

LETTER, WIDE, BOLD = 0.61, 0.97, 1.13
"""Mean width of a letter against the font's size, in sans-serif faces, on the wide side; of an m or w; and by how much
bold ones are wider."""
FONT, RADIUS, GAP = 13.0, 5.0, 3.0
"""Pixels."""
LONGEST = 22
"""Letters of a label; longer names are cut, the tables have them whole."""

Ends = tuple[float, float]
Lines = tuple[float | None, float | None]
SKILLS: Lines = (0.0, 1.0)
"""Of untouched photos and real paintings."""


@dataclass(frozen=True)
class Point:
    """A method, where it stands."""

    name: str
    x: float
    y: float
    x_interval: tuple[float, float] | None = None
    y_interval: tuple[float, float] | None = None
    role: str = "method"
    """Or floor: the untouched photos."""


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)


class Label(NamedTuple):
    """A name, where it is written, and whether a line leads from there to its point."""

    text: str
    x: float
    y: float
    anchor: str
    """What of the text is at x: start, middle or end. The end that is next to the point, as widths are estimated."""
    box: Box
    leader: tuple[float, float, float, float] | None


class Drawn(NamedTuple):
    """A point in pixels, with its label."""

    point: Point
    x: float
    y: float
    x_whisker: tuple[float, float] | None
    y_whisker: tuple[float, float] | None
    label: Label
    front: bool
    """Whether no other method is better in both."""


class Tick(NamedTuple):
    """A number on an axis."""

    at: float
    text: str


class Plot(NamedTuple):
    """Everything to be drawn, in pixels from the upper left."""

    width: float
    height: float
    frame: Box
    points: list[Drawn]
    front: list[tuple[float, float]]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    photos: float | None
    """Where the untouched photos are, from the top; None outside of what is shown."""
    paintings: float | None
    """Where real paintings are."""

    @property
    def crosses(self) -> bool:
        """Whether there are intervals."""
        return any(one.x_whisker or one.y_whisker for one in self.points)


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other one is at least as good as in both and better in one; from left to right."""

    def beaten(one: Point) -> bool:
        return any(other.x >= one.x and other.y >= one.y and (other.x > one.x or other.y > one.y) for other in points)

    return sorted((point for point in points if not beaten(point)), key=lambda point: (point.x, -point.y))


def plot(points: Sequence[Point], width: float, height: float, lines: Lines = SKILLS, *, turned: bool = False) -> Plot:
    """Lay out a drawing of `width` x `height` pixels.

    Args:
        points: where methods stand; more is better on both axes.
        width: in pixels.
        height: in pixels.
        lines: where untouched photos and real paintings are, upwards; None where that is not known.
        turned: upwards are distances times -1; the axis is to show them as they were.
    """
    frame = Box(44.0, 12.0, width - 10.0, height - 42.0)
    x_range = _range([point.x for point in points], [point.x_interval for point in points], 0.12)
    shown = [*(end for end in lines[:1] if end is not None), *(point.y for point in points)]
    y_range = _range(shown, [point.y_interval for point in points], 0.1)

    def right(value: float) -> float:
        return _scaled(value, x_range, frame.left, frame.right)

    def down(value: float) -> float:
        return _scaled(value, y_range, frame.bottom, frame.top)

    best = front(points)
    middles = [(right(point.x), down(point.y)) for point in points]
    labels = _labels([point.name for point in points], [point in best for point in points], middles, frame)
    drawn = [
        Drawn(
            point,
            x,
            y,
            _whisker(point.x_interval, right, frame.left, frame.right),
            _whisker(point.y_interval, down, frame.top, frame.bottom),
            label,
            point in best,
        )
        for point, (x, y), label in zip(points, middles, labels, strict=True)
    ]
    photos, paintings = (down(end) if end is not None and y_range[0] <= end <= y_range[1] else None for end in lines)
    return Plot(
        width,
        height,
        frame,
        drawn,
        [(right(point.x), down(point.y)) for point in best],
        [Tick(right(value), text) for value, text in ticks(*x_range, width / 110)],
        [Tick(down(value), text) for value, text in ticks(*y_range, height / 60, -1 if turned else 1)],
        photos,
        paintings,
    )


def ticks(low: float, high: float, wanted: float, sign: int = 1) -> list[tuple[float, str]]:
    """Round numbers between two ends, about as many as wanted, with their text: of the number times `sign`."""
    step, power = min(
        ((digit * 10.0**power, power) for power, digit in product(range(-6, 7), (1, 2, 5))),
        key=lambda one: abs((high - low) / one[0] - wanted),
    )
    first = -int(-low // step) if low % step else round(low / step)
    at = Places(max(-power, 0))
    values = [place * step for place in range(first, int(high // step) + 1)]
    return [(value, number(sign * value, at).replace("-", "−")) for value in values if low <= value <= high]


def _range(values: Sequence[float], intervals: Sequence[Ends | None], room: float) -> Ends:
    """What an axis shows: all values, and of intervals as much as leaves the values a third of the room."""
    low, high = min(values), max(values)
    width = high - low
    ends = [end for interval in intervals if interval is not None for end in interval]
    lowest = max(min([low, *ends]), low - width)
    highest = min(max([high, *ends]), high + width)
    spare = width * room or 0.1
    return min(lowest, low - spare), max(highest, high + spare)


def _scaled(value: float, ends: tuple[float, float], first: float, last: float) -> float:
    return round(first + (value - ends[0]) / (ends[1] - ends[0]) * (last - first), 1)


def _whisker(interval, place, low: float, high: float) -> tuple[float, float] | None:
    """An interval in pixels, cut at the frame."""
    if interval is None:
        return None
    one, other = sorted(min(max(place(end), low), high) for end in interval)
    return one, other


def _labels(
    names: Sequence[str], bold: Sequence[bool], middles: Sequence[tuple[float, float]], frame: Box
) -> list[Label]:
    """A place for every name; where none is free, the one that covers least."""
    reach = RADIUS + 1
    taken = [Box(x - reach, y - reach, x + reach, y + reach) for x, y in middles]
    labels: dict[int, Label] = {}
    # crowded points first: they have the least choice
    crowd = [sum(_near(middle, other) for other in middles) for middle in middles]
    order = sorted(range(len(names)), key=crowd.__getitem__, reverse=True)
    for index in order:
        choice = list(_around(_short(names[index]), bold[index], middles[index], frame))
        others = [box for place, box in enumerate(taken) if place != index]
        labels[index] = min(choice, key=lambda label: sum(label.box.overlap(box) for box in others))
        taken.append(labels[index].box)
    return [labels[index] for index in range(len(names))]


def _near(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[0] - other[0]) < 120 and abs(one[1] - other[1]) < 40


def _around(text: str, bold: bool, middle: tuple[float, float], frame: Box) -> Iterator[Label]:
    """Places for a label around its point, the nearest first, all inside the frame."""
    x, y = middle
    wide, high = width_of(text, bold), FONT * 1.15
    for far in (0.0, 14.0, 28.0, 44.0, 62.0, 84.0, 110.0):
        beside, above = RADIUS + GAP + wide / 2 + far, RADIUS + GAP + high / 2 + far
        shifts = [(beside, 0.0), (-beside, 0.0), (0.0, -above), (0.0, above)]
        shifts += [(side * (wide / 2 + far / 2 + GAP), way * above) for way in (-1, 1) for side in (1, -1)]
        for to_right, down in shifts:
            column = min(max(x + to_right, frame.left + wide / 2), frame.right - wide / 2)
            row = min(max(y + down, frame.top + high / 2), frame.bottom - high / 2)
            box = Box(column - wide / 2, row - high / 2, column + wide / 2, row + high / 2)
            if box.overlap(Box(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS)):
                continue
            leader = _leader(box, middle) if far else None
            yield _label(text, box, x, leader)
    # a frame that is too small for any: on top of the point
    column = min(max(x, frame.left + wide / 2), frame.right - wide / 2)
    box = Box(column - wide / 2, y - high / 2, column + wide / 2, y + high / 2)
    yield _label(text, box, x, None)


def _label(text: str, box: Box, x: float, leader: tuple[float, float, float, float] | None) -> Label:
    """A label in its box, held at the end that is next to a point at `x`."""
    row = round((box.top + box.bottom) / 2, 1)
    if box.left >= x:
        return Label(text, round(box.left, 1), row, "start", box, leader)
    if box.right <= x:
        return Label(text, round(box.right, 1), row, "end", box, leader)
    return Label(text, round((box.left + box.right) / 2, 1), row, "middle", box, leader)


def width_of(text: str, bold: bool) -> float:
    """Pixels that a text takes, on the wide side."""
    letters = sum(WIDE if letter in "mwMW" else LETTER for letter in text)
    return FONT * letters * (BOLD if bold else 1.0)


def _leader(box: Box, middle: tuple[float, float]) -> tuple[float, float, float, float]:
    """A line from the nearest edge of a label to its point."""
    x, y = middle
    return (
        round(min(max(x, box.left), box.right), 1),
        round(min(max(y, box.top), box.bottom), 1),
        round(x, 1),
        round(y, 1),
    )


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
