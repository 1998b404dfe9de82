"""The ground from the horizon to the viewer: meadow, crop rows, snow or sand, with flowers, a path and shadows."""

from __future__ import annotations

import numpy as np

from cyclestyle.data.scenes.climate import linear
from cyclestyle.data.scenes.curves import Field, clamp, falloff, mix, ramp, smooth, wave
from cyclestyle.data.scenes.elements import Scene, Tree
from cyclestyle.data.scenes.frame import Canvas, Window, make_window
from cyclestyle.data.scenes.noise import fractal_at, hashed
from cyclestyle.data.scenes.relief import lit, veiled

_EARTH = linear((0.62, 0.53, 0.42))


def draw_ground(canvas: Canvas, scene: Scene) -> None:
    """Lay the ground over the feet of the hills."""
    frame, meadow = canvas.frame, scene.meadow
    window = make_window(frame, 0.0, 1.0, scene.horizon, 1.0)
    if window is None:
        return
    below = np.maximum(window.y - scene.horizon, 0.0)
    away = 1.0 / (below + 0.06)
    u = (window.x - 0.5) * away
    v = away * 2.2
    # Cells shrink towards the horizon: this is how many a pixel spans, for a texture of one cell per unit of v.
    cells = away * away * (2.2 / frame.size)
    broad = fractal_at(u * 1.2, v * 1.2 + 3.0, cells * 1.2, meadow.key, 3, 0.5)
    tufts = np.maximum(cells * 7.0, away * (14.0 / frame.size)) * 0.8
    fine = fractal_at(u * 14.0, v * 7.0, tufts, meadow.key + 1, 6, 0.8) * 0.9
    if meadow.kind in ("grass", "rows"):
        # Near by the single blades stand up against the view; they lean, so that no weave shows.
        blade = np.full((1, 1), 70.0 / frame.size)
        lean = window.x * 70.0 + window.y * 26.0 + 2.5 * broad
        blades = fractal_at(lean, window.y * 24.0 - window.x * 11.0, blade, meadow.key + 2, 4, 0.8)
        fine = fine + blades * (0.6 * ramp(below, 0.05, 0.5))
    share = clamp(0.45 + 0.65 * broad)
    albedo = [mix(meadow.base[c], meadow.second[c], share) for c in range(3)]
    facing = clamp(0.66 + 0.10 * broad + 0.20 * fine)
    if meadow.kind == "rows":
        furrow = wave(u * 3.2 + meadow.row_slant * v * 0.5) * clamp(1.6 - away * (10.0 / frame.size))
        facing = clamp(facing + 0.20 * furrow)
        albedo = [mix(albedo[c], _EARTH[c] * 0.6, 0.45 * ramp(furrow, -0.1, -0.9)) for c in range(3)]
    if meadow.kind == "snow":
        facing = clamp(0.66 + 0.20 * broad + 0.05 * fine)
    if meadow.flowers > 0.0:
        albedo = _with_flowers(albedo, scene, u, v, cells, broad)
    if meadow.path > 0.0:
        albedo, facing = _with_path(albedo, facing, scene, window, below, fine)
    colour = lit([albedo[c] * (1.0 + 0.10 * fine) for c in range(3)], scene, facing)
    veil = 0.5 * falloff(below * below * 60.0)
    cover = clamp((window.y - scene.horizon) * frame.grid + 0.5) + 0.0 * u
    upright = clamp(below * 3.0)
    canvas.lay(window, veiled(colour, scene, veil), cover, (0.8 - 1.1 * upright + 0.5 * fine, 0.5 * broad))


def _with_flowers(albedo: list[Field], scene: Scene, u: Field, v: Field, cells: Field, broad: Field) -> list[Field]:
    """Scatter flowers over the grass in drifts, as dots near by and as a tint far away."""
    meadow = scene.meadow
    drift = smooth(broad + 0.5 * meadow.flowers, 0.05, 0.75) * meadow.flowers
    share = np.zeros(u.shape)
    for layer, density in enumerate((9.0, 15.0, 24.0)):
        a, b = u * density + 0.37 * layer, v * (0.45 * density)
        ia, ib = np.floor(a), np.floor(b)
        column, row = ia.astype(np.int64), ib.astype(np.int64)
        lottery = hashed(column, row, meadow.key + 31 + layer)
        # One flower to a cell, off its middle so that the cells do not show.
        da = a - ia - 0.25 - 0.5 * hashed(column, row, meadow.key + 41 + layer)
        db = b - ib - 0.25 - 0.5 * hashed(column, row, meadow.key + 51 + layer)
        radius = 0.03 + 0.05 * lottery
        dot = ramp(da * da + db * db, 1.5 * radius, 0.5 * radius) * (lottery < 0.62)
        near = clamp(1.7 - cells * (0.8 * density))
        share = np.maximum(share, mix(0.16, dot, near))
    share = share * clamp(1.4 * drift)
    return [mix(albedo[c], meadow.flower[c], share) for c in range(3)]


def _with_path(
    albedo: list[Field], facing: Field, scene: Scene, window: Window, below: Field, fine: Field
) -> tuple[list[Field], Field]:
    """Run a path of bare earth (trodden snow in winter) from the horizon to the viewer."""
    meadow = scene.meadow
    bend = wave(0.5 / (below + 0.25) + meadow.path_x)
    centre = mix(0.5 + 0.6 * (meadow.path_x - 0.5), meadow.path_x, below) + meadow.path_sway * bend * (0.06 + below)
    half = 0.5 * meadow.path * below + 0.0015
    offset = np.abs(window.x - centre) / half
    on_path = ramp(offset + 0.35 * fine, 1.15, 0.85)
    earth = tuple(0.8 * channel for channel in meadow.second) if meadow.kind == "snow" else _EARTH
    # Two wheel tracks with grass between them.
    track = on_path * (1.0 - 0.45 * ramp(np.abs(offset), 0.35, 0.15))
    return [mix(albedo[c], earth[c], track) for c in range(3)], facing * (1.0 - 0.1 * on_path)


def cast_shadow(canvas: Canvas, scene: Scene, tree: Tree) -> None:
    """Darken the ground where a tree keeps the sun off, on the side away from the sun."""
    light = scene.light
    strength = {"overcast": 0.25, "haze": 0.3, "dusk": 0.3, "moonlight": 0.4}.get(light.kind, 0.62)
    reach = 0.12 if light.sun_height > 0.5 else 0.42
    spread = 0.5 * tree.breadth * tree.height
    lean = min(max((tree.x - light.sun_x) * 1.6, -1.0), 1.0) * reach * tree.height
    centre = tree.x + 0.55 * lean
    half = spread * 0.8 + 0.5 * abs(lean)
    tall = 0.16 * spread + 0.05 * tree.height * reach
    top = tree.base - tall
    window = make_window(canvas.frame, centre - 1.5 * half, centre + 1.5 * half, top - tall, tree.base + 3.0 * tall)
    if window is None:
        return
    dx = (window.x - centre) / half
    dy = (window.y - tree.base - 0.4 * tall) / tall
    shade = strength * ramp(dx * dx + dy * dy, 1.3, 0.3)
    rows, columns = window.rows, window.columns
    for c in range(3):
        # Skylight still reaches the shadow, so red is taken out most and blue least.
        part = canvas.light[c, rows, columns]
        canvas.light[c, rows, columns] = part * (1.0 - shade * (1.0, 0.94, 0.8)[c])
