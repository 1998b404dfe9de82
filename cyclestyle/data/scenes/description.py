"""What is in a scene: a composition drawn from (seed, index) alone."""

from __future__ import annotations

from cyclestyle.data.scenes.chance import Chance
from cyclestyle.data.scenes.climate import Light, Season, draw_light, draw_season, linear
from cyclestyle.data.scenes.elements import Boat, Clouds, House, Meadow, Ridge, Scene, Water
from cyclestyle.data.scenes.planting import plant

__all__ = ["Scene", "describe"]

_SKY, _RELIEF, _WATER, _GROUND, _PLANTS, _BUILDINGS, _CLIMATE, _CAMERA = range(8)


def describe(seed: int, index: int) -> Scene:
    """Draw scene number `index` of the family `seed`; both are integers of 0 or more."""
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must be 0 or more, but they are {seed} and {index}.")

    def draw(purpose: int) -> Chance:
        return Chance(seed, index, purpose)

    climate = draw(_CLIMATE)
    light, season = draw_light(climate), draw_season(climate)
    camera = draw(_CAMERA)
    water_kind = camera.pick(("none", "lake", "river", "sea"), (0.34, 0.26, 0.24, 0.16))
    horizon = camera.between(0.30, 0.50) if water_kind == "river" else camera.between(0.34, 0.62)
    water = _draw_water(draw(_WATER), water_kind, horizon, light)
    return Scene(
        seed=seed,
        index=index,
        light=light,
        season=season,
        horizon=horizon,
        clouds=_draw_clouds(draw(_SKY), light),
        ridges=_draw_ridges(draw(_RELIEF), water, horizon, season),
        water=water,
        meadow=_draw_meadow(draw(_GROUND), water, season),
        knoll=_draw_knoll(draw(_RELIEF + 100), horizon),
        trees=plant(draw(_PLANTS), water, horizon, season),
        houses=_draw_houses(draw(_BUILDINGS), water, horizon),
        boats=_draw_boats(draw(_BUILDINGS + 100), water),
        exposure=camera.around(1.0, 0.12),
        texture_key=camera.key(),
    )


def _draw_clouds(chance: Chance, light: Light) -> Clouds:
    if light.kind in ("overcast", "storm"):
        kind = "cover"
    elif light.kind == "haze":
        kind = chance.pick(("clear", "streaks"))
    else:
        kind = chance.pick(("clear", "cumulus", "streaks"), (0.16, 0.52, 0.32))
    return Clouds(kind, chance.between(0.25, 0.8), chance.between(2.2, 4.6), chance.key())


def _draw_water(chance: Chance, kind: str, horizon: float, light: Light) -> Water:
    depth = 1.0 - horizon
    far, near, width, sway = 2.0, 2.0, 0.0, 0.0
    if kind == "lake":
        far = horizon + chance.between(0.01, 0.05)
        near = far + chance.between(0.22, 0.75) * depth
        width = chance.between(0.0, 0.9)
    elif kind == "river":
        far = horizon + 0.012
        width = chance.between(0.26, 0.75)
        sway = chance.between(0.15, 0.6) * chance.pick((-1.0, 1.0))
    elif kind == "sea":
        far = horizon
        near = far + chance.between(0.45, 0.95) * depth
        width = chance.between(-0.25, 0.25)
    tint = chance.pick(((0.10, 0.20, 0.26), (0.10, 0.24, 0.24), (0.14, 0.20, 0.20)))
    level = 0.4 if light.kind in ("dusk", "moonlight") else 1.0
    colour = tuple(channel * level for channel in linear(tint))
    ripple = chance.between(0.05, 0.7) if kind != "sea" else chance.between(0.5, 1.0)
    return Water(
        kind=kind,
        far=far,
        near=near,
        centre=chance.between(0.1, 0.9),
        width=width,
        sway=sway,
        bends=chance.between(0.10, 0.34),
        ripple=ripple,
        colour=(colour[0], colour[1], colour[2]),
        shape_key=chance.key(),
        ripple_key=chance.key(),
    )


