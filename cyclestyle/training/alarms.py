"""What goes wrong in CycleGAN trainings, noticed from painted pictures and losses, and told in plain words.

Every function is pure. One alarm may be chance, above all in the first hundred steps, when nothing is learnt yet: the
caller should wait until the same one rings several times in a row. Levels are of 255.

Figures at the constants: "good" is the worst of good painters (the demo at ten steps from 50 on, three seeds of it, a
run on real Monets at 128 and 256 px) and of Reinhard's colour transfer, on 4, 8 and 32 photos; "bad" is what is to be
noticed.
"""

import torch

from cyclestyle.evaluation.symptoms import (
    brightness_correlations,
    colour_correlations,
    contrasts,
    differences,
    inverted,
    nearest,
    periodic_pattern,
)
from cyclestyle.images import Images

COPY_BELOW = 7.0
"""Levels of mean difference. Good: 17. Bad: JPEG of quality 50 4 to 6, noise of 6 levels 5."""

CHECKER_LEVELS = 1.5
"""Amplitude. Good: 0.6. Bad: transposed convolutions in the first 120 steps 4.7 to 20, grids of 4 levels 3.3 and up."""

ALIKE_BELOW = 0.25
"""Distance to the nearest other picture, against the photos'. Good: 0.63. Bad: one or two pictures for all, to 0.15."""

DIFFERENT_FROM = 5.0
"""Levels between nearest photos from which on they count as different. Demo 28, real photos 54."""

FLAT_BELOW = 6.0
"""Levels of deviation, fine noise averaged away. Good: 28 in the middle, 13 for a single picture. Bad: 0 to 5."""

TIMES_FARTHER, CHANCE = 2.0, 16.0
"""Farther from the paintings than twice the photos' distance, and 16 divided by the number of pictures beyond that
(good: 8). With 32 pictures: photos 1.0. Good: painters 0.4, colour transfer 1.6. Bad: noise on scenes 3.5, early
training 2 to 11, one colour 55."""

WON = {"lsgan": (0.05, 0.8), "hinge": (0.1, 1.5), "vanilla": (0.1, 3.0)}
"""The discriminator's two halved losses together at most, the generator's at least. Means over 50 steps, in this order:
chance 0.25, 0.25; 1, 0; 0.69, 0.69. Good: 0.14, 0.55; 0.91, 0.1; 0.64, 0.8. Bad, the demo with a generator that stands
still, after 300 steps: 0.04, 0.93; 0.04, 3.0; 0.05, 5.2."""


def picture_alarms(
    photos: Images, painted: Images, *, painted_distance: float | None = None, photos_distance: float | None = None
) -> dict[str, str]:
    """What is wrong with `painted`, made of `photos` in the same order: a sentence by kind. Empty if all is well.

    Both are (n, 3, h, w) in [-1, 1]; a few pictures do, 16 are better. The two distances are how far each set is from
    the paintings (`Yardstick.distance`); without them "wrong direction" is not looked for.
    Kinds: copy, inverted, checkerboard, collapse, flat, wrong direction.
    """
    if photos.shape != painted.shape or photos.ndim != 4 or photos.shape[1] != 3 or len(photos) == 0:
        raise ValueError(
            f"photos and what was painted of them should be alike, got {tuple(photos.shape)} and {tuple(painted.shape)}"
        )
    photos, painted = (images.detach().cpu().float() for images in (photos, painted))
    sentences = {
        "copy": _copy(photos, painted),
        "inverted": _inverted(photos, painted),
        "checkerboard": _checkerboard(photos, painted),
        "collapse": _collapse(photos, painted),
        "flat": _flat(photos, painted),
    }
    if painted_distance is not None and photos_distance is not None:
        sentences["wrong direction"] = _wrong_direction(painted_distance, photos_distance, len(photos))
    return {kind: sentence for kind, sentence in sentences.items() if sentence is not None}


