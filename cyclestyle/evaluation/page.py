"""The card of an evaluation as one page to read: no script, nothing to load, the same bytes for the same card.

Skill is drawn on an axis that is the same for every measure, so that one can read down the page: the untouched photos
stand at 0, the real paintings at 1. Positions are in percent of a drawing's width; text is HTML beside it, which keeps
its size on a phone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from markupsafe import Markup

from cyclestyle.evaluation.typesetting import CLOSED, cell, exact, from_to, pages, picture
from cyclestyle.evaluation.wording import (
    GROUPS,
    RANDOM,
    RANDOM_TITLE,
    Places,
    number,
    of_role,
    places,
    places_of,
    require_card,
    row_names,
    told_apart,
)

AXIS = (-0.25, 1.25)
"""Skill at the two ends of every axis; what lies beyond is drawn as an arrow there, its number stands beside."""

COUNT = Places(digits=0)

Position = float
"""In percent of a drawing's width."""


class Mark(NamedTuple):
    """What is drawn of one row: a dot and its 95 % interval, the quartiles as a box."""

    dot: Position | None = None
    whisker: tuple[Position, Position] | None = None
    box: tuple[Position, Position] | None = None
    beyond: str = ""  # "low" or "high": the dot lies outside the axis
    exact: bool = True  # the interval is that of what is drawn, not of the value behind it


class Line(NamedTuple):
    """One row of a figure: what is written, and what is drawn."""

    name: str
    role: str
    cells: dict[str, Markup]
    mark: Mark


class Figure(NamedTuple):
    """One measure: its lines, and the sentences under them."""

    measure: Mapping[str, Any]
    lines: list[Line]
    feet: list[str]
    factor: str  # by which its values are multiplied, " × 10⁷"
    ends: tuple[str, str] = ("", "")  # of the axis, where it is not that of skill

    @property
    def drawn(self) -> bool:
        """Whether there is anything on the axis."""
        return any(line.mark.dot is not None for line in self.lines)


def page(card: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """One self-contained HTML file that shows the card of an evaluation to a person.

    Args:
        card: what `card.json` holds; parts that are absent leave nothing on the page.
        pictures: PNG, JPEG or WebP files by the keys that the card names.

    Returns:
        The page: CSS and pictures inside, no script, readable in light and dark, on a phone and in print. Numbers are
        rounded to three digits for the eye; the exact ones stand in the `value` of their `data` elements.

    Raises:
        ValueError: the card has another format, or names a picture that is not among `pictures` or not a picture.
    """
    require_card(card)
    measures = [_figure(measure, card) for measure in card.get("measures", ())]
    keys = dict.fromkeys((*GROUPS, *map(_group, measures)))
    groups = {key: [figure for figure in measures if _group(figure) == key] for key in keys}
    content = [_content(measure, card["rows"]) for measure in card.get("content", ())]
    html = (
        pages()
        .get_template("page.html.jinja")
        .render(
            card=card,
            closed=CLOSED,
            main=groups.pop("main", []),
            groups={key: (*GROUPS.get(key, (key, "")), figures) for key, figures in groups.items() if figures},
            content=content,
            alarming=[one for one in card.get("behaviour", {}).values() if one.get("alarming")],
            axis=tuple(_position(skill, AXIS) for skill in (0.0, 1.0)),
            random=(RANDOM_TITLE, RANDOM) if card.get("random") else None,
            picture=partial(picture, pictures),
        )
    )
    return html.encode("utf-8", "replace").decode("utf-8")  # half characters, of file names that are no UTF-8


def _group(figure: Figure) -> str:
    return "main" if figure.measure.get("main") else figure.measure["group"]


def _figure(measure: Mapping[str, Any], card: Mapping[str, Any]) -> Figure:
    """A measure between sets, on the axis of skill."""
    names, at = row_names(card), places_of(measure)
    skills, intervals = measure.get("skill") or {}, measure.get("skill_interval") or {}
    as_skill = _skill_of(measure, of_role(card, "floor"), of_role(card, "ceiling"))
    lines = []
    for row in card["rows"]:
        key, value, skill = row["key"], measure["values"].get(row["key"]), skills.get(row["key"])
        if value is None:
            continue
        bounds = (value.get("low"), value.get("high"))
        interval = intervals.get(key) or (None, None)
        drawn = interval if None not in interval else tuple(map(as_skill, bounds))
        cells = {"skill": cell(skill, interval), "value": cell(value["value"], bounds, at)}
        mark = _mark(skill, drawn, AXIS)._replace(exact=None not in interval)
        lines.append(Line(row["name"], row["role"], cells, mark))
    feet = []
    apart, alike = told_apart(measure, names)
    if apart:
        feet.append(f"Differs from the untouched photos at 95 %: {', '.join(apart)}.")
    if alike:
        feet.append(f"Cannot be told from the untouched photos at 95 %: {', '.join(alike)}.")
    return Figure(measure, lines, feet, at.factor)


def _skill_of(
    measure: Mapping[str, Any], floor: str | None, ceiling: str | None
) -> Callable[[float | None], float | None]:
    """The map from values of a measure to skill: 0 where the photos are, 1 where the paintings are."""
    at_floor, at_ceiling = (
        measure["values"].get(key, {}).get("value") if key is not None else None for key in (floor, ceiling)
    )

    def skill(value: float | None) -> float | None:
        if value is None or at_floor is None or at_ceiling is None or at_floor == at_ceiling:
            return None
        return (at_floor - value) / (at_floor - at_ceiling)

    return skill


def _content(measure: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> Figure:
    """A measure between pictures and their photos, on an axis from 0 over all quartiles."""
    found = {row["key"]: measure["rows"][row["key"]] for row in rows if row["key"] in measure["rows"]}
    parts = ("median", "lower_quartile", "upper_quartile", "low", "high")
    everything = [one.get(part) for one in found.values() for part in parts]
    finite = [value for value in everything if value is not None and math.isfinite(value)]
    at, axis = places(finite), (min([0.0, *finite]), max([0.0, *finite]))
    lines = []
    for row in rows:
        if (one := found.get(row["key"])) is None:
            continue
        median, lower, upper, low, high = (one.get(part) for part in parts)
        cells = {
            "median": cell(median, (low, high), at),
            "quartiles": from_to(lower, upper, at),
            "pictures": exact(one.get("count"), COUNT),
        }
        mark = _mark(median, (low, high), axis)._replace(box=_interval((lower, upper), axis))
        lines.append(Line(row["name"], row["role"], cells, mark))
    return Figure(measure, lines, [], at.factor, (number(axis[0], at), number(axis[1], at)))


def _position(value: float, axis: tuple[float, float]) -> Position:
    low, high = axis
    share = (value - low) / (high - low) if high > low else 0.0
    return round(100 * min(max(share, 0.0), 1.0), 2)


def _interval(ends: Sequence[float | None], axis: tuple[float, float]) -> tuple[Position, Position] | None:
    known = sorted(end for end in ends if end is not None and math.isfinite(end))
    return (_position(known[0], axis), _position(known[1], axis)) if len(known) == 2 else None


def _mark(value: float | None, interval: Sequence[float | None], axis: tuple[float, float]) -> Mark:
    if value is None or not math.isfinite(value):
        return Mark()
    beyond = "low" if value < axis[0] else "high" if value > axis[1] else ""
    return Mark(_position(value, axis), _interval(interval, axis), None, beyond)
