"""Where the true paintings are known: how near each method comes to them."""

import json
from pathlib import Path
from typing import Any

from cyclestyle.evaluation.measures import COLOUR, PAINTED, row_name
from cyclestyle.evaluation.measuring import Sets
from cyclestyle.evaluation.paired import nearness, summary, table
from cyclestyle.evaluation.pictures import PictureSet, read_set, require_distinct
from cyclestyle.evaluation.sheet import label_sheet
from cyclestyle.files import write_text
from cyclestyle.images import load, save, to_images
from cyclestyle.styling.colour import pooled_lab_statistics, reinhard

UNTOUCHED, TRANSFER = "photo, untouched", row_name(COLOUR)


def read_truth(folder: Path, sets: Sets) -> PictureSet:
    """The true paintings of the photos that are measured.

    Raises ValueError where there is none, one cannot be read, two share a name, or a method's picture is not of the
    size of the true one.
    """
    everything = read_set(folder)
    require_distinct(everything)
    if everything.unread:
        raise ValueError(everything.unread[0].reason)
    names = [name for name in sets.photos.names if name in everything.names]
    if not names:
        raise ValueError(f"{folder} has no picture named as one of the photos, as {sets.photos.items[0].name}")
    truth = everything.only(names)
    for one in (sets.photos, *sets.made.values()):
        have = one.names
        for item in truth.items:
            made = have[item.name]
            if (made.width, made.height) != (item.width, item.height):
                raise ValueError(
                    f"{made.path} has {made.width} x {made.height} pixels, its true painting {item.width} x "
                    f"{item.height}; distances to the truth need pictures of its size"
                )
    return truth


def against_truth(truth: PictureSet, sets: Sets, to: Path, *, rows: int) -> dict[str, Any]:
    """Measure every method against the true paintings, write `truth.json` and `pictures.png`; for the card: the table.

    `truth` is what `read_truth` gave for these sets.
    """
    scenes = [item.name for item in truth.items]
    names = {UNTOUCHED: sets.photos} | {row_name(key): one for key, one in sets.made.items()}
    files = {name: {scene: one.names[scene].path for scene in scenes} for name, one in names.items()}
    true = {item.name: item.path for item in truth.items}
    palette = pooled_lab_statistics(to_images([load(item.path)]) for item in sets.palette.items)
    untouched = files[UNTOUCHED]
    found = {
        TRANSFER: nearness(
            (reinhard(to_images([load(untouched[scene])]), palette), to_images([load(true[scene])])) for scene in true
        )
    }
    for name, made in files.items():
        found[name] = nearness((to_images([load(made[scene])]), to_images([load(true[scene])])) for scene in true)
    found = {name: found[name] for name in dict.fromkeys((UNTOUCHED, TRANSFER, *files))}

    shown = min(rows, len(scenes))
    chosen = [scenes[index * len(scenes) // shown] for index in range(shown)]
    sheet = label_sheet({"photo": untouched, "painted": files[PAINTED], "truth": true}, chosen)
    save(sheet, to / "pictures.png")
    write_text(to / "truth.json", json.dumps(summary(found, PAINTED), indent=2) + "\n")
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(found, PAINTED).splitlines()]
    return {
        "table": [lines[0], *lines[2:]],
        "sentence": "Distances to the true paintings, which are known here; no network is involved.",
    }
