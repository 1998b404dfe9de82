"""The pictures of a card, as small files that go into its page."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from cyclestyle.evaluation.behaviour import Copy
from cyclestyle.evaluation.measures import COLOUR, PAINTED, PHOTOS
from cyclestyle.evaluation.measuring import ALSO
from cyclestyle.evaluation.pictures import View
from cyclestyle.evaluation.sheet import titled

LARGEST, SHEET_SIDE, QUALITY = 256, 192, 90
"""Side in pixels and JPEG quality of pictures in the page: to look at, not to measure."""


class Exhibits:
    """Pictures by the keys that the card names."""

    def __init__(self, views: Mapping[str, Sequence[View]]) -> None:
        self.views, self.files = views, dict[str, bytes]()

    def worst(self, measure: str, places: Sequence[tuple[int, float]]) -> dict[str, Any]:
        """The painted pictures farthest from their photos."""
        shown = []
        for number, (place, value) in enumerate(places):
            photo = self._show(f"worst-photo-{number}", self.views[PHOTOS][place])
            painted = self._show(f"worst-painted-{number}", self.views[PAINTED][place])
            name = self.views[PAINTED][place].item.name
            shown.append({"name": name, "value": value, "photo": photo, "painted": painted})
        return {"measure": measure, "pictures": shown}

    def copies(self, found: Sequence[Copy]) -> list[dict[str, Any]]:
        """Painted pictures beside the training paintings nearest to them."""
        shown = []
        for number, one in enumerate(found):
            view = self.views[PAINTED][one.painted]
            painted = self._show(f"copy-painted-{number}", view)
            nearest = self._show(f"copy-nearest-{number}", self.views["paintings"][one.painting])
            shown.append({"name": view.item.name, "painted": painted, "nearest": nearest, "distance": one.distance})
        return shown

    def spectra(self, found: Sequence[tuple[str, Image.Image, str]]) -> list[dict[str, str]]:
        """Heat maps, without loss: dots are what is looked for."""
        shown = []
        for number, (name, picture, sentence) in enumerate(found):
            coded = io.BytesIO()
            picture.save(coded, "PNG", optimize=True)
            self.files[f"spectrum-{number}"] = coded.getvalue()
            shown.append({"name": name, "picture": f"spectrum-{number}", "sentence": sentence})
        return shown

    def sheet(self, rows: int, names: Mapping[str, str]) -> str:
        """The same photos in every method, side by side, under their names; in two blocks. Returns its key."""
        columns = [PHOTOS, COLOUR, PAINTED, *(key for key in self.views if key.startswith(ALSO))]
        there = len(self.views[PHOTOS])
        shown = min(rows, there)
        places = [index * there // shown for index in range(shown)]
        cells = [[small(self.views[key][place], SHEET_SIDE) for key in columns] for place in places]
        self.files["sheet"] = jpeg(titled(cells, [names[key] for key in columns], blocks=2))
        return "sheet"

    def _show(self, key: str, view: View) -> str:
        self.files[key] = jpeg(small(view))
        return key


def small(view: View, side: int = LARGEST) -> Image.Image:
    """A picture as it was measured, scaled down where it is larger than `side`."""
    picture = view.picture()
    return picture if picture.width <= side else picture.resize((side, side), Image.Resampling.LANCZOS)


def jpeg(picture: Image.Image) -> bytes:
    """A picture's file, to look at."""
    coded = io.BytesIO()
    picture.save(coded, "JPEG", quality=QUALITY, subsampling=0)
    return coded.getvalue()
