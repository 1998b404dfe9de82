"""`-` for a file: a photo from standard input, a painting to standard output."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cyclestyle.data.jobs import Job, jobs_for, names_a_painting

PIPE = Path("-")


@contextmanager
def jobs_and_pipes(photos: Path, to: Path, suffix: str) -> Iterator[list[Job]]:
    """The jobs of `jobs_for`. Of what is a pipe, a file in a folder of its own stands in for it meanwhile.

    The painting goes to standard output when the block ends without an error.

    Raises:
        ValueError: several processes, a folder of photos, or a terminal where a picture should come from or go to;
            else, and FileNotFoundError, as `jobs_for` does.
    """
    if PIPE not in (photos, to):
        yield jobs_for(photos, to, suffix)
        return
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("- is one picture, and one process paints it; leave `accelerate launch` out, or name files")
    if photos == PIPE and sys.stdin.isatty():
        raise ValueError("nothing is piped in; type `cyclestyle translate RUN - --to painting.png < photo.jpg`")
    if to == PIPE and photos.is_dir():
        raise ValueError(
            f"--to - is for one painting, and {photos} is a folder; name one photo, or give a folder as --to"
        )
    if to == PIPE and sys.stdout.isatty():
        raise ValueError("a picture is nothing for a terminal; add `> painting.png`, or give --to a name")
    with tempfile.TemporaryDirectory(prefix="cyclestyle-") as folder:
        place = Path(folder)
        try:
            photo = _read(place / "standard input") if photos == PIPE else photos
            painting = place / f"standard output{suffix}" if to == PIPE else _named(photos, to, suffix)
            yield jobs_for(photo, painting, suffix)
        except ValueError as error:  # people know it by its name alone
            raise ValueError(str(error).replace(f"{place}{os.sep}", "")) from None
        if to == PIPE and painting.exists():
            with painting.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()


def _read(path: Path) -> Path:
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def _named(photos: Path, to: Path, suffix: str) -> Path:
    """A painting's file; what came without a name is given one."""
    return to if photos != PIPE or names_a_painting(to, single=True) else to / f"painting{suffix}"
