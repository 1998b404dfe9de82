"""Trees: crowns built of lit lobes, tiers or branches, each drawn inside its own window."""

from __future__ import annotations

import numpy as np

from cyclestyle.data.scenes.climate import linear
from cyclestyle.data.scenes.curves import Field, clamp, mix, ramp
from cyclestyle.data.scenes.elements import Scene, Tree
from cyclestyle.data.scenes.frame import Canvas, Window, make_window
from cyclestyle.data.scenes.noise import fractal_at, hashed
from cyclestyle.data.scenes.relief import lit, veiled

_BARK = linear((0.34, 0.28, 0.23))


def draw_tree(canvas: Canvas, scene: Scene, tree: Tree) -> None:
    """Lay one tree over what stands behind it."""
    half = 0.62 * tree.breadth * tree.height
    window = make_window(
        canvas.frame, tree.x - half, tree.x + half, tree.base - 1.08 * tree.height, tree.base + 0.02 * tree.height
    )
    if window is None:
        return
    across = (window.x - tree.x) / tree.height
    up = (tree.base - window.y) / tree.height
    if tree.kind != "bush":
        _draw_trunk(canvas, scene, tree, window, across, up)
    if tree.kind == "bare":
        _draw_branches(canvas, scene, tree, window, across, up)
        return
    pixel = 1.0 / (tree.height * canvas.frame.size)
    leaves = fractal_at(
        across * 15.0 + 0.0 * up, up * 15.0 + 0.0 * across, np.full((1, 1), 15.0 * pixel), tree.key, 6, 0.72
    )
    form = {"conifer": _tiers, "poplar": _plume}.get(tree.kind, _lobes)
    inside, facing = form(scene, tree, across, up, leaves)
    cover = clamp(inside / (0.035 + 0.9 * pixel) + 0.5)
    dapple = clamp(facing + 0.22 * leaves)
    albedo = [channel * (1.0 + 0.22 * leaves) for channel in tree.leaf]
    colour = lit(albedo, scene, dapple, clamp(0.45 + 0.75 * facing))
    turn = (0.6 * leaves, 0.6 * leaves + 0.25)
    if tree.kind in ("conifer", "poplar"):
        turn = (-0.55 + 0.3 * leaves, 0.4 * leaves)
    canvas.lay(window, veiled(colour, scene, tree.distance), cover, turn)


def _sun_side(scene: Scene, tree: Tree) -> tuple[float, float]:
    """Direction to the sun in the picture (right, up), of length at most 1; low in the sky means from the side."""
    right = min(max((scene.light.sun_x - tree.x) * 1.8, -0.85), 0.85)
    return right, 0.75 if scene.light.sun_height > 0.5 else 0.45


def _lobes(scene: Scene, tree: Tree, across: Field, up: Field, leaves: Field) -> tuple[Field, Field]:
    """A crown of overlapping round lobes: how far inside the crown, and how far each spot faces the sun."""
    count = 12
    index = np.arange(count, dtype=np.int64)
    chance = (
        hashed(index, index * 0, tree.key),
        hashed(index, index * 0 + 1, tree.key),
        hashed(index, index * 0 + 2, tree.key),
    )
    right, high = _sun_side(scene, tree)
    low, top = (0.0, 0.95) if tree.kind == "bush" else (0.12 + 0.16 * float((tree.key & 255) * (1.0 / 255.0)), 1.0)
    inside = np.full(leaves.shape, -9.0)
    facing = np.zeros(leaves.shape)
    for lobe in range(count):
        # Lobes climb the crown in turn, so that upper ones overlap lower ones.
        level = (lobe + 0.5 * float(chance[0][lobe])) / count
        radius = (0.13 + 0.11 * float(chance[1][lobe])) * (1.2 - 0.5 * level)
        reach = 0.5 * tree.breadth * (1.0 - 0.8 * (2.0 * level - 0.8) * (2.0 * level - 0.8) * 0.6) - radius * 0.75
        side = (2.0 * float(chance[2][lobe]) - 1.0) if lobe % 2 else (0.95 if lobe % 4 else -0.95)
        cx = max(reach, 0.0) * side
        cy = low + radius + (top - low - 2.0 * radius) * level
        dx = (across - cx) / (radius * (1.25 if tree.kind == "bush" else 1.0))
        dy = (up - cy) / radius
        around = dx * dx + dy * dy
        depth = 1.0 - around + 0.42 * leaves * clamp(0.25 + around)
        face = 0.40 + 0.36 * (dx * right + dy * high) + 0.30 * (level - 0.5) + 0.5 * right * across
        ahead = (depth > inside) if lobe == 0 else (depth * 0.9 + 0.05 > inside) & (depth > -0.2)
        inside = np.where(ahead, depth, inside)
        facing = np.where(ahead, face, facing)
    return inside * 0.12, clamp(facing)


