"""From what is asked to a workshop: the weights found, the layers there, every painting looked at. Whatever is wrong
is said before the first photo is begun."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from cyclestyle.files import sha256
from cyclestyle.images import list_pictures, load, to_images
from cyclestyle.networks.extractors import Extractor, load_network, random_network, require_taps
from cyclestyle.networks.fewer_products import quickest
from cyclestyle.networks.precision import computing_in, exact_device, full_fp32, settled
from cyclestyle.progress import Progress
from cyclestyle.styling.gallery import Described, Gallery, scaled
from cyclestyle.styling.recipes import LAYERS, Layers, StylingSettings
from cyclestyle.styling.workshop import CHOSEN_AT, Workshop


class Prepared(NamedTuple):
    """A workshop, and what is to be said of it."""

    workshop: Workshop
    notes: list[str]
    """What differs from the usual, in sentences."""
    identity: dict[str, str]
    """Of the network and the paintings, for what a picture says of its making."""


@full_fp32()
def prepare(
    wanted: StylingSettings,
    styles: Sequence[Path],
    device: torch.device,
    *,
    weights: Path | None = None,
    random: bool = False,
    shares: Sequence[float] | None = None,
    show: bool = True,
) -> Prepared:
    """Make ready.

    Args:
        wanted: how pictures are stylized.
        styles: pictures, or folders of pictures.
        device: where it is computed; MPS has no float64, so the CPU then, and a note says so.
        weights: folder of the network's weights.
        random: use random weights.
        shares: of each of `styles` in the mean; a folder's is shared out among its pictures.
        show: whether progress is shown.

    Raises:
        ValueError, FileNotFoundError: in a sentence, for what cannot be used.
    """
    paths, of_each = _paintings(styles, shares)
    wanted = _with_target(wanted, len(paths))
    if shares is not None and wanted.target not in {"mean", "random"}:
        raise ValueError(f"--mix weighs paintings, and --target {wanted.target} takes one; add --target mean")
    asked, device = device, exact_device(device)  # sums over pictures, and the search, are in float64
    precision, note = settled(wanted.precision, device)
    wanted = wanted.model_copy(update={"precision": precision})
    network = quickest(computing_in(precision, _network(wanted, weights, random)).to(device), device)
    layers, notes = layers_of(network, wanted)
    notes += [note] if note else []
    if device != asked:
        notes.append(f"style transfer is computed on the CPU: it needs float64, which {asked.type.upper()} has not")
    if random:
        notes.append("random weights: pictures tell little about the method with those that were learnt")
    gallery = Gallery(paths, of_each)
    workshop = Workshop(wanted, network, layers, gallery, device)
    digests = _look(workshop, show)
    whole = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    origin = str(sorted(network.provenance.items()))
    identity = {"style": whole[:16], "network": hashlib.sha256(origin.encode()).hexdigest()[:16]}
    if shares is not None:
        identity["shares"] = " ".join(f"{share:.6g}" for share in shares)
    return Prepared(workshop, notes, identity)


def _paintings(styles: Sequence[Path], shares: Sequence[float] | None) -> tuple[list[Path], list[float]]:
    """Every painting, and its share in the mean."""
    if not styles:
        raise ValueError("no style is given; name a picture or a folder of pictures with --style")
    if shares is not None and (len(shares) != len(styles) or not all(0 < share < float("inf") for share in shares)):
        given = ", ".join(f"{share:g}" for share in shares)
        raise ValueError(f"--mix {given} for {len(styles)} --style; give one number above 0 for each")
    paths, of_each = list[Path](), list[float]()
    for place, style in enumerate(styles):
        if not style.exists():
            raise FileNotFoundError(f"no such picture or folder: {style}")
        found = list_pictures(style) if style.is_dir() else [style]
        paths += found
        of_each += [1.0 if shares is None else shares[place] / len(found)] * len(found)
    return paths, [share / sum(of_each) for share in of_each]


def _with_target(wanted: StylingSettings, paintings: int) -> StylingSettings:
    """With the target settled. Raises ValueError where there is not the one painting that is wanted."""
    if wanted.target == "one" and paintings > 1:
        raise ValueError(f"--target one, but there are {paintings:,} paintings; name one of them with --style")
    target = wanted.target or ("one" if paintings == 1 else "nearest")
    return StylingSettings.model_validate(wanted.model_dump() | {"target": "one" if paintings == 1 else target})


def _network(wanted: StylingSettings, weights: Path | None, random: bool) -> Extractor:
    kind, pooling, padding = wanted.seen_by, wanted.pooling, wanted.padding
    if random:
        return random_network(kind, wanted.seed, pooling=pooling, padding=padding)
    return load_network(kind, weights, pooling=pooling, padding=padding)


def layers_of(network: Extractor, wanted: StylingSettings) -> tuple[Layers, list[str]]:
    """At which layers the network is asked, and what is to be said where its weights end before.

    Raises:
        ValueError: a layer is asked for that is not there.
    """
    for asked in (wanted.style_taps, wanted.content_taps):
        require_taps(network, asked or ())
    usual = LAYERS[wanted.seen_by]
    style = wanted.style_taps or tuple(tap for tap in usual.style[wanted.recipe.layers] if tap in network.taps)
    if not style:
        style = (network.taps[-1],)
    content = wanted.content_taps or tuple(_deepest(network, tap) for tap in usual.content)
    notes = []
    left_out = [tap for tap in usual.style[wanted.recipe.layers] if tap not in network.taps]
    if left_out and wanted.style_taps is None:
        notes.append(f"{network.name} ends at {network.taps[-1]} here: style at {', '.join(style)} alone")
    if content != usual.content and wanted.content_taps is None:
        notes.append(f"content at {', '.join(content)} in place of {', '.join(usual.content)}")
    return Layers(tuple(dict.fromkeys(style)), tuple(dict.fromkeys(content))), notes


def _deepest(network: Extractor, tap: str) -> str:
    """The tap, or the deepest before it that there is."""
    before = network.all_taps[: network.all_taps.index(tap) + 1]
    return next((found for found in reversed(before) if found in network.taps), network.taps[0])


def _look(workshop: Workshop, show: bool) -> list[str]:
    """Open every painting, so that none is found broken later; describe them where the nearest is sought.

    Returns the SHA-256 of each file.
    """
    gallery, digests, found = workshop.gallery, list[str](), dict[str, list[Described]]()
    least, describing = workshop.network.least(workshop.taps), workshop.wanted.target == "nearest"
    what = "looking at paintings"
    with Progress(what, len(gallery.paths), unit="paintings", show=show and len(gallery.paths) > 1) as progress:
        for path in gallery.paths:
            picture = load(path)
            if min(picture.size) < least:
                raise ValueError(
                    f"{path} is {picture.width} x {picture.height} pixels, and these layers need {least} on each side; "
                    "give a larger style, or fewer --style-taps"
                )
            digests.append(sha256(path))
            if describing:
                small = scaled(picture, CHOSEN_AT)
                if min(small.size) < least:
                    raise ValueError(
                        f"{path} is {small.width} x {small.height} pixels where the nearest is sought, and these "
                        f"layers need {least} on each side; leave it out, or give --target random"
                    )
                for tap, rows in workshop.describe(to_images([small])).items():
                    found.setdefault(tap, []).append(rows)
            progress.advance()
    if describing:
        gallery.grams = {tap: Described(*map(torch.cat, zip(*rows, strict=True))) for tap, rows in found.items()}
    return digests
