"""Where the pictures of each style come from."""

from typing import Literal, NamedTuple

Style = Literal["monet", "vangogh", "cezanne", "ukiyoe"]

COMPETITION = "gan-getting-started"
RULES = f"https://www.kaggle.com/competitions/{COMPETITION}/rules"
SETTINGS = "https://www.kaggle.com/settings"
INSTALL = "pip install 'cyclestyle[kaggle]'"
AUTHORS = "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets/"
"""Where the authors of CycleGAN keep the pictures of their paper."""

ZIP_BYTES = 400_000_000
"""Of the competition's zip, about. Twice that is needed while it is unpacked, which is without its TFRecords."""

USUAL = {"monet_jpg": (300, 300), "photo_jpg": (7_028, 7_100)}
"""How many pictures people find in the competition's folders: its page says 7,028 photos, counted are 7,038."""


class Source(NamedTuple):
    """Where one style's pictures are."""

    address: str
    """Of the page or the file."""
    zip: str
    """What the file is called there."""
    on_kaggle: bool


SOURCES: dict[Style, Source] = {
    "monet": Source(f"https://www.kaggle.com/competitions/{COMPETITION}/data", f"{COMPETITION}.zip", True),
    "vangogh": Source(f"{AUTHORS}vangogh2photo.zip", "vangogh2photo.zip", False),
    "cezanne": Source(f"{AUTHORS}cezanne2photo.zip", "cezanne2photo.zip", False),
    "ukiyoe": Source(f"{AUTHORS}ukiyoe2photo.zip", "ukiyoe2photo.zip", False),
}


def not_on_kaggle(style: Style) -> str:
    """Why there is nothing to be downloaded for a style, and what to do instead."""
    source = SOURCES[style]
    return (
        f"Kaggle has no competition for {style}: download the CycleGAN authors' pictures from {source.address} in a "
        f"browser, then type `cyclestyle download {style} --from-zip {source.zip}`"
    )


def unusual(counts: dict[str, int]) -> list[str]:
    """Folders of the competition that hold another number of pictures than people find, each in words."""
    return [
        f"{counts[folder]:,} in {folder}/ (usual: {fewest:,}{f' to {most:,}' if most > fewest else ''})"
        for folder, (fewest, most) in USUAL.items()
        if folder in counts and not fewest <= counts[folder] <= most
    ]
