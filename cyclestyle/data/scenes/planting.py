"""Where the trees of a scene stand: rows, clumps and framing trees, kept out of the water."""

from __future__ import annotations

import numpy as np

from cyclestyle.data.scenes.chance import Chance
from cyclestyle.data.scenes.climate import Colour, Season
from cyclestyle.data.scenes.curves import wave
from cyclestyle.data.scenes.elements import Tree, Water


def river_centre(water: Water, y: float) -> float:
    """The x of the middle of the river at height y: bends widen towards the viewer."""
    depth = y - water.far
    phase = np.array([water.bends / (depth + 0.12) + water.centre * 7.0])
    return 0.5 + 0.7 * (water.centre - 0.5) + water.sway * float(wave(phase)[0]) * (0.12 + depth)


def on_land(water: Water, x: float, base: float) -> bool:
    """Tell whether a tree with its foot at (x, base) stands clear of the water."""
    if water.kind == "none":
        return True
    if water.kind == "river":
        depth = base - water.far
        return abs(x - river_centre(water, base)) > 0.9 * water.width * depth + 0.03 + 0.08 * depth
    near = water.near - water.width * (x - water.centre) * (x - water.centre)
    return base < water.far - 0.002 or base > near + 0.03


def plant(chance: Chance, water: Water, horizon: float, season: Season) -> tuple[Tree, ...]:
    """Draw the trees of a scene, from far to near."""
    trees: list[Tree] = []
    depth = 1.0 - horizon
    if chance.happens(0.55):
        _plant_row(chance, trees, water, horizon, season)
    for _ in range(chance.pick((0, 1, 2, 3), (0.2, 0.35, 0.3, 0.15))):
        _plant_clump(chance, trees, water, horizon, season)
    if chance.happens(0.4):
        left = chance.happens(0.5)
        x = chance.between(-0.02, 0.16) if left else chance.between(0.84, 1.02)
        base = horizon + depth * chance.between(0.6, 1.1)
        kind = _draw_kind(chance, season)
        trees.append(_tree(chance, kind, x, base, chance.between(0.5, 0.85), horizon, season))
    return tuple(sorted((tree for tree in trees if on_land(water, tree.x, tree.base)), key=lambda tree: tree.base))


def _draw_kind(chance: Chance, season: Season) -> str:
    if season.kind == "winter":
        return chance.pick(("conifer", "bare"), (0.5, 0.5))
    return chance.pick(("broadleaf", "conifer", "poplar", "bush"), (0.5, 0.2, 0.18, 0.12))


def _tree(chance: Chance, kind: str, x: float, base: float, height: float, horizon: float, season: Season) -> Tree:
    # Blossom, among the later leaf colours of spring, is not for poplars.
    leaves = season.leaves[:2] if kind == "poplar" else season.leaves
    leaf: Colour = season.conifer if kind == "conifer" else chance.pick(leaves)
    level = chance.around(1.0, 0.25)
    breadth = {
        "broadleaf": chance.between(0.65, 1.0),
        "conifer": chance.between(0.32, 0.5),
        "poplar": chance.between(0.18, 0.27),
        "bush": chance.between(1.2, 1.8),
        "bare": chance.between(0.6, 0.9),
    }[kind]
    distance = 0.5 * max(1.0 - (base - horizon) / 0.35, 0.0)
    leaf = (leaf[0] * level, leaf[1] * level, leaf[2] * level)
    return Tree(kind, x, base, height * (0.35 if kind == "bush" else 1.0), breadth, leaf, distance, chance.key())


def _plant_row(chance: Chance, trees: list[Tree], water: Water, horizon: float, season: Season) -> None:
    """A row of like trees (poplars by preference) that may recede into the distance."""
    kind = "poplar" if season.kind != "winter" and chance.happens(0.5) else _draw_kind(chance, season)
    x, base = chance.between(0.0, 0.7), horizon + chance.between(0.012, 0.06)
    if water.kind == "lake":
        base = water.far - 0.004
    recede = chance.between(-0.006, 0.012) if water.kind in ("none", "river") else 0.0
    size = chance.between(0.10, 0.2)
    count = chance.whole(4, 10)
    gap = chance.between(0.035, 0.08)
    for step in range(count):
        growth = 1.0 + 6.0 * recede * step
        x += gap * chance.between(0.7, 1.4)
        base += recede
        trees.append(_tree(chance, kind, x, base, size * growth * chance.between(0.8, 1.2), horizon, season))


def _plant_clump(chance: Chance, trees: list[Tree], water: Water, horizon: float, season: Season) -> None:
    """A few trees close together, of one or two kinds."""
    depth = 1.0 - horizon
    base = horizon + depth * chance.between(0.03, 0.5)
    if water.kind == "lake" and chance.happens(0.6):
        base = water.far - 0.005
    x = chance.between(0.0, 1.0)
    spread = 0.03 + 0.25 * (base - horizon)
    size = 0.07 + chance.between(0.5, 0.9) * (base - horizon)
    kinds = (_draw_kind(chance, season), _draw_kind(chance, season))
    for _ in range(chance.whole(1, 6)):
        foot = base + chance.around(0.0, 0.25 * spread)
        kind = chance.pick(kinds)
        trees.append(
            _tree(
                chance,
                kind,
                x + chance.around(0.0, 2.0 * spread),
                foot,
                size * chance.between(0.7, 1.25),
                horizon,
                season,
            )
        )
