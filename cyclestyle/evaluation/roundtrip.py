"""How well a painter's round trips end, and what it leaves alone: cycle and identity, as one would see them."""

from collections.abc import Callable, Sequence

from cyclestyle.evaluation.behaviour import Behaviour
from cyclestyle.evaluation.eyes import Eyes, exactly
from cyclestyle.evaluation.pictures import View
from cyclestyle.images import Images
from cyclestyle.networks.painter import Painter

AT_MOST = 50
"""Pictures from all over a set; each goes through two networks."""
LEVELS = 127.5
"""8-bit levels in a unit of [-1, 1]."""

Paint = Callable[[Images], Images]


def cycle(photos: Sequence[View], paint: Painter, unpaint: Painter, eyes: Eyes) -> Behaviour:
    """A photo against what comes back after painting and unpainting it."""
    found = _distances(photos, lambda images: unpaint(paint(images)), eyes)
    return _told("Cycle", "A photo that is painted and turned back into a photo", found, eyes)


def identity(paintings: Sequence[View], paint: Painter, eyes: Eyes) -> Behaviour:
    """A painting against its own repainting."""
    return _told("Identity", "A painting that is painted once more", _distances(paintings, paint, eyes), eyes)


@exactly()
def _distances(views: Sequence[View], change: Paint, eyes: Eyes) -> dict[str, float]:
    """Means over the pictures, one at a time."""
    step = -(-len(views) // AT_MOST)
    found: dict[str, list[float]] = {}
    for view in views[::step]:
        images = view.images().to(eyes.device)
        changed = change(images).clamp(-1, 1)
        found.setdefault("levels", []).append((images - changed).abs().mean().item() * LEVELS)
        if eyes.lpips is not None:
            found.setdefault("perceived", []).append(eyes.lpips(images, changed).item())
    return {name: sum(values) / len(values) for name, values in found.items()} | {"pictures": len(found["levels"])}


def _told(name: str, what: str, found: dict[str, float], eyes: Eyes) -> Behaviour:
    perceived = f", {eyes.lpips.name} {found['perceived']:.3f}" if eyes.lpips is not None else ""
    told = (
        f"{what} differs from what it was by {found['levels']:.1f} of 255 levels{perceived} "
        f"(mean of {found['pictures']:.0f} pictures)."
    )
    return Behaviour(name, told, found)
