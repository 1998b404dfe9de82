"""The card of an evaluation in a terminal: the verdict first, then the few numbers behind it."""

import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cyclestyle.evaluation.wording import (
    RANDOM,
    RANDOM_TITLE,
    Places,
    number,
    of_role,
    places,
    places_of,
    require_card,
    row_names,
    span,
)

WIDTH = 110
"""Columns of a terminal, at most."""

NAMES = 40
"""Columns of the first column of a table, at most; longer names are cut, the page has them whole."""

HEADING = 15
"""Columns of the name of a row of the card, at most."""


def table(card: Mapping[str, Any]) -> str:
    """What a terminal shows of the card of an evaluation: lines of at most 110 columns, some 45 in all.

    The verdict, the main measures with their skill, content, behaviour, what is resolvable, notes, what was left
    out, distances to the truth. Anything of a name that would move the cursor is replaced.

    Args:
        card: what `card.json` holds; parts that are absent leave no line.

    Raises:
        ValueError: the card has another format.
    """
    require_card(card)
    parts = (_random, _verdict, _measures, _content, _behaviour, _remarks, _truth, _banner)
    blocks = [lines for part in parts if (lines := list(part(card)))]
    return "\n\n".join("\n".join(line.rstrip() for line in lines) for lines in blocks)


def _random(card: Mapping[str, Any]) -> Iterator[str]:
    yield from _banner(card)
    if card.get("random"):
        yield from wrapped(RANDOM)


def _banner(card: Mapping[str, Any]) -> Iterator[str]:
    """Above everything and below, so that it stands on the screen wherever that is scrolled to."""
    if card.get("random"):
        yield f" {RANDOM_TITLE.upper()} ".center(WIDTH, "!")


def _verdict(card: Mapping[str, Any]) -> Iterator[str]:
    yield from wrapped(card["verdict"])
    if counts := card.get("counts"):
        yield from wrapped(", ".join(f"{count:,} {what}" for what, count in counts.items()))


def _measures(card: Mapping[str, Any]) -> Iterator[str]:
    """The main measures: values of what was painted and of the ends of the scale, then skill."""
    main = [measure for measure in card.get("measures", ()) if measure.get("main")]
    if not main:
        return
    names, ours = row_names(card), of_role(card, "ours")
    floor, ceiling = of_role(card, "floor"), of_role(card, "ceiling")
    others = [row["key"] for row in card["rows"] if row["role"] == "other"]
    head = ["", "photos", "painted", "real", "SKILL", "95 %", *(cut(names[key], HEADING) for key in others)]
    rows = []
    for measure in main:
        at, intervals = places_of(measure), measure.get("skill_interval") or {}
        skill, values = measure.get("skill") or {}, measure["values"]
        low, high = intervals.get(ours) or (None, None)
        ends = (floor, ours, ceiling)
        shown = [number(values.get(key, {}).get("value"), at) for key in ends]
        rows.append(
            [
                _titled(measure, at),
                *shown,
                _skill(measure, skill.get(ours), ours),
                span(low, high),
                *(number(skill.get(key)) for key in others),
            ]
        )
    lines, room = aligned([head, *rows])
    yield "Skill: how much of the way from the untouched photos (0) to the real paintings (1)" + _label(card)
    yield from lines
    if any(row[4].endswith("?") for row in rows):
        yield "? cannot be told from the untouched photos at 95 %"
    yield from _elsewhere("Skill", others[max(room - (len(head) - len(others)), 0) :], names)


def _truth(card: Mapping[str, Any]) -> Iterator[str]:
    """Distances to the true paintings: these need no network, so they mean something with random weights too."""
    if truth := card.get("truth"):
        yield from wrapped(truth["sentence"])
        lines, _ = aligned([[cut(row[0], NAMES), *row[1:]] for row in truth["table"]])
        yield from lines


def _skill(measure: Mapping[str, Any], skill: float | None, ours: str | None) -> str:
    alike = (measure.get("different") or {}).get(ours) is False
    return number(skill) + ("?" if alike else "")


