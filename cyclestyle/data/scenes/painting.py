"""The painting of a scene: the one impressionist picture that its photograph is to become."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cyclestyle.data.scenes.brushwork import Layer, lay_strokes
from cyclestyle.data.scenes.curves import Field, falloff, smooth, wave
from cyclestyle.data.scenes.elements import Scene
from cyclestyle.data.scenes.noise import fractal
from cyclestyle.data.scenes.palette import painted
from cyclestyle.data.scenes.photograph import to_bytes
from cyclestyle.data.scenes.smoothing import soft_blur
from cyclestyle.data.scenes.view import view

_LAYERS = (
    Layer(cell=0.046, length=1.5, width=0.55, opacity=0.9, tone=0.046, hue=0.042, detail_only=False),
    Layer(cell=0.029, length=1.5, width=0.50, opacity=0.9, tone=0.052, hue=0.044, detail_only=False),
    Layer(cell=0.017, length=1.5, width=0.50, opacity=0.95, tone=0.030, hue=0.026, detail_only=True),
)


def paint_truth(scene: Scene, size: int) -> NDArray[np.uint8]:
    """Paint the scene: RGB of shape (size, size, 3), 16 pixels a side or more."""
    seen = view(scene, size)
    calm = abstracted(seen.display)
    target = painted(calm)
    broad = soft_blur(target, 0.012 * size)
    flow = _directions(target, seen.flow, scene, size)
    detail = _detail(target, size)
    picture = soft_blur(target, 0.02 * size)
    for number, layer in enumerate(_LAYERS):
        source = broad if number == 0 else target
        picture = lay_strokes(picture, source, flow, detail, layer, scene.texture_key + 1000 * number)
    # The finest forms are put back with the tip of the brush, so that small things keep their shape.
    picture = picture + (0.5 * detail) * (target - picture)
    return to_bytes(picture + _canvas_weave(scene, size))


def abstracted(display: Field) -> Field:
    """Take texture away and keep edges: bilateral smoothing (Tomasi and Manduchi 1998) with widening steps."""
    size = display.shape[1]
    step, reach = 1, max(0.022 * size, 1.0)
    while step <= reach:
        display = _bilateral(display, step)
        step *= 2
    return display


def _bilateral(display: Field, step: int) -> Field:
    """Average each pixel with its eight neighbours `step` pixels away, as far as they are alike."""
    size = display.shape[1]
    index = np.minimum(np.maximum(np.arange(-step, size + step), 0), size - 1)
    padded = np.take(np.take(display, index, axis=1), index, axis=2)
    total, weights = display.copy(), np.ones(display.shape[1:])
    for down in (0, step, 2 * step):
        for right in (0, step, 2 * step):
            if down == step and right == step:
                continue
            other = padded[:, down : down + size, right : right + size]
            red, green, blue = other[0] - display[0], other[1] - display[1], other[2] - display[2]
            alike = falloff((red * red + green * green + blue * blue) * 60.0)
            weights += alike
            for channel in range(3):
                total[channel] += other[channel] * alike
    return total / weights


def _directions(target: Field, prior: Field, scene: Scene, size: int) -> Field:
    """Direction field of the strokes, (cos 2a, sin 2a): along edges where there are any, else along the things."""
    tone = soft_blur(0.3 * target[0] + 0.59 * target[1] + 0.11 * target[2], 0.008 * size)
    index = np.arange(size)
    before, after = np.maximum(index - 1, 0), np.minimum(index + 1, size - 1)
    gx = (tone[:, after] - tone[:, before]) * (size * 0.01)
    gy = (tone[after] - tone[before]) * (size * 0.01)
    edge = soft_blur(np.stack([gy * gy - gx * gx, -2.0 * (gx * gy)]), 0.02 * size)
    strength = np.sqrt(edge[0] * edge[0] + edge[1] * edge[1])
    share = 1.0 / (strength + 0.0012)
    centres = (np.arange(size, dtype=np.float64) + 0.5) * (1.0 / size)
    wander = [fractal(centres * 5.0, centres * 5.0, scene.texture_key + key, 2, 0.5, size) for key in (51, 52)]
    calm = soft_blur(prior, 0.012 * size)
    a = calm[0] + 1.6 * edge[0] * share + 0.22 * wander[0]
    b = calm[1] + 1.6 * edge[1] * share + 0.22 * wander[1]
    norm = 1.0 / np.sqrt(a * a + b * b + 1e-6)
    return np.stack([a * norm, b * norm])


def _detail(target: Field, size: int) -> Field:
    """Where the picture has small forms that call for the fine brush, 0 to 1."""
    rest = np.abs(target - soft_blur(target, 0.035 * size))
    return smooth(soft_blur(rest[0] + rest[1] + rest[2], 0.01 * size), 0.035, 0.11)


def _canvas_weave(scene: Scene, size: int) -> Field:
    """Threads of the canvas shining through, as a small change of brightness (size, size)."""
    threads = min(170.0, size * 0.3)
    index = (np.arange(size, dtype=np.float64) + 0.5) * (threads / size)
    wobble = fractal(index * 0.06, index * 0.06, scene.texture_key + 77, 2, 0.5, size)
    warp = wave(index[None, :] + 0.12 * wobble)
    weft = wave(index[:, None] + 0.12 * wobble)
    return 0.009 * (warp * weft) + 0.004 * (warp + weft)
