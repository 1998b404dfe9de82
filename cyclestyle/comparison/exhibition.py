"""The page of a comparison: who wins at what, style against content, every number, and the pictures side by side.

It shares its looks and its ways of writing numbers with the page of a card. Nothing is loaded; the one script lets a
slider go over two pictures, and all pictures are there without it.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from cyclestyle.comparison.columns import BEHAVIOUR, CONTENT, COST, SETS, STYLE, TRUTH, the_distance
from cyclestyle.comparison.glance import answers
from cyclestyle.comparison.scatter import SKILLS, Ends, Plot, Point, plot
from cyclestyle.comparison.winners import meanings, seconds
from cyclestyle.evaluation.measures import NAMES, PHOTOS, REAL
from cyclestyle.evaluation.typesetting import exact, from_to, pages, picture, typeset, viewer
from cyclestyle.evaluation.wording import RANDOM, RANDOM_TITLE, SKILL, places
from cyclestyle.progress import clock

GROUPS = {
    CONTENT: ("Content", "How far each picture is from its own photo; medians over the pictures."),
    SETS: (
        "Distance to the paintings",
        "How far each set of pictures is from the paintings, as a whole. Skill is how much of the way from the "
        "untouched photos (0) to real paintings (1) a method has gone.",
    ),
    STYLE: (
        "Style, texture, colour",
        "The same in statistics of feature maps, and of colours.",
    ),
    BEHAVIOUR: (
        "What may be wrong",
        "Habits of each method, from its own card; what is alarming is marked.",
    ),
    TRUTH: ("Distance to the truth", "How near each picture is to its true painting, which is known here; medians."),
    COST: (
        "Cost",
        "Every method is made in a process of its own. Time is that of making the pictures; what was there already is "
        "not counted, nor is training.",
    ),
}
SIZES = {"wide": (720.0, 440.0), "narrow": (356.0, 420.0)}
"""Pixels of the drawing, laid out for two widths of a page."""

ALONG = "Farther right keeps more of the photo, farther up is nearer to the paintings."
SKILLED = (
    "Skill is the share of the way: the untouched photos stand at 0, real paintings at 1, and below 0 is farther off."
)
UNSKILLED = (
    "By this distance the photos cannot be told to be farther from the paintings than these are from one another, so "
    "there is no skill: the distance itself is drawn."
)
FEW = "There are too few paintings for a skill: the distance itself is drawn."
FRONT = "The line joins those that no other one beats in both at once."
CROSSES = "Thin crosses are 95\xa0% intervals."
"""Of the drawing, as it is read."""


class Entry(NamedTuple):
    """A cell of a table."""

    value: Markup
    below: Markup
    mark: str
    """best: by more than chance; among: the best number, or not to be told from it."""
    alarming: bool


EMPTY = Entry(exact(None), Markup(""), "", False)


class Row(NamedTuple):
    """A method in a table."""

    name: str
    role: str
    link: str
    entries: list[Entry]


class Table(NamedTuple):
    """The columns of one group."""

    key: str
    title: str
    explained: str
    columns: list[Mapping[str, Any]]
    rows: list[Row]


class Drawing(NamedTuple):
    """Style against content, for two widths."""

    plots: dict[str, Plot]
    across: str
    up: str
    explained: str


def exhibition(told: Mapping[str, Any], pictures: Mapping[str, bytes], shown: Sequence[str]) -> str:
    """One self-contained HTML file that shows a comparison to a person.

    Args:
        told: what `comparison.json` holds.
        pictures: PNG, JPEG or WebP files: `NAME/PLACE` for the methods `shown` and for `real`.
        shown: the methods whose pictures stand side by side, in this order.

    Returns:
        The page: CSS, script and pictures inside, readable in light and dark, on a phone and in print; the cards it
        links to lie beside it.

    Raises:
        ValueError: a picture is missing or none.
    """
    names, there = {PHOTOS: NAMES[PHOTOS], REAL: NAMES[REAL]}, _places(pictures, shown[0])
    html = (
        pages(Path(__file__).parent)
        .get_template("exhibition.html.jinja")
        .render(
            told=told,
            tables=[table for key in GROUPS if (table := _table(key, told)) is not None],
            drawing=drawing(told),
            answers=answers(told),
            meanings=meanings(told["columns"]) if told["sentences"] else [],
            shown=[(name, names.get(name, name)) for name in shown],
            chosen=_first_shown(told, shown),
            places=there,
            fewer=len(there) < min(told.get("rows", 0), told["counts"].get("photos", 0)),
            paintings=_places(pictures, REAL),
            random=(RANDOM_TITLE, RANDOM) if told.get("random") else None,
            picture=partial(picture, pictures),
            script=viewer(),
            seconds=lambda value: typeset(seconds(value)),
            clock=clock,
        )
    )
    return html.encode("utf-8", "replace").decode("utf-8")  # half characters, of file names that are no UTF-8


def _places(pictures: Mapping[str, bytes], name: str) -> list[int]:
    return sorted(int(key.removeprefix(f"{name}/")) for key in pictures if key.rpartition("/")[0] == name)


def _first_shown(told: Mapping[str, Any], shown: Sequence[str]) -> int:
    """Which column of pictures is beside the photos at first: that of the method nearest to the paintings."""
    distance = the_distance(one["key"] for one in told["columns"])
    best = next((one["best"] for one in told["columns"] if one["key"] == distance), [])
    return next((shown.index(name) for name in best if name in shown), len(shown) - 1)


def rows_of(told: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Key, name, role and card of every row: the untouched photos as floor, the methods, real paintings as ceiling."""
    methods = [
        (one["name"], one["name"], "floor" if one["kind"] == "photo" else "method", one["card"])
        for one in told["methods"]
    ]
    floor = [] if any(one["kind"] == "photo" for one in told["methods"]) else [(PHOTOS, NAMES[PHOTOS], "floor", "")]
    return [*floor, *methods, (REAL, NAMES[REAL], "ceiling", "")]


