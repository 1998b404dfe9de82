"""What goes wrong in CycleGAN trainings, noticed from painted pictures and losses, and told in plain words.

Every function is pure. One alarm may be chance, above all in the first hundred steps, when nothing is learnt yet: the
caller should wait until the same one rings several times in a row. Levels are of 255.

Figures at the constants: "good" is the worst of good painters (the demo at ten steps from 50 on, three seeds of it, a
run on real Monets at 128 and 256 px) and of Reinhard's colour transfer, on 4, 8 and 32 photos; "bad" is what is to be
noticed.
"""

import math

import torch
import torch.nn.functional as F

from cyclestyle.images import Images

LEVELS = 127.5
"""8-bit levels in a unit of [-1, 1]."""

COPY_BELOW = 7.0
"""Levels of mean difference. Good: 17. Bad: JPEG of quality 50 4 to 6, noise of 6 levels 5."""

NEGATIVE = -0.3
"""Correlation with the photo. Good: 0.6 in the middle. Bad: -0.9 to -1. Of unrelated pictures, some 5 % lie below."""

COLOURLESS = 3.0
"""Levels of deviation below which a picture has no colours that could be inverted."""

CHECKER_SIDE = 16
"""Pixels of the windows whose spectra are taken: periods 2 and 4 fall on frequencies of their own, nothing leaks."""

CHECKER_FAINT = 0.02
"""Squared levels added to powers: 30 times what rounding to 8 bits makes."""

CHECKER_RATIO = 2.5
"""Power at a frequency, against what its neighbours and the photo let expect. Good: 2.8, of an amplitude of 0.6. Bad: 3
to 800."""

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
        share = (correlations < NEGATIVE).float().mean().item()
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


def differences(photos: Images, painted: Images) -> torch.Tensor:
    """Mean absolute difference of each pair, in levels: (n,)."""
    return (photos - painted).abs().mean((1, 2, 3)) * LEVELS


def brightness_correlations(photos: Images, painted: Images) -> torch.Tensor:
    """Correlation of brightness over the pixels of each pair: (n,); 0 where one has none to speak of."""
    return _correlations(_opponents(photos)[:, 0], _opponents(painted)[:, 0])


def colour_correlations(photos: Images, painted: Images) -> torch.Tensor:
    """The higher of the correlations of red against green and of blue against yellow: (n,)."""
    before, after = _opponents(photos), _opponents(painted)
    return torch.maximum(*(_correlations(before[:, axis], after[:, axis]) for axis in (1, 2)))


def _opponents(images: Images) -> torch.Tensor:
    """Brightness (Rec. 601), red against green, blue against yellow, in levels, on at most 64 x 64 pixels."""
    small = F.adaptive_avg_pool2d(images, (min(images.shape[2], 64), min(images.shape[3], 64)))
    red, green, blue = (small * LEVELS).unbind(1)
    return torch.stack([0.299 * red + 0.587 * green + 0.114 * blue, red - green, blue - (red + green) / 2], dim=1)


def _correlations(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Pearson's, of each pair of (n, h, w)."""
    x, y = (values.flatten(1) - values.flatten(1).mean(1, keepdim=True) for values in (x, y))
    deviations = [values.square().mean(1).sqrt() for values in (x, y)]
    enough = (deviations[0] >= COLOURLESS) & (deviations[1] >= COLOURLESS)
    return torch.where(enough, (x * y).mean(1) / (deviations[0] * deviations[1]).clamp_min(1e-6), 0.0)


def contrasts(images: Images) -> torch.Tensor:
    """Deviation over each picture, in levels, on a coarse copy of it so that noise and grids do not count: (n,)."""
    return _coarse(images).var(2, correction=0).mean(1).sqrt()


def nearest(images: Images) -> float:
    """How far pictures are from the nearest other, in the middle, in levels (root mean square, on coarse copies)."""
    flat = _coarse(images).flatten(1)
    apart = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist") / math.sqrt(flat.shape[1])
    return _middle(apart.fill_diagonal_(math.inf).amin(1))


def _coarse(images: Images) -> torch.Tensor:
    """(n, 3, 256): pictures on 16 x 16 pixels, in levels."""
    return F.adaptive_avg_pool2d(images, 16).flatten(2) * LEVELS


def _middle(values: torch.Tensor) -> float:
    """The median."""
    return values.quantile(0.5).item()


def periodic_pattern(photos: Images, painted: Images) -> tuple[float, int]:
    """Amplitude in levels, and period in pixels, of a pattern of period 2 or 4 in `painted` beyond the photos'.

    Transposed convolutions put power at the frequencies 1/4 and 1/2 (of either axis) alone. What such a frequency
    should hold is told by its neighbours, and by how it relates to its neighbours in the photos: that takes off the
    photos' own grids, as of JPEG. A frequency counts if it holds `CHECKER_RATIO` times as much. The means are over
    logarithms of powers, so textured windows do not drown flat ones. 0 if nothing counts, or pictures are smaller than
    a window.
    """
    if min(photos.shape[2:]) < CHECKER_SIDE:
        return 0.0, 2
    before, after = _log_powers(photos), _log_powers(painted)
    expected = _around(after) + before - _around(before)
    surplus, total, strongest, period = (after.exp() - expected.exp()).tolist(), 0.0, 0.0, 2
    for y in range(0, CHECKER_SIDE, 4):
        for x in range(0, CHECKER_SIDE, 4):
            if (y, x) != (0, 0) and (after - expected)[y, x] > math.log(CHECKER_RATIO):
                # a wave that is not its own mirror image shows as two halves, each with a quarter of its power
                total += 2 * surplus[y][x] if y % 8 or x % 8 else surplus[y][x]
                if surplus[y][x] > strongest:
                    strongest, period = surplus[y][x], 4 if y % 8 or x % 8 else 2
    return math.sqrt(total), period


def _log_powers(images: Images) -> torch.Tensor:
    """Mean log power of all windows of all pictures at each frequency, in squared levels: (16, 16)."""
    hann = torch.hann_window(CHECKER_SIDE, periodic=True)
    weights = hann[:, None] * hann / hann.sum() ** 2  # sum to 1
    sums, count = torch.zeros(CHECKER_SIDE, CHECKER_SIDE, dtype=torch.float64), 0
    for image in images * LEVELS:  # one at a time: windows overlap fourfold
        windows = image.unfold(1, CHECKER_SIDE, CHECKER_SIDE // 2).unfold(2, CHECKER_SIDE, CHECKER_SIDE // 2)
        means = (windows * weights).sum((-1, -2), keepdim=True)
        powers = torch.fft.fft2((windows - means) * weights).abs().square().mean(0).flatten(0, 1)  # (windows, 16, 16)
        sums, count = sums + (powers + CHECKER_FAINT).log().double().sum(0), count + len(powers)
    return sums / count


def _around(powers: torch.Tensor) -> torch.Tensor:
    """Mean of the eight frequencies two steps away, which the window keeps clear of a pattern at the middle one."""
    steps = [(y, x) for y in (-2, 0, 2) for x in (-2, 0, 2) if (y, x) != (0, 0)]
    return torch.stack([powers.roll(step, (0, 1)) for step in steps]).mean(0)
