"""`cyclestyle compare`."""

import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import Field, NonNegativeInt, PositiveInt


def compare(
    *,
    photos: Path,
    paintings: Path,
    to: Path = Path("comparison"),
    methods: Annotated[list[str] | None, Parameter(negative=())] = None,
    runs: Annotated[list[str] | None, Parameter(negative=())] = None,
    also: dict[str, Path] | None = None,
    held_out: Path | None = None,
    truth: Path | None = None,
    weights: Path | None = None,
    random_weights: Annotated[bool, Parameter(negative=())] = False,
    styling_network: str | None = None,
    size: PositiveInt | None = None,
    steps: PositiveInt | None = None,
    at_most: PositiveInt | None = None,
    network: Literal["vgg19", "vgg16", "vgg19-distilled"] = "vgg19",
    lpips: Literal["alex", "squeeze", "vgg"] = "alex",
    leave_out: Annotated[list[Literal["inception", "lpips"]] | None, Parameter(negative=())] = None,
    side: Annotated[int, Field(ge=32, le=1024)] | None = None,
    jpeg: Annotated[int, Field(ge=1, le=100)] | None = None,
    batch: PositiveInt | None = None,
    seed: NonNegativeInt = 0,
    rows: PositiveInt = 12,
) -> None:
    """Several methods side by side: the same photos, the same paintings, the same measures, and what each costs.

    Makes the pictures of every method, each in a process of its own, measures all of them, and writes one page:
    `comparison.html` to look at, `comparison.json` for machines, and a card of every method. The same command goes on
    where it was stopped.

    Parameters
    ----------
    photos
        Folder of photos.
    paintings
        Folder of the paintings whose style is wanted.
    to
        Folder for everything: pictures, cards, and the page.
    methods
        With commas or one by one: photo (untouched), reinhard (colour transfer), and the methods of `cyclestyle
        stylize`, each also with the paintings it is to take: gatys, gatys-nearest, gatys-random, gatys-mean, mmd ...
        By default photo, reinhard and gatys-nearest; with --runs or --also, photo and reinhard.
    runs
        Run folders or painters that were trained, with commas or one by one.
    also
        Pictures that were made elsewhere: `--also.NAME DIR`, folders of paintings of the same photos by the same names.
    held_out
        Folder of other paintings of the same kind, never learnt from: all sets are then compared with these.
    truth
        Folder of the true paintings where they are known (the embedded data); the same names.
    weights
        Folder of network weights (also: CYCLESTYLE_WEIGHTS), if they should not be downloaded into torch's cache.
    random_weights
        Use seeded random networks for everything. Nothing is downloaded; no number can be compared with others'.
    styling_network
        In which the styling methods descend. By default, as each has it.
    size
        Of the pictures in which the styling methods descend. By default, as they have it.
    steps
        Of the styling methods. By default, as each has it.
    at_most
        Photos, and pictures of each other set, that are taken, from all over it, if all of them would take too long.
    network
        For measuring content and style. vgg19-distilled is an approximation of VGG-19, and labelled so.
    lpips
        The network of LPIPS.
    leave_out
        Networks to do without.
    side
        In pixels, at which all pictures are measured: their centred square, scaled to it. By default the commonest
        shorter side of the photos, at most 256.
    jpeg
        Send every picture through a JPEG of this quality first, so that sets in different formats can be compared.
    batch
        Pictures at once while they are measured. By default 1 on a CPU, and 8 on a GPU.
    seed
        Of the methods, the draws and the intervals.
    rows
        Photos that are shown side by side in the page; fewer where its pictures would exceed 6 MB.
    """
    from cyclestyle.comparison.comparing import Wanted, compare_all
    from cyclestyle.comparison.makers import Materials, Styling, styling_words
    from cyclestyle.comparison.methods import PHOTO, REINHARD, USUAL, choose
    from cyclestyle.comparison.summary import table
    from cyclestyle.processes import Processes

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("compare makes every method in a process of its own; start it without `accelerate launch`")
    if methods is None:
        methods = [PHOTO, REINHARD] if runs or also else list(USUAL)
    wanted = Wanted(
        photos=photos,
        to=to,
        methods=choose(methods, runs or [], also or {}, *styling_words()),
        materials=Materials(paintings, weights, random_weights, seed, Styling(styling_network, size, steps)),
        held_out=held_out,
        truth=truth,
        at_most=at_most,
        network=network,
        lpips=lpips,
        leave_out=frozenset(leave_out or ()),
        side=side,
        jpeg=jpeg,
        batch=batch,
        rows=rows,
    )
    processes = Processes.join()
    told = compare_all(wanted, processes)
    processes.part()
    print(table(told))
    print(f"\nlook: {to / 'comparison.html'}")
