"""Lakes, rivers and the sea: a mirror of what stands behind, broken by ripples."""

from __future__ import annotations

import numpy as np

from cyclestyle.data.scenes.curves import Field, clamp, falloff, mix, ramp, smooth, wave
from cyclestyle.data.scenes.elements import Scene
from cyclestyle.data.scenes.frame import Canvas, Window, make_window
from cyclestyle.data.scenes.noise import fractal_at


def draw_water(canvas: Canvas, scene: Scene) -> None:
    """Lay the water over the ground; it mirrors what the canvas holds above its far shore."""
    if scene.water.kind == "none":
        return
    frame, water = canvas.frame, scene.water
    window = make_window(frame, 0.0, 1.0, water.far - 0.03, 1.0)
    if window is None:
        return
    cover, bank = _shore(canvas, scene, window)
    below = np.maximum(window.y - water.far, 0.0)
    away = 1.0 / (below + 0.07)
    cells = away * away * (2.6 / frame.size)
    u, v = (window.x - 0.5) * away, away * 2.6
    waves = fractal_at(u * 2.2, v * 3.0, cells * 3.0, water.ripple_key, 4, 0.65)
    mirrored = _mirrored(canvas, scene, window, waves * (0.25 + below))
    # Seen steeply, near the viewer, water shows more of its own colour and less of the sky.
    own = clamp((0.30 if water.kind == "sea" else 0.18) + 0.55 * below + 0.22 * water.ripple * (0.3 + waves))
    light = scene.light
    glint = _glitter(scene, window, below, waves)
    colour = []
    for c in range(3):
        body = water.colour[c] * (0.35 + 1.4 * light.middle[c]) + 0.10 * light.middle[c]
        crest = 0.10 * water.ripple * ramp(waves, 0.1, 0.9) * light.horizon[c]
        colour.append(mix(0.94 * mirrored[c], body, own) + crest + glint * light.sun[c])
    shade = 1.0 - 0.5 * bank
    canvas.lay(window, np.stack(colour) * shade, cover, (1.0, 0.0))


def _shore(canvas: Canvas, scene: Scene, window: Window) -> tuple[Field, Field]:
    """Where there is water (0 to 1), and the dark strip of it under the bank."""
    water, frame = scene.water, canvas.frame
    wobble = fractal_at(
        window.x * 5.0 + 0.0 * window.y,
        window.y * 16.0 + 0.0 * window.x,
        np.full((1, 1), 16.0 / frame.size),
        water.shape_key,
        4,
        0.5,
    )
    below = window.y - water.far
    if water.kind == "river":
        phase = water.bends / (np.maximum(below, 0.0) + 0.12) + water.centre * 7.0
        centre = 0.5 + 0.7 * (water.centre - 0.5) + water.sway * wave(phase) * (0.12 + below)
        # Where the river runs across the view it fills more of a row.
        wide = np.concatenate([centre[:1], centre, centre[-1:]])
        slope = (wide[2:] - wide[:-2]) * (0.5 * frame.grid)
        half = 0.5 * water.width * below * np.sqrt(1.0 + (0.10 + 0.3 * below) * (slope * slope))
        inside = half - np.abs(window.x - centre) + wobble * (0.05 * below + 0.003)
        cover = clamp(inside * frame.grid + 0.5) * clamp(below * frame.grid + 0.5)
        return cover, ramp(inside, 0.025, 0.0) * ramp(half, 0.01, 0.06) * 0.8
    near = water.near - water.width * (window.x - water.centre) * (window.x - water.centre)
    front = near - window.y + wobble * 0.035 * (1.0 + below)
    back = below + (0.007 * wobble if water.kind == "lake" else 0.0)
    cover = clamp(front * frame.grid * 0.7 + 0.5) * clamp(back * frame.grid + 0.5)
    return cover, ramp(back, 0.012, 0.0) * (0.8 if water.kind == "lake" else 0.2)


def _mirrored(canvas: Canvas, scene: Scene, window: Window, waves: Field) -> Field:
    """The picture above the far shore, upside down, with its rows and columns shaken by the waves."""
    frame, water = canvas.frame, scene.water
    n = frame.grid
    stretch = 1.08
    source = water.far - (window.y - water.far) * stretch - waves * (0.10 * water.ripple + 0.02)
    rows = np.floor(source * n).astype(np.int64)
    highest = int(water.far * n) - 1
    rows = np.minimum(np.maximum(rows, 0), max(highest, 0))
    shake = np.floor(waves * (0.035 * (0.3 + water.ripple) * n)).astype(np.int64)
    columns = np.minimum(np.maximum(np.arange(n)[None, window.columns] + shake, 0), n - 1)
    return canvas.light[:, rows, columns]


def _glitter(scene: Scene, window: Window, below: Field, waves: Field) -> Field:
    """The broken path of light under a low sun or moon."""
    light = scene.light
    if light.kind not in ("golden", "dusk", "moonlight", "morning", "haze") or not -0.1 < light.sun_x < 1.1:
        return np.zeros_like(waves)
    offset = (window.x - light.sun_x) / (0.035 + 0.16 * below)
    path = falloff(offset * offset)
    return path * smooth(waves, -0.1, 0.55) * (0.9 * light.glow) * falloff(below * below * 2.0)
