"""`cyclestyle synthesize`."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import Field, NonNegativeInt, PositiveInt


def synthesize(
    *,
    to: Path = Path("data/scenes"),
    photos: PositiveInt = 800,
    paintings: PositiveInt = 800,
    test: NonNegativeInt = 64,
    size: Annotated[int, Field(ge=16)] = 64,
    seed: NonNegativeInt = 0,
    processes: Annotated[PositiveInt | None, Parameter(show_default=False)] = None,
) -> None:
    """Make the embedded data: procedural landscapes as photos and as paintings.

    The training sets share no scene, so they are unpaired; the test set holds each scene as both, so the true painting
    of a test photo is known. The same values give the same bytes on every machine.

    Parameters
    ----------
    to
        Folder for the pictures: `photos/`, `paintings/`, `test/photos/`, `test/paintings/`.
    photos
        Scenes as training photos.
    paintings
        Scenes as training paintings.
    test
        Scenes as both.
    size
        Height and width in pixels.
    seed
        All scenes follow from it.
    processes
        Scenes drawn at a time; one per processor by default. They change nothing but the speed.
    """
    from cyclestyle.data.scenes.folder import SceneFolder, write_scenes
    from cyclestyle.progress import Progress

    wanted = SceneFolder(seed=seed, size=size, photos=photos, paintings=paintings, test=test)
    total = photos + paintings + test
    with Progress("drawing", total, unit="scenes") as progress:
        for done in write_scenes(to, wanted, processes=processes or os.cpu_count() or 1):
            progress.advance(done - progress.done)
    print(f"{photos:,} photos, {paintings:,} paintings and {test:,} pairs of {size} x {size} pixels: {to}")
