"""Does it look like a painting to a simple judge? A classifier of photos and paintings, trained on the spot.

The share of painted pictures that it takes for paintings is Sanakoyeu, Kotovenko, Lang, Ommer, "A style-aware content
loss for real-time HD style transfer", ECCV 2018, section 4.1: the deception rate; theirs comes from a network trained
on many artists, so the numbers are not comparable. Two bounds belong to it: the shares of untouched photos and of real
paintings that the same judge takes for paintings. Every picture is judged by a classifier that saw neither it nor the
photo of which it was painted.

The classifier is logistic regression on standardised descriptors with an L2 penalty (Hastie, Tibshirani, Friedman, "The
Elements of Statistical Learning", 2nd ed. 2009, sections 4.4 and 18.3.2), both classes with the same weight.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Rows = Tensor | NDArray[np.floating]
"""(n, d): a descriptor per picture; may be mapped from a file."""

LEAST, FOLDS = 10, 5
"""Pictures of a class at least; parts into which each class is split."""

PENALTY = 1e-4
"""lambda, where the loss is the mean over the two classes of -log p, descriptors have mean squared length 1, and the
penalty is lambda / 2 |w|^2. A fixed rule: on 120 photos and 119 Monets, for means and deviations, Grams (VGG-19 relu1_1
to relu3_1, AlexNet conv5) and palettes, accuracy rises down to 1e-4 (0.86 to 0.99) and stays within 0.02 at 1e-5."""

CONSTANT_BELOW = 1e-6
"""Deviation of a column over its mean below which it says nothing: float32 rounding makes 6e-8."""

QUANTILE = 1.959963984540054
"""Of the normal distribution, for 95 %."""

STEPS, CONVERGED, ROUNDING = 100, 1e-18, 1e-14
"""Newton steps at most; the gain to be expected of one below which it is not taken; what rounding makes of a loss."""


class Share(NamedTuple):
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float


class Deception(NamedTuple):
    """What a judge of photos and paintings says of painted pictures."""

    deceived: Share
    """Of painted pictures, that it takes for paintings."""
    floor: Share
    """Of untouched photos."""
    ceiling: Share
    """Of real paintings."""
    accuracy: Share
    """On photos and paintings it has not seen, both classes with the same weight; 0.5 is guessing."""


def deception(
    photos: Rows,
    paintings: Rows,
    painted: Rows,
    origin: Sequence[int] | None = None,
    *,
    photo_names: Sequence[str] | None = None,
    painting_names: Sequence[str] | None = None,
    seed: int = 0,
) -> Deception:
    """How many painted pictures a classifier takes for paintings, and how many photos and paintings, cross-fitted.

    Each class is split into five parts; five classifiers each leave out one part of both, and judge the pictures in it,
    and what was painted of the photos in it. The intervals (Wilson's) take the judgements for independent; that
    classifiers trained on other pictures would differ is not in them.

    Args:
        photos: (n, d) descriptors, at least 10.
        paintings: (m, d), at least 10.
        painted: (k, d), at least 1.
        origin: for each painted picture the row of its photo; None: the rows are in the order of the photos.
        photo_names: distinct; the parts follow from the names. None: from the order of the rows.
        painting_names: as those of the photos.
        seed: of the parts.

    Raises:
        ValueError: there are too few pictures, widths differ, numbers are not finite, or origin names no photo.
    """
    _require_rows(photos, paintings, painted)
    made_of = _origins(origin, len(photos), len(painted))
    photo_parts, painting_parts = parts(photo_names, len(photos), seed), parts(painting_names, len(paintings), seed)
    photos, paintings, painted = (torch.as_tensor(rows) for rows in (photos, paintings, painted))
    judged: dict[str, list[Tensor]] = {"photos": [], "paintings": [], "painted": []}
    for part in range(FOLDS):
        judge = Judge.trained(photos[photo_parts != part], paintings[painting_parts != part])
        judged["photos"].append(judge.deceived(photos[photo_parts == part]))
        judged["paintings"].append(judge.deceived(paintings[painting_parts == part]))
        judged["painted"].append(judge.deceived(painted[photo_parts[made_of] == part]))
    floor, ceiling, deceived = (
        wilson(int(torch.cat(verdicts).sum()), sum(map(len, verdicts)))
        for verdicts in (judged["photos"], judged["paintings"], judged["painted"])
    )
    return Deception(deceived, floor, ceiling, _balanced(floor, ceiling))


def parts(names: Sequence[str] | None, count: int, seed: int = 0) -> Tensor:
    """The part of each picture, (n,) in 0 .. 4, sizes equal within 1: by rank of a hash of seed and name.

    Raises:
        ValueError: the names are not distinct, or not as many as the pictures.
    """
    names = [f"{index}" for index in range(count)] if names is None else names
    if len(names) != count or len(set(names)) != count:
        raise ValueError(f"{len(set(names))} distinct names were given for {count} pictures; give each its own")
    hashed = [hashlib.sha256(f"{seed} {name}".encode()).digest() for name in names]
    found = torch.empty(count, dtype=torch.long)
    for rank, index in enumerate(sorted(range(count), key=hashed.__getitem__)):
        found[index] = rank % FOLDS
    return found


def wilson(successes: int, trials: int) -> Share:
    """A share with Wilson's score interval: "Probable inference ...", JASA 22(158), 1927; never beyond 0 and 1.

    Raises:
        ValueError: no trials.
    """
    if trials < 1:
        raise ValueError("a share needs at least one picture, none was given")
    share, squared = successes / trials, QUANTILE**2
    middle = (share + squared / (2 * trials)) / (1 + squared / trials)
    half = QUANTILE / (1 + squared / trials) * math.sqrt(share * (1 - share) / trials + squared / (4 * trials**2))
    # at 0 and 1 the interval ends there; rounding must not leave the share outside
    return Share(share, max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))


class Judge(NamedTuple):
    """A trained classifier."""

    mean: Tensor  # (d,) float64, of the descriptors
    scale: Tensor  # (d,)
    weights: Tensor  # (d,)
    offset: Tensor  # ()

    @classmethod
    def trained(cls, photos: Tensor, paintings: Tensor, penalty: float = PENALTY) -> "Judge":
        """The optimum for (n, d) descriptors of photos and (m, d) of paintings; there is one only."""
        rows = torch.cat((photos, paintings)).cpu().double()
        labels = torch.cat((-rows.new_ones(len(photos)), rows.new_ones(len(paintings))))
        mean, deviation = rows.mean(0), rows.std(0, correction=0)
        constant = deviation <= CONSTANT_BELOW * mean.abs()
        # for a mean squared length of 1, so that the penalty means the same for any number of descriptors
        scale = torch.where(constant, 0.0, 1 / torch.where(constant, 1.0, deviation)) / math.sqrt(rows.shape[1])
        rows = (rows - mean) * scale
        # The optimum is a combination of the rows; in a basis of these it has as many coordinates as there are rows.
        basis = torch.linalg.qr(rows.mT)[0] if rows.shape[1] > len(rows) else torch.eye(rows.shape[1]).double()
        weights, offset = _logistic(rows @ basis, labels, penalty)
        return cls(mean, scale, basis @ weights, offset)

    def deceived(self, rows: Tensor) -> Tensor:
        """Which of (k, d) descriptors are taken for paintings: (k,) bool."""
        return (rows.cpu().double() - self.mean) * self.scale @ self.weights + self.offset > 0


def _logistic(rows: Tensor, labels: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights (d,) and offset () that minimise the penalised loss of labels -1 and 1, by Newton's method.

    The loss is strictly convex, so the steps end at the one optimum; the offset is not penalised.
    """
    rows = torch.cat((rows, rows.new_ones(len(rows), 1)), dim=1)
    shares = torch.where(labels > 0, 0.5 / (labels > 0).double().sum(), 0.5 / (labels < 0).double().sum())
    penalties = torch.full_like(rows[0], penalty)
    penalties[-1] = 0.0

    def loss(found: Tensor) -> Tensor:
        return shares @ F.softplus(-labels * (rows @ found)) + penalties @ found.square() / 2

    found = torch.zeros_like(rows[0])
    for _ in range(STEPS):
        wrong = torch.sigmoid(-labels * (rows @ found))
        gradient = penalties * found - rows.mT @ (shares * labels * wrong)
        hessian = (rows.mT * (shares * wrong * (1 - wrong))) @ rows + torch.diag(penalties)
        step = torch.linalg.solve(hessian, gradient)
        gain, length, before = gradient @ step / 2, 1.0, loss(found)
        if gain < CONVERGED:
            break
        while loss(found - length * step) > before - 0.1 * length * gain + ROUNDING:
            length /= 2
        found = found - length * step
    return found[:-1], found[-1]


def _balanced(floor: Share, ceiling: Share) -> Share:
    """The mean of the two classes' accuracies; Newcombe, Statistics in Medicine 17(8), 1998, method 10, for a sum."""
    value = (1 - floor.value + ceiling.value) / 2
    below = math.hypot(floor.high - floor.value, ceiling.value - ceiling.low) / 2
    above = math.hypot(floor.value - floor.low, ceiling.high - ceiling.value) / 2
    return Share(value, max(0.0, value - below), min(1.0, value + above))


def _origins(origin: Sequence[int] | None, photos: int, painted: int) -> Tensor:
    """For each painted picture the row of its photo, or a sentence."""
    if origin is None:
        if photos != painted:
            raise ValueError(
                f"{painted} painted pictures were given for {photos} photos; say with `origin` which photo each is of"
            )
        return torch.arange(photos)
    found = torch.as_tensor(origin)
    if len(found) != painted or not ((found >= 0) & (found < photos)).all():
        raise ValueError(
            f"expected for each of {painted} painted pictures the row of its photo, from 0 to {photos - 1}"
        )
    return found


def _require_rows(photos: Rows, paintings: Rows, painted: Rows) -> None:
    if min(len(photos), len(paintings)) < LEAST or len(painted) == 0:
        raise ValueError(
            f"a judge needs {LEAST} photos and {LEAST} paintings to learn from and a painted picture, got "
            f"{len(photos)}, {len(paintings)} and {len(painted)}; give more pictures"
        )
    shapes = [tuple(rows.shape) for rows in (photos, paintings, painted)]
    if any(len(shape) != 2 or shape[1] != shapes[0][-1] for shape in shapes):
        raise ValueError(f"expected descriptors (n, d) of one width d for all pictures, got {shapes}")
    for name, rows in (("photos", photos), ("paintings", paintings), ("painted pictures", painted)):
        if not torch.as_tensor(rows).isfinite().all():
            raise ValueError(f"some descriptors of the {name} are not finite; look for damaged pictures or weights")