def _tiers(scene: Scene, tree: Tree, across: Field, up: Field, leaves: Field) -> tuple[Field, Field]:
    """A conifer: drooping tiers on a narrow cone."""
    right, _ = _sun_side(scene, tree)
    tiers = 7.0 + 4.0 * float((tree.key >> 8) & 255) * (1.0 / 255.0)
    phase = up * tiers + 1.6 * np.abs(across) * tiers * 0.5 + 0.35 * leaves
    saw = phase - np.floor(phase)
    half = 0.5 * tree.breadth * clamp(1.02 - up) * (1.12 - 0.5 * saw)
    inside = half - np.abs(across) + 0.03 * leaves * clamp(1.1 - up)
    inside = np.minimum(inside, np.minimum(up - 0.07, 1.0 - up))
    facing = clamp(0.38 + 1.1 * right * across / tree.breadth + 0.28 * (0.5 - saw) + 0.12 * leaves)
    return inside, facing


def _plume(scene: Scene, tree: Tree, across: Field, up: Field, leaves: Field) -> tuple[Field, Field]:
    """A poplar: a tall flame of upright twigs."""
    right, _ = _sun_side(scene, tree)
    middle = up - 0.5
    half = 0.5 * tree.breadth * clamp(1.0 - 4.0 * middle * middle + 0.15 * (0.5 - up), 0.0, 1.0)
    half = np.sqrt(half * (0.5 * tree.breadth))
    inside = half - np.abs(across) + 0.035 * leaves
    inside = np.minimum(inside, up - 0.05)
    facing = clamp(0.42 + 0.8 * right * across / tree.breadth + 0.2 * leaves + 0.12 * middle)
    return inside, facing


def _draw_trunk(canvas: Canvas, scene: Scene, tree: Tree, window: Window, across: Field, up: Field) -> None:
    tall = {"conifer": 0.25, "poplar": 0.2, "bare": 0.55}.get(tree.kind, 0.5)
    half = 0.032 * (1.0 - 0.75 * up / tall)
    pixel = 1.0 / (tree.height * canvas.frame.grid)
    cover = clamp((half - np.abs(across)) / pixel + 0.5) * ramp(up, tall, tall - 0.05) * clamp(up / pixel + 0.5)
    right, _ = _sun_side(scene, tree)
    facing = clamp(0.3 + 8.0 * right * across) + 0.0 * up
    colour = lit([channel + 0.0 * facing for channel in _BARK], scene, facing * 0.7)
    canvas.lay(window, veiled(colour, scene, tree.distance), cover, (-0.9, 0.0))


def _draw_branches(canvas: Canvas, scene: Scene, tree: Tree, window: Window, across: Field, up: Field) -> None:
    """A leafless crown: boughs as straight strokes, twigs as a thin veil."""
    index = np.arange(16, dtype=np.int64)
    draws = [hashed(index, index * 0 + row, tree.key) for row in range(3)]
    pixel = 1.0 / (tree.height * canvas.frame.grid)
    cover = np.zeros((window.y.shape[0], window.x.shape[1]))
    for bough in range(16):
        root = 0.26 + 0.42 * float(draws[0][bough])
        side = (float(draws[1][bough]) - 0.5) * 2.0
        length = 0.24 + 0.26 * float(draws[2][bough])
        run, climb = side * 0.9 * tree.breadth * length * 1.6, length * (1.0 - 0.35 * abs(side))
        along = clamp((across * run + (up - root) * climb) * (1.0 / (run * run + climb * climb)))
        dx, dy = across - along * run, up - root - along * climb
        half = 0.011 * (1.0 - 0.8 * along)
        cover = np.maximum(cover, clamp((half - np.sqrt(dx * dx + dy * dy)) / pixel + 0.6))
    twig = np.full((1, 1), 22.0 * pixel)
    twigs = fractal_at(across * 22.0 + 0.0 * up, up * 22.0 + 0.0 * across, twig, tree.key, 3, 0.8)
    high = (up - 0.62) / 0.42
    wide = across / (0.52 * tree.breadth)
    veil = ramp(high * high + wide * wide + 0.4 * twigs, 1.0, 0.35) * clamp(0.22 + 0.5 * twigs)
    cover = np.maximum(cover, veil)
    colour = lit([mix(_BARK[c], tree.leaf[c], 0.4) + 0.0 * cover for c in range(3)], scene, clamp(0.45 + 0.3 * twigs))
    canvas.lay(window, veiled(colour, scene, tree.distance), cover, (-0.5, 0.3))
