"""The columns of the comparison: one number of every method, and which of them is best by more than chance."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cyclestyle.comparison.cost import Cost
from cyclestyle.comparison.together import Distance
from cyclestyle.evaluation.measures import PHOTOS, REAL, Measure

CONTENT, SETS, STYLE, BEHAVIOUR, TRUTH, COST = "content", "sets", "style", "behaviour", "truth", "cost"
Pairs = Iterable[tuple[str, str]]

STYLED, TEXTURED, COLOURED = "mmd_mean_std/", "mmd_texture/", "palette"
"""Beginnings of the keys by which style, texture and colour are judged."""


def the_distance(keys: Iterable[str]) -> str | None:
    """Of the columns' keys, THE distance to the paintings: by it sentences, headline and drawing judge nearness.

    The kernel distance at the deepest level, since it has intervals; it stands before those at other levels.
    """
    return next((key for key in keys if key.startswith("kid/")), None)


@dataclass(frozen=True)
class Cell:
    """What one method comes to in one column."""

    value: float | None
    low: float | None = None
    high: float | None = None
    skill: float | None = None
    skill_low: float | None = None
    skill_high: float | None = None
    alarming: bool = False


@dataclass(frozen=True)
class Column:
    """One number of every method."""

    key: str
    group: str
    title: str
    explained: str
    better: str = ""
    """lower or higher; empty where neither is."""
    level: str = ""
    """Of which network, and where in it."""
    cells: dict[str, Cell] = field(default_factory=dict)
    """By the methods' names; and of the untouched photos and real paintings by their keys."""
    best: list[str] = field(default_factory=list)
    """The method with the best number, and after it those that cannot be told from it."""
    certain: bool = False
    """Whether chance was looked at. Where not, `best` is the best number alone."""
    moved: dict[str, bool] = field(default_factory=dict)
    """Of distances to the paintings: whether a method differs from the untouched photos by more than chance."""


def ranked(column: Column, competing: Sequence[str], apart: Pairs | None) -> Column:
    """Fill in `best`, from the competing methods alone; `apart` are the pairs that differ by more than chance."""
    found = {
        name: cell.value
        for name in competing
        if (cell := column.cells.get(name)) is not None and cell.value is not None and not math.isnan(cell.value)
    }
    if not found or not column.better:
        return column
    first = (max if column.better == "higher" else min)(found, key=found.__getitem__)
    if apart is None or len(found) < 2:  # who is alone is better than nobody
        return replace(column, best=[first])
    told = {frozenset(pair) for pair in apart}
    alike = [name for name in found if name != first and frozenset((first, name)) not in told]
    return replace(column, best=[first, *alike], certain=True)


def between_sets(measures: Sequence[Measure], competing: Sequence[str]) -> list[Column]:
    """Distances to the paintings: KID at every level, Frechet at equal numbers, style, texture, colour, coverage."""
    main = {measure.key for measure in measures if measure.main}
    grams = [measure.key for measure in measures if measure.key.startswith("mmd_gram/")]
    columns = []
    for measure in measures:
        kind = measure.key.partition("/")[0]
        if kind == "kid" or measure.key in {*main, *grams[-1:]}:
            columns.append(_of_measure(measure, competing))
        if measure.key == (grams or [""])[-1]:
            columns += _over_layers(measures, competing)
    return sorted(columns, key=lambda column: column.group != SETS)


def _of_measure(measure: Measure, competing: Sequence[str]) -> Column:
    cells = {}
    for name, value in measure.values.items():
        low, high = measure.skill_interval.get(name, (None, None))
        cells[name] = Cell(value.value, value.low, value.high, measure.skill.get(name), low, high)
    column = Column(
        measure.key,
        SETS if measure.group in {"sets", "variety"} else STYLE,
        measure.name,
        measure.explained,
        measure.better,
        measure.level,
        cells,
        moved=measure.different,
    )
    return ranked(column, competing, measure.apart if measure.different else None)


def _over_layers(measures: Sequence[Measure], competing: Sequence[str]) -> list[Column]:
    """The mean skill over the layers of a network at which there is one: style from fine to coarse in one number."""
    layers = [one for one in measures if one.key.startswith("mmd_mean_std/") and one.skill.get(REAL) is not None]
    if len(layers) < 2:
        return []
    cells = {}
    for name in layers[0].values:
        skills = [skill for layer in layers if (skill := layer.skill.get(name)) is not None]
        cells[name] = Cell(sum(skills) / len(skills) if len(skills) == len(layers) else None)
    told = (
        f"Mean of the skill in means and deviations over {len(layers)} layers, from fine to coarse "
        f"({', '.join(layer.level.rpartition(' ')[2] for layer in layers)})."
    )
    level = layers[0].level.rpartition(" ")[0]
    return [ranked(Column("style/layers", STYLE, "skill over layers", told, "higher", level, cells), competing, None)]


