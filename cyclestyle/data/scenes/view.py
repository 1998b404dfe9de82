"""The view of a scene: every element laid back to front, the common ground of photograph and painting."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from cyclestyle.data.scenes.buildings import draw_boat, draw_house
from cyclestyle.data.scenes.curves import Field, clamp
from cyclestyle.data.scenes.elements import House, Scene, Tree
from cyclestyle.data.scenes.frame import Canvas, blank_canvas, make_frame
from cyclestyle.data.scenes.ground import cast_shadow, draw_ground
from cyclestyle.data.scenes.relief import draw_ridge
from cyclestyle.data.scenes.sky import draw_sky
from cyclestyle.data.scenes.smoothing import halve
from cyclestyle.data.scenes.trees import draw_tree
from cyclestyle.data.scenes.water import draw_water

SMALLEST = 16  # pixels: below this nothing of a landscape is left


class View(NamedTuple):
    """A scene seen at one size, before anyone photographs or paints it."""

    display: Field  # (3, size, size) RGB 0 to 1 as a noiseless camera would show it
    flow: Field  # (2, size, size) (cos 2a, sin 2a) of the direction a that strokes follow; shorter is vaguer


@lru_cache(maxsize=2)
def view(scene: Scene, size: int) -> View:
    """Draw the scene at `size` x `size` pixels. The last views are kept: a photo and its painting share one."""
    if size < SMALLEST:
        raise ValueError(f"A scene needs a size of {SMALLEST} pixels or more, but {size} was given.")
    canvas = blank_canvas(make_frame(size))
    draw_sky(canvas, scene)
    for ridge in scene.ridges:
        draw_ridge(canvas, scene, ridge)
    draw_ground(canvas, scene)
    standing: list[Tree | House] = sorted([*scene.houses, *scene.trees], key=lambda one: one.base)
    mirrored = [one for one in standing if scene.water.kind != "none" and one.base < scene.water.far]
    _stand(canvas, scene, mirrored)
    draw_water(canvas, scene)
    for boat in scene.boats:
        draw_boat(canvas, scene, boat)
    near = [one for one in standing if one not in mirrored]
    _stand(canvas, scene, [one for one in near if one.base < 0.85])
    if scene.knoll is not None:
        draw_ridge(canvas, scene, scene.knoll)
    _stand(canvas, scene, [one for one in near if one.base >= 0.85])
    light, flow = canvas.light, canvas.flow
    if canvas.frame.grid != size:
        light, flow = halve(light), halve(flow)
    display = _developed(light, scene.exposure)
    display.flags.writeable = False
    flow.flags.writeable = False
    return View(display, flow)


def _stand(canvas: Canvas, scene: Scene, standing: list[Tree | House]) -> None:
    """Lay trees and houses from far to near, their shadows first."""
    for one in standing:
        if isinstance(one, Tree):
            cast_shadow(canvas, scene, one)
    for one in standing:
        if isinstance(one, Tree):
            draw_tree(canvas, scene, one)
        else:
            draw_house(canvas, scene, one)


def _developed(light: Field, exposure: float) -> Field:
    """Turn linear light into display values: a soft shoulder, gamma 2, then a little contrast."""
    light = np.maximum(light * exposure, 0.0)
    shown = np.sqrt(light * (1.0 + 0.22 * light) / (1.0 + 0.34 * light))
    shown = clamp(shown)
    return shown + 0.30 * (shown * shown * (3.0 - 2.0 * shown) - shown)
