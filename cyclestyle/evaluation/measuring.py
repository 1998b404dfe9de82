"""From folders to numbers: which sets there are, what is seen in them, and what follows from that."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from cyclestyle.evaluation.eyes import Eyes
from cyclestyle.evaluation.looking import Look, Scene, look_at_all, pair_key
from cyclestyle.evaluation.measures import ALSO, COLOUR, NAMES, PAINTED, PHOTOS, Tables
from cyclestyle.evaluation.pictures import PictureSet, Treatment, View, oddities, pair, read_set, require_distinct
from cyclestyle.evaluation.store import Rows, Store, assemble
from cyclestyle.images import Images, list_pictures
from cyclestyle.processes import Processes
from cyclestyle.progress import Progress
from cyclestyle.styling.colour import pooled_lab_statistics, reinhard


@dataclass(frozen=True)
class Folders:
    """What is measured."""

    painted: Path
    photos: Path
    paintings: Path
    """That were learnt from."""
    held_out: Path | None = None
    """Other paintings by the same hand; the reference then."""
    also: Mapping[str, Path] = field(default_factory=dict)
    at_most: int | None = None
    """Pictures of each set that are taken, from all over it; None: all."""


@dataclass(frozen=True)
class Sets:
    """The pictures of every folder, paired: photos, painted and further rows have the same names in the same order."""

    photos: PictureSet
    made: dict[str, PictureSet]
    """By the keys of their rows."""
    paintings: PictureSet
    held_out: PictureSet | None
    notes: list[str]
    palette: PictureSet
    """The paintings whose colours are transferred: all of them, also where only some are measured."""

    @property
    def reference(self) -> PictureSet:
        return self.held_out or self.paintings


@dataclass(frozen=True)
class Terms:
    """On which terms all pictures are measured."""

    side: int
    jpeg: int | None
    seed: int


def gather(folders: Folders, processes: Processes) -> Sets:
    """Read every folder, and pair them. Raises FileNotFoundError or ValueError for what cannot be measured."""
    taken = [name for name in folders.also if name in NAMES.values()]
    if taken:
        raise ValueError(f"--also.{taken[0]} has the name of a row that every card has; choose another")
    places = {"photos": folders.photos, "painted": folders.painted, "paintings": folders.paintings}
    if folders.held_out is not None:
        places["held-out paintings"] = folders.held_out
    places |= {f"pictures of {name}": place for name, place in folders.also.items()}
    total = sum(len(list_pictures(place)) for place in places.values())
    with Progress("opening", total, unit="pictures", show=processes.main) as progress:
        found = {name: read_set(place, progress.advance) for name, place in places.items()}
    photos, painted = found["photos"], found["painted"]
    together, notes = pair(painted, photos), []
    names = _spread(together, folders.at_most)
    if folders.at_most is not None:
        notes.append(f"At most {folders.at_most:,} pictures of each set were taken (--at-most).")
    if len(together) < len(photos.items):
        alone = len(photos.items) - len(together)
        notes.append(f"{alone} of the {len(photos.items)} photos have no painted picture and are left out.")
    made = {PAINTED: painted.only(names)}
    for name in folders.also:
        other = found[f"pictures of {name}"]
        require_distinct(other)
        lacking = [one for one in names if one not in other.names]
        if lacking:
            raise ValueError(
                f"{other.folder} has no picture that can be read for {len(lacking)} of the {len(names)} painted ones, "
                f"first {lacking[0]}; further methods need the same names"
            )
        made[ALSO + name] = other.only(names)
    paintings, held_out = (_thinned(found.get(one), folders.at_most) for one in ("paintings", "held-out paintings"))
    assert paintings is not None
    if held_out is not None:
        known = {item.digest for item in found["paintings"].items}
        others = tuple(item for item in held_out.items if item.digest not in known)
        if not others:
            raise ValueError(f"all pictures in {held_out.folder} are training paintings too; none of them is held out")
        if same := len(held_out.items) - len(others):
            notes.append(f"{same} of the {len(held_out.items)} held-out paintings are training paintings: left out.")
        held_out = replace(held_out, items=others)
    return Sets(photos.only(names), made, paintings, held_out, notes, found["paintings"])


def _spread(names: list[str], at_most: int | None) -> list[str]:
    """So many of them, from all over the list."""
    count = min(at_most or len(names), len(names))
    return [names[index * len(names) // count] for index in range(count)]


def _thinned(pictures: PictureSet | None, at_most: int | None) -> PictureSet | None:
    if pictures is None or at_most is None or len(pictures.items) <= at_most:
        return pictures
    places = _spread([str(place) for place in range(len(pictures.items))], at_most)
    return replace(pictures, items=tuple(pictures.items[int(place)] for place in places))


def told_of(sets: Sets, terms: Terms) -> list[str]:
    """What about the files may move the numbers."""
    named = {"photos": sets.photos, "painted pictures": sets.made[PAINTED], "paintings": sets.paintings}
    if sets.held_out is not None:
        named["held-out paintings"] = sets.held_out
    named |= {f"pictures of {key.removeprefix(ALSO)}": one for key, one in sets.made.items() if key != PAINTED}
    return [*sets.notes, *oddities(named, terms.side, coded=terms.jpeg is not None)]


@dataclass(frozen=True)
class Seen:
    """What was seen, on the disk."""

    tables: Tables
    training: dict[str, Rows]
    pairs: dict[str, torch.Tensor]
    """(n, distances) of each row against its photos."""
    views: dict[str, list[View]]
    """By row; and "paintings", "held-out"."""


def views_of(sets: Sets, terms: Terms) -> dict[str, list[View]]:
    """Every picture as it is measured, by row."""

    def plain(pictures: PictureSet, treatment: Treatment | None = None) -> list[View]:
        return [View(item, terms.side, terms.jpeg, treatment) for item in pictures.items]

    views = {PHOTOS: plain(sets.photos), COLOUR: plain(sets.photos, _colour_transfer(plain(sets.palette)))}
    views |= {key: plain(pictures) for key, pictures in sets.made.items()} | {"paintings": plain(sets.paintings)}
    return views | ({"held-out": plain(sets.held_out)} if sets.held_out is not None else {})


def _colour_transfer(paintings: list[View]) -> Treatment:
    """Reinhard et al. 2001, to the pooled statistics of the paintings: the least that could be called a style."""
    palette = pooled_lab_statistics(view.images() for view in paintings)
    told = ",".join(f"{value:.9g}" for value in [*palette.mean.tolist(), *palette.std.tolist()])

    def transferred(images: Images) -> Images:
        return reinhard(images, palette)

    return Treatment(f"reinhard {told}", transferred)


def see(
    views: dict[str, list[View]],
    eyes: Eyes,
    store: Store,
    processes: Processes,
    *,
    batch: int,
    threads: int,
) -> None:
    """Everything once through the networks."""
    made = [key for key in views if key not in {PHOTOS, "paintings", "held-out"}]
    scenes = [Scene(photo, tuple(views[key][index] for key in made)) for index, photo in enumerate(views[PHOTOS])]
    alone = [Scene(view) for name in ("paintings", "held-out") for view in views.get(name, [])]
    total = sum(map(len, [*scenes, *alone]))
    with Progress("looking", total, unit="pictures", show=processes.main) as progress:

        def counted(count: int) -> None:
            progress.advance(min(count * processes.count, total - progress.done))  # all go at about the same pace

        look = Look(eyes, store)
        for together in (scenes, alone):
            look_at_all(together, look, processes, counted, batch=batch, threads=threads)


def tables_of(views: dict[str, list[View]], eyes: Eyes, store: Store, folder: Path, seed: int) -> Seen:
    """What was seen, as matrices in files below `folder`."""
    parts = eyes.parts

    def matrix(name: str) -> dict[str, Rows]:
        return assemble(store, [view.key for view in views[name]], parts, folder / str(len(list(folder.iterdir()))))

    rows = {key: matrix(key) for key in views if key not in {"paintings", "held-out"}}
    paintings = matrix("paintings")
    held_out = matrix("held-out") if "held-out" in views else None
    tables = Tables(rows, held_out or paintings, paintings if held_out else None, seed)
    pairs = {
        key: torch.stack(
            [
                torch.tensor(store.known(pair_key(before, after), len(eyes.pair_parts)))
                for before, after in zip(views[PHOTOS], views[key], strict=True)
            ]
        )
        for key in rows
        if key != PHOTOS
    }
    return Seen(tables, paintings, pairs, views)