TITLES = {
    "lpips": ("LPIPS", "Perceptual distance to the photo (Zhang et al. 2018): lower keeps more of it."),
    "ssim": ("SSIM", "Structural similarity of brightness to the photo (Wang et al. 2004); 1 is the same."),
    "content": ("features", "How far a network's features moved, as a share of their size: |φ(y) − φ(x)|² / |φ(x)|²."),
    "structure": ("self-similarity", "How differently positions resemble one another; nearly blind to style as such."),
    "truth/psnr": ("PSNR", "Peak signal-to-noise ratio against the true painting, in decibels."),
    "truth/ssim": ("SSIM", "Structural similarity to the true painting; 1 is the same."),
    "truth/ciede2000": ("CIEDE2000", "Colour difference to the true painting; about 1 is just noticeable."),
}


def between_pictures(distances: Sequence[Distance], group: str, competing: Sequence[str], network: str) -> list[Column]:
    """Medians over pictures: of distances to the photos (content), or to the true paintings."""
    features = [one.key for one in distances if one.key.startswith("content/")]
    columns = []
    for one in distances:
        kind, _, tap = one.key.partition("/")
        if kind == "content" and one.key != features[-1]:
            continue
        title, told = TITLES[one.key if group == TRUTH else kind]
        cells = {name: Cell(found["median"], found["low"], found["high"]) for name, found in one.spreads.items()}
        level = f"{network} {tap}" if kind in {"content", "structure"} else ""
        column = Column(one.key, group, title, told, one.better, level, cells)
        columns.append(ranked(column, competing, one.apart))
    return sorted(columns, key=lambda column: column.key != "lpips")


HABITS = {
    "diversity": (
        "diversity",
        "ratio",
        "How much the pictures differ from one another; 1: as much as their photos.",
    ),
    "copying": ("copying", "suspicious", "Share of the pictures that lie suspiciously near to a training painting."),
    "checkerboard": (
        "checkerboard",
        "amplitude",
        "Strength of a grid that the photos do not hold; 0 is none.",
    ),
    "inversion": ("inversion", "brightness", "Share of the pictures whose brightness is turned round."),
    "deception": ("deception", "deceived", "Share taken for paintings by a small classifier, trained on the spot."),
}
"""Of the cards' behaviours: title, the same word as there; which number; and what it says."""


def behaviours(cards: Mapping[str, Mapping[str, Any]]) -> list[Column]:
    """What may be wrong with each method, from its own card; none is a competition."""
    columns = []
    for key, (title, number, told) in HABITS.items():
        found = {name: card["behaviour"][key] for name, card in cards.items() if key in card.get("behaviour", {})}
        cells = {name: Cell(one["numbers"].get(number), alarming=one["alarming"]) for name, one in found.items()}
        if cells:
            columns.append(Column(key, BEHAVIOUR, title, told, cells=cells))
    return columns


def costs(found: Mapping[str, Cost | None]) -> list[Column]:
    """Time and memory, of those methods that made something here."""
    timed = {name: cost for name, cost in found.items() if cost is not None and cost.made}
    if not timed:
        return []
    seconds = "Wall time of making a picture, files read and written included; without imports and reading weights."
    memory = "Of the process that made them, at its largest, with the networks that it loaded."
    each = {name: Cell(cost.each) for name, cost in timed.items()}
    large = {name: Cell(cost.peak_memory / 2**30) for name, cost in timed.items()}
    columns = [
        Column("seconds", COST, "seconds a picture", seconds, "lower", cells=each),
        Column("memory", COST, "memory, GiB", memory, "lower", cells=large),
    ]
    on_gpu = {k: Cell(c.peak_gpu_memory / 2**30) for k, c in timed.items() if c.peak_gpu_memory is not None}
    if on_gpu:
        told = "Held in tensors on the GPU at the most."
        columns.append(Column("gpu_memory", COST, "GPU memory, GiB", told, "lower", "", on_gpu))
    together = len({(cost.device, cost.threads) for cost in timed.values()}) == 1
    return [ranked(column, list(timed), None) if together else column for column in columns]


def competitors(names: Sequence[str], floor: str | None) -> list[str]:
    """The methods that can be best: not the untouched photos, which keep all of the content for nothing."""
    return [name for name in names if name not in {floor, PHOTOS, REAL}]
