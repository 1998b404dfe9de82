"""Where caches of pictures lie, how much they may take, and who makes them.

One process of a machine makes a cache while the others wait for it. Where there can be none (a full disk, a folder that
cannot be written, too many pictures), that is said in a sentence, and pictures are loaded as they are needed: what is
learnt does not depend on it.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cyclestyle.config import DataSettings, cache_limit
from cyclestyle.data.augment import Augmentation
from cyclestyle.data.cache import Cache, named, write_cache
from cyclestyle.data.folders import Sets
from cyclestyle.files import IN_PROGRESS, held, reason
from cyclestyle.images import header
from cyclestyle.progress import Progress

FOLDER_VARIABLE = "CYCLESTYLE_CACHE"
USUAL_LIMIT = 4 * 10**9
"""Bytes that all caches together may take, unless told otherwise; and no more than half of what is free."""
LEFT_OVER = 3600
"""Seconds after which a file that nobody finished is taken to be left over from a process that was killed."""
SECONDS_BETWEEN_TRIES = 0.2


class _Hurried(Exception):  # noqa: N818 - not an error
    """Somebody asked to stop while pictures were being cached."""


def cache_folder() -> Path:
    """CYCLESTYLE_CACHE; else `cyclestyle/pictures` where the system keeps caches. Raises OSError without a home."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given)
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given, "cyclestyle", "pictures")
    try:
        return Path.home() / ".cache" / "cyclestyle" / "pictures"
    except RuntimeError as error:
        raise OSError(f"there is no home folder ({error}); set {FOLDER_VARIABLE}") from None


def open_caches(
    sets: Sets, settings: DataSettings, say: Callable[[str], None], hurried: Callable[[], bool]
) -> tuple[Cache, Cache] | None:
    """The photos and the paintings as they are learnt from, made if need be; None if they are not to be cached.

    Why not is told with `say`. Once it is `hurried`, nothing more is made, and half of a cache is left nowhere.
    """
    if settings.cache == "off":
        return None
    try:
        folder = cache_folder()
        photos, paintings = _all_in(folder, (sets.photos, sets.paintings), settings, say, hurried)
    except _Hurried:
        return None
    except (OSError, ValueError) as error:
        say(f"pictures are not cached but loaded each time: {reason(error)}")
        return None
    return photos, paintings


def _all_in(
    folder: Path,
    wanted: tuple[Sequence[Path], ...],
    settings: DataSettings,
    say: Callable[[str], None],
    hurried: Callable[[], bool],
) -> list[Cache]:
    augmentation = Augmentation(settings)
    places = {folder / named(paths, augmentation): paths for paths in wanted}
    found = _there(places)
    if len(found) < len(places):
        need = sum(_bytes_of(paths, augmentation) for path, paths in places.items() if path not in found)
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder, say, hurried):
            found = _there(places)  # another process may have made them
            _make_room(folder, set(places), need + sum(len(cache.bytes) for cache in found.values()), settings.cache)
            for path in places.keys() - found.keys():
                _make(path, places[path], settings, hurried)
                found[path] = Cache(path)
    for path in places:
        with suppress(OSError):  # a folder that can only be read
            os.utime(path)  # what was used last is removed last
    return [found[folder / named(paths, augmentation)] for paths in wanted]


def _there(places: dict[Path, Sequence[Path]]) -> dict[Path, Cache]:
    """The caches that are there, whole, and hold what the files hold."""
    found: dict[Path, Cache] = {}
    for path, paths in places.items():
        cache = _opened(path)
        if cache is not None and cache.fits(paths):
            found[path] = cache
    return found


def _opened(path: Path) -> Cache | None:
    try:
        return Cache(path)
    except (OSError, ValueError):  # not there, or damaged: it is made anew
        return None


def _make(path: Path, paths: Sequence[Path], settings: DataSettings, hurried: Callable[[], bool]) -> None:
    with Progress(f"caching {paths[0].parent.name}", len(paths), unit="pictures") as progress:

        def seen(count: int) -> None:
            if hurried():
                raise _Hurried
            progress.advance(count)

        before = _opened(path)
        write_cache(path, paths, settings, before if before is not None and len(before) == len(paths) else None, seen)


def _bytes_of(paths: Sequence[Path], augmentation: Augmentation) -> int:
    """What their pixels will take."""
    if augmentation.scaled_to is not None:
        return 3 * augmentation.scaled_to**2 * len(paths)
    total = 0
    for path in paths:
        with suppress(Exception):  # of whatever kind: it cannot be read and takes nothing
            total += 3 * header(path).pixels
    return total


def _make_room(folder: Path, kept: set[Path], need: int, limit: str) -> None:
    """Remove what was used longest ago until all stays below the limit. Raises ValueError if it cannot."""
    sizes: dict[Path, tuple[float, int]] = {}
    for path in folder.iterdir():
        with suppress(OSError):
            status = path.stat()
            if path.name.startswith(IN_PROGRESS) and time.time() - status.st_mtime > LEFT_OVER:
                path.unlink()
            elif path.suffix == ".pixels" and not path.name.startswith("."):
                sizes[path] = status.st_mtime, status.st_size
    held_now = sum(size for _, size in sizes.values())
    free = shutil.disk_usage(folder).free + held_now
    bound = cache_limit(limit)
    if need > (bound or min(USUAL_LIMIT, free // 2)):
        asked = f"--data.cache {bound / 1e9:g}GB" if bound else "--data.cache auto"
        raise ValueError(
            f"they take {need / 1e9:.1f} GB, more than {asked} allows here ({free / 1e9:.1f} GB are free); "
            f"give --data.cache {need / 1e9 + 0.1:.1f}GB, or a larger disk with {FOLDER_VARIABLE}"
        )
    others = sum(size for path, (_, size) in sizes.items() if path not in kept)
    for path in sorted(sizes.keys() - kept, key=lambda path: sizes[path]):
        if need + others <= (bound or min(USUAL_LIMIT, free // 2)):
            break
        with suppress(OSError):  # Windows does not remove what another process reads
            path.unlink()
            others -= sizes[path][1]


@contextmanager
def _alone(folder: Path, say: Callable[[str], None], hurried: Callable[[], bool]) -> Iterator[None]:
    """Hold the folder; wait for another process that does."""
    told = False
    while True:
        with held(folder / "lock") as mine:
            if mine:
                yield
                return
        if not told:
            say(f"another process caches pictures in {folder}; waiting for it")
            told = True
        if hurried():
            raise _Hurried
        time.sleep(SECONDS_BETWEEN_TRIES)
