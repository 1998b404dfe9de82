"""Seasons and light: the colours that a landscape takes from the time of year and of day.

Colours are written as they appear on a screen (0 to 1) and turned into linear light by squaring.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from cyclestyle.data.scenes.chance import Chance

Colour: TypeAlias = tuple[float, float, float]


class Light(NamedTuple):
    """Colours of one kind of light, linear RGB, and where it comes from."""

    kind: str
    zenith: Colour
    middle: Colour
    horizon: Colour
    sun: Colour  # light of the sun (or moon) on a surface that faces it
    ambient: Colour  # light of the sky on every surface
    haze: Colour
    haze_density: float  # 0 clear to 1: share of haze at the far end of the scene
    glow: float  # strength of the halo around the sun
    sun_x: float  # place of the sun, picture units; may lie outside the picture
    sun_height: float  # height of the sun above the horizon, picture units


class Season(NamedTuple):
    """Colours of one time of year, linear RGB reflectance."""

    kind: str
    grass: Colour
    grass_dry: Colour
    crops: tuple[Colour, ...]
    leaves: tuple[Colour, ...]
    conifer: Colour
    flowers: tuple[Colour, ...]
    forest: Colour


def linear(colour: Colour) -> Colour:
    """Turn a colour as shown on a screen into linear light (gamma 2)."""
    red, green, blue = colour
    return (red * red, green * green, blue * blue)


def _vary(colour: Colour, chance: Chance, tone: float, tint: float) -> Colour:
    """Shift brightness by up to `tone` and each channel by up to `tint`, as shares."""
    level = chance.around(1.0, tone)
    red, green, blue = colour
    return (
        red * level * chance.around(1.0, tint),
        green * level * chance.around(1.0, tint),
        blue * level * chance.around(1.0, tint),
    )


# kind: weight, zenith, middle, horizon, sun, ambient, haze, density range, glow, sun height range
_LIGHTS: dict[str, tuple[float, Colour, Colour, Colour, Colour, Colour, Colour, Colour, float, Colour]] = {
    "noon": (
        0.26,
        (0.27, 0.43, 0.68),
        (0.42, 0.58, 0.77),
        (0.66, 0.76, 0.84),
        (0.92, 0.90, 0.84),
        (0.40, 0.45, 0.54),
        (0.62, 0.71, 0.80),
        (0.30, 0.60, 0.0),
        0.10,
        (0.6, 1.2, 0.0),
    ),
    "morning": (
        0.14,
        (0.42, 0.53, 0.70),
        (0.62, 0.67, 0.75),
        (0.86, 0.78, 0.71),
        (0.90, 0.80, 0.68),
        (0.40, 0.43, 0.50),
        (0.76, 0.74, 0.74),
        (0.45, 0.75, 0.0),
        0.35,
        (0.12, 0.4, 0.0),
    ),
    "golden": (
        0.20,
        (0.34, 0.42, 0.58),
        (0.58, 0.57, 0.59),
        (0.90, 0.70, 0.46),
        (0.98, 0.77, 0.50),
        (0.38, 0.38, 0.45),
        (0.78, 0.64, 0.50),
        (0.40, 0.70, 0.0),
        0.55,
        (0.04, 0.28, 0.0),
    ),
    "dusk": (
        0.12,
        (0.17, 0.20, 0.36),
        (0.42, 0.34, 0.45),
        (0.84, 0.48, 0.33),
        (0.50, 0.36, 0.31),
        (0.33, 0.32, 0.40),
        (0.50, 0.38, 0.43),
        (0.40, 0.70, 0.0),
        0.45,
        (-0.05, 0.06, 0.0),
    ),
    "overcast": (
        0.13,
        (0.47, 0.50, 0.54),
        (0.57, 0.60, 0.63),
        (0.70, 0.72, 0.73),
        (0.44, 0.43, 0.41),
        (0.58, 0.60, 0.62),
        (0.62, 0.65, 0.68),
        (0.40, 0.70, 0.0),
        0.05,
        (0.3, 0.7, 0.0),
    ),
    "haze": (
        0.09,
        (0.58, 0.62, 0.66),
        (0.68, 0.70, 0.71),
        (0.78, 0.77, 0.74),
        (0.55, 0.53, 0.49),
        (0.56, 0.57, 0.59),
        (0.75, 0.75, 0.74),
        (0.60, 0.82, 0.0),
        0.40,
        (0.1, 0.5, 0.0),
    ),
    "storm": (
        0.09,
        (0.27, 0.30, 0.36),
        (0.36, 0.40, 0.46),
        (0.62, 0.64, 0.62),
        (0.84, 0.80, 0.70),
        (0.38, 0.41, 0.45),
        (0.46, 0.50, 0.55),
        (0.35, 0.60, 0.0),
        0.05,
        (0.3, 0.6, 0.0),
    ),
    "moonlight": (
        0.05,
        (0.11, 0.15, 0.26),
        (0.19, 0.24, 0.36),
        (0.34, 0.40, 0.50),
        (0.40, 0.44, 0.50),
        (0.21, 0.25, 0.31),
        (0.26, 0.32, 0.41),
        (0.40, 0.70, 0.0),
        0.45,
        (0.1, 0.3, 0.0),
    ),
}


def draw_light(chance: Chance) -> Light:
    """Draw the light of a scene: its kind, then small differences of colour within the kind."""
    kind = chance.pick(tuple(_LIGHTS), tuple(row[0] for row in _LIGHTS.values()))
    _, zenith, middle, horizon, sun, ambient, haze, density, glow, height = _LIGHTS[kind]
    return Light(
        kind=kind,
        zenith=_vary(linear(zenith), chance, 0.22, 0.08),
        middle=_vary(linear(middle), chance, 0.18, 0.08),
        horizon=_vary(linear(horizon), chance, 0.14, 0.08),
        sun=_vary(linear(sun), chance, 0.15, 0.05),
        ambient=_vary(linear(ambient), chance, 0.15, 0.05),
        haze=_vary(linear(haze), chance, 0.12, 0.06),
        haze_density=chance.between(density[0], density[1]),
        glow=glow * chance.between(0.7, 1.3),
        sun_x=chance.between(-0.2, 1.2),
        sun_height=chance.between(height[0], height[1]),
    )


# kind: weight, grass, dry grass, crops, leaves, conifer, flowers, forest
_SEASONS: dict[
    str, tuple[float, Colour, Colour, tuple[Colour, ...], tuple[Colour, ...], Colour, tuple[Colour, ...], Colour]
] = {
    "spring": (
        0.26,
        (0.40, 0.50, 0.22),
        (0.50, 0.57, 0.28),
        ((0.44, 0.55, 0.22), (0.74, 0.70, 0.22), (0.48, 0.38, 0.28), (0.52, 0.60, 0.30)),
        ((0.42, 0.52, 0.22), (0.50, 0.58, 0.28), (0.84, 0.68, 0.72), (0.86, 0.83, 0.80)),
        (0.20, 0.31, 0.20),
        ((0.90, 0.84, 0.30), (0.90, 0.88, 0.88), (0.80, 0.56, 0.70)),
        (0.30, 0.39, 0.22),
    ),
    "summer": (
        0.32,
        (0.36, 0.43, 0.20),
        (0.58, 0.54, 0.29),
        ((0.76, 0.64, 0.32), (0.42, 0.48, 0.22), (0.50, 0.42, 0.58), (0.62, 0.58, 0.30)),
        ((0.27, 0.37, 0.16), (0.34, 0.43, 0.19), (0.38, 0.42, 0.24)),
        (0.18, 0.28, 0.18),
        ((0.80, 0.24, 0.18), (0.86, 0.80, 0.34), (0.60, 0.48, 0.74)),
        (0.23, 0.32, 0.18),
    ),
    "autumn": (
        0.24,
        (0.46, 0.44, 0.23),
        (0.58, 0.48, 0.28),
        ((0.52, 0.40, 0.28), (0.62, 0.54, 0.30), (0.46, 0.46, 0.24), (0.40, 0.30, 0.22)),
        ((0.66, 0.40, 0.14), (0.70, 0.55, 0.18), (0.52, 0.24, 0.14), (0.50, 0.44, 0.20)),
        (0.20, 0.27, 0.18),
        ((0.70, 0.46, 0.30), (0.66, 0.52, 0.60)),
        (0.44, 0.32, 0.17),
    ),
    "winter": (
        0.18,
        (0.80, 0.82, 0.86),
        (0.74, 0.75, 0.76),
        ((0.80, 0.81, 0.85), (0.66, 0.65, 0.64), (0.76, 0.78, 0.83)),
        ((0.34, 0.29, 0.25), (0.40, 0.34, 0.28)),
        (0.21, 0.27, 0.22),
        ((0.60, 0.52, 0.38),),
        (0.36, 0.36, 0.37),
    ),
}


def draw_season(chance: Chance) -> Season:
    """Draw the season of a scene: its kind, then small differences of colour within the kind."""
    kind = chance.pick(tuple(_SEASONS), tuple(row[0] for row in _SEASONS.values()))
    _, grass, dry, crops, leaves, conifer, flowers, forest = _SEASONS[kind]
    tint = 0.06 if kind == "winter" else 0.14

    def shade(colour: Colour) -> Colour:
        return _vary(linear(colour), chance, 0.16, tint)

    return Season(
        kind,
        shade(grass),
        shade(dry),
        tuple(shade(crop) for crop in crops),
        tuple(shade(leaf) for leaf in leaves),
        shade(conifer),
        tuple(shade(flower) for flower in flowers),
        shade(forest),
    )
