"""`cyclestyle evaluate`."""

import json
from pathlib import Path

from pydantic import PositiveInt


def evaluate(
    *,
    painted: Path,
    photos: Path,
    truth: Path,
    paintings: Path,
    to: Path,
    also: dict[str, Path] | None = None,
    rows: PositiveInt = 12,
) -> None:
    """Measure paintings against the true ones, where those are known (the embedded data).

    Prints a table of distances to the truth, with the untouched photos and a colour transfer in it (Reinhard et al.
    2001, to the pooled statistics of the paintings), and writes `pictures.png` and `truth.json`.

    Parameters
    ----------
    painted
        Folder of painted photos.
    photos
        Folder of the photos; the same names.
    truth
        Folder of the true paintings; the same names.
    paintings
        Folder of the training paintings, for the colour transfer.
    to
        Folder for the results.
    also
        Further methods: `--also.NAME DIR`, folders of paintings by the same names.
    rows
        Rows in the picture, spread over the scenes.
    """
    from cyclestyle.evaluation.paired import nearness, summary, table
    from cyclestyle.evaluation.sheet import label_sheet, matched
    from cyclestyle.files import write_text
    from cyclestyle.images import list_pictures, load, save, to_images
    from cyclestyle.styling.colour import pooled_lab_statistics, reinhard

    folders = {"truth": truth, "photo, untouched": photos, "painted": painted} | (also or {})
    files = {name: matched(folder, truth) for name, folder in folders.items()}
    true, untouched = files.pop("truth"), files["photo, untouched"]
    palette = pooled_lab_statistics(to_images([load(path)]) for path in list_pictures(paintings))

    found = {
        "colour transfer": nearness(
            (reinhard(to_images([load(untouched[scene])]), palette), to_images([load(true[scene])])) for scene in true
        )
    }
    for name, made in files.items():
        found[name] = nearness((to_images([load(made[scene])]), to_images([load(true[scene])])) for scene in true)
    found = {name: found[name] for name in ("photo, untouched", "colour transfer", "painted", *(also or {}))}

    scenes = list(true)
    chosen = [scenes[index * len(scenes) // min(rows, len(scenes))] for index in range(min(rows, len(scenes)))]
    sheet = label_sheet({"photo": untouched, "painted": files["painted"], "truth": true}, chosen)
    save(sheet, to / "pictures.png")
    write_text(to / "truth.json", json.dumps(summary(found, "painted"), indent=2) + "\n")
    print(f"look first: {to / 'pictures.png'} (photo | painted | truth)\n")
    print(table(found, "painted"))
