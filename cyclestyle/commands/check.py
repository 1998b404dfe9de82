"""`cyclestyle check`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import PositiveInt


def check(
    data: Path | None = None,
    *,
    photos: Path | None = None,
    paintings: Path | None = None,
    tiny: PositiveInt = 64,
    strict: Annotated[bool, Parameter(negative=())] = False,
    json: Path | None = None,
) -> None:
    """Look through the pictures before an hour is spent on them: broken, alike, leaking.

    Every picture is decoded whole. Says which cannot be used and why, and of the others which are greyscale, framed,
    tiny, of one colour, there more than once, or in a training set and a test set both. Nothing is changed.

    Parameters
    ----------
    data
        Folder that holds both sets: `photos/` + `paintings/`, `monet_jpg/` + `photo_jpg/` or `trainA/` + `trainB/`.
    photos
        Folder of photos, where the two sets do not lie in one folder.
    paintings
        Folder of paintings.
    tiny
        Pictures with a side below this many pixels are named.
    strict
        Exit code 2 if a picture cannot be used, or is in two sets that should share none.
    json
        File for the whole report, for machines.
    """
    from json import dumps

    from cyclestyle.config import DataSettings
    from cyclestyle.data.folders import find_roots
    from cyclestyle.data.survey import as_json, list_all, report, survey
    from cyclestyle.files import write_text
    from cyclestyle.progress import Progress

    if (data is None) == (photos is None and paintings is None) or (photos is None) != (paintings is None):
        raise ValueError("which pictures? give a folder that holds both sets, or else --photos DIR and --paintings DIR")
    try:
        roots = find_roots(DataSettings(folder=data, photos=photos, paintings=paintings))
    except FileNotFoundError as error:
        raise FileNotFoundError(str(error).replace("--data.", "--")) from None  # as they are called here
    listed = list_all(roots)
    total = sum(len(one.pictures) for one in listed.values())
    with Progress("looking", total, unit="pictures") as progress:
        found = survey(listed, tiny=tiny, progress=progress.advance)
    if json is not None:
        write_text(json, dumps(as_json(found), indent=2) + "\n")
    print(report(found))
    for name, one in found.sets.items():
        if not one.usable and (one.looked_at or not name.startswith("test")):
            raise ValueError(f"none of the {name} in {one.folder} can be used ({one.looked_at:,} looked at)")
    if strict and (found.unusable or found.leaks):
        raise ValueError(f"{len(found.unusable):,} cannot be used and {found.leaks:,} are in two sets (--strict)")
