"""`cyclestyle download`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cyclestyle.data.fetching.sources import Style
from cyclestyle.stopping import StopRequest


def download(
    style: Style = "monet",
    *,
    to: Annotated[Path | None, Parameter(show_default=False)] = None,
    from_zip: Path | None = None,
    from_folder: Path | None = None,
    keep_zip: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Bring the pictures of a style here: downloaded by the kaggle client, unpacked, opened and counted.

    `download monet` takes those of the Kaggle competition gan-getting-started, signed in as the kaggle client is, and
    needs its rules accepted in a browser. What was stopped goes on at the byte when the same command is given again;
    what is there already is left as it is. The folder appears when everything is in it, and not before.

    For the other styles the pictures of CycleGAN's authors can be handed over with `--from-zip` or `--from-folder`.

    Parameters
    ----------
    style
        Whose paintings.
    to
        Folder for the pictures; `data/monet` for monet. What is in it afterwards is in the layout in which it came:
        `monet_jpg/` + `photo_jpg/`, `trainA/` + `trainB/` or `photos/` + `paintings/`.
    from_zip
        A zip that is here already, in one of these layouts, instead of a download. It is left where it is.
    from_folder
        A folder in one of these layouts, which is copied.
    keep_zip
        Put what was downloaded beside the folder, instead of removing it.
    """
    if from_zip is not None and from_folder is not None:
        raise ValueError("--from-zip and --from-folder were given; give one of them")
    target = to or Path("data") / style
    with StopRequest() as stop:  # before what takes seconds to import
        from cyclestyle.data.fetching.arriving import bring
        from cyclestyle.data.fetching.verifying import there_already

        found = there_already(target)
        if found is not None:
            print(f"{target} is there already: {found.told}")
        else:
            found = bring(style, target, stop, from_zip=from_zip, from_folder=from_folder, keep_zip=keep_zip)
            for note in found.notes():
                print(f"note: {note}", file=sys.stderr)
            print(f"{target}: {found.told}")
    settings = "monet" if style == "monet" else "vangogh"
    own = "" if style == settings else f" --run runs/{style}"
    folder = "" if target == Path("data") / settings else f" --data.folder {shlex.quote(str(target))}"
    print(f"next: cyclestyle check {shlex.quote(str(target))}")
    print(f"then: accelerate launch -m cyclestyle train --config configs/{settings}.toml{own}{folder}")
