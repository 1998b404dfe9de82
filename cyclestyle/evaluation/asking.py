"""An evaluation from what is asked to the files of its card."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from cyclestyle.evaluation.behaviour import Behaviour, Copy, copying, deceives, diversity
from cyclestyle.evaluation.card import build, counts, row_names, worst
from cyclestyle.evaluation.exhibits import Exhibits
from cyclestyle.evaluation.eyes import LEVELS, Eyes
from cyclestyle.evaluation.known import against_truth, read_truth
from cyclestyle.evaluation.looking import one_thread
from cyclestyle.evaluation.measures import PHOTOS
from cyclestyle.evaluation.measuring import Folders, Seen, Sets, Terms, gather, see, tables_of, told_of, views_of
from cyclestyle.evaluation.page import page
from cyclestyle.evaluation.pictures import PictureSet, common_side
from cyclestyle.evaluation.roundtrip import cycle, identity
from cyclestyle.evaluation.store import Store
from cyclestyle.evaluation.surfaces import PAINTINGS, Surfaces, grid_of, inversion_of, look_at_surfaces, spectra_of
from cyclestyle.evaluation.verdict import contradictions, resolution, verdict
from cyclestyle.evaluation.yardsticks import all_measures
from cyclestyle.files import IN_PROGRESS, write_text, writing_to
from cyclestyle.networks.fewer_products import quickest
from cyclestyle.networks.inception import load_inception
from cyclestyle.networks.lpips import load_lpips, random_lpips
from cyclestyle.networks.painter import Painter, load_painter
from cyclestyle.networks.vgg import load_vgg, random_vgg
from cyclestyle.processes import Processes
from cyclestyle.progress import Progress
from cyclestyle.runs import find_painter


@dataclass(frozen=True)
class Asked:
    """What somebody wants to know, and on which terms; see `cyclestyle evaluate --help`."""

    folders: Folders
    to: Path
    truth: Path | None = None
    run: Path | None = None
    weights: Path | None = None
    random: bool = False
    network: Literal["vgg19", "vgg16", "vgg19-distilled"] = "vgg19"
    lpips: Literal["alex", "squeeze", "vgg"] = "alex"
    leave_out: frozenset[str] = frozenset()
    side: int | None = None
    jpeg: int | None = None
    cache: Path | None = None
    batch: int | None = None
    seed: int = 0
    sheet_rows: int = 12


def make_card(asked: Asked, processes: Processes) -> dict[str, Any] | None:
    """Look at everything, measure, and write `card.json` and `card.html`. The card goes to the main process.

    Raises ValueError or FileNotFoundError, in a sentence, for what cannot be measured.
    """
    card: dict[str, Any] | None = None
    with one_thread() as threads:
        with processes.all_or_none():
            _require_place(asked)
            painters = _open_painters(asked, processes.device)
            eyes = open_eyes(asked, processes.device)
            sets = gather(asked.folders, processes)
            truth = read_truth(asked.truth, sets) if asked.truth is not None else None
            terms = Terms(asked.side or common_side(sets.made["painted"]), asked.jpeg, asked.seed)
            views = views_of(sets, terms)
            store = Store(asked.cache or asked.to / "features", eyes.identity)
        with processes.all_or_none():
            see(views, eyes, store, processes, batch=processes.batch(asked.batch), threads=threads)
        with processes.all_or_none():
            if processes.main:
                with tempfile.TemporaryDirectory(prefix="cyclestyle-") as matrices:
                    seen = tables_of(views, eyes, store, Path(matrices), asked.seed)
                    card = _write(asked, Gathered(sets, truth, painters), terms, seen, eyes)
    return card


class Gathered(NamedTuple):
    """What was opened before anything was looked at, so that mistakes end it at once."""

    sets: Sets
    truth: PictureSet | None
    painters: tuple[Painter, Painter] | None
    """There and back."""


def _require_place(asked: Asked) -> None:
    """Raises ValueError where the card's folder cannot be written, or lies among pictures that are measured."""
    folders = asked.folders
    measured = [folders.painted, folders.photos, folders.paintings, *folders.also.values()]
    for folder in [*measured, folders.held_out, asked.truth]:
        if folder is not None and asked.to.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{asked.to} lies in {folder}, whose pictures are measured; give another folder with --to")
    with writing_to(asked.to):
        asked.to.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=IN_PROGRESS, dir=asked.to):
            pass  # it can be written


def _open_painters(asked: Asked, device: torch.device) -> tuple[Painter, Painter] | None:
    if asked.run is None:
        return None
    there, back = (load_painter(find_painter(asked.run, back=way), device) for way in (False, True))
    return there, back