def _elsewhere(what: str, keys: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """A sentence on the columns that the width has no room for."""
    return wrapped(f"{what} of these is in the page: {', '.join(names[key] for key in keys)}") if keys else []


def _content(card: Mapping[str, Any]) -> Iterator[str]:
    """Medians of every row, quartiles and interval of what was painted."""
    measures, ours, names = card.get("content", ()), of_role(card, "ours"), row_names(card)
    if not measures:
        return
    others = [key for key in names if key != ours and any(key in measure["rows"] for measure in measures)]
    head = ["", "painted", "quartiles", "95 %", *(cut(names[key], HEADING) for key in others)]
    rows = []
    for measure in measures:
        one = measure["rows"].get(ours, {})
        keys = ("median", "lower_quartile", "upper_quartile", "low", "high")
        at = places(found.get(key) for found in measure["rows"].values() for key in keys)
        medians = [number(measure["rows"].get(key, {}).get("median"), at) for key in others]
        spans = [span(one.get(keys[low]), one.get(keys[low + 1]), at) for low in (1, 3)]
        rows.append([_titled(measure, at), number(one.get("median"), at), *spans, *medians])
    yield "Content: how far each picture is from its own photo, medians" + _label(card)
    lines, room = aligned([head, *rows])
    yield from lines
    yield from _elsewhere("The median", others[max(room - (len(head) - len(others)), 0) :], names)


def _behaviour(card: Mapping[str, Any]) -> Iterator[str]:
    found = card.get("behaviour", {})
    if found:
        yield "Behaviour" + _label(card)
    for one in sorted(found.values(), key=lambda one: not one.get("alarming")):  # alarms first
        yield from wrapped(f"{one['name']}: {one['sentence']}", "! " if one.get("alarming") else "  ")


def _remarks(card: Mapping[str, Any]) -> Iterator[str]:
    if card.get("resolution"):
        yield from wrapped(card["resolution"])
    for note in card.get("notes", ()):
        yield from wrapped(f"Note: {note}")
    for one in card.get("left_out", ()):
        yield from wrapped(f"Left out: {one['what']}: {one['why']}")


def _label(card: Mapping[str, Any]) -> str:
    return " (RANDOM WEIGHTS)" if card.get("random") else ""


def _titled(measure: Mapping[str, Any], at: Places) -> str:
    """A measure's name, where it was taken, what its numbers are multiplied by, and an arrow to the better side."""
    level = cut(measure.get("level") or "", NAMES * 2 // 3)
    tail = f", {level}" if level else ""
    tail += at.factor + (" ↑" if measure["better"] == "higher" else " ↓")
    return cut(measure["name"], NAMES - _columns(tail)) + tail


def aligned(rows: Sequence[Sequence[str]]) -> tuple[list[str], int]:
    """Lines of columns two blanks apart, numbers to the right; and how many columns the width has room for."""
    widths = [max(_columns(row[index]) for row in rows) for index in range(len(rows[0]))]
    room = len(widths)
    while room > 1 and sum(widths[:room]) + 2 * (room - 1) > WIDTH:
        room -= 1
    return ["  ".join(_padded(row[i], widths[i], left=i == 0) for i in range(room)) for row in rows], room


def _padded(text: str, width: int, left: bool) -> str:
    blanks = " " * (width - _columns(text))
    return text + blanks if left else blanks + text


def wrapped(text: str, lead: str = "") -> list[str]:
    """Lines of a sentence, the second and later ones under the first one's text."""
    # A character that takes two columns is followed by a mark while lines are broken, so that it counts twice; one
    # column is kept for a mark that falls on the next line.
    wide = "".join(one + "\0" if _columns(one) == 2 else one for one in _visible(text))
    lines = textwrap.wrap(wide, WIDTH - 1, initial_indent=lead, subsequent_indent=" " * len(lead))
    return [line.replace("\0", "") for line in lines]


def cut(text: str, width: int) -> str:
    """At most so many columns of a text."""
    text = _visible(text)
    if _columns(text) <= width:
        return text
    kept = ""
    for one in text:
        if _columns(kept + one) > width - 1:
            break
        kept += one
    return kept.rstrip() + "…"


def _columns(text: str) -> int:
    """How many columns a terminal gives to a text."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def _visible(text: str) -> str:
    """A text on one line without characters that a terminal would obey: a name can hold any."""
    return "".join(one if one.isprintable() else " " if one.isspace() else "\N{REPLACEMENT CHARACTER}" for one in text)
