"""Numbers, times and pictures as pages show them: exact in the markup, rounded for the eye."""

import hashlib
import io
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape
from PIL import Image

from cyclestyle.evaluation.wording import SKILL, Places, number, places, plain, span

CLOSED = Markup("default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'")
"""Content policy of a page that holds all it needs: whatever stands on it, the browser asks nobody for anything."""


class Script(NamedTuple):
    """The one script of a page."""

    text: Markup
    policy: Markup
    """Content policy that lets this script run and no other: no name and no sentence can become one."""


def script(path: Path) -> Script:
    """A script to stand inside a page."""
    text = path.read_text(encoding="utf-8")
    digest = b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return Script(Markup(text), CLOSED + Markup("; script-src 'sha256-{}'").format(digest))


def viewer() -> Script:
    """The script of `viewer.html.jinja`: before and after, with a slider."""
    return script(Path(__file__).with_name("viewer.js"))


def pages(*folders: Path) -> Environment:
    """Templates from `folders`, and what all pages share: `page.css`, and words for numbers, times and sentences."""
    # The files' names do not end in .html, so escaping must be said, not selected.
    environment = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"exact": exact, "when": when, "anything": anything, "among": among, "prose": prose}
    return environment


def exact(value: float | None, at: Places = SKILL) -> Markup:
    """A rounded number for the eye, with the exact one in its markup."""
    if value is None:
        return Markup('<span class="none">–</span>')
    return Markup('<data value="{}">{}</data>').format(repr(value), typeset(number(value, at)))


def among(value: float, column: Iterable[float]) -> Markup:
    """A number, written like the others of its column."""
    return exact(value, places(column))


def from_to(low: float | None, high: float | None, at: Places) -> Markup:
    """An interval; nothing where either end is missing."""
    if not span(low, high, at):
        return Markup("")
    return Markup("{} to {}").format(exact(low, at), exact(high, at))


def cell(value: float | None, interval: Sequence[float | None], at: Places = SKILL) -> Markup:
    """A number, and beside it its 95 % interval in small print."""
    low, high = interval
    if not span(low, high, at):
        return exact(value, at)
    return Markup("{} <small>{}</small>").format(exact(value, at), from_to(low, high, at))


def anything(value: Any) -> Markup:
    """Any value of a card; numbers with the exact ones in their markup."""
    if value is None:
        return exact(None)
    if isinstance(value, float):
        return Markup('<data value="{}">{}</data>').format(repr(value), typeset(plain(value)))
    if isinstance(value, Mapping):
        return Markup(", ").join(Markup("{} {}").format(key, anything(one)) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return Markup(", ").join(map(anything, value))
    return escape(plain(value))


def prose(sentence: str) -> str:
    """A sentence whose percentages stay on one line."""
    return sentence.replace(" %", "\N{NO-BREAK SPACE}%")


def typeset(written: str) -> str:
    """A number as it is printed: with a minus, not a hyphen."""
    return written.replace("-", "−")


def when(made: str) -> str:
    """An ISO 8601 time in words; what is none stays as it is."""
    try:
        moment = datetime.fromisoformat(made)
    except ValueError:
        return made
    return f"{moment.day} {moment:%B %Y, %H:%M} {moment.tzname() or ''}".strip()


def picture(pictures: Mapping[str, bytes], key: str, description: str) -> Markup:
    """An `img` that carries its file inside."""
    if key not in pictures:
        raise ValueError(f"the card names the picture {key!r}, which is not among the {len(pictures)} given; add it")
    data = pictures[key]
    try:
        with Image.open(io.BytesIO(data)) as opened:
            kind, (width, height) = Image.MIME[opened.format or ""], opened.size
    except (OSError, KeyError) as error:
        raise ValueError(f"picture {key!r} of the card is not a PNG, JPEG or WebP file; give one of those") from error
    return Markup('<img src="data:{};base64,{}" width="{}" height="{}" alt="{}">').format(
        kind, b64encode(data).decode("ascii"), width, height, description
    )
