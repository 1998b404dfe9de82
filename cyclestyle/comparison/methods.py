"""Which methods are compared: words on a command line, runs and folders, each under a name of its own."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cyclestyle.evaluation.measures import NAMES

Kind = Literal["photo", "reinhard", "styling", "run", "folder"]

PHOTO, REINHARD = "photo", "reinhard"
USUAL = (PHOTO, REINHARD, "gatys-nearest")
"""What is compared unless it is said: the floor, the least that could be called a style, and the classic."""

RESERVED = frozenset({*NAMES, *(name.lower() for name in NAMES.values()), "paintings", "held-out", "floor", "ceiling"})
"""What cards and comparisons call rows of their own."""

TOLD: dict[Kind, str] = {
    "photo": "the photos, untouched",
    "reinhard": "colour transfer (Reinhard et al. 2001) to the colours of all paintings",
    "styling": "every picture optimised by itself",
    "run": "a painter: one pass of a network for each picture",
    "folder": "pictures that were given",
}
LEARNS: dict[Kind, bool | None] = {"photo": False, "reinhard": False, "styling": False, "run": True, "folder": None}
"""Whether a method has to be trained before it makes its first picture; None: nobody told."""


@dataclass(frozen=True)
class Method:
    """One column of the comparison."""

    name: str
    """Of its folder and its row; no two share it, whatever their case."""
    kind: Kind
    source: Path | None = None
    """The run, or the folder of pictures."""
    recipe: str = ""
    """Of a styling method: its name there."""
    target: str = ""
    """Of a styling method: which paintings are the style; empty: as the method has it."""


def split(words: Iterable[str]) -> list[str]:
    """The parts of words with commas in them, without blanks; each once, in the order of its first appearance."""
    parts = (part.strip() for word in words for part in word.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def choose(
    words: Sequence[str],
    runs: Sequence[str],
    also: Mapping[str, Path],
    recipes: Iterable[str],
    targets: Sequence[str],
) -> list[Method]:
    """The methods of a comparison; the untouched photos come first.

    Args:
        words: photo, reinhard, or METHOD[-TARGET] of the styling methods; with commas or one by one.
        runs: run folders or painters; with commas or one by one.
        also: folders of pictures by their names.
        recipes: the styling methods that there are.
        targets: what they can take for the style.

    Raises:
        ValueError: there are no methods, one is not known, or a name is taken.
    """
    chosen = [_named(word, sorted(recipes), targets) for word in split(words)]
    chosen.sort(key=lambda method: method.kind != "photo")
    taken = {method.name.lower() for method in chosen} | RESERVED
    for run in map(Path, split(runs)):
        name = _free(_plain(_called(run)), taken)
        taken.add(name.lower())
        chosen.append(Method(name, "run", run))
    for name, folder in also.items():
        if _plain(name) != name:
            raise ValueError(f"--also.{name} is to name a folder; use letters, digits, points, _ and - alone")
        if name.lower() in taken:
            raise ValueError(
                f"--also.{name} has the name of another method, or of a row that cards have; choose another"
            )
        taken.add(name.lower())
        chosen.append(Method(name, "folder", folder))
    if not chosen:
        raise ValueError("there is nothing to compare; name some with --methods, --runs or --also.NAME")
    return chosen


def _named(word: str, recipes: Sequence[str], targets: Sequence[str]) -> Method:
    if word in {PHOTO, REINHARD}:
        return Method(word, "photo" if word == PHOTO else "reinhard")
    if word in recipes:
        return Method(word, "styling", recipe=word)
    recipe, _, target = word.rpartition("-")
    if recipe in recipes and target in targets:
        return Method(word, "styling", recipe=recipe, target=target)
    known = [PHOTO, REINHARD, *recipes, *(f"{one}-{target}" for one in recipes for target in targets)]
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.0)[0]
    raise ValueError(
        f"{word!r} is not a method; the nearest is {near}; there are {PHOTO}, {REINHARD} and {', '.join(recipes)}, the "
        f"latter also with -{', -'.join(targets)}"
    )


def _called(run: Path) -> str:
    """What people call a run: its folder, or the painter's file unless that has the name which all have."""
    named = run.absolute()
    return named.parent.name if named.name in {"paint.safetensors", "unpaint.safetensors"} else named.stem


def _plain(name: str) -> str:
    """A name that can be a folder's everywhere."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "run"


def _free(name: str, taken: set[str]) -> str:
    """The name, or where it is taken the name with the first number that is free."""
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return name if name.lower() not in taken else next(one for one in numbered if one.lower() not in taken)
