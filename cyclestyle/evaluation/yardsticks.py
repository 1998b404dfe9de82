"""Every measure between sets that a card shows, in its order."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch

from cyclestyle.evaluation.descriptors import directions, pooled_gaussian
from cyclestyle.evaluation.eyes import Eyes
from cyclestyle.evaluation.frechet import frechet, frechet_gaussian
from cyclestyle.evaluation.kernels import energy, polynomial
from cyclestyle.evaluation.measures import (
    REAL,
    Array,
    Measure,
    Tables,
    Value,
    at_equal_sizes,
    discrepancy,
    row_name,
    valued,
)
from cyclestyle.evaluation.neighbours import MiFid, memorisation, memorisation_within, mifid, nearest, prdc
from cyclestyle.evaluation.resampling import jackknife
from cyclestyle.evaluation.store import Rows

LEAST = 2
"""Pictures of a set, below which nothing can be said of how it varies."""
PUBLISHED = "Inception-2048"
OTHER_LEVEL = (
    " That bound is meant for 2,048 channels: here pictures may lie nearer to one another, and even real paintings may "
    "be taken for copies."
)
NEIGHBOURS = 5
"""Naeem et al. 2020; the same for precision and recall, so that the four belong together."""
PALETTE = "palette"


def all_measures(tables: Tables, eyes: Eyes, training: dict[str, Rows]) -> tuple[list[Measure], list[tuple[str, str]]]:
    """Measures in the order of the card; and what is left out, with the reason.

    `training` are the paintings that were learnt from.
    """
    part = f"level/{eyes.levels[-1]}"
    sets = [*tables.rows.values(), tables.reference, *([] if tables.real is None else [tables.real])]
    fewest = min(len(parts[part]) for parts in sets)
    if fewest < LEAST:
        return [], [("every distance between sets", f"needs at least {LEAST} pictures of each set, one has {fewest}")]
    measures = [*_sets(tables, eyes), *_style(tables, eyes)]
    left_out = []
    if tables.count(part) >= LEAST:
        measures += [*_equal_sets(tables, eyes), *_equal_style(tables, eyes)]
    else:
        why = "need at least two pictures of each set, and four paintings"
        left_out.append(("Frechet distances and nearest Grams", why))
    if tables.count(part) > NEIGHBOURS:
        measures += [*_variety(tables, eyes), *_memory(tables, eyes, training)]
    else:
        why = f"need more than {NEIGHBOURS} pictures of each set, and twice as many paintings"
        left_out.append(("precision, recall, density, coverage and MiFID", why))
    return measures, left_out


def _sets(tables: Tables, eyes: Eyes) -> Iterator[Measure]:
    """KID at every level, the deepest first: that is the one to cite."""
    for level in reversed(eyes.levels):
        told = Measure(
            f"kid/{level}",
            "sets",
            f"{named('KID', level)} × 10³",
            level,
            "Unbiased squared MMD with the kernel (x·y/d + 1)³ over all pairs (Bińkowski et al. 2018). About 0 for "
            "more pictures of the same kind, however few there are.",
            main=level == eyes.levels[-1],
        )
        yield discrepancy(told, f"level/{level}", polynomial(), tables, scale=1e3)


def _style(tables: Tables, eyes: Eyes) -> Iterator[Measure]:
    """Per layer: statistics of the picture, with and without its colours; and the colours alone."""
    network = eyes.vgg.name
    for tap in eyes.style_taps:
        told = Measure(
            f"mmd_mean_std/{tap}",
            "style",
            "means and deviations",
            f"{network} {tap}",
            "Energy distance (an unbiased MMD) between sets of pictures, each described by the mean and deviation of "
            "every channel (the statistics of AdaIN).",
            main=tap == eyes.style_taps[-1],
        )
        yield discrepancy(told, f"mean_std/{tap}", energy(), tables)
    for tap in eyes.style_taps:
        told = Measure(
            f"mmd_gram/{tap}",
            "style",
            "Gram matrices",
            f"{network} {tap}",
            "Energy distance between sets of pictures, each described by its Gram matrix (Gatys et al. 2016; Frobenius "
            "norm, in at most 64 seeded directions of the channels).",
        )
        yield discrepancy(told, f"gram/{tap}", energy(), tables)
    for tap in eyes.texture_taps:
        told = Measure(
            f"mmd_texture/{tap}",
            "texture",
            "texture in grey",
            f"{network} {tap}",
            "The energy distance of means and deviations, of the grey pictures.",
            main=tap == eyes.texture_taps[-1],
        )
        yield discrepancy(told, f"texture/{tap}", energy(), tables)
    told = Measure(
        "palette",
        "colour",
        "palette",
        "CIELAB",
        "Energy distance between sets of colour histograms (Hellinger's distance of two pictures); no network.",
        main=True,
    )
    yield discrepancy(told, PALETTE, energy(), tables)


def _equal_sets(tables: Tables, eyes: Eyes) -> Iterator[Measure]:
    for level in reversed(eyes.levels):
        part = f"level/{level}"
        name = named("FID", level)
        everything = {key: _frechet(parts[part], part, tables) for key, parts in tables.rows.items()}
        if tables.real is not None:
            everything[REAL] = _frechet(tables.real[part], part, tables)
        numbers = f"{len(tables.rows['photos'][part])} against {len(tables.reference[part])}"
        yield Measure(
            f"fid/{level}",
            "sets",
            f"{name}, all pictures",
            level,
            f"Frechet distance, {numbers}: what others report. It is far from 0 even for real paintings, and can "
            "only be compared at the same numbers of pictures.",
            values=everything,
        )
        count = tables.count(part)
        told = Measure(
            f"fid_equal/{level}",
            "sets",
            f"{name}, {count} v {count}",
            level,
            "Frechet distance at equal numbers, the mean over draws; that of real paintings is the floor.",
            main=level == eyes.levels[-1],
        )
        yield at_equal_sizes(told, (part,), frechet, tables)


def _frechet(rows: Rows, part: str, tables: Tables) -> Value:
    return valued(jackknife(rows, tables.reference[part], frechet, seed=tables.seed))


def _equal_style(tables: Tables, eyes: Eyes) -> Iterator[Measure]:
    for tap in eyes.style_taps:
        told = Measure(
            f"w2/{tap}",
            "style",
            "Wasserstein-2 of pooled moments",
            f"{eyes.vgg.name} {tap}",
            "Squared Wasserstein-2 distance of the Gaussians with the mean and covariance of all positions of all "
            "pictures, in at most 64 seeded directions of the channels.",
        )
        yield at_equal_sizes(told, (f"mean_std/{tap}", f"gram/{tap}"), _pooled_distance(eyes, tap), tables)
    for tap in eyes.style_taps:
        told = Measure(
            f"nearest_gram/{tap}",
            "style",
            "nearest painting's Gram",
            f"{eyes.vgg.name} {tap}",
            "How far a picture's Gram matrix is from that of the nearest painting, in the middle, divided by the mean "
            "length of the paintings' Grams. Dull pictures near the middle of a set can be nearer than real paintings "
            "are to one another: read it beside the coverage.",
        )
        yield at_equal_sizes(told, (f"gram/{tap}",), _nearest_gram, tables)


def _pooled_distance(eyes: Eyes, tap: str):
    channels = eyes.vgg.channels[tap]
    chosen = directions(channels)

    def distance(made: Array, paintings: Array) -> float:
        gaussians = []
        for rows in (made, paintings):
            vectors = torch.from_numpy(rows)
            gaussians += pooled_gaussian(vectors[:, :channels], vectors[:, 2 * channels :], chosen)
        return frechet_gaussian(*gaussians)

    return distance


def _nearest_gram(made: Array, paintings: Array) -> float:
    distances, _ = nearest(made, paintings)
    return float(np.median(distances)) / float(np.linalg.norm(paintings, axis=1).mean())


def _variety(tables: Tables, eyes: Eyes) -> Iterator[Measure]:
    """How much of the paintings' range is used, and how much lies outside it."""
    level = eyes.levels[-1]
    meant = {
        "precision": "Share of the pictures that lie among the paintings (Kynkäänniemi et al. 2019).",
        "recall": "Share of the paintings that lie among the pictures (Kynkäänniemi et al. 2019).",
        "density": "How many paintings' neighbourhoods a picture lies in, over what is expected (Naeem et al. 2020).",
        "coverage": "Share of the paintings with a picture in their neighbourhood (Naeem et al. 2020).",
    }
    count = tables.count(f"level/{level}")
    for name, said in meant.items():
        told = Measure(
            f"{name}/{level}",
            "variety",
            name,
            level,
            f"{said} {count} against {count}, k = {NEIGHBOURS}.",
            better="higher",
            main=name == "coverage",
        )
        found = at_equal_sizes(told, (f"level/{level}",), _prdc(name), tables)
        # Photos have a high recall: they vary as much as paintings. So there is no way from one to the other.
        yield replace(found, skill=dict.fromkeys(found.skill)) if name == "recall" else found
    tap = eyes.style_taps[-1]
    told = Measure(
        f"coverage_gram/{tap}",
        "variety",
        "coverage of Gram matrices",
        f"{eyes.vgg.name} {tap}",
        f"Share of the paintings in whose neighbourhood of Gram matrices a picture lies: how much of their range is "
        f"used. {count} against {count}, k = {NEIGHBOURS}.",
        better="higher",
    )
    yield at_equal_sizes(told, (f"gram/{tap}",), _prdc("coverage"), tables)


