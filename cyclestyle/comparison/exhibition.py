"""The page of a comparison: who wins at what, style against content, every number, and the pictures side by side.

It shares its looks and its ways of writing numbers with the page of a card; no script, nothing to load.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from cyclestyle.comparison.columns import BEHAVIOUR, CONTENT, COST, SETS, STYLE, TRUTH
from cyclestyle.comparison.scatter import Plot, Point, plot
from cyclestyle.comparison.winners import seconds
from cyclestyle.evaluation.measures import NAMES, PHOTOS, REAL
from cyclestyle.evaluation.typesetting import exact, from_to, pages, picture, typeset
from cyclestyle.evaluation.wording import RANDOM, RANDOM_TITLE, SKILL, places

GROUPS = {
    CONTENT: ("Content", "How far each picture is from its own photo; medians over the pictures."),
    SETS: (
        "Distance to the paintings",
        "How far each set of pictures is from the paintings, as a whole. Skill is how much of the way from the "
        "untouched photos (0) to real paintings (1) a method has gone.",
    ),
    STYLE: (
        "Style, texture, colour",
        "The same in statistics of feature maps. Methods that optimise just these statistics have an advantage here; "
        "the distances above are seen by another network.",
    ),
    BEHAVIOUR: ("What may be wrong", "Habits of each method, from its own card; what is alarming is marked."),
    TRUTH: ("Distance to the truth", "How near each picture is to its true painting, which is known here; medians."),
    COST: (
        "Cost",
        "Every method is made in a process of its own. Time is that of making the pictures; what was there already is "
        "not counted, nor is training.",
    ),
}
SIZES = {"wide": (720.0, 440.0), "narrow": (356.0, 420.0)}
"""Pixels of the drawing, laid out for two widths of a page."""


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


def exhibition(told: Mapping[str, Any], pictures: Mapping[str, bytes], shown: Sequence[str]) -> str:
    """One self-contained HTML file that shows a comparison to a person.

    Args:
        told: what `comparison.json` holds.
        pictures: PNG, JPEG or WebP files: `NAME/PLACE` for the methods `shown` and for `real`.
        shown: the methods whose pictures stand side by side, in this order.

    Returns:
        The page: CSS and pictures inside, readable in light and dark, on a phone and in print; the cards it links to
        lie beside it.

    Raises:
        ValueError: a picture is missing or none.
    """
    names = {PHOTOS: NAMES[PHOTOS], REAL: NAMES[REAL]}
    html = (
        pages(Path(__file__).parent)
        .get_template("exhibition.html.jinja")
        .render(
            told=told,
            tables=[table for key in GROUPS if (table := _table(key, told)) is not None],
            drawing=drawing(told),
            shown=[(name, names.get(name, name)) for name in shown],
            places=_places(pictures, shown[0]),
            paintings=_places(pictures, REAL),
            random=(RANDOM_TITLE, RANDOM) if told.get("random") else None,
            picture=partial(picture, pictures),
            seconds=lambda value: typeset(seconds(value)),
        )
    )
    return html.encode("utf-8", "replace").decode("utf-8")  # half characters, of file names that are no UTF-8


def _places(pictures: Mapping[str, bytes], name: str) -> list[int]:
    return sorted(int(key.removeprefix(f"{name}/")) for key in pictures if key.rpartition("/")[0] == name)


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
    return Table(key, *GROUPS[key], columns, rows)


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
    else:
        below = from_to(cell["low"], cell["high"], places(one["value"] for one in column["cells"].values()))
    best = column["best"]
    alone = column["certain"] and len(best) == 1
    mark = ("best" if alone else "among") if row in best else ""
    return Entry(value, below, mark, cell["alarming"])


def drawing(told: Mapping[str, Any]) -> Drawing | None:
    """Style against content; None where one of the two could not be measured."""
    across = next((one for one in told["columns"] if one["key"] in {"lpips", "ssim"}), None)
    up = next((one for one in told["columns"] if one["group"] in {SETS, STYLE} and _has_skill(one)), None)
    if across is None or up is None:
        return None
    turned = across["better"] == "lower"
    points = []
    for row, name, role, _ in rows_of(told):
        one, other = across["cells"].get(row), up["cells"].get(row)
        if one is None or other is None or other["skill"] is None or one["value"] is None:
            continue
        if not math.isfinite(one["value"]):
            continue
        ends = [one["low"], one["high"]]
        x_interval = None if None in ends else tuple(sorted(1 - end if turned else end for end in ends))
        y_ends = (other["skill_low"], other["skill_high"])
        x = 1 - one["value"] if turned else one["value"]
        points.append(Point(name, x, other["skill"], x_interval, None if None in y_ends else y_ends, role))
    if len(points) < 2:
        return None
    level = "" if up["level"].startswith("Inception") else f" ({up['level']})"
    return Drawing(
        {name: plot(points, *size) for name, size in SIZES.items()},
        f"content kept: {'1 − ' if turned else ''}{across['title']} →",
        f"↑ style: skill by {up['title'].removesuffix(' × 10³')}{level}",
    )


def _has_skill(column: Mapping[str, Any]) -> bool:
    real = column["cells"].get(REAL)
    return real is not None and real["skill"] is not None
