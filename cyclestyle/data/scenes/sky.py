"""The sky: gradient, halo and disc of the sun or moon, and clouds lit from its side."""

from __future__ import annotations

import numpy as np

from cyclestyle.data.scenes.curves import Field, clamp, falloff, mix, ramp, smooth
from cyclestyle.data.scenes.elements import Scene
from cyclestyle.data.scenes.frame import Canvas, tinted, whole_window
from cyclestyle.data.scenes.noise import fractal

# kind: stretch of cloud cells across and down, octaves' gain, share of puffs, softness of the edge
_SHAPES = {
    "cumulus": (0.62, 2.2, 0.56, 0.55, 0.42),
    "streaks": (0.55, 4.0, 0.50, 0.10, 0.70),
    "cover": (0.8, 2.4, 0.50, 0.25, 0.90),
}


def draw_sky(canvas: Canvas, scene: Scene) -> None:
    """Fill the whole canvas with sky; what stands in front is laid over it."""
    window = whole_window(canvas.frame)
    clear = _gradient(canvas, scene)
    canvas.lay(window, clear, np.ones((canvas.frame.grid, canvas.frame.grid)), (0.5, 0.15))
    if scene.clouds.kind != "clear":
        _draw_clouds(canvas, scene)
    _draw_disc(canvas, scene)


def _gradient(canvas: Canvas, scene: Scene) -> Field:
    """Light of the cloudless sky, (3, grid, grid)."""
    light, window = scene.light, whole_window(canvas.frame)
    height = (scene.horizon - window.y) * (1.0 / 0.6)
    low = smooth(height, 0.0, 0.45)
    high = smooth(height, 0.25, 1.15)
    dx = (window.x - light.sun_x) * 0.8
    dy = (scene.horizon - light.sun_height - window.y) * 1.6
    # The halo is two-fold: a wide warm veil and a narrow bright core.
    wide = falloff((dx * dx + dy * dy) * 7.0)
    core = falloff((dx * dx + dy * dy) * 90.0)
    glow = light.glow * (0.6 * wide + 0.7 * core)
    channels = []
    for channel in range(3):
        base = mix(light.horizon[channel], light.middle[channel], low)
        base = mix(base, light.zenith[channel], high)
        channels.append(base + glow * (0.35 * light.sun[channel] + 0.65 * light.horizon[channel]))
    return np.stack(channels)


def _shifted(field: Field, rows: int, columns: int) -> Field:
    """Look `rows` up and `columns` right of every pixel, repeating the edge."""
    n = field.shape[0]
    index = np.arange(n)
    down = np.minimum(np.maximum(index - rows, 0), n - 1)
    across = np.minimum(np.maximum(index + columns, 0), n - 1)
    return field[down][:, across]


def _draw_clouds(canvas: Canvas, scene: Scene) -> None:
    clouds, light, frame = scene.clouds, scene.light, canvas.frame
    window = whole_window(frame)
    stretch_x, stretch_y, gain, puff, softness = _SHAPES[clouds.kind]
    xs = frame.x * (clouds.scale * stretch_x)
    # Rows crowd towards the horizon as on a flat layer of clouds overhead.
    height = np.maximum(scene.horizon - frame.y, -0.08)
    ys = (clouds.scale * stretch_y) * (0.62 * height / (height + 0.34)) * 1.6 + frame.y * 0.001
    density = fractal(xs, ys, clouds.key, 6, gain, frame.size)
    if puff > 0.0:
        density = density + puff * fractal(xs * 1.7, ys * 1.7, clouds.key + 17, 5, 0.55, frame.size, billow=True)
    density = density + (clouds.amount * 1.5 - 0.95 if clouds.kind != "cover" else clouds.amount + 0.5)
    cover = smooth(density, 0.0, softness)
    step = max(frame.grid // 36, 1)
    side = step if light.sun_x > 0.5 else -step
    toward_sun = _shifted(density, step, side)
    lit = clamp(0.55 + 0.55 * (density - toward_sun) - 0.22 * ramp(density, 0.3, 1.6))
    # Clouds thin out into the haze just above the horizon.
    cover = cover * (0.15 + 0.85 * smooth(height[:, None], 0.0, 0.16)) * (0.97 if clouds.kind != "streaks" else 0.7)
    dark = 0.62 if clouds.kind == "cover" else 0.72
    colour = []
    for channel in range(3):
        bright = 0.62 * light.sun[channel] + 0.42 * light.horizon[channel]
        shade = dark * (0.45 * light.middle[channel] + 0.35 * light.horizon[channel] + 0.2 * light.ambient[channel])
        if clouds.kind == "cover":
            bright = 0.55 * light.horizon[channel] + 0.5 * light.middle[channel]
            shade = dark * (0.7 * light.zenith[channel] + 0.3 * light.middle[channel])
        colour.append(mix(shade, bright, lit))
    slope_y = (density - _shifted(density, 1, 0)) * (0.02 * frame.grid)
    slope_x = (_shifted(density, 0, 1) - density) * (0.02 * frame.grid)
    norm = 1.0 / (slope_x * slope_x + slope_y * slope_y + 0.02)
    along = ((slope_y * slope_y - slope_x * slope_x) * norm, -2.0 * slope_x * slope_y * norm)
    canvas.lay(window, np.stack(colour), cover, along)


def _draw_disc(canvas: Canvas, scene: Scene) -> None:
    """The sun itself shows only where it is low and in the picture; the moon likewise."""
    light, window = scene.light, whole_window(canvas.frame)
    if light.kind not in ("golden", "dusk", "moonlight", "haze") or light.glow < 0.3:
        return
    y = scene.horizon - light.sun_height
    if y < 0.04 or light.sun_height < 0.0:
        return
    dx, dy = window.x - light.sun_x, window.y - y
    distance = np.sqrt(dx * dx + dy * dy)
    cover = ramp(distance, 0.036, 0.024)
    level = 1.15 if light.kind != "moonlight" else 0.75
    colour = tinted((level, 0.92 * level, 0.74 * level), np.ones_like(distance))
    canvas.lay(window, colour, cover * 0.92, (0.5, 0.15))