def _prdc(name: str):
    def number(made: Array, paintings: Array) -> float:
        return getattr(prdc(made, paintings, NEIGHBOURS), name)

    return number


def _memory(tables: Tables, eyes: Eyes, training: dict[str, Rows]) -> Iterator[Measure]:
    """Kaggle's MiFID: the Frechet distance, made worse where pictures are copies of paintings that were learnt from."""
    level = eyes.levels[-1]
    part = f"level/{level}"
    rows = dict(tables.rows)
    if tables.real is not None:  # then the reference are paintings that were held out
        rows[REAL] = tables.reference
    found = {
        key: mifid(frechet(parts[part], training[part]), memorisation(parts[part], training[part]))
        for key, parts in rows.items()
    }
    usual = {} if REAL in found else {REAL: Value(memorisation_within(training[part]).mean().item())}
    yield Measure(
        f"mifid/{level}",
        "sets",
        named("MiFID", level),
        level,
        "Kaggle's: the Frechet distance to the training paintings, divided by the mean distance to the nearest of them "
        f"where that is below 0.1 ({_fired(found)}).{'' if level == PUBLISHED else OTHER_LEVEL}",
        values={key: Value(one.value) for key, one in found.items()},
        fired={key: one.fired for key, one in found.items()},
    )
    yield Measure(
        f"memorisation/{level}",
        "sets",
        "distance to the nearest training painting",
        level,
        "Mean over pictures of the smallest cosine distance to a painting that was learnt from; MiFID's penalty begins "
        "below 0.1, a bound meant for 2,048 channels. Real paintings: to another one of the same set, or held out.",
        better="higher",
        values={key: Value(one.distance) for key, one in found.items()} | usual,
    )


def _fired(found: Mapping[str, MiFid]) -> str:
    fired = [row_name(key) for key, one in found.items() if one.fired]
    return f"the penalty fired for: {', '.join(fired)}" if fired else "the penalty fired for none"


def named(kind: str, level: str) -> str:
    """What a distance on a level may be called: KID, FID and MiFID are those of Inception only, as published on 2048
    channels only."""
    network, _, channels = level.rpartition("-")
    if network == "Inception":
        return kind if channels == "2048" else f"{kind}-{channels}"
    return {"KID": "kernel distance", "FID": "Frechet distance", "MiFID": "Frechet distance, copies penalised"}[kind]