def _draw_ridges(chance: Chance, water: Water, horizon: float, season: Season) -> tuple[Ridge, ...]:
    ridges = []
    mountains = chance.happens(0.3 if water.kind == "sea" else 0.55)
    snowy = 0.75 if season.kind == "winter" else chance.pick((0.0, 0.35, 0.55))
    if mountains:
        for step in range(chance.whole(1, 2)):
            ridges.append(
                Ridge(
                    "mountain",
                    horizon + 0.03,
                    chance.between(0.14, 0.36) * (1.0 - 0.35 * step),
                    chance.between(1.3, 3.0),
                    chance.around(0.0, 0.14),
                    1.0 - 0.25 * step,
                    snowy,
                    chance.key(),
                )
            )
    hills = chance.whole(0, 1) if water.kind == "sea" else chance.whole(1, 3)
    for step in range(hills):
        material = chance.pick(("forest", "fields", "grass"), (0.4, 0.35, 0.25))
        tilt = chance.around(0.0, 0.22 if water.kind == "sea" else 0.12)
        ridges.append(
            Ridge(
                material,
                horizon + 0.01 + 0.015 * step,
                chance.between(0.05, 0.16) * (1.0 - 0.2 * step),
                chance.between(0.8, 2.4),
                tilt,
                0.75 - 0.22 * step,
                0.0,
                chance.key(),
            )
        )
    if water.kind != "sea" and chance.happens(0.7):
        ridges.append(
            Ridge(
                "trees",
                horizon + 0.012,
                chance.between(0.03, 0.075),
                chance.between(1.5, 4.0),
                chance.around(0.0, 0.04),
                chance.between(0.25, 0.5),
                0.0,
                chance.key(),
            )
        )
    return tuple(ridges)


def _draw_knoll(chance: Chance, horizon: float) -> Ridge | None:
    """Now and then a slope rises in the foreground from one side."""
    if not chance.happens(0.24):
        return None
    tilt = chance.between(0.2, 0.5) * chance.pick((-1.0, 1.0)) * (1.0 - horizon)
    base = 1.0 + chance.between(0.0, 0.12)
    return Ridge("grass", base, chance.between(0.06, 0.16), chance.between(0.5, 1.1), tilt, 0.0, 0.0, chance.key())


def _draw_meadow(chance: Chance, water: Water, season: Season) -> Meadow:
    base, second = season.grass, season.grass_dry
    if season.kind == "winter":
        kind = "snow"
    elif water.kind == "sea" and chance.happens(0.7):
        kind, base, second = "sand", linear((0.74, 0.66, 0.52)), linear((0.62, 0.55, 0.43))
    elif water.kind == "none" and chance.happens(0.4):
        kind, base = "rows", chance.pick(season.crops)
    else:
        kind = "grass"
    flowers = chance.between(0.3, 1.0) if season.kind != "winter" and chance.happens(0.5) else 0.0
    path = chance.between(0.10, 0.22) if water.kind in ("none", "lake") and chance.happens(0.4) else 0.0
    return Meadow(
        kind,
        base,
        second,
        chance.pick(season.flowers),
        flowers if kind == "grass" else 0.0,
        path,
        chance.between(0.25, 0.75),
        chance.between(0.1, 0.35),
        chance.around(0.0, 0.8),
        chance.key(),
    )


_WALLS = ((0.86, 0.82, 0.74), (0.80, 0.70, 0.54), (0.66, 0.60, 0.54), (0.78, 0.58, 0.46), (0.88, 0.87, 0.85))
_ROOFS = ((0.56, 0.30, 0.22), (0.36, 0.36, 0.40), (0.50, 0.40, 0.28), (0.62, 0.36, 0.24))


def _draw_houses(chance: Chance, water: Water, horizon: float) -> tuple[House, ...]:
    if water.kind == "sea" or not chance.happens(0.45):
        return ()
    low = horizon + 0.012
    high = low + 0.02 if water.kind == "lake" else low + 0.14
    centre = chance.between(0.15, 0.85)
    houses = []
    for step in range(chance.whole(1, 4)):
        base = chance.between(low, high)
        x = centre + chance.between(-0.05, 0.05) + 0.09 * (step - 1)
        if water.kind == "river" and abs(x - 0.5) < 0.22:
            x += 0.3 if x > 0.5 else -0.3
        kind = chance.pick(("cottage", "barn", "church"), (0.6, 0.28, 0.12))
        houses.append(
            House(
                kind,
                x,
                base,
                (0.045 + 0.45 * (base - horizon)) * chance.between(0.8, 1.3),
                chance.happens(0.5),
                linear(chance.pick(_WALLS)),
                linear(chance.pick(_ROOFS)),
                0.55 - 2.2 * (base - low),
            )
        )
    return tuple(sorted(houses, key=lambda house: house.base))


def _draw_boats(chance: Chance, water: Water) -> tuple[Boat, ...]:
    if water.kind not in ("lake", "sea") or not chance.happens(0.4):
        return ()
    boats = []
    for _ in range(chance.whole(1, 3)):
        base = water.far + (water.near - water.far) * chance.between(0.06, 0.4)
        height = 0.03 + 0.45 * (base - water.far) * chance.between(0.8, 1.3)
        sail = linear(chance.pick(((0.90, 0.88, 0.82), (0.86, 0.84, 0.80), (0.70, 0.38, 0.24))))
        boats.append(Boat(chance.between(0.1, 0.9), base, height, sail, chance.around(0.0, 0.12)))
    return tuple(sorted(boats, key=lambda boat: boat.base))
