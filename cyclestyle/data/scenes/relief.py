"""Layers of mountains and hills, each shaded by the sun and veiled by the air in front of it."""

from __future__ import annotations

import numpy as np

from cyclestyle.data.scenes.climate import Colour, linear
from cyclestyle.data.scenes.curves import Field, clamp, mix, ramp, smooth
from cyclestyle.data.scenes.elements import Ridge, Scene
from cyclestyle.data.scenes.frame import Canvas, Window, make_window
from cyclestyle.data.scenes.noise import fractal, fractal_at, hashed, noise_at

_ROCK = linear((0.37, 0.35, 0.36))
_SNOW = linear((0.83, 0.85, 0.89))


def veiled(colour: Field, scene: Scene, distance: Field | float) -> Field:
    """Blend light (3, ...) into the haze: `distance` 0 is here, 1 the far end of the scene."""
    share = scene.light.haze_density * distance
    return np.stack([mix(colour[c], scene.light.haze[c], share) for c in range(3)])


def lit(albedo: list[Field] | Field, scene: Scene, facing: Field, shelter: Field | float = 1.0) -> Field:
    """Light that a surface sends back: `facing` 0 to 1 towards the sun, `shelter` the open share of the sky."""
    light = scene.light
    return np.stack([albedo[c] * (light.ambient[c] * shelter + light.sun[c] * facing) for c in range(3)])


def skyline(canvas: Canvas, ridge: Ridge) -> Field:
    """The y of the top of a ridge at every column, (grid,)."""
    frame = canvas.frame
    xs = frame.x * ridge.frequency
    row = np.zeros(1) + 0.37
    octaves = {"mountain": 7, "forest": 5, "fields": 3, "grass": 3, "trees": 3}[ridge.material]
    gain = {"mountain": 0.47, "forest": 0.38, "fields": 0.3, "grass": 0.3, "trees": 0.5}[ridge.material]
    profile = fractal(xs, row, ridge.key, octaves, gain, frame.size)[0]
    if ridge.material == "mountain":
        profile = 1.0 - 2.1 * np.abs(profile)
    height = clamp(0.55 + 0.45 * profile, 0.05, 1.6) * ridge.rise + ridge.tilt * (frame.x - 0.5)
    if ridge.material == "trees":
        crowns = fractal(xs * 12.0, row, ridge.key + 5, 4, 0.6, frame.size, billow=True)[0]
        height = ridge.rise * clamp(0.62 + 0.4 * profile + 0.26 * crowns, 0.0, 2.0)
    if ridge.material == "forest":
        crowns = fractal(frame.x * 55.0, row, ridge.key + 5, 3, 0.6, frame.size, billow=True)[0]
        height = height + 0.004 * crowns
    return ridge.base - height


def draw_ridge(canvas: Canvas, scene: Scene, ridge: Ridge) -> None:
    """Lay one ridge over what is farther away."""
    frame = canvas.frame
    top = skyline(canvas, ridge)
    window = make_window(frame, 0.0, 1.0, max(float(top.min()), 0.0), min(ridge.base + 0.12, 1.0))
    if window is None:
        return
    depth = window.y - top[None, :]
    cover = clamp(depth * frame.grid + 0.5)
    wide = np.concatenate([top[:1], top, top[-1:]])
    slope = (wide[2:] - wide[:-2]) * (0.5 * frame.grid)
    surface, facing = _SURFACES[ridge.material](canvas, scene, ridge, window, depth, slope[None, :])
    colour = lit(surface, scene, facing, clamp(0.75 + 0.5 * facing))
    # The foot of a ridge lies deeper in the haze than its top.
    sink = ridge.distance * (0.70 + 0.30 * ramp(depth, 0.0, 0.16))
    norm = 1.0 / (1.0 + slope * slope)
    flow = ((1.0 - slope * slope) * norm * 0.8, 2.0 * slope * norm * 0.8)
    canvas.lay(window, veiled(colour, scene, sink), cover, (flow[0][None, :], flow[1][None, :]))


def _toward_sun(scene: Scene) -> float:
    """Where the light comes from along x: -1 left to 1 right."""
    return min(max((scene.light.sun_x - 0.5) * 2.2, -1.0), 1.0)


def _rise_along_x(field: Field, grid: int) -> Field:
    """Derivative of a field (height, width) along x, per picture width."""
    padded = np.concatenate([field[:, :1], field, field[:, -1:]], axis=1)
    return (padded[:, 2:] - padded[:, :-2]) * (0.5 * grid)