def loss_alarms(losses: dict[str, float], adversarial: str) -> dict[str, str]:
    """Which discriminators have won: they tell real from made (nearly) without fault, so nothing can be learnt of them.

    `losses` are means by the names of `cyclegan.py`, `adversarial` a name of `ADVERSARIAL`. Kinds: painting
    discriminator won, photo discriminator won.
    """
    judged_at_most, fool_at_least = WON[adversarial]
    found = {}
    for side in ("painting", "photo"):
        judged, fool = losses[f"real/{side}"] + losses[f"fake/{side}"], losses[f"fool/{side}"]
        if judged <= judged_at_most and fool >= fool_at_least:
            found[f"{side} discriminator won"] = (
                f"the {side} discriminator tells made {side}s from real ones nearly without fault (its loss is "
                f"{judged:.3f}, the generator's {fool:.2f}), so the generator learns nothing from it; start a new run "
                "with a lower --optimizer.discriminator-learning-rate or with --discriminator.spectral-norm"
            )
    return found


def _copy(photos: Images, painted: Images) -> str | None:
    levels = _middle(differences(photos, painted))
    if levels >= COPY_BELOW:
        return None
    return (
        f"painted pictures are copies of the photos: they differ by {levels:.1f} of 255 levels; start a new run with a "
        "lower --objective.identity, then a lower --objective.cycle, and see that --data.paintings holds paintings"
    )


def _inverted(photos: Images, painted: Images) -> str | None:
    of_brightness = brightness_correlations(photos, painted)
    of_colours = colour_correlations(photos, painted)
    for what, correlations in (("brightness", of_brightness), ("colours", of_colours)):
        share = inverted(correlations)
        if share > 0.5:
            return (
                f"the {what} of painted pictures is that of the photos inverted, in {share:.0%} of them (correlation "
                f"{_middle(correlations):.2f}); start a new run with a higher --objective.identity, or with "
                "--generator.residual"
            )
    return None


def _checkerboard(photos: Images, painted: Images) -> str | None:
    amplitude, period = periodic_pattern(photos, painted)
    if amplitude < CHECKER_LEVELS:
        return None
    return (
        f"painted pictures carry a checkerboard of period {period} pixels ({amplitude:.1f} of 255 levels) that the "
        "photos do not have; start a new run with --generator.upsampling resize, or train longer if it is that already"
    )


def _collapse(photos: Images, painted: Images) -> str | None:
    if len(photos) < 2:
        return None
    apart, before = nearest(painted), nearest(photos)
    if before < DIFFERENT_FROM or not apart < ALIKE_BELOW * before:
        return None
    return (
        f"painted pictures are alike though the photos differ ({apart:.1f} of 255 levels from one to the next, photos "
        f"{before:.1f}); start a new run with a higher --objective.cycle or a lower --optimizer.learning-rate"
    )


def _flat(photos: Images, painted: Images) -> str | None:
    levels, before = _middle(contrasts(painted)), _middle(contrasts(photos))
    if before < 2 * FLAT_BELOW or not levels < FLAT_BELOW:
        return None
    return (
        f"painted pictures are nearly of one colour (deviation {levels:.1f} of 255 levels, photos {before:.1f}); start "
        "a new run with a lower --optimizer.learning-rate or a higher --objective.cycle"
    )


def _wrong_direction(painted: float, photos: float, count: int) -> str | None:
    if not painted > TIMES_FARTHER * max(photos, 0.0) + CHANCE / count:
        return None
    return (
        f"painted pictures are farther from the paintings ({painted:.2f}) than the untouched photos are "
        f"({photos:.2f}); if this stays, start a new run with a lower --optimizer.learning-rate or a higher "
        "--objective.identity, and see that --data.photos and --data.paintings are the folders that are meant"
    )


def _middle(values: torch.Tensor) -> float:
    """The median."""
    return values.quantile(0.5).item()
