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

    true = matched(truth, truth)
    scenes = list(true)
    methods = {
        "painted": matched(painted, truth),
        **{name: matched(path, truth) for name, path in (also or {}).items()},
    }
    untouched = matched(photos, truth)
    palette = pooled_lab_statistics(to_images([load(path)]) for path in list_pictures(paintings))

    def images(of: dict[str, Path], scene: str):
        return to_images([load(of[scene])])

    found = {
        "photo, untouched": nearness((images(untouched, scene), images(true, scene)) for scene in scenes),
        "colour transfer": nearness(
            (reinhard(images(untouched, scene), palette), images(true, scene)) for scene in scenes
        ),
    }
    for name, folder in methods.items():
        found[name] = nearness((images(folder, scene), images(true, scene)) for scene in scenes)

    chosen = [scenes[index * len(scenes) // min(rows, len(scenes))] for index in range(min(rows, len(scenes)))]
    columns = {"photo": untouched, "painted": methods["painted"], "truth": true}
    save(label_sheet(columns, chosen), to / "pictures.png")
    write_text(to / "truth.json", json.dumps(summary(found, "painted"), indent=2) + "\n")
    print(f"look first: {to / 'pictures.png'} (photo | painted | truth)\n")
    print(table(found, "painted"))