def _mountain(
    canvas: Canvas, scene: Scene, ridge: Ridge, window: Window, depth: Field, slope: Field
) -> tuple[list[Field], Field]:
    frame = canvas.frame
    cells = np.full((1, 1), ridge.frequency * 5.0 / frame.size)
    spurs = noise_at(window.x * (ridge.frequency * 2.5), depth * (ridge.frequency * 6.0), ridge.key + 21)
    u = window.x * (ridge.frequency * 5.0) + depth * (ridge.frequency * 2.5) * _toward_sun(scene) + 0.8 * spurs
    v = depth * (ridge.frequency * 5.0)
    gullies = fractal_at(u, v, cells, ridge.key, 5, 0.55)
    fall = _rise_along_x(gullies, frame.grid) * (0.035 / ridge.frequency)
    facing = clamp(0.42 + 0.5 * _toward_sun(scene) * clamp(fall + 0.35 * slope, -1.0, 1.0) + 0.1 * gullies)
    snow_line = ridge.rise * ridge.snow + 0.05 * ridge.rise
    snow = smooth(snow_line - depth + gullies * 0.22 * ridge.rise, 0.0, 0.12 * ridge.rise)
    snow = snow * (1.0 if ridge.snow > 0.0 else 0.0)
    wood = ramp(depth, 0.45 * ridge.rise, 0.95 * ridge.rise) * 0.75
    albedo = []
    for c in range(3):
        ground = mix(_ROCK[c] * (1.0 + 0.22 * gullies), scene.season.forest[c], wood)
        albedo.append(mix(ground, _SNOW[c], snow))
    return albedo, facing


def _canopy(
    canvas: Canvas, scene: Scene, ridge: Ridge, window: Window, depth: Field, slope: Field
) -> tuple[list[Field], Field]:
    frame = canvas.frame
    density = 34.0 if ridge.material == "forest" else 26.0
    u, v = window.x * density, depth * (density * 1.5)
    crowns = fractal_at(u, v, np.full((1, 1), density / frame.size), ridge.key, 4, 0.6)
    stands = fractal_at(window.x * 5.0, depth * 9.0, np.full((1, 1), 9.0 / frame.size), ridge.key + 3, 2, 0.5)
    turn = _toward_sun(scene)
    facing = clamp(0.42 + 0.28 * crowns + 0.3 * turn * clamp(slope, -0.8, 0.8) + 0.12 * stands)
    if ridge.material == "trees":
        facing = facing * (1.0 - 0.55 * ramp(depth, 0.2 * ridge.rise, ridge.rise))
    first, second = scene.season.forest, scene.season.leaves[ridge.key % len(scene.season.leaves)]
    share = clamp(0.35 + 0.6 * stands + 0.2 * crowns) * 0.8
    if scene.season.kind == "spring" and ridge.key % 4 > 1:
        share = share * 0.3
    return [mix(first[c], second[c], share) * (1.0 + 0.2 * crowns) for c in range(3)], facing


def _pasture(
    canvas: Canvas, scene: Scene, ridge: Ridge, window: Window, depth: Field, slope: Field
) -> tuple[list[Field], Field]:
    frame = canvas.frame
    broad = fractal_at(window.x * 4.0, depth * 14.0, np.full((1, 1), 14.0 / frame.size), ridge.key, 4, 0.5)
    fine = fractal_at(window.x * 40.0, depth * 90.0, np.full((1, 1), 90.0 / frame.size), ridge.key + 9, 3, 0.6)
    share = clamp(0.5 + 0.7 * broad)
    grass, dry = scene.season.grass, scene.season.grass_dry
    albedo = [mix(grass[c], dry[c], share) * (1.0 + 0.12 * fine) for c in range(3)]
    return albedo, _open_facing(scene, slope, broad)


def _open_facing(scene: Scene, slope: Field, relief: Field) -> Field:
    """How much open ground faces the sun: by the slope of the hill and its small relief."""
    return clamp(0.62 + 0.55 * _toward_sun(scene) * clamp(slope, -0.7, 0.7) + 0.12 * relief)


def _quilt(
    canvas: Canvas, scene: Scene, ridge: Ridge, window: Window, depth: Field, slope: Field
) -> tuple[list[Field], Field]:
    """Fields of several crops, parted by hedges."""
    frame = canvas.frame
    bend = fractal_at(window.x * 3.0, depth * 6.0, np.full((1, 1), 6.0 / frame.size), ridge.key, 3, 0.5)
    row = depth / (depth * 0.6 + 0.035) * 2.4 + 0.5 * bend
    row_cell = np.floor(row)
    column = window.x * 6.0 + 0.6 * row + bend * 0.5 + row_cell * 0.37
    column_cell = np.floor(column)
    pick = hashed(column_cell.astype(np.int64), row_cell.astype(np.int64), ridge.key)
    crops: tuple[Colour, ...] = (*scene.season.crops, scene.season.grass, scene.season.grass_dry)
    index = np.minimum((pick * len(crops)).astype(np.int64), len(crops) - 1)
    fine = fractal_at(window.x * 50.0, depth * 120.0, np.full((1, 1), 120.0 / frame.size), ridge.key + 9, 3, 0.6)
    edge = np.minimum(row - row_cell, (column - column_cell) * 0.8)
    hedge = ramp(edge, 0.17, 0.07) * clamp(0.75 + 0.9 * bend)
    albedo = []
    for c in range(3):
        crop = np.array([colour[c] for colour in crops])[index] * (1.0 + 0.12 * fine)
        albedo.append(mix(crop, scene.season.forest[c] * 0.8, hedge))
    return albedo, _open_facing(scene, slope, bend) * (1.0 - 0.4 * hedge)


_SURFACES = {"mountain": _mountain, "forest": _canopy, "trees": _canopy, "grass": _pasture, "fields": _quilt}
