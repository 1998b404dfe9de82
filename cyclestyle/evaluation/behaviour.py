"""What a painter does, apart from how near it comes: does it collapse, copy, deceive, leave a grid, invert colours?"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cyclestyle.evaluation.classifier import Share, deception, wilson
from cyclestyle.evaluation.eyes import Eyes
from cyclestyle.evaluation.measures import PAINTED, PHOTOS, side_by_side, spread_over
from cyclestyle.evaluation.measuring import Seen
from cyclestyle.evaluation.neighbours import memorisation, memorisation_within
from cyclestyle.evaluation.store import Rows

ALIKE_BELOW = 0.7
"""Mean distance between outputs, against inputs; measured: photos 1, Monets 1.0 of photos', one picture for all 0."""
LOOKED_AT = 500
"""Pictures of a set at most, from all over it, where all pairs are compared or a classifier is trained."""
RARELY, COPY_BELOW = 0.01, 0.7
"""A picture counts as a copy if its distance to a training painting is below 0.7 of that below which 1 % of real
paintings are: where there are few, the nearest of them alone says little. Measured (Inception-768, 150 Monets): real
paintings 0.034 to 0.14, copies through JPEG of quality 75, faint noise or a mirror below 0.02, other photos 0.07."""
SAME = 1e-6
"""Cosine distance below which two pictures are one."""
LEAST_REAL = 20
"""Real paintings, below which nobody knows what is near."""
GALLERY = 6


@dataclass(frozen=True)
class Behaviour:
    """One habit of a painter, in words and numbers."""

    name: str
    sentence: str
    numbers: dict[str, float] = field(default_factory=dict)
    alarming: bool = False


class Copy(NamedTuple):
    """A painted picture and the training painting nearest to it, by their places in their sets."""

    painted: int
    painting: int
    distance: float


def diversity(seen: Seen, eyes: Eyes) -> Behaviour | None:
    """Mean distance between outputs against that between inputs: a painter that has collapsed makes all alike."""
    part = f"level/{eyes.levels[-1]}"
    inputs = _mean_distance(seen.tables.rows[PHOTOS][part])
    outputs = _mean_distance(seen.tables.rows[PAINTED][part])
    paintings = _mean_distance(seen.tables.reference[part])
    if inputs is None or outputs is None or inputs == 0:
        return None
    ratio, numbers = outputs / inputs, {"painted": outputs, "photos": inputs}
    told = f"Painted pictures differ from one another {ratio:.2f} times as much as their photos do"
    if paintings is not None:
        told += f"; real paintings {paintings / inputs:.2f} times"
        numbers["paintings"] = paintings
    alarming = ratio < ALIKE_BELOW * min(1.0, (paintings or inputs) / inputs)
    verdict = "the painter collapses towards few pictures" if alarming else "no collapse"
    return Behaviour("Diversity", f"{told} ({eyes.levels[-1]}): {verdict}.", numbers | {"ratio": ratio}, alarming)


def _mean_distance(rows: Rows) -> float | None:
    """Over all pairs of at most `LOOKED_AT` pictures from all over the set."""
    if len(rows) < 2:
        return None
    vectors = torch.from_numpy(rows.take(spread_over(len(rows), LOOKED_AT)).astype(np.float64))
    return torch.pdist(vectors).mean().item()


def copying(seen: Seen, eyes: Eyes) -> tuple[Behaviour | None, list[Copy]]:
    """Nearest training painting of painted pictures, against that of real paintings: is anything copied?"""
    part = f"level/{eyes.levels[-1]}"
    training = seen.training[part]
    made = memorisation(seen.tables.rows[PAINTED][part], training)
    usual = _among_real(seen, part)
    usual = usual[usual > SAME]  # a painting that is there twice is no measure of how near others come
    if len(usual) < LEAST_REAL:
        return None, []
    copies = np.asarray(made) < max(COPY_BELOW * np.quantile(usual, RARELY), SAME)
    share = float(copies.mean())
    whose = "held-out paintings" if seen.tables.real is not None else "one training painting to the next"
    count = int(copies.sum())
    alarming = count > 1 and wilson(count, len(copies)).low > RARELY
    told = (
        f"A painted picture is {float(np.median(made)):.3f} from the nearest training painting in the middle, "
        f"{whose} {float(np.median(usual)):.3f} (cosine distance, {eyes.levels[-1]}); {share:.0%} are "
        f"much nearer than all but {RARELY:.0%} of those"
    )
    verdict = "training paintings are copied" if alarming else "no sign of copying"
    numbers = {"painted": float(np.median(made)), "real": float(np.median(usual)), "suspicious": share}
    return Behaviour("Copying", f"{told}: {verdict}.", numbers, alarming), _gallery(seen, part, np.asarray(made))


def _among_real(seen: Seen, part: str) -> np.ndarray:
    """Cosine distances of real paintings to the nearest training painting, other than themselves."""
    if seen.tables.real is not None:
        return np.asarray(memorisation(seen.tables.reference[part], seen.training[part]))
    return np.asarray(memorisation_within(seen.training[part]))


def _gallery(seen: Seen, part: str, distances: np.ndarray) -> list[Copy]:
    """The painted pictures that come nearest to a training painting."""
    places, training = np.argsort(distances, kind="stable")[:GALLERY], seen.training[part]
    made, others = _unit(seen.tables.rows[PAINTED][part], places), _unit(training, np.arange(len(training)))
    nearest = (made @ others.mT).abs().argmax(1)
    return [Copy(int(one), int(other), float(distances[one])) for one, other in zip(places, nearest, strict=True)]


def _unit(rows: Rows, places: NDArray[np.int64]) -> torch.Tensor:
    vectors = torch.from_numpy(rows.take(places).astype(np.float64))
    return vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-30)


def deceives(seen: Seen, eyes: Eyes) -> Behaviour:
    """How often painted pictures pass for paintings with a classifier trained on the spot.

    Raises ValueError if there are too few pictures to train one.
    """
    parts = [f"mean_std/{tap}" for tap in eyes.style_taps]
    tables, names = seen.tables, [view.item.name for view in seen.views[PHOTOS]]
    scenes = spread_over(len(names), LOOKED_AT)
    reference = spread_over(len(tables.reference[parts[0]]), LOOKED_AT)
    photos, painted = (side_by_side(tables.rows[key], parts, scenes) for key in (PHOTOS, PAINTED))
    found = deception(
        photos,
        side_by_side(tables.reference, parts, reference),
        painted,
        range(len(painted)),
        photo_names=[names[scene] for scene in scenes],
        seed=tables.seed,
    )
    numbers = {name: share.value for name, share in found._asdict().items()}
    told = (
        f"A small classifier takes {_with_interval(found.deceived)} of the painted pictures for paintings; of photos "
        f"{_with_interval(found.floor)}, of real paintings {_with_interval(found.ceiling)} that it had not seen."
    )
    return Behaviour("Deception", told, numbers)


def _with_interval(share: Share) -> str:
    return f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})"
