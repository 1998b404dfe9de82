"""Records of what stands in a scene. Lengths and places are in picture units: 0 to 1, x to the right, y down."""

from __future__ import annotations

from dataclasses import dataclass

from cyclestyle.data.scenes.climate import Colour, Light, Season


@dataclass(frozen=True)
class Clouds:
    """Cloud layer of the sky."""

    kind: str  # "clear", "cumulus", "streaks" or "cover"
    amount: float  # 0 to 1
    scale: float  # cloud cells per picture width
    key: int


@dataclass(frozen=True)
class Ridge:
    """One layer of hills, from a skyline down to behind the next nearer layer."""

    material: str  # "mountain", "forest", "fields", "grass" or "trees"
    base: float  # y of the foot
    rise: float  # height of the highest tops above the foot
    frequency: float  # hills per picture width
    tilt: float  # difference of height from the left to the right edge
    distance: float  # 0 near to 1 far: decides the haze
    snow: float  # share of the rise that is above the snow line
    key: int


@dataclass(frozen=True)
class Water:
    """A lake, a river or the sea; the shore lines are shaped by `shape_key`, the ripples by `ripple_key`."""

    kind: str  # "none", "lake", "river" or "sea"
    far: float  # y of the far shore, which is also where reflections are mirrored
    near: float  # y of the near shore at its lowest
    centre: float  # x around which the shore bends or the river winds
    width: float  # bend of the near shore (lake, sea) or width of the river per unit of depth
    sway: float
    bends: float  # how often the river winds
    ripple: float  # 0 mirror to 1 wind
    colour: Colour
    shape_key: int
    ripple_key: int


@dataclass(frozen=True)
class Meadow:
    """The ground from the horizon to the viewer."""

    kind: str  # "grass", "rows", "snow" or "sand"
    base: Colour
    second: Colour
    flower: Colour
    flowers: float  # density 0 to 1
    path: float  # width of a path per unit of depth, 0 for none
    path_x: float
    path_sway: float
    row_slant: float
    key: int


@dataclass(frozen=True)
class Tree:
    """One tree."""

    kind: str  # "broadleaf", "conifer", "poplar", "bush" or "bare"
    x: float
    base: float
    height: float
    breadth: float  # of the crown, as a share of the height
    leaf: Colour
    distance: float
    key: int


@dataclass(frozen=True)
class House:
    """One house: a gable front and a long side, under one roof."""

    kind: str  # "cottage", "barn" or "church"
    x: float
    base: float
    width: float
    turned: bool  # gable to the right
    wall: Colour
    roof: Colour
    distance: float


@dataclass(frozen=True)
class Boat:
    """One sailing boat."""

    x: float
    base: float
    height: float
    sail: Colour
    lean: float


@dataclass(frozen=True)
class Scene:
    """Everything that a photograph and a painting of one place have in common."""

    seed: int
    index: int
    light: Light
    season: Season
    horizon: float
    clouds: Clouds
    ridges: tuple[Ridge, ...]  # from far to near
    water: Water
    meadow: Meadow
    knoll: Ridge | None  # a slope in the foreground, in front of water and far trees
    trees: tuple[Tree, ...]  # from far to near
    houses: tuple[House, ...]
    boats: tuple[Boat, ...]
    exposure: float  # of the photograph
    texture_key: int
