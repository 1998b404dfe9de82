"""What lies on the surface of painted pictures: grids that networks leave, and brightness or colours turned round."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from cyclestyle.evaluation.behaviour import Behaviour
from cyclestyle.evaluation.measures import COLOUR, PAINTED, PHOTOS
from cyclestyle.evaluation.pictures import View
from cyclestyle.evaluation.symptoms import (
    LogPowers,
    brightness_correlations,
    checkerboard,
    colour_correlations,
    inverted,
    spectrum,
    spectrum_picture,
    spectrum_powers,
    window_powers,
)
from cyclestyle.images import Picture

VISIBLE = 1.5
"""Levels of 255 from which on a grid is seen in flat parts; the alarm of trainings rings there too."""
PAINTINGS = "paintings"


@dataclass(frozen=True)
class Surfaces:
    """What was added up over all pictures."""

    spectra: dict[str, LogPowers]
    """By set."""
    windows: dict[str, LogPowers]
    brightness: torch.Tensor
    """(n,): correlations of painted pictures with their photos."""
    colours: torch.Tensor


def look_at_surfaces(
    views: Mapping[str, Sequence[View]], side: int, seen: Callable[[int], None] | None = None
) -> Surfaces:
    """Look at the photos, all rows made of them, and the paintings, picture by picture."""
    spectra: dict[str, LogPowers] = {}
    windows: dict[str, LogPowers] = {}

    def add(name: str, images: torch.Tensor) -> None:
        for sums, powers in ((spectra, spectrum_powers(images, side)), (windows, window_powers(images))):
            sums[name] = sums[name] + powers if name in sums else powers
        if seen is not None:
            seen(1)

    brightness, colours = [], []
    made = [name for name in views if name not in {PHOTOS, PAINTINGS}]
    for index, view in enumerate(views[PHOTOS]):
        photo = view.images()
        add(PHOTOS, photo)
        for name in made:
            painted = views[name][index].images()
            add(name, painted)
            if name == PAINTED:
                brightness.append(brightness_correlations(photo, painted))
                colours.append(colour_correlations(photo, painted))
    for view in views[PAINTINGS]:
        add(PAINTINGS, view.images())
    return Surfaces(spectra, windows, torch.cat(brightness), torch.cat(colours))


def grid_of(found: Surfaces) -> Behaviour:
    """A checkerboard, as transposed convolutions leave it."""
    pattern = checkerboard(found.windows[PHOTOS], found.windows[PAINTED])
    alarming = pattern.amplitude >= VISIBLE
    numbers = {"amplitude": pattern.amplitude, "period": float(pattern.period)}
    if pattern.amplitude == 0:
        return Behaviour("Checkerboard", "Painted pictures hold no grid that the photos do not hold.", numbers)
    told = (
        f"Painted pictures carry a grid of period {pattern.period} pixels, {pattern.amplitude:.2f} of 255 levels "
        "strong, that the photos do not have"
    )
    why = "; it is seen in flat parts (resize-convolutions leave none)" if alarming else "; too faint to be seen"
    return Behaviour("Checkerboard", told + why + ".", numbers, alarming)


def inversion_of(found: Surfaces) -> Behaviour:
    """Brightness or colours turned into their opposite, as CycleGANs without an identity loss may do."""
    bright, coloured = inverted(found.brightness), inverted(found.colours)
    numbers = {"brightness": bright, "colours": coloured}
    told = f"Brightness is inverted in {bright:.0%} of the painted pictures, colours in {coloured:.0%}."
    return Behaviour("Inversion", told, numbers, alarming=max(bright, coloured) > 0.25)


def spectra_of(found: Surfaces, names: dict[str, str]) -> list[tuple[str, Picture, str]]:
    """Heat maps of each set's spectrum against the photos': (name, picture, what it shows). `names` by row."""
    photos, shown = spectrum(found.spectra[PHOTOS]), []
    for key, powers in found.spectra.items():
        if key in {PHOTOS, COLOUR}:
            continue
        own = spectrum(powers)
        surplus = (own - photos).flatten()
        times = 10 ** surplus.abs().mean().item()
        told = (
            f"{names.get(key, key)} against photos; power differs by {times:.2f} times on average. Red: more power, "
            "blue: less; coarse in the middle, fine at the edges. A grid shows as dots."
        )
        shown.append((names.get(key, key), spectrum_picture(own, photos), told))
    return shown