def _table(key: str, told: Mapping[str, Any]) -> Table | None:
    columns = [column for column in told["columns"] if column["group"] == key]
    if not columns:
        return None
    rows = []
    for row, name, role, link in rows_of(told):
        entries = [_entry(column, row, role) for column in columns]
        if any(entry is not None for entry in entries):
            rows.append(Row(name, role, link, [entry or EMPTY for entry in entries]))
    title, explained = GROUPS[key]
    if key == STYLE:
        explained = f"{explained} {_advantage(told)}"
    return Table(key, title, explained, columns, rows)


def _advantage(told: Mapping[str, Any]) -> str:
    """Who may look better than they are, and whether the distances above are free of that."""
    seen = {
        group: {_network(one["level"]) for one in told["columns"] if one["group"] == group} - {"CIELAB"}
        for group in (SETS, STYLE)
    }
    start = "Methods that optimise just these statistics have an advantage here"
    if not seen[SETS]:
        return f"{start}."
    if seen[SETS] & seen[STYLE]:
        return f"{start}; the distances above are seen by the same network, so they may have one there too."
    return f"{start}; the distances above are seen by another network."


def _network(level: str) -> str:
    """Of a column's level: Inception of Inception-768, VGG-19 of VGG-19 relu3_1."""
    return level.partition("-")[0] if level.startswith("Inception") else level.rpartition(" ")[0] or level


