"""A card of what is in the zip, as far as networks' weights are at hand; nothing is downloaded for it."""

import os
import tempfile
import zipfile
from collections.abc import Sequence
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from cyclestyle.competing.mounted import find_files

SUFFIXES = {".safetensors", ".pth", ".pt"}
NAMES = {
    "vgg19": ("vgg19*",),
    "inception": ("*inception*",),
    "alexnet": ("alexnet*",),
    "lpips-alex": ("lpips*", "alex"),
}
"""How files of weights may be called, in lower case and without ending: those of networks/weights.py."""

SETS = 4
"""Painted pictures, photos, photos with transferred colours, paintings: each is looked at."""
PACE, PACE_ON_A_GPU = 0.5, 20.0
"""Pictures a second, by all networks together; a guess on the low side."""
FEWEST = 50
"""Pictures of a set below which a card would say nothing."""


class Weights(NamedTuple):
    """What a card can be made with."""

    folder: Path
    left_out: tuple[str, ...]
    """Networks without weights, as `cyclestyle evaluate --leave-out` calls them."""


def find_weights(given: Path | None, mounted: Path) -> Weights | None:
    """Where weights are: in the folder given, else in what is mounted. None if a card cannot be made with them."""
    files = find_files(given or mounted, SUFFIXES)
    named = {kind: [path for path in files if _is(path, patterns)] for kind, patterns in NAMES.items()}
    if not named["vgg19"]:
        return None
    heads = named["lpips-alex"] or find_spec("lpips") or find_spec("torchmetrics")
    lacking = [] if named["inception"] else ["inception"]
    lacking += [] if named["alexnet"] and heads else ["lpips"]
    used = [path.parent for paths in named.values() for path in paths]
    return Weights(given or Path(os.path.commonpath(used)), tuple(lacking))


def pictures_in(seconds: float, *, cpu: bool) -> int:
    """Of each set, how many can be looked at in so much time; 0 where it is not worth it."""
    count = int(seconds * (PACE if cpu else PACE_ON_A_GPU) / SETS)
    return count if count >= FEWEST else 0


def command(painted: Path, sets: Sequence[Path], to: Path, weights: Weights, at_most: int) -> list[str]:
    """What makes the card. `sets`: the folders of the photos and of the paintings."""
    photos, paintings = map(str, sets)
    words = ["evaluate", "--painted", str(painted), "--photos", photos, "--paintings", paintings, "--to", str(to)]
    words += ["--weights", str(weights.folder), "--at-most", str(at_most)]
    return words + [word for name in weights.left_out for word in ("--leave-out", name)]


def unpacked(archive: Path) -> "tempfile.TemporaryDirectory[str]":
    """What is in a zip, in a folder that goes away; the zip was written here, and has been read back."""
    folder = tempfile.TemporaryDirectory(prefix="cyclestyle-")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder.name)
    return folder


def _is(path: Path, patterns: Sequence[str]) -> bool:
    return any(fnmatch(path.stem.lower(), pattern) for pattern in patterns)
