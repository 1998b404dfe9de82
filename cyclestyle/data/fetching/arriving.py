"""How pictures come into a data folder: brought beside it, verified there, then renamed in one step.

What has arrived so far lies in a hidden folder in the target's parent, `.monet.arriving` for `monet`, on the same disk.
It goes when all is done; a part of the zip stays there between runs.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cyclestyle.data.fetching.client import come_so_far, fetch, throw_away
from cyclestyle.data.fetching.sources import SOURCES, ZIP_BYTES, Style, not_on_kaggle
from cyclestyle.data.fetching.unpacking import Contents, look_into, unpack_into
from cyclestyle.data.fetching.verifying import Verified, layout_of, pictures_in, record, verify
from cyclestyle.files import held, reason
from cyclestyle.progress import Progress
from cyclestyle.stopping import Stopped, StopRequest

DEEPEST = 3
"""Folders below the given one in which both sets are looked for."""
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Place:
    """The folder that is to be filled, and the hidden one beside it."""

    target: Path

    @property
    def arriving(self) -> Path:
        return self.target.parent / f".{self.target.name}.arriving"

    @property
    def unpacked(self) -> Path:
        return self.arriving / "unpacked"

    @property
    def whole(self) -> Path:
        """The zip, once the client has said that it is all there."""
        return self.arriving / "whole.zip"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make the hidden folder, for one process at a time; afterwards only a zip, or a part of one, is left in it."""
        try:
            if os.path.ismount(self.target):
                raise ValueError(f"{self.target} is where a disk is mounted; choose a folder in it with --to")
            self.arriving.mkdir(parents=True, exist_ok=True)
            with held(self.arriving / "lock") as alone:
                if not alone:
                    raise ValueError(f"another process is bringing pictures to {self.target}; wait until it has ended")
                shutil.rmtree(self.unpacked, ignore_errors=True)  # of a run that was killed
                try:
                    yield
                finally:
                    shutil.rmtree(self.unpacked, ignore_errors=True)
                    if {path.name for path in self.arriving.iterdir()} <= {"lock"}:
                        shutil.rmtree(self.arriving, ignore_errors=True)
        except OSError as error:
            raise _told(error, self.target) from None


def bring(
    style: Style,
    target: Path,
    stop: StopRequest,
    *,
    from_zip: Path | None = None,
    from_folder: Path | None = None,
    keep_zip: bool = False,
) -> Verified:
    """Fill a folder that is not there, or empty, with the pictures of a style; see the module's first lines.

    Raises ValueError or OSError in one sentence, Stopped where `stop` asks; the folder is then as it was.
    """
    place = Place(target.resolve())
    if from_folder is not None:
        with place.entered():
            return _finished(place, target, f"folder {from_folder}", _copy(from_folder, place, stop))
    if from_zip is not None:
        contents = look_into(from_zip)
        with place.entered():
            return _finished(place, target, f"zip {from_zip.name}", _unpack(contents, place, stop))
    if not SOURCES[style].on_kaggle:
        raise ValueError(not_on_kaggle(style))
    with place.entered():
        return _downloaded(style, target, place, stop, keep_zip=keep_zip)


def _downloaded(style: Style, target: Path, place: Place, stop: StopRequest, *, keep_zip: bool) -> Verified:
    source, kept = SOURCES[style], place.target.parent / SOURCES[style].zip
    if not place.whole.exists():
        here, whole = come_so_far(place.arriving)
        _need(2 * (whole or ZIP_BYTES) - here, place, f"the zip and the pictures ({ZIP_BYTES / 1e9:.1f} GB each)")
        fetch(place.arriving, stop).replace(place.whole)
        throw_away(place.arriving)
    try:
        verified = _unpack(look_into(place.whole), place, stop)
        brought = _finished(place, target, source.address, verified)
    except ValueError as error:
        # A zip that is not what it should be: the next one may be. Not for a lack of room, an OSError.
        if keep_zip and not kept.exists():
            place.whole.replace(kept)
            raise ValueError(f"{error} (kept: {kept})".replace(str(place.whole), source.zip)) from None
        place.whole.unlink(missing_ok=True)
        told = str(error).replace(str(place.whole), source.zip)
        raise ValueError(f"{told}; it was removed, and the same command downloads it again") from None
    if keep_zip and not kept.exists():
        place.whole.replace(kept)
    place.whole.unlink(missing_ok=True)
    return brought


