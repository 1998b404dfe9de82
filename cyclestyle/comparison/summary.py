"""A comparison in a terminal: who wins at what, then a line for every method."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cyclestyle.comparison.columns import BEHAVIOUR
from cyclestyle.comparison.exhibition import rows_of
from cyclestyle.comparison.winners import seconds
from cyclestyle.evaluation.terminal import aligned, cut, wrapped
from cyclestyle.evaluation.wording import RANDOM, RANDOM_TITLE, number, places

NAME = 24
"""Columns of a method's name, at most."""
SHOWN = ("lpips", "kid/", "mmd_mean_std/", "mmd_texture/", "palette", "truth/ciede2000", "seconds", "memory", "ssim")
"""Beginnings of the keys of what a terminal shows, what is most wanted first; skill where there is one."""


def table(told: Mapping[str, Any]) -> str:
    """What a terminal shows of `comparison.json`: lines of at most 110 columns."""
    parts = [_warning(told), wrapped(told["headline"]), _sentences(told), _lines(told), _remarks(told)]
    blocks = ["\n".join(line.rstrip() for line in lines) for part in parts if (lines := list(part))]
    return "\n\n".join(blocks)


def _warning(told: Mapping[str, Any]) -> Iterator[str]:
    if told.get("random"):
        yield f"!! {RANDOM_TITLE.upper()} !!"
        yield from wrapped(RANDOM)


def _sentences(told: Mapping[str, Any]) -> Iterator[str]:
    for one in told["sentences"]:
        yield from wrapped(f"{one['axis']}: {one['sentence']}", "! " if one["axis"] == "Alarming" else "  ")


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    chosen = _chosen(told["columns"])
    head = ["", *(_title(column) for column in chosen), "alarms"]
    habits = [column for column in told["columns"] if column["group"] == BEHAVIOUR]
    rows = []
    for row, name, _, _ in rows_of(told):
        cells = [_written(column, row) for column in chosen]
        alarms = [habit["title"] for habit in habits if habit["cells"].get(row, {}).get("alarming")]
        rows.append([cut(name, NAME), *cells, ", ".join(alarms) or "-"])
    lines, room = aligned([head, *rows])
    yield from lines
    yield "* best by more than chance (95 %); ° the best number, or not to be told from it"
    if room < len(head):
        yield "More columns are in the page."


def _chosen(columns: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One column for each beginning."""
    found = [next((one for one in columns if one["key"].startswith(start)), None) for start in SHOWN]
    return [one for one in found if one is not None]


def _is_skill(column: Mapping[str, Any]) -> bool:
    return any(cell["skill"] is not None for cell in column["cells"].values())


def _title(column: Mapping[str, Any]) -> str:
    if column["key"] == "seconds":
        return "a picture"
    short = {"means and deviations": "style", "texture in grey": "texture"}.get(column["title"], column["title"])
    short = short.removesuffix(" × 10³").removesuffix(", GiB")
    if _is_skill(column):
        return f"{short} skill"
    return short + {"higher": " ↑", "lower": " ↓"}.get(column["better"], "")


def _written(column: Mapping[str, Any], row: str) -> str:
    cell = column["cells"].get(row)
    if cell is None:
        return "-"
    best = column["best"]
    mark = ("*" if column["certain"] and len(best) == 1 else "°") if row in best else " "
    if column["key"] == "seconds":
        return seconds(cell["value"]) + mark
    if _is_skill(column):
        return number(cell["skill"]) + mark
    return number(cell["value"], places(one["value"] for one in column["cells"].values())) + mark


def _remarks(told: Mapping[str, Any]) -> Iterator[str]:
    for note in told["notes"]:
        yield from wrapped(f"Note: {note}")
    for one in told["left_out"]:
        yield from wrapped(f"Left out: {one['what']}: {one['why']}")
