"""What is in the sets of pictures, told before training: what can be used, what cannot, and what is worth knowing."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cyclestyle.data.inspection import Unusable, each, plain, sort_out
from cyclestyle.data.likeness import Group, groups, leaks
from cyclestyle.data.looks import Looks, look

SHOWN = 10
"""Names that are shown of each finding."""

PAIR = ["test photos", "test paintings"]

MODES = {
    "RGB": "colour",
    "L": "grey",
    "1": "black and white",
    "P": "palette",
    "RGBA": "with transparency",
    "LA": "grey with transparency",
    "PA": "palette with transparency",
    "CMYK": "CMYK",
    **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N", "I"), "grey of 16 bits"),
    "F": "grey in floats",
}
"""Pillow's modes in people's words."""


@dataclass(frozen=True)
class Surveyed:
    """One set."""

    folder: Path
    usable: list[Looks]
    unusable: list[Unusable]
    others: list[Path]
    """Files that are no pictures."""

    @property
    def looked_at(self) -> int:
        """Pictures, and what looks like one."""
        return len(self.usable) + len(self.unusable)


class Finding(NamedTuple):
    """Something worth knowing of usable pictures."""

    key: str
    """Its name in the report for machines."""
    what: str
    """Its name for people."""
    names: list[str]
    """One line for each picture or group of pictures."""
    entries: list[Any]
    """The same for machines."""


@dataclass(frozen=True)
class Survey:
    """All sets."""

    sets: dict[str, Surveyed]
    findings: list[Finding]

    @property
    def learnt_from(self) -> tuple[int, int]:
        """How many pictures of the training sets can be learnt from, and of how many."""
        training = [one for name, one in self.sets.items() if not name.startswith("test")]
        return sum(len(one.usable) for one in training), sum(one.looked_at for one in training)

    @property
    def unusable(self) -> list[tuple[str, Unusable]]:
        """What cannot be used, with its set."""
        return [(name, one) for name, surveyed in self.sets.items() for one in surveyed.unusable]

    @property
    def leaks(self) -> int:
        """Pictures that are where they should not be."""
        return next(len(finding.names) for finding in self.findings if finding.key == "leaks")


class Listed(NamedTuple):
    """What lies in the folder of a set, before it is looked at."""

    folder: Path
    pictures: list[Path]
    """Pictures, and what looks like one."""
    others: list[Path]


def list_all(roots: Mapping[str, Path]) -> dict[str, Listed]:
    """What lies in the folder of each set (`roots` as in `Sets.roots`)."""
    return {name: Listed(folder, *sort_out(folder)) for name, folder in roots.items()}


def survey(listed: Mapping[str, Listed], *, tiny: int = 64, progress: Callable[[int], None] | None = None) -> Survey:
    """Look at every picture of every set and compare them all. `progress` is told of each one (1)."""
    sets: dict[str, Surveyed] = {}
    for name, (folder, pictures, others) in listed.items():
        seen = list(each(look, pictures, progress=progress))
        usable = [one for one in seen if isinstance(one, Looks)]
        sets[name] = Surveyed(folder, usable, [one for one in seen if isinstance(one, Unusable)], others)
    return Survey(sets, list(_findings(sets, tiny)))


def _findings(sets: Mapping[str, Surveyed], tiny: int) -> Iterator[Finding]:
    looks = [seen for surveyed in sets.values() for seen in surveyed.usable]
    set_of = [name for name, surveyed in sets.items() for _ in surveyed.usable]
    small = [seen for seen in looks if min(seen.size) < tiny]
    grey = [str(seen.path) for seen in looks if seen.grey and not seen.flat]
    framed = [(str(seen.path), list(seen.borders)) for seen in looks if seen.borders]
    flat = [str(seen.path) for seen in looks if seen.flat]
    yield Finding("greyscale", "greyscale", grey, grey)
    yield Finding(
        "borders",
        "with a frame",
        [f"{path} ({', '.join(sides)})" for path, sides in framed],
        [{"path": path, "sides": sides} for path, sides in framed],
    )
    yield Finding(
        "tiny",
        f"with a side below {tiny} pixels",
        [f"{seen.path} ({_by(seen.size)})" for seen in small],
        [{"path": str(seen.path), "size": list(seen.size)} for seen in small],
    )
    yield Finding("flat", "of one colour", flat, flat)
    found = groups(looks)
    exact = [group for group in found if group.exact]
    # Test sets may hold a scene as photo and as painting; that is what they are for.
    near = [group for group in found if not group.exact and [set_of[one] for one in group.members] != PAIR]
    yield _repeated("duplicates", "the same pixels", exact, looks, set_of)
    yield _repeated("near_duplicates", "one picture (recompressed, resized, cropped ...)", near, looks, set_of)
    yield _repeated("leaks", "in two sets that should share none", leaks(found, set_of), looks, set_of)


def _repeated(key: str, what: str, found: list[Group], looks: list[Looks], set_of: list[str]) -> Finding:
    names, entries = [], []
    for group in found:
        members = [(looks[index], set_of[index], turned) for index, turned in zip(group[0], group[1], strict=True)]
        shown = [f"{seen.path}{' (mirrored)' if turned else ''}" for seen, _, turned in members[:SHOWN]]
        more = f" and {len(members) - SHOWN} more" if len(members) > SHOWN else ""
        names.append(f" {'=' if group.exact else '~'} ".join(shown) + more)
        entries.append([{"path": str(seen.path), "set": name, "mirrored": turned} for seen, name, turned in members])
    return Finding(key, what, names, entries)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


# --- for people ---------------------------------------------------------------------------------------------------


def report(found: Survey) -> str:
    """The survey as people read it."""
    lines = [_one_set(name, surveyed) for name, surveyed in found.sets.items()]
    others = Counter(_ending(path) for surveyed in found.sets.values() for path in surveyed.others)
    if others:
        counted = ", ".join(f"{ending} {count:,}" for ending, count in _most_first(others))
        lines.append(f"also there: {_count(others.total(), 'other file')} ({counted})")
    if found.unusable:
        lines += ["", f"cannot be used: {len(found.unusable):,}"]
        lines += [f"  {plain(str(one.path))}: {one.reason}" for _, one in found.unusable]
    for finding in (finding for finding in found.findings if finding.names):
        lines += ["", f"{finding.what}: {len(finding.names):,}"]
        lines += [f"  {plain(name)}" for name in finding.names[:SHOWN]]
        more = len(finding.names) - SHOWN
        lines += [f"  and {more:,} more (--json FILE names all)"] if more > 0 else []
    return "\n".join([*lines, "", _advice(found)])


def _one_set(name: str, surveyed: Surveyed) -> str:
    """How many of a set are usable, how large they are, and in which modes."""
    line = f"{name}: {len(surveyed.usable):,} of {surveyed.looked_at:,} can be used"
    if not surveyed.usable:
        return line
    sizes = Counter(seen.size for seen in surveyed.usable)
    (most, count), *rest = _most_first(sizes)
    if not rest:
        size = _by(most)
    else:
        smallest, largest = (pick(sizes, key=lambda size: (size[0] * size[1], size)) for pick in (min, max))
        size = f"{_by(smallest)} to {_by(largest)}, most often {_by(most)} ({count:,})"
    modes = _most_first(Counter(MODES.get(seen.mode, seen.mode) for seen in surveyed.usable))
    return f"{line}; {size}; {', '.join(f'{mode} {number:,}' for mode, number in modes)}"


def _advice(found: Survey) -> str:
    usable, total = found.learnt_from
    if usable == total:
        said = f"all {total:,} can be learnt from"
    else:
        said = f"{usable:,} of {total:,} can be learnt from; training goes on without the other {total - usable:,}"
    if found.leaks:
        said += f"; {_count(found.leaks, 'picture')} in two sets: keep each in one of them"
    return said + (" (--strict refuses)" if found.unusable or found.leaks else "")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _ending(path: Path) -> str:
    return plain(path.suffix.lower()) or "no ending"


def _most_first(counted: "Counter[Any]") -> list[tuple[Any, int]]:
    """The most common first; what is equally common, in order."""
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


# --- for machines -------------------------------------------------------------------------------------------------


def as_json(found: Survey) -> dict[str, Any]:
    """The whole survey: every name, every reason. Paths are spelt as Python spells them (`os.fsencode` undoes it)."""
    usable, total = found.learnt_from
    return {
        "learnt_from": usable,
        "looked_at": total,
        "sets": {
            name: {
                "folder": str(surveyed.folder),
                "usable": len(surveyed.usable),
                "unusable": len(surveyed.unusable),
                "sizes": {_by(size): count for size, count in _most_first(Counter(s.size for s in surveyed.usable))},
                "modes": dict(_most_first(Counter(seen.mode for seen in surveyed.usable))),
                "other_files": dict(_most_first(Counter(_ending(path) for path in surveyed.others))),
            }
            for name, surveyed in found.sets.items()
        },
        "unusable": [{"set": name, "path": str(one.path), "reason": one.reason} for name, one in found.unusable],
        **{finding.key: finding.entries for finding in found.findings},
    }
