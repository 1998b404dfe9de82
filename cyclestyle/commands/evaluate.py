"""`cyclestyle evaluate`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import Field, NonNegativeInt, PositiveInt


def evaluate(
    *,
    painted: Path,
    photos: Path,
    paintings: Path,
    to: Path,
    held_out: Path | None = None,
    truth: Path | None = None,
    also: dict[str, Path] | None = None,
    run: Path | None = None,
    weights: Path | None = None,
    random_weights: Annotated[bool, Parameter(negative=())] = False,
    network: Literal["vgg19", "vgg16", "vgg19-distilled"] = "vgg19",
    lpips: Literal["alex", "squeeze", "vgg"] = "alex",
    leave_out: Annotated[list[Literal["inception", "lpips"]] | None, Parameter(negative=())] = None,
    size: Annotated[int, Field(ge=32, le=1024)] | None = None,
    jpeg: Annotated[int, Field(ge=1, le=100)] | None = None,
    cache: Path | None = None,
    batch: PositiveInt | None = None,
    at_most: PositiveInt | None = None,
    seed: NonNegativeInt = 0,
    rows: PositiveInt = 12,
) -> None:
    """How good is a set of painted pictures? Writes a card: `card.html` to look at, `card.json` for machines.

    Content (each painted picture against its photo), style and distances between sets, each on a scale from the
    untouched photos (0) to real paintings (1), with intervals; colour transfer is always there for comparison. And what
    may be wrong: collapse, copies, checkerboards, inversion. The same command goes on where it was stopped. Under
    `accelerate launch` the pictures are shared out among the processes.

    Parameters
    ----------
    painted
        Folder of painted photos.
    photos
        Folder of the photos; the same names.
    paintings
        Folder of the paintings that were learnt from. Half of them against the other half is what "as good as real"
        means, unless there are `--held-out` ones.
    to
        Folder for the card.
    held_out
        Folder of other paintings of the same kind, never learnt from: all sets are then compared with these, so that
        copies of training paintings gain nothing.
    truth
        Folder of the true paintings where they are known (the embedded data); the same names.
    also
        Further methods: `--also.NAME DIR`, folders of paintings of the same photos by the same names.
    run
        The run that painted: adds how well its round trips end.
    weights
        Folder of network weights (also: CYCLESTYLE_WEIGHTS), if they should not be downloaded into torch's cache.
        Safetensors in torchvision's names, whole or cut after some layer, or the published .pth files.
    random_weights
        Use a seeded random network for everything. Nothing is downloaded; no number can be compared with others'.
    network
        For content and style. vgg19-distilled is an approximation of VGG-19, and labelled so.
    lpips
        The network of LPIPS.
    leave_out
        Networks to do without.
    size
        Side in pixels at which all pictures are measured: their centred square, scaled to it. By default the commonest
        shorter side of the painted pictures, at most 256.
    jpeg
        Send every picture through a JPEG of this quality first, so that sets in different formats can be compared.
    cache
        Folder for what was seen in each picture, by its content, to be shared by several evaluations. By default
        `features` in the card's folder.
    batch
        Pictures at once. By default 1 on a CPU, and 8 on a GPU.
    at_most
        Pictures of each set that are taken, from all over it, if all of them would take too long.
    seed
        Of the draws and intervals.
    rows
        Rows in the picture of all methods side by side.
    """
    from cyclestyle.evaluation.asking import Asked, make_card
    from cyclestyle.evaluation.measuring import Folders
    from cyclestyle.evaluation.terminal import table
    from cyclestyle.processes import Processes

    asked = Asked(
        folders=Folders(painted, photos, paintings, held_out, also or {}, at_most),
        truth=truth,
        run=run,
        to=to,
        weights=weights,
        random=random_weights,
        network=network,
        lpips=lpips,
        leave_out=frozenset(leave_out or ()),
        side=size,
        jpeg=jpeg,
        cache=cache,
        batch=batch,
        seed=seed,
        sheet_rows=rows,
    )
    processes = Processes.join()
    card = make_card(asked, processes)
    processes.part()
    if card is not None:
        print(table(card))
        print(f"\nlook: {to / 'card.html'}")
