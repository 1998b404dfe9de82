"""Houses and sailing boats: flat faces with clean edges."""

from __future__ import annotations

import numpy as np

from cyclestyle.data.scenes.climate import Colour
from cyclestyle.data.scenes.curves import Field, clamp
from cyclestyle.data.scenes.elements import Boat, House, Scene
from cyclestyle.data.scenes.frame import Canvas, Window, make_window
from cyclestyle.data.scenes.relief import lit, veiled


def _band(value: Field, low: Field | float, high: Field | float, pixel: float) -> Field:
    """Cover 1 where low < value < high, with an edge one pixel wide."""
    return clamp((value - low) / pixel + 0.5) * clamp((high - value) / pixel + 0.5)


def _face(
    canvas: Canvas,
    scene: Scene,
    window: Window,
    cover: Field,
    colour: Colour,
    facing: float,
    distance: float,
    flow: tuple[float, float],
) -> None:
    """Lay one flat face of one colour."""
    even = np.ones_like(cover)
    light = lit([channel * even for channel in colour], scene, facing * even)
    canvas.lay(window, veiled(light, scene, distance), cover, flow)


def draw_house(canvas: Canvas, scene: Scene, house: House) -> None:
    """Lay one house: long side and roof, gable front, then windows, door and chimney."""
    wall_height = {"cottage": 0.42, "barn": 0.36, "church": 0.5}[house.kind]
    roof_height = {"cottage": 0.36, "barn": 0.44, "church": 0.42}[house.kind]
    window = make_window(
        canvas.frame,
        house.x - 0.7 * house.width,
        house.x + 0.7 * house.width,
        house.base - 1.7 * house.width,
        house.base + 0.02,
    )
    if window is None:
        return
    hand = 1.0 if house.turned else -1.0
    s = (window.x - house.x) * (hand / house.width)  # 0.5 at the gable end, -0.5 at the far end
    t = (house.base - window.y) * (1.0 / house.width)
    pixel = 1.0 / (house.width * canvas.frame.grid)
    sun = min(max((scene.light.sun_x - house.x) * 2.0 * hand, -1.0), 1.0)
    front, side, top = 0.5 + 0.4 * sun, 0.5 - 0.35 * sun, 0.66 - 0.2 * sun
    away = max(house.distance, 0.0)
    long_side, gable, roof, rim = _shell(s, t, wall_height, roof_height, pixel)
    _face(canvas, scene, window, long_side, house.wall, side, away, (1.0, 0.0))
    _face(canvas, scene, window, gable, house.wall, front, away, (-1.0, 0.0))
    _face(canvas, scene, window, roof, house.roof, top, away, (0.9, -0.2))
    _face(canvas, scene, window, rim, house.roof, top * 0.8, away, (0.6, 0.6))
    _draw_openings(canvas, scene, house, window, s, t, pixel, away)


def _shell(
    s: Field, t: Field, wall_height: float, roof_height: float, pixel: float
) -> tuple[Field, Field, Field, Field]:
    """Covers of the long side, the gable, the roof and the rim of the roof over the gable.

    s runs along the house and t up, both in widths of the house; pixel is the size of one in the same unit.
    """
    edge = 0.06  # where gable and long side meet
    ridge = 0.5 * (edge + 0.5)
    crest = wall_height + roof_height
    lean = (t - wall_height) / roof_height
    inward = (ridge - edge) * clamp(lean)
    long_side = _band(s, -0.5, edge, pixel) * _band(t, 0.0, wall_height, pixel)
    gable = _band(s, edge + inward, 0.5 - (0.5 - ridge) * clamp(lean), pixel) * _band(t, 0.0, crest, pixel)
    roof = _band(s, -0.54 + 0.04 * lean, edge - 0.03 + (ridge - edge) * lean, pixel)
    roof = roof * _band(t, wall_height - 0.03, crest, pixel)
    rim = np.abs(s - ridge) - (0.5 - ridge + 0.03) * (1.0 - lean)
    rim = _band(rim, -0.05, 0.0, pixel) * _band(t, wall_height - 0.05, crest, pixel)
    return long_side, gable, roof, rim


def _draw_openings(
    canvas: Canvas, scene: Scene, house: House, window: Window, s: Field, t: Field, pixel: float, away: float
) -> None:
    """Windows and door, and the chimney of a cottage or the steeple of a church."""
    dark: Colour = (0.03, 0.03, 0.04)
    if scene.light.kind in ("dusk", "moonlight"):
        dark = (1.6, 1.0, 0.35)  # lamps are lit
    cover = np.zeros((t.shape[0], s.shape[1]))
    if house.kind != "barn":
        for place in (-0.38, -0.22, -0.06):
            cover = np.maximum(cover, _band(s, place - 0.035, place + 0.035, pixel) * _band(t, 0.17, 0.31, pixel))
    cover = np.maximum(cover, _band(s, 0.22, 0.34, pixel) * _band(t, 0.0, 0.26, pixel))
    _face(canvas, scene, window, cover * 0.85, dark, 0.4, away, (-1.0, 0.0))
    if house.kind == "cottage":
        _face(
            canvas,
            scene,
            window,
            _band(s, -0.3, -0.2, pixel) * _band(t, 0.7, 0.9, pixel),
            house.roof,
            0.45,
            away,
            (-1.0, 0.0),
        )
    if house.kind == "church":
        _face(
            canvas,
            scene,
            window,
            _band(s, 0.16, 0.40, pixel) * _band(t, 0.0, 1.05, pixel),
            house.wall,
            0.6,
            away,
            (-1.0, 0.0),
        )
        spire = _band(s, 0.14 + 0.14 * (t - 1.05) / 0.55, 0.42 - 0.14 * (t - 1.05) / 0.55, pixel)
        _face(canvas, scene, window, spire * _band(t, 1.05, 1.6, pixel), house.roof, 0.5, away, (-1.0, 0.0))


def draw_boat(canvas: Canvas, scene: Scene, boat: Boat) -> None:
    """Lay one boat and, below it, its wavering reflection."""
    tall = boat.height
    left, right = boat.x - 0.5 * tall, boat.x + 0.5 * tall
    window = make_window(canvas.frame, left, right, boat.base - tall, boat.base + 0.7 * tall)
    if window is None:
        return
    s = (window.x - boat.x) * (1.0 / tall)
    up = (boat.base - window.y) * (1.0 / tall)
    pixel = 1.0 / (tall * canvas.frame.grid)
    for t, strength in ((-up * 1.4, 0.45), (up, 1.0)):
        mast = s - boat.lean * t
        sail = _band(mast, 0.02 - 0.0 * t, 0.36 * (1.0 - t), pixel) * _band(t, 0.14, 0.96, pixel)
        jib = _band(mast, -0.24 * (0.85 - t), -0.01, pixel) * _band(t, 0.14, 0.82, pixel)
        hull = _band(s, -0.26 - 0.5 * t, 0.30 + 0.5 * t, pixel) * _band(t, 0.0, 0.10, pixel)
        _face(canvas, scene, window, np.maximum(sail, jib) * strength, boat.sail, 0.75, 0.1, (-0.8, 0.4))
        _face(canvas, scene, window, hull * strength, (0.06, 0.05, 0.05), 0.5, 0.1, (1.0, 0.0))
