"""The card of an evaluation: everything that was found, as plain data."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import torch

from cyclestyle.evaluation.behaviour import Behaviour
from cyclestyle.evaluation.eyes import CONTENT_TAPS, LEVELS, STYLE_TAPS, Eyes
from cyclestyle.evaluation.measures import ALSO, COLOUR, PAINTED, PHOTOS, REAL, Measure, row_name
from cyclestyle.evaluation.measuring import Seen, Sets, Terms
from cyclestyle.evaluation.resampling import spread
from cyclestyle.evaluation.wording import CARD_FORMAT
from cyclestyle.runs import circumstances

CONTENT = {
    "content": "How far features moved, against their size: |φ(y) − φ(x)|² / |φ(x)|² (Gatys et al. 2016).",
    "structure": "How differently the positions of photo and painting resemble one another; blind to style as such.",
    "lpips": "Perceptual distance (Zhang et al. 2018). Every painting differs from its photo: between methods of equal "
    "style, lower keeps more of the photo.",
    "ssim": "Structural similarity of brightness (Wang et al. 2004); 1 is the same.",
}


def row_names(seen: Seen) -> list[dict[str, str]]:
    """The rows of the card, in its order."""
    rows = [
        {"key": PHOTOS, "name": row_name(PHOTOS), "role": "floor"},
        {"key": COLOUR, "name": row_name(COLOUR), "role": "other"},
        {"key": PAINTED, "name": row_name(PAINTED), "role": "ours"},
    ]
    rows += [{"key": key, "name": row_name(key), "role": "other"} for key in seen.views if key.startswith(ALSO)]
    return [*rows, {"key": REAL, "name": row_name(REAL), "role": "ceiling"}]


def content(seen: Seen, eyes: Eyes, seed: int) -> list[dict[str, Any]]:
    """Medians, quartiles and intervals of each distance between photos and what was made of them."""
    found = []
    for column, key in enumerate(eyes.pair_parts):
        kind, _, tap = key.partition("/")
        name = {
            "content": f"content, {eyes.vgg.name} {tap}",
            "structure": f"self-similarity, {eyes.vgg.name} {tap}",
            "lpips": eyes.lpips.name if eyes.lpips is not None else "",
            "ssim": "SSIM of brightness",
        }[kind]
        rows = {row: spread(pairs[:, column], seed=seed)._asdict() for row, pairs in seen.pairs.items()}
        better = "higher" if kind == "ssim" else "lower"
        found.append({"key": key, "name": name, "better": better, "explained": CONTENT[kind], "rows": rows})
    return found


def worst(seen: Seen, eyes: Eyes, count: int = 10) -> tuple[str, list[tuple[int, float]]]:
    """The painted pictures farthest from their photos: the measure, and (place, value), the farthest first."""
    key = next(name for name in ("lpips", f"structure/{eyes.structure_tap}", "ssim") if name in eyes.pair_parts)
    values = seen.pairs[PAINTED][:, eyes.pair_parts.index(key)].double()
    order = torch.argsort(values, descending=key != "ssim", stable=True)[:count].tolist()
    return key, [(place, values[place].item()) for place in order]


def missing(eyes: Eyes) -> list[dict[str, str]]:
    """What networks that are cut, or left out, cannot give."""
    found = []
    taps = sorted({*STYLE_TAPS, *CONTENT_TAPS} - {*eyes.vgg.taps})
    if taps:
        why = f"the weights of {eyes.vgg.name} end before" if eyes.vgg.taps else "no layer of it"
        found.append({"what": f"{eyes.vgg.name} {', '.join(taps)}", "why": why})
    if eyes.inception is None:
        why = "without Inception the same distances are computed on other features"
        found.append({"what": "FID, KID and MiFID on Inception", "why": why})
    else:
        levels = [str(level) for level in LEVELS if level not in eyes.inception.levels]
        if levels:
            why = "the weights end before; FID and KID as published need level 2048"
            found.append({"what": f"Inception-{', '.join(levels)}", "why": why})
    if eyes.lpips is None:
        found.append({"what": "LPIPS", "why": "it was left out"})
    return found


def build(
    *,
    sets: Sets,
    terms: Terms,
    seen: Seen,
    eyes: Eyes,
    measures: Sequence[Measure],
    left_out: Sequence[tuple[str, str]],
    behaviours: Sequence[Behaviour],
    notes: Sequence[str],
    sentences: tuple[str, str],
    random: bool,
) -> dict[str, Any]:
    """Everything but the pictures. `sentences`: the verdict, and what can be told apart."""
    return {
        "format": CARD_FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "random": random,
        "verdict": sentences[0],
        "resolution": sentences[1],
        "counts": counts(sets),
        "notes": list(notes),
        "left_out": [*({"what": what, "why": why} for what, why in left_out), *missing(eyes)],
        "rows": row_names(seen),
        "measures": [_plain(measure) for measure in measures],
        "content": content(seen, eyes, terms.seed),
        "behaviour": {one.name.lower(): asdict(one) for one in behaviours},
        "provenance": provenance(sets, terms, eyes),
    }


def counts(sets: Sets) -> dict[str, int]:
    """Pictures of each set."""
    sizes = {"photos": sets.photos, "painted": sets.made[PAINTED], "paintings": sets.paintings}
    found = {name: len(one.items) for name, one in sizes.items()}
    if sets.held_out is not None:
        found["held-out paintings"] = len(sets.held_out.items)
    return found


def _plain(measure: Measure) -> dict[str, Any]:
    values = {key: value._asdict() for key, value in measure.values.items()}
    return asdict(replace(measure, values={})) | {"values": values}


def provenance(sets: Sets, terms: Terms, eyes: Eyes) -> dict[str, Any]:
    """What the numbers follow from, for somebody who wants to have them again."""
    folders = {"photos": sets.photos, **sets.made, "paintings": sets.paintings}
    if sets.held_out is not None:
        folders["held-out paintings"] = sets.held_out
    return {
        "sets": {
            name: f"{one.folder}, {len(one.items)} pictures, SHA-256 {one.digest[:16]}" for name, one in folders.items()
        },
        "pictures": {
            "side": f"{terms.side} pixels: the largest centred square, scaled unless it has that side",
            "scaling": "Pillow, bicubic, antialiased",
            "decoder": "Pillow, to 8-bit RGB, EXIF orientation obeyed, no colour profiles",
            "JPEG": f"all sent through quality {terms.jpeg}, 4:4:4" if terms.jpeg else "as the files are",
        },
        **{f"network: {name}": one for name, one in eyes.provenance().items()},
        "statistics": {
            "seed": str(terms.seed),
            "intervals": "95 %: jackknife (distances, skill), percentile bootstrap (medians), Wilson's (shares)",
            "real paintings": "without held-out ones: range of 20 splits into halves; their mean is 0 by construction",
            "equal numbers": "mean of 10 draws; halves: 20 splits",
            "precision": "networks fp32, statistics fp64",
        },
        "software": circumstances()["versions"],
        "commit": {"commit": str(circumstances()["commit"])},
    }
