"""Numbers and words as the page and the terminal both write them."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

CARD_FORMAT = 1
"""Of `card.json`; another one may mean other things by the same keys."""

RANDOM_TITLE = "Random weights: no measure of quality"
RANDOM = (
    "The networks behind these numbers were never trained. The numbers show that the evaluation runs; they say nothing "
    "about how good the painted pictures are, and must not be compared with any from trained networks."
)

GROUPS = {
    "sets": ("Further distances between sets", "How far each set of pictures is from the paintings, as a whole."),
    "style": ("Style", "Statistics of feature maps, layer by layer: brushwork, texture and colour together."),
    "texture": ("Texture without colour", "The same on luminance alone: what is left of the style in black and white."),
    "colour": ("Colour", "The palette alone, wherever in the picture a colour stands."),
    "variety": ("Variety", "Whether the pictures look like paintings, and like as many different ones."),
}
"""Titles and explanations of the groups of measures, in the order to be shown."""

ORDINARY = (1e-3, 1e7)
"""A column whose largest number lies outside is written in multiples of a power of ten."""


SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Places(NamedTuple):
    """How the numbers of a column are written, one way for all of it, so that they can be compared by eye."""

    digits: int = 2  # behind the point
    power: int = 0  # of ten, by which they are multiplied first

    @property
    def factor(self) -> str:
        """What to write behind the name of a column: " × 10⁷", or nothing."""
        return f" × 10{str(self.power).translate(SUPERSCRIPT)}" if self.power else ""


SKILL = Places(digits=2)


def require_card(card: Mapping[str, Any]) -> None:
    """ValueError unless this is a card that can be read here."""
    if card.get("format") != CARD_FORMAT:
        raise ValueError(
            f"this card has format {card.get('format')}, expected {CARD_FORMAT}; evaluate again with this version"
        )


def places(values: Iterable[float | None]) -> Places:
    """The way to write `values` in which the largest of them has three digits in all."""
    largest = max((abs(value) for value in values if value is not None and math.isfinite(value)), default=0.0)
    if largest == 0:
        return Places()
    magnitude = math.floor(math.log10(largest))
    low, high = ORDINARY
    return Places(max(2 - magnitude, 0)) if low <= largest < high else Places(2, -magnitude)


def number(value: float | None, at: Places = SKILL) -> str:
    """A number in the way of its column, "-" where there is none."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "undefined" if math.isnan(value) else "infinite" if value > 0 else "-infinite"
    scaled = value * 10.0**at.power
    if abs(scaled) >= 1e9:
        return f"{scaled:.3g}"
    written = f"{scaled:,.{at.digits}f}"
    return written.removeprefix("-") if not written.strip("-0.") else written  # no minus before zero


def span(low: float | None, high: float | None, at: Places = SKILL) -> str:
    """An interval; "to" keeps it readable where an end is negative. Empty where either end is missing."""
    return "" if low is None or high is None else f"{number(low, at)} to {number(high, at)}"


def plain(value: Any) -> str:
    """Anything of a card in words: numbers with three digits, yes and no, lists and sections on one line."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        ordinary = value == 0 or ORDINARY[0] <= abs(value) < ORDINARY[1]
        return number(value, places([value])) if ordinary or not math.isfinite(value) else f"{value:.3g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(one)}" for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(one) for one in value)
    return str(value)


def places_of(measure: Mapping[str, Any]) -> Places:
    """The way to write the values of a measure between sets, their intervals among them."""
    parts = ("value", "low", "high")
    return places(value.get(part) for value in measure["values"].values() for part in parts)


def row_names(card: Mapping[str, Any]) -> dict[str, str]:
    """The names of the card's rows by their keys, in its order."""
    return {row["key"]: row["name"] for row in card["rows"]}


def of_role(card: Mapping[str, Any], role: str) -> str | None:
    """The key of the first row in a role (floor, ours, ceiling), None without one."""
    return next((row["key"] for row in card["rows"] if row["role"] == role), None)


def told_apart(measure: Mapping[str, Any], names: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The names of the rows that differ from the photos at 95 %, and of those that cannot be told from them."""
    different = {key: yes for key, yes in (measure.get("different") or {}).items() if yes is not None}
    return (
        [names.get(key, key) for key, yes in different.items() if yes],
        [names.get(key, key) for key, yes in different.items() if not yes],
    )