def _entry(column: Mapping[str, Any], row: str, role: str) -> Entry | None:
    cell = column["cells"].get(row)
    if cell is None or cell["value"] is None:
        return None
    if column["key"] == "seconds":
        value = Markup('<data value="{}">{}</data>').format(repr(cell["value"]), typeset(seconds(cell["value"])))
    else:
        value = exact(cell["value"], places(one["value"] for one in column["cells"].values()))
    if cell["skill"] is not None and role == "method":
        interval = from_to(cell["skill_low"], cell["skill_high"], SKILL)
        below = Markup("skill {} {}").format(exact(cell["skill"]), Markup("<i>{}</i>").format(interval))
    elif cell["low"] == cell["high"]:  # of photos against themselves
        below = Markup("")
    else:
        below = from_to(cell["low"], cell["high"], places(one["value"] for one in column["cells"].values()))
    best = column["best"]
    alone = column["certain"] and len(best) == 1
    mark = ("best" if alone else "among") if row in best else ""
    return Entry(value, below, mark, cell["alarming"])


def drawing(told: Mapping[str, Any]) -> Drawing | None:
    """THE distance to the paintings against content; None where one of the two could not be measured.

    Upwards is the skill; where there is none, since the photos are as near to the paintings as paintings are to one
    another, the distance itself, the near end above.
    """
    distance = the_distance(one["key"] for one in told["columns"])
    across = next((one for one in told["columns"] if one["key"] in {"lpips", "ssim"}), None)
    up = next((one for one in told["columns"] if one["key"] == distance), None)
    if across is None or up is None:
        return None
    skilled, turned = _skill_of(up, REAL) is not None, across["better"] == "lower"
    points = []
    for row, name, role, _ in rows_of(told):
        x, y = _kept(across, row, turned), _skill_of(up, row) if skilled else _nearness_of(up, row)
        if x is not None and y is not None:
            points.append(Point(name, x.value, y.value, x.interval, y.interval, role))
    if len(points) < 2:
        return None
    lines = SKILLS if skilled else (_line(_nearness_of(up, PHOTOS)), _line(_nearness_of(up, REAL)))
    plots = {name: plot(points, *size, lines, turned=not skilled) for name, size in SIZES.items()}
    title = up["title"].removesuffix(" × 10³") if skilled else up["title"]
    level = "" if up["level"].startswith("Inception") else f" ({up['level']})"
    said = [ALONG, SKILLED if skilled else UNSKILLED if REAL in up["cells"] else FEW, FRONT]
    if any(one.crosses for one in plots.values()):
        said.append(CROSSES)
    return Drawing(
        plots,
        f"keeps more of the photo ({'1 − ' if turned else ''}{across['title']}) →",
        f"↑ nearer to the paintings ({'skill by ' if skilled else ''}{title}{level})",
        " ".join(said),
    )


class _Place(NamedTuple):
    """On one axis, where more is better."""

    value: float
    interval: Ends | None


def _kept(column: Mapping[str, Any], row: str, turned: bool) -> _Place | None:
    """How much of the content is kept; of distances, 1 - what they are."""
    cell = column["cells"].get(row)
    if cell is None or cell["value"] is None or not math.isfinite(cell["value"]):
        return None
    ends = _interval(cell["low"], cell["high"])
    return _Place(1 - cell["value"], ends and (1 - ends[1], 1 - ends[0])) if turned else _Place(cell["value"], ends)


def _skill_of(column: Mapping[str, Any], row: str) -> _Place | None:
    cell = column["cells"].get(row)
    if cell is None or cell["skill"] is None:
        return None
    return _Place(cell["skill"], _interval(cell["skill_low"], cell["skill_high"]))


def _nearness_of(column: Mapping[str, Any], row: str) -> _Place | None:
    """A distance times -1, so that near is above."""
    cell = column["cells"].get(row)
    if cell is None or cell["value"] is None or not math.isfinite(cell["value"]):
        return None
    ends = _interval(cell["low"], cell["high"])
    return _Place(-cell["value"], ends and (-ends[1], -ends[0]))


def _line(place: _Place | None) -> float | None:
    return None if place is None else place.value


def _interval(low: float | None, high: float | None) -> Ends | None:
    return None if low is None or high is None or low == high else (low, high)
