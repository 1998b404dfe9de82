"""A folder of scenes: training sets that share none, and a test set in pairs."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from cyclestyle.data.scenes.description import Scene, describe
from cyclestyle.data.scenes.painting import paint_truth
from cyclestyle.data.scenes.photograph import photograph
from cyclestyle.files import write_text, written_aside

RECORD = "scenes.json"
SUBFOLDERS = ("photos", "paintings", "test/photos", "test/paintings")
SETS = 3
"""Scenes are dealt out to training photos, training paintings and the test set in turn, so that no set shares one with
another whatever their sizes, and a larger set begins with the smaller one."""


@dataclass(frozen=True)
class SceneFolder:
    """What is in a folder of scenes; the same values give the same bytes."""

    seed: int
    size: int
    """Height and width in pixels."""
    photos: int
    paintings: int
    test: int


@dataclass(frozen=True)
class _Drawing:
    """One scene to be drawn once or twice."""

    scene: Scene
    size: int
    photo: Path | None
    painting: Path | None


def write_scenes(to: Path, wanted: SceneFolder, *, processes: int = 1) -> Iterator[int]:
    """Draw the pictures into `photos/`, `paintings/` and `test/` below `to`; yields the number of scenes done.

    `scenes.json` is written last and says that the folder is complete; a complete folder is left as it is.
    Raises ValueError if `to` holds something else.
    """
    record = to / RECORD
    drawings = list(_drawings(to, wanted))
    files = {path for drawing in drawings for path in (drawing.photo, drawing.painting) if path}
    if record.exists() and _recorded(record) != asdict(wanted):
        raise ValueError(f"{to} holds other scenes ({record}); remove it, or choose another folder with --to")
    for path in (path for folder in SUBFOLDERS for path in (to / folder).glob("[!.]*")):
        if path not in files:
            raise ValueError(f"{path} is not one of these scenes; remove it, or choose another folder with --to")
    if record.exists() and all(path.exists() for path in files):
        yield len(drawings)
        return
    for folder in {path.parent for path in files}:
        folder.mkdir(parents=True, exist_ok=True)
    yield from _in_parallel(_draw, drawings, processes)
    write_text(record, json.dumps(asdict(wanted), indent=2) + "\n")


def _recorded(record: Path) -> object:
    try:
        return json.loads(record.read_bytes())
    except ValueError:  # damaged: other scenes than any that are wanted
        return None


def _drawings(to: Path, wanted: SceneFolder) -> Iterator[_Drawing]:
    def scene(number: int, of: int) -> Scene:
        return describe(wanted.seed, number * SETS + of)

    def file(folder: str, number: int) -> Path:
        return to / folder / f"scene-{number:05d}.png"

    for number in range(wanted.photos):
        yield _Drawing(scene(number, 0), wanted.size, file("photos", number), None)
    for number in range(wanted.paintings):
        yield _Drawing(scene(number, 1), wanted.size, None, file("paintings", number))
    for number in range(wanted.test):
        pair = file("test/photos", number), file("test/paintings", number)
        yield _Drawing(scene(number, 2), wanted.size, *pair)


def _draw(drawing: _Drawing) -> None:
    for path, render in ((drawing.photo, photograph), (drawing.painting, paint_truth)):
        if path is not None:
            picture = Image.fromarray(render(drawing.scene, drawing.size))
            with written_aside(path) as aside:
                # Stored, not compressed: how deflate compresses differs between libraries, and the bytes must not.
                picture.save(aside, compress_level=0)


def _in_parallel(work: Callable[[_Drawing], None], drawings: list[_Drawing], processes: int) -> Iterator[int]:
    if processes == 1:
        for done, drawing in enumerate(drawings, start=1):
            work(drawing)
            yield done
        return
    # Spawned, not forked: the parent may have threads.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for done, _ in enumerate(pool.map(work, drawings, chunksize=8), start=1):
            yield done
