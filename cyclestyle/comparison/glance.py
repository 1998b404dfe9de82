"""A comparison at a glance: for everything that is asked of a method a sentence, and bars with their intervals.

Skill has one axis for all that it is measured by, so that bars can be compared down the page: the untouched photos
stand at 0, real paintings at 1. Positions are in percent of a drawing's width.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from cyclestyle.comparison.columns import COLOURED, CONTENT, STYLED, TEXTURED, TRUTH, the_distance
from cyclestyle.comparison.winners import NEARNESS, seconds
from cyclestyle.evaluation.measures import PHOTOS, REAL
from cyclestyle.evaluation.typesetting import exact, from_to, typeset
from cyclestyle.evaluation.wording import SKILL, Places, places

LOWEST, HIGHEST = -1.0, 1.25
"""Skill beyond these is drawn as an arrow at the end of the axis; its number stands beside."""
SPARE = 0.25
"""Of skill, that the axis shows of intervals beyond the values: one wide one is not to make all bars short."""

Ends = tuple[float, float]


class Bar(NamedTuple):
    """One method: what is written, and what is drawn."""

    name: str
    start: float
    width: float
    whisker: Ends | None
    caps: list[float]
    """Ends of the whisker that lie on the axis."""
    beyond: str
    """low or high, where the value lies outside of the axis."""
    value: Markup
    interval: Markup
    mark: str
    """best: by more than chance; among: the best number, or not to be told from it."""


class Guide(NamedTuple):
    """A line across all bars."""

    at: float
    text: str
    side: str = "after"
    """Of the line, on which the text stands: before or after."""


class Bars(NamedTuple):
    """One number of every method."""

    title: str
    better: str
    """Which way is better, in words."""
    guides: list[Guide]
    bars: list[Bar]


class Answer(NamedTuple):
    """One question of somebody who has to choose a method."""

    axis: str
    sentence: str
    drawings: list[Bars]


def answers(told: Mapping[str, Any]) -> list[Answer]:
    """What `comparison.json` says of each axis, with bars for it where there is a number; alarms have none."""
    competing = told["competing"]
    columns = _columns(told["columns"])
    skilled = [one for found in columns.values() for one in found if _is_skill(one)]
    axis = _skill_axis(skilled, competing)
    found = []
    for one in told["sentences"]:
        drawn = (_bars(column, competing, axis) for column in columns.get(one["axis"], ()))
        found.append(Answer(one["axis"], one["sentence"], [bars for bars in drawn if bars is not None]))
    return found


def _columns(columns: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The columns that answer, by the axes of the sentences (winners.py)."""
    distance = the_distance(one["key"] for one in columns)

    def first(fits) -> list[Mapping[str, Any]]:
        return [one for one in columns if one["best"] and fits(one)][:1]

    return {
        NEARNESS: first(lambda one: one["key"] == distance),
        "Style": first(lambda one: one["key"].startswith(STYLED)),
        "Texture": first(lambda one: one["key"].startswith(TEXTURED)),
        "Colour": first(lambda one: one["key"].startswith(COLOURED)),
        "Content": first(lambda one: one["group"] == CONTENT),
        "Truth": first(lambda one: one["group"] == TRUTH and one["key"] != "truth/psnr"),
        "Cost": [one for key in ("seconds", "memory") for one in first(lambda one, key=key: one["key"] == key)],
    }


def _is_skill(column: Mapping[str, Any]) -> bool:
    return column["cells"].get(REAL, {}).get("skill") is not None


def _skill_axis(columns: Iterable[Mapping[str, Any]], competing: Sequence[str]) -> Ends:
    """From the photos, or from the worst, to the paintings, or to the best."""
    cells = [column["cells"][name] for column in columns for name in competing if name in column["cells"]]
    skills = [0.0, 1.0, *(cell["skill"] for cell in cells if cell["skill"] is not None)]
    ends = [cell[part] for cell in cells for part in ("skill_low", "skill_high") if cell[part] is not None]
    low = max(min([*skills, *ends]), min(skills) - SPARE, LOWEST)
    return low, min(max([*skills, *ends]), max(skills) + SPARE, HIGHEST)


def _bars(column: Mapping[str, Any], competing: Sequence[str], skills: Ends) -> Bars | None:
    cells = {name: cell for name in competing if (cell := column["cells"].get(name)) and _finite(cell["value"])}
    if not cells:
        return None
    title = " ".join(filter(None, (column["title"].removesuffix(" × 10³"), _level(column))))
    if _is_skill(column):
        of_skill = {name: (cell["skill"], cell["skill_low"], cell["skill_high"]) for name, cell in cells.items()}
        drawn = [_bar(column, name, ends, skills, SKILL) for name, ends in of_skill.items() if ends[0] is not None]
        guides = [Guide(_position(0.0, skills), "photos 0", "before"), Guide(_position(1.0, skills), "1 paintings")]
        return Bars(f"skill by {title}", "longer to the right is nearer", guides, drawn)
    numbers = {name: (cell["value"], cell["low"], cell["high"]) for name, cell in cells.items()}
    shown = [column["cells"].get(key) for key in (PHOTOS, REAL) if column["group"] not in {CONTENT, TRUTH}]
    everything = [*(end for ends in numbers.values() for end in ends), *(one["value"] for one in shown if one)]
    finite = [end for end in everything if _finite(end)]
    axis = min(0.0, *finite), max(0.0, *finite)
    at = places(finite)
    drawn = [_bar(column, name, ends, axis, at) for name, ends in numbers.items()]
    better = "shorter is better" if column["better"] == "lower" else "longer is better"
    return Bars(title, better, [Guide(_position(0.0, axis), "0")], drawn)


def _level(column: Mapping[str, Any]) -> str:
    return "" if column["level"].startswith("Inception") or not column["level"] else f"({column['level']})"


def _bar(
    column: Mapping[str, Any], name: str, ends: tuple[float, float | None, float | None], axis: Ends, at: Places
) -> Bar:
    value, low, high = ends
    zero, end = _position(0.0, axis), _position(value, axis)
    whisker, caps = None, []
    if low is not None and high is not None and low != high and math.isfinite(high - low):
        whisker = _position(low, axis), _position(high, axis)
        caps = [_position(end, axis) for end in (low, high) if axis[0] <= end <= axis[1]]
    beyond = "low" if value < axis[0] else "high" if value > axis[1] else ""
    best = column["best"]
    alone = column["certain"] and len(best) == 1
    mark = ("best" if alone else "among") if name in best else ""
    written = exact(value, at)
    if column["key"] == "seconds":
        written = Markup('<data value="{}">{}</data>').format(repr(value), typeset(seconds(value)))
    interval = from_to(low, high, at) if whisker else Markup("")
    return Bar(name, min(zero, end), round(abs(end - zero), 2), whisker, caps, beyond, written, interval, mark)


def _position(value: float, axis: Ends) -> float:
    low, high = axis
    share = (value - low) / (high - low) if high > low else 0.0
    return round(100 * min(max(share, 0.0), 1.0), 2)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