def _unpack(contents: Contents, place: Place, stop: StopRequest) -> Verified:
    _need(contents.bytes, place, "the pictures")
    place.unpacked.mkdir()
    with Progress("unpacking", len(contents.pictures), unit="pictures") as progress:
        unpack_into(contents, place.unpacked, advance=progress.advance, check=_watching(stop))
        if contents.others:
            named = ", ".join(f"{count:,} in {folder}" for folder, count in sorted(contents.others.items())[:4])
            progress.say(f"note: left out, being no pictures of the two sets: {named}")
    return _verified(place, stop)


def _copy(folder: Path, place: Place, stop: StopRequest) -> Verified:
    base = _both_sets_below(folder)
    _, roots = layout_of(base)
    pairs = [(path, Path(name) / path.relative_to(root)) for name, root in roots.items() for path in pictures_in(root)]
    _need(sum(path.stat().st_size for path, _ in pairs), place, "the pictures")
    check = _watching(stop)
    with Progress("copying", len(pairs), unit="pictures") as progress:
        for path, to in pairs:
            check()
            (place.unpacked / to).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place.unpacked / to)
            progress.advance()
    return _verified(place, stop)


def _both_sets_below(folder: Path) -> Path:
    """The folder that holds both sets: the given one, or the nearest below it, in which notebooks put theirs."""
    if not folder.is_dir():
        hint = "; give a zip with --from-zip" if folder.is_file() else ""
        raise FileNotFoundError(f"no such folder: {folder}{hint}")
    refused: FileNotFoundError | None = None
    level = [folder]
    for _ in range(DEEPEST + 1):
        for place in level:
            try:
                layout_of(place)
                return place
            except FileNotFoundError as error:
                refused = refused or error
        level = sorted(path for place in level for path in place.iterdir() if _is_open(path))
    zips = sorted(folder.glob("*.zip"))
    hint = f"; its {zips[0].name} can be given with --from-zip" if zips else ""
    raise FileNotFoundError(str(refused).partition("; or give")[0] + hint)


def _is_open(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_dir() and os.access(path, os.R_OK | os.X_OK)


def _verified(place: Place, stop: StopRequest) -> Verified:
    check, total = _watching(stop), sum(1 for path in place.unpacked.rglob("*") if path.is_file())
    with Progress("opening", total, unit="pictures") as progress:

        def advance(count: int) -> None:
            check()
            progress.advance(count)

        return verify(place.unpacked, advance=advance)


def _finished(place: Place, target: Path, source: str, verified: Verified) -> Verified:
    """Everything is there: say so in it, and put it into place."""
    record(verified, source)
    if place.target.is_dir():
        place.target.rmdir()  # empty: that was looked at; Windows renames onto no folder
    place.unpacked.replace(place.target)
    bad = tuple(one._replace(path=target / one.path.relative_to(place.unpacked)) for one in verified.unusable)
    return Verified(target, verified.counts, verified.sizes, bad)


def _watching(stop: StopRequest) -> Callable[[], None]:
    def check() -> None:
        if stop.asked:
            raise Stopped(f"stopped ({stop.asked}): nothing half-written is left; the same command begins here again")

    return check


def _need(bytes_needed: int, place: Place, what: str) -> None:
    """Raise OSError where a disk has too little room, before it is full."""
    free = shutil.disk_usage(place.arriving).free
    if free < bytes_needed:
        raise OSError(
            f"{place.target.parent} has {free / 1e9:.2f} GB of free disk, and {what} take {bytes_needed / 1e9:.2f}: "
            "free some room, or choose another disk with --to"
        )


def _told(error: OSError, target: Path) -> Exception:
    """In words that say where; the system's alone name a file of ours at best."""
    if error.errno is None:  # one of our own sentences
        return error
    if error.errno in FULL:  # the file that is named may be the one that was to be copied
        return OSError(
            f"{target} cannot be filled: {error.strerror}; free some room, or choose another place with --to"
        )
    elsewhere = error.filename is not None and target.parent not in Path(str(error.filename)).parents
    advice = "" if elsewhere else "; choose another place with --to"
    return OSError(f"{target} cannot be filled: {reason(error)}{advice}")
