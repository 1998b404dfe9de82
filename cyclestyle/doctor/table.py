"""Findings for people, as a table, and for machines, as JSON."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from typing import Iterator, Sequence  # noqa: UP035 - for Python 3.8

from cyclestyle.doctor.findings import FINE, NOTE, WRONG, Finding

NARROWEST, WIDEST = 50, 110
"""Columns."""
COLOURS = {FINE: "32", NOTE: "33", WRONG: "1;31"}
"""Of terminals: green, yellow, bold red."""


def is_ok(findings: Sequence[Finding]) -> bool:
    """Whether nothing stops a training; notes do not."""
    return not any(finding.state == WRONG for finding in findings)


def as_json(findings: Sequence[Finding]) -> str:
    """One object."""
    told = {"ok": is_ok(findings), "findings": [finding._asdict() for finding in findings]}
    return json.dumps(told, indent=2, ensure_ascii=True)


def table(findings: Sequence[Finding], width: int | None = None, colours: bool | None = None) -> str:
    """A line or more for each finding, what to type below it, and a sentence on all of them.

    Args:
        findings: in the order in which they are shown.
        width: columns; by default those of the terminal, 50 to 110.
        colours: by default in a terminal, unless NO_COLOR is set.
    """
    if width is None:
        width = shutil.get_terminal_size((WIDEST, 24)).columns
    if colours is None:
        colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = min(max(width, NARROWEST), WIDEST)
    column = max(len(finding.subject) for finding in findings)
    lines = [line for finding in findings for line in _rows(finding, column, width, colours)]
    return "\n".join([*lines, "", *textwrap.wrap(sentence(findings), width)])


def _rows(finding: Finding, column: int, width: int, colours: bool) -> Iterator[str]:
    mark = f"{finding.state:5}"
    if colours:
        mark = f"\033[{COLOURS[finding.state]}m{mark}\033[0m"
    margin = " " * (column + 9)
    room = width - len(margin)
    first, *others = _wrapped(finding.found, room)
    yield f"{mark}  {finding.subject:{column}}  {first}"
    yield from (margin + line for line in others)
    if finding.do:
        first, *others = _wrapped(finding.do, room - 3)
        yield f"{margin}-> {first}"
        yield from (f"{margin}   {line}" for line in others)


def _wrapped(text: str, room: int) -> list[str]:
    """Lines of it; words are left whole, so that paths and commands can be copied."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return textwrap.wrap(shown, room, break_long_words=False, break_on_hyphens=False) or [""]


def sentence(findings: Sequence[Finding]) -> str:
    """All of it in one sentence."""
    stops = [finding.subject for finding in findings if finding.state == WRONG]
    notes = [finding.subject for finding in findings if finding.state == NOTE]
    also = f"{len(notes)} {'note' if len(notes) == 1 else 'notes'}"
    if stops:
        names = ", ".join(dict.fromkeys(stops))
        count = "1 thing stops" if len(stops) == 1 else f"{len(stops)} things stop"
        return f"{count} the way to a trained painter: {names}" + (f"; {also}" if notes else "")
    return f"Nothing stops the way to a trained painter; {also}" if notes else "All is fine"
