"""Who is best at what, in sentences that say no more than the numbers can bear."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cyclestyle.comparison.columns import (
    BEHAVIOUR,
    COLOURED,
    CONTENT,
    COST,
    STYLED,
    TEXTURED,
    TRUTH,
    Column,
    the_distance,
)
from cyclestyle.comparison.methods import PHOTO
from cyclestyle.evaluation.measures import PHOTOS
from cyclestyle.evaluation.wording import number, places

NEARNESS = "Nearness to the paintings"
MEANINGS = {
    "kid/": "How far one whole set of pictures is from another, as a network sees them that was trained to tell what "
    "is in a photograph. 0: as more pictures of the same kind.",
    STYLED: "How strongly the detectors of a network answer, in the middle and from place to place: brushwork, texture "
    "and colour together.",
    TEXTURED: "The same with all colours taken away.",
    COLOURED: "Which colours there are, wherever in the picture they stand.",
    "lpips": "How different two pictures look, by a network that was fitted to what people say. 0: the same.",
    "truth/ssim": "How much light and dark lie alike in two pictures, place by place. 1: the same.",
}
"""Of the columns that sentences speak of, by the beginnings of their keys: for somebody who knows none of them."""


class Said(NamedTuple):
    """What is said of one axis."""

    axis: str
    sentence: str


def sentences(columns: Sequence[Column], competing: Sequence[str]) -> list[Said]:
    """A sentence for every axis of which there is a column."""
    if not competing:
        return []
    said: list[Said] = []
    said += [Said(axis, nearest(column, competing)) for axis, column in _axes(columns).items()]
    content = next((one for one in columns if one.group == CONTENT and one.best), None)
    if content is not None:
        said.append(Said("Content", _closest(content, competing, "stays truest to the photos")))
    truth = next((one for one in columns if one.group == TRUTH and one.key != "truth/psnr" and one.best), None)
    if truth is not None:
        said.append(Said("Truth", _closest(truth, competing, "comes nearest to the true paintings") + _floor(truth)))
    seconds = next((one for one in columns if one.group == COST and one.key == "seconds" and one.best), None)
    if seconds is not None:
        said.append(Said("Cost", _fastest(seconds)))
    return [*said, *_alarms(columns)]


def _axes(columns: Sequence[Column]) -> dict[str, Column]:
    """The ways to be near to the paintings; the first is THE distance."""
    beginnings = {NEARNESS: the_distance(one.key for one in columns), "Style": STYLED, "Texture": TEXTURED}
    found = {}
    for axis, start in (beginnings | {"Colour": COLOURED}).items():
        column = next((one for one in columns if start is not None and one.key.startswith(start)), None)
        if column is not None and column.best:
            found[axis] = column
    return found


def headline(columns: Sequence[Column], competing: Sequence[str]) -> str:
    """The two ends that every method stands between, near to the paintings and true to the photos.

    Where style, texture or colour have another winner than the distance to the paintings, this is told too: the
    sentences below the headline shall not contradict it.
    """
    axes = _axes(columns)
    near = axes.pop(NEARNESS, None)
    kept = next((one for one in columns if one.group == CONTENT and one.best), None)
    if not competing:
        return "Only the untouched photos were given: there is nothing to compare."
    if len(competing) == 1:
        return f"One method beside the untouched photos and the real paintings: {competing[0]}."
    told = []
    others = _others(near, axes, competing) if near is not None else []
    if near is not None:
        by = f" by {_cited(near)}" if others else ""
        if _none_nearer(near) or _unmoved(near):
            told.append(f"no method can be told to be nearer to the paintings than the untouched photos{by}")
        else:
            told.append(f"{_group(near, competing)} nearest to the paintings{by}")
    if kept is not None:
        group = _group(kept, competing)
        if near is not None and told[0].startswith(f"{group} nearest"):
            told[0] += " and truest to the photos"
        else:
            told.append(f"{group} truest to the photos")
    if not told:
        return f"{len(competing)} methods, of too few pictures to say which is best."
    sentence = "; ".join([*told[:1], *others, *told[1:]])
    return f"{sentence[0].upper()}{sentence[1:]}." if sentence.startswith("no ") else f"{sentence}."


def _others(near: Column, axes: Mapping[str, Column], competing: Sequence[str]) -> list[str]:
    """Who is ahead by style, texture or colour, where that is somebody else than by THE distance."""
    ahead = _ahead(near, competing)
    found: dict[tuple[str, ...], list[str]] = {}
    for axis, column in axes.items():
        who = _ahead(column, competing)
        if who and not set(who) & set(ahead):
            found.setdefault(tuple(who), []).append(axis.lower())
    return [
        f"{listed(who, 'or')} {'is' if len(who) == 1 else 'may be'} nearest by {listed(by, 'and')}"
        for who, by in found.items()
    ]


def _ahead(column: Column, competing: Sequence[str]) -> Sequence[str]:
    """The best, where they are apart from other methods and nearer than the photos, both by more than chance."""
    alike = len(column.best) == len(competing)
    return [] if alike or not column.certain or _none_nearer(column) or _unmoved(column) else column.best


def _group(column: Column, competing: Sequence[str]) -> str:
    """The best, with those that cannot be told from it, and the verb."""
    if len(column.best) == len(competing):
        return "no method can be said to be"
    return f"{listed(column.best, 'or')} {'is' if len(column.best) == 1 else 'may be'}"


def nearest(column: Column, competing: Sequence[str]) -> str:
    """Who comes nearest to the paintings by a distance between sets."""
    name = _cited(column)
    leader = column.best[0]
    if _none_nearer(column):
        return f"By {name} every method is farther from the paintings than the untouched photos, {leader} the least."
    cell = column.cells[leader]
    way = ""
    if cell.skill is not None:
        interval = f", 95 %: {cell.skill_low:.0%} to {cell.skill_high:.0%}" if cell.skill_low is not None else ""
        way = f" ({cell.skill:.0%} of the way from the photos{interval})"
    if _unmoved(column):
        told = "no method can be told to be nearer to the paintings than the untouched photos"
        return f"By {name} {told}; {leader} has the best number{way}."
    return f"By {name} {leader} {_claim(column, 'comes nearest to the paintings')}{way}{_tail(column, competing)}."


def _unmoved(column: Column) -> bool:
    """Whether even the best is within chance of the photos."""
    return bool(column.moved) and not column.moved.get(column.best[0], False)


def _none_nearer(column: Column) -> bool:
    """Whether the best is worse than the photos."""
    best, photos = column.cells[column.best[0]].value, column.cells.get(PHOTOS)
    if photos is None or photos.value is None or best is None:
        return False
    return best >= photos.value if column.better == "lower" else best <= photos.value


def _closest(column: Column, competing: Sequence[str], what: str) -> str:
    leader = column.best[0]
    at = places(cell.value for cell in column.cells.values())
    what = _claim(column, what)
    return f"By {_cited(column)} {leader} {what} ({number(column.cells[leader].value, at)}){_tail(column, competing)}."


def _claim(column: Column, what: str) -> str:
    """What the leader does; no more than a number where others cannot be told from it."""
    return what if len(column.best) == 1 else "has the best number"


def _floor(column: Column) -> str:
    """What is to be said where doing nothing is as good."""
    photos, leader = column.cells.get(PHOTO) or column.cells.get(PHOTOS), column.cells[column.best[0]]
    if photos is None or photos.value is None or leader.value is None:
        return ""
    worse = leader.value <= photos.value if column.better == "higher" else leader.value >= photos.value
    at = places(cell.value for cell in column.cells.values())
    return f" The untouched photos are no farther from them ({number(photos.value, at)})." if worse else ""


def _tail(column: Column, competing: Sequence[str]) -> str:
    """What is to be said of those that may be as good."""
    alike = column.best[1:]
    if not column.certain or len(competing) < 2:
        return ""
    if not alike:
        return ", by more than chance"
    if len(column.best) == len(competing):
        others = f"{alike[0]} cannot" if len(alike) == 1 else "no other method can"
        return f", but {others} be told from it"
    return f"; not to be told apart from it: {listed(alike, 'and')}"


def _fastest(column: Column) -> str:
    found = {name: cell.value for name, cell in column.cells.items() if cell.value is not None}
    order = sorted(found, key=found.__getitem__)
    if len(order) == 1:
        return f"A picture of {order[0]} takes {seconds(found[order[0]])}."
    return (
        f"{order[0]} is the fastest with {seconds(found[order[0]])} a picture, {order[-1]} the slowest with "
        f"{seconds(found[order[-1]])}."
    )


def _alarms(columns: Sequence[Column]) -> list[Said]:
    found: dict[str, list[str]] = {}
    for column in columns:
        if column.group == BEHAVIOUR:
            for name, cell in column.cells.items():
                if cell.alarming:
                    found.setdefault(name, []).append(column.title)
    return [Said("Alarming", f"{name}: {', '.join(habits)}; its card tells more.") for name, habits in found.items()]


def seconds(value: float) -> str:
    """A duration with two digits or three, in the unit that fits."""
    if value < 0.1:
        return f"{1000 * value:.2g} ms" if value < 0.01 else f"{1000 * value:.0f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"


def listed(names: Sequence[str], word: str) -> str:
    """Names in a row, with a word before the last."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def _cited(column: Column) -> str:
    name = column.title.removesuffix(" × 10³")
    return name if column.level.startswith("Inception") or not column.level else f"{name} ({column.level})"


def meanings(columns: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Of what the sentences speak of: its name, and what it says, in plain words."""
    told = list(columns)
    found = []
    for start, meaning in MEANINGS.items():
        column = next((one for one in told if one["key"].startswith(start) and one["best"]), None)
        if column is not None:
            found.append((column["title"].removesuffix(" × 10³"), meaning))
    return found