def open_eyes(asked: Asked, device: torch.device) -> Eyes:
    """The networks that are asked for. Raises FileNotFoundError, with what to do, where weights are not to be had."""
    if asked.random:
        perceived = None if "lpips" in asked.leave_out else quickest(random_lpips(asked.seed).to(device), device)
        return Eyes(quickest(random_vgg(asked.seed).to(device), device), None, perceived, device)
    loaders: dict[str, Callable[[], Any]] = {
        "vgg": lambda: load_vgg(asked.network, asked.weights),
        "inception": lambda: load_inception(asked.weights),
        "lpips": lambda: load_lpips(asked.lpips, asked.weights),
    }
    found, lacking = dict[str, Any](), []
    for name in [name for name in loaders if name not in asked.leave_out]:
        try:
            found[name] = quickest(loaders[name]().to(device), device)
        except FileNotFoundError as error:  # all are told at once: who has no internet fetches them elsewhere
            lacking.append(str(error))
    if lacking:
        raise FileNotFoundError("; and ".join(dict.fromkeys(lacking)))
    inception = found.get("inception")
    if inception is not None and not set(LEVELS) & set(inception.levels):
        raise ValueError(
            f"the weights of Inception end before level {LEVELS[0]}; give a file that has more with --weights DIR, or "
            "do without: --leave-out inception"
        )
    return Eyes(found["vgg"], inception, found.get("lpips"), device)


def _write(asked: Asked, gathered: Gathered, terms: Terms, seen: Seen, eyes: Eyes) -> dict[str, Any]:
    """Measure, and write the card and its page."""
    sets = gathered.sets
    with Progress("measuring", 4, unit="parts") as progress:
        measures, left_out = all_measures(seen.tables, eyes, seen.training)
        progress.advance()
        surfaces = _surfaces(seen, terms)
        progress.advance()
        behaviours, copies, more = _behaviours(gathered.painters, seen, eyes, surfaces)
        progress.advance()
        grid = next((one for one in behaviours if one.name == "Checkerboard"), None)
        reference = len(sets.reference.items)
        names = {row["key"]: row["name"] for row in row_names(seen)}
        card = build(
            sets=sets,
            terms=terms,
            seen=seen,
            eyes=eyes,
            measures=measures,
            left_out=[*left_out, *more],
            behaviours=behaviours,
            notes=[*contradictions(measures, grid, names), *told_of(sets, terms), *_on_weights(eyes)],
            sentences=(
                verdict(measures, behaviours, random=asked.random),
                resolution(measures, counts(sets) | {"reference": reference}),
            ),
            random=asked.random,
        )
        with writing_to(asked.to):
            card |= _exhibits(asked, gathered, seen, eyes, copies, surfaces, card)
        progress.advance()
    return card


def _surfaces(seen: Seen, terms: Terms) -> Surfaces:
    views = {key: views for key, views in seen.views.items() if key != "held-out"}
    return look_at_surfaces(views, terms.side)


def _behaviours(
    painters: tuple[Painter, Painter] | None, seen: Seen, eyes: Eyes, surfaces: Surfaces
) -> tuple[list[Behaviour], list[Copy], list[tuple[str, str]]]:
    """All of them; and what could not be found out, with the reason."""
    copied, copies = copying(seen, eyes)
    varied = diversity(seen, eyes)
    found = [varied, copied, grid_of(surfaces), inversion_of(surfaces)]
    left_out = []
    if varied is None:
        left_out.append(("diversity", "needs two photos that differ, and what was painted of them"))
    if copied is None:
        left_out.append(("copying", "needs at least three training paintings, or held-out ones"))
    try:
        found.append(deceives(seen, eyes))
    except ValueError as error:
        left_out.append(("the classifier of photos and paintings", str(error)))
    if painters is not None:
        found.append(cycle(seen.views[PHOTOS], *painters, eyes))
        found.append(identity(seen.views[PAINTINGS], painters[0], eyes))
    else:
        left_out.append(("cycle and identity", "--run names the run that painted"))
    return [one for one in found if one is not None], copies, left_out


def _on_weights(eyes: Eyes) -> list[str]:
    """What is to be said of weights that are not the published files."""
    files = [one["weights"] for one in eyes.provenance().values()]
    files = [file for one in files for file in (one.values() if "backbone" in one else [one])]
    return [
        f"{file['file']} is not the published file of that name: its SHA-256 begins with {file['sha256'][:8]}."
        for file in files
        if file.get("published") is False
    ]


def _exhibits(
    asked: Asked,
    gathered: Gathered,
    seen: Seen,
    eyes: Eyes,
    copies: list[Copy],
    surfaces: Surfaces,
    card: dict[str, Any],
) -> dict[str, Any]:
    """Add the pictures, and write both files. Returns what was added."""
    exhibits = Exhibits(seen.views)
    names = {row["key"]: row["name"] for row in row_names(seen)} | {PAINTINGS: "paintings"}
    added: dict[str, Any] = {
        "worst": exhibits.worst(*worst(seen, eyes)),
        "copying_gallery": exhibits.copies(copies),
        "spectra": exhibits.spectra(spectra_of(surfaces, names)),
        "sheet": exhibits.sheet(asked.sheet_rows, names),
    }
    if gathered.truth is not None:
        added["truth"] = against_truth(gathered.truth, gathered.sets, asked.to, rows=asked.sheet_rows)
    whole = card | added
    write_text(asked.to / "card.html", page(whole, exhibits.files))
    write_text(asked.to / "card.json", json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    return added
