"""What is to be said of the files, each thing once."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from functools import reduce

from cyclestyle.comparison.together import Gathered
from cyclestyle.comparison.winners import listed
from cyclestyle.evaluation.measuring import Sets, told_of
from cyclestyle.evaluation.pictures import PictureSet


def notes_of(gathered: Gathered) -> list[str]:
    """What about the files may move the numbers, with the words that are used here."""
    first, *_ = gathered.keys
    # of photos that are not compared there is no painted picture; those that cannot be read are told elsewhere
    found = told_of(_without_copies(gathered.sets), gathered.terms)
    told = (note for note in found if "have no painted picture" not in note)
    words = {"painted pictures": f"pictures of {first}", "--size chooses": "--side chooses"}
    return merged(
        [reduce(lambda note, word: note.replace(*word, 1), words.items(), note) for note in told], gathered.keys
    )


def _without_copies(sets: Sets) -> Sets:
    """The sets, whose methods say nothing of files that cannot be read because their photos cannot be."""
    broken = {bad.name for bad in sets.photos.unread}
    return replace(sets, made={key: _without(one, broken) for key, one in sets.made.items()})


def _without(pictures: PictureSet, names: Set[str]) -> PictureSet:
    return replace(pictures, unread=tuple(bad for bad in pictures.unread if bad.name not in names))


def unsaid(notes: Sequence[str], photos: PictureSet) -> list[str]:
    """Each sentence once, without those that name a photo of which the set itself says that it cannot be read."""
    said = {bad.reason for bad in photos.unread}
    return [note for note in dict.fromkeys(notes) if note not in said]


def merged(notes: Sequence[str], names: Iterable[str]) -> list[str]:
    """Sentences that say the same of `pictures of NAME` for several methods as one, where the first of them stood."""
    found: dict[tuple[str, str], list[str]] = {}
    for note in notes:
        for name in names:
            before, of, after = note.partition(f" pictures of {name} ")
            if of:
                found.setdefault((before, after), []).append(name)
                break
        else:
            found.setdefault((note, ""), [])
    return [f"{before} pictures of {_each(of)} {after}" if of else before for (before, after), of in found.items()]


def _each(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"each of {listed(names, 'and')}"
