"""Curves of a run, laid out for a page: lines over the steps, levels to compare them with, and the same in words.

A drawing is `WIDE` x `HIGH` and is stretched to whatever room there is; its text is HTML beside it, in percent of it,
and keeps its size.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from cyclestyle.evaluation.typesetting import typeset
from cyclestyle.evaluation.wording import Places, number, places
from cyclestyle.training.page.record import Points

WIDE, HIGH = 1000.0, 300.0
DRAWN = 240
"""Points of a line at most; more are averaged."""
SMOOTHED = 12
"""Parts of a line over which it is averaged, so that one sees where it goes; shorter lines are drawn as they are."""
FEW = 30
"""Points up to which each is a dot."""
OUTLIER = 2.5
"""Times what nine tenths of the values stay below, from which on a curve is cut at the top."""
LEAST = 1e-300
"""Height of a chart, below which it has no room for numbers in between: a computer has none."""
LISTED = 12
"""Lines of the table of a chart."""


class Series(NamedTuple):
    """Numbers over the steps."""

    name: str
    points: Points


class Level(NamedTuple):
    """A value to compare a line with."""

    value: float
    name: str


class Wanted(NamedTuple):
    """What one chart is to show."""

    key: str
    title: str
    explained: str
    series: list[Series]
    levels: Sequence[Level] = ()
    better: str = ""
    """lower or higher; empty where neither is."""
    noisy: bool = True
    """Whether chance moves the numbers, so that running means say more."""


class Line(NamedTuple):
    """A series as it is drawn."""

    name: str
    path: str
    """SVG path of the line, averaged where it has many points."""
    pale: str
    """SVG path of what was averaged; empty where nothing was."""
    dots: list[tuple[float, float]]
    told: str
    """The line in words."""


class Tick(NamedTuple):
    """A number at an axis, in percent from the left or from the top."""

    at: float
    text: str


class Chart(NamedTuple):
    """Everything to be drawn."""

    wanted: Wanted
    lines: list[Line]
    levels: list[Tick]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    alarms: list[float]
    """Where alarms rang, in percent from the left."""
    cut: bool
    """Whether some values lie above of what is shown."""
    head: list[str]
    table: list[list[str]]
    """Some of the numbers: the step, and each series."""


def chart(wanted: Wanted, last: int, alarms: Sequence[int] = ()) -> Chart | None:
    """Lay out a chart from step 0 to step `last`; None where there is not a single point."""
    series = [one for one in wanted.series if one.points]
    if not series or last <= 0:
        return None
    wanted = wanted._replace(series=series)
    values = [value for one in series for _, value in one.points] + [level.value for level in wanted.levels]
    low, high, cut = _range(values)
    at = places([low, high])

    def x(step: float) -> float:
        return round(WIDE * step / last, 1)

    def y(value: float) -> float:
        return round(HIGH * (1 - (min(value, high + 0.1 * (high - low)) - low) / (high - low)), 1)

    def down(value: float) -> float:
        return round(100 * y(value) / HIGH, 2)

    lines = []
    for one in series:
        drawn = averaged(one.points)
        smooth = smoothed(drawn) if wanted.noisy else []
        dots = [(x(step), y(value)) for step, value in drawn] if len(drawn) <= FEW else []
        pale = _path([(x(step), y(value)) for step, value in drawn]) if smooth else ""
        path = _path([(x(step), y(value)) for step, value in smooth or drawn])
        lines.append(Line(one.name, path, pale, [] if smooth else dots, in_words(one.points, wanted.better, at)))
    return Chart(
        wanted,
        lines,
        [Tick(down(level.value), level.name) for level in wanted.levels],
        [Tick(round(100 * step / last, 2), f"{step:,.0f}") for step in ticks(0, last, 4)],
        [Tick(down(value), _short(value)) for value in ticks(low, high, 4)],
        sorted({round(100 * step / last, 2) for step in alarms if 0 <= step <= last}),
        cut,
        ["step", *(one.name for one in series)],
        _table(series, at),
    )


def averaged(points: Points) -> Points:
    """At most `DRAWN` points: the means of stretches of equal numbers of points."""
    if len(points) <= DRAWN:
        return points
    groups = [points[len(points) * i // DRAWN : len(points) * (i + 1) // DRAWN] for i in range(DRAWN)]
    return [(group[len(group) // 2][0], sum(value for _, value in group) / len(group)) for group in groups]


def smoothed(points: Points) -> Points:
    """Running means over a `SMOOTHED`th of the line, narrower at its ends; nothing for a line too short for that."""
    reach = len(points) // (2 * SMOOTHED)
    if reach < 1:
        return []
    found = []
    for place, (step, _) in enumerate(points):
        half = min(reach, place, len(points) - 1 - place)
        around = [value for _, value in points[place - half : place + half + 1]]
        found.append((step, sum(around) / len(around)))
    return found


def in_words(points: Points, better: str, at: Places) -> str:
    """From where to where a line goes, and its best or its ends."""
    (first, began), (last, ended) = points[0], points[-1]
    if first == last:
        return f"{written(ended, at)} at step {last:,}"
    told = f"{written(began, at)} at step {first:,}, {written(ended, at)} at step {last:,}"
    if better:
        choose = min if better == "lower" else max
        step, best = choose(points, key=lambda point: point[1])
        if step not in {first, last}:
            told += f"; {'lowest' if better == 'lower' else 'highest'} {written(best, at)} at step {step:,}"
    return told


def written(value: float, at: Places) -> str:
    """A number in the way of its chart; very small ones each in its own."""
    if not at.power:
        return typeset(number(value, at))
    return typeset(f"{value:.3g}".replace("e-0", "e-"))


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers from one end to the other, about as many as wanted."""
    power = 10.0 ** math.floor(math.log10((high - low) / wanted))
    step = min((power * digit for digit in (1, 2, 5, 10)), key=lambda one: abs((high - low) / one - wanted))
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _range(values: Sequence[float]) -> tuple[float, float, bool]:
    """From zero, or from below it, to the highest value; and whether that is an outlier that is cut."""
    low, high = min(0.0, *values), max(0.0, *values)
    most = OUTLIER * sorted(values)[math.ceil(0.9 * len(values)) - 1]
    cut = 0 < most < high
    high = most if cut else high
    return low, high if high - low > LEAST else low + 1.0, cut


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _short(value: float) -> str:
    """A round number, without noughts behind it."""
    return typeset(f"{value:.6g}".replace("e-0", "e-"))


def _table(series: Sequence[Series], at: Places) -> list[list[str]]:
    """Some of the steps of the longest series, and what all are there."""
    longest = max((one.points for one in series), key=len)
    count = min(LISTED, len(longest))
    chosen = [longest[index * (len(longest) - 1) // max(count - 1, 1)][0] for index in range(count)]
    known = [dict(one.points) for one in series]
    return [
        [f"{step:,}", *(written(values[step], at) if step in values else "–" for values in known)] for step in chosen
    ]
