"""Refuse, in one sentence, an `images.zip` that Kaggle's `gan-getting-started` would not take."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from cyclestyle.data.submission import (
    FEWEST,
    MOST,
    SIDE,
    Fault,
    name_fault,
    picture_fault,
    reason,
    same_file_key,
    shown,
    strict_pillow,
)
from cyclestyle.data.submission_zip import (
    DEFLATED,
    ENCRYPTED,
    NEWEST_VERSION,
    STORED,
    USUAL_FLAGS,
    WRITE_AGAIN,
    Member,
    ZipError,
    find_directory,
    read_directory,
    unpack,
)

# Bounds. The heaviest honest picture (noise, quality 100, 4:4:4) has 0.25 MB and hardly deflates at all.
_MEMBER_BYTES = 4 * 2**20
_TOTAL_BYTES = 4 * 2**30
_RATIO = 50

_UNIX_KIND, _UNIX_FILE, _UNIX_LINK, _DOS_FOLDER = 0o170000, 0o100000, 0o120000, 0x10


class SubmissionError(ValueError):
    """One sentence that says why the competition would not take a file."""


@dataclass(frozen=True)
class SubmissionReport:
    """A zip that the competition would take, or that would do for practice."""

    path: Path
    count: int  # pictures
    bytes: int  # of the zip
    practice: bool  # whether the minimum count was lifted

    def __str__(self) -> str:
        """Tell a person what the zip is good for, in one line."""
        kind = "a practice submission, not for Kaggle" if self.practice else "a valid submission"
        name = "" if self.practice or self.path.name == "images.zip" else "; rename it to images.zip for Kaggle"
        return f"{self.path}: {kind}: {self.count:,} JPEGs of {SIDE}x{SIDE}, {self.bytes / 1e6:,.1f} MB{name}"


def validate_submission(path: Path, *, practice: bool = False) -> SubmissionReport:
    """Make sure that the competition would take the zip at `path`, down to the last pixel of each picture.

    `practice` lifts the minimum count. SubmissionError names the first problem and how many members share it.
    """
    try:
        if not path.exists():
            raise SubmissionError(
                f"there is no such file, but a zip of pictures is expected: {WRITE_AGAIN.replace(' again', '')}"
            )
        if not path.is_file():
            raise SubmissionError("this is not a file, but a zip of pictures is expected: give the zip itself")
        length = path.stat().st_size
        with path.open("rb") as file:
            count = _check(file, length, practice)
    except (SubmissionError, ZipError) as error:
        raise SubmissionError(f"{shown(str(path), 400)}: {error}") from None
    except (OSError, ValueError) as error:  # no permission, a failing disk, a NUL in the path
        raise SubmissionError(f"{shown(str(path), 400)}: cannot be read ({reason(error)})") from None
    return SubmissionReport(path, count, length, practice)


def _check(file: BinaryIO, length: int, practice: bool) -> int:
    """Go through the zip from its directory to its pixels; return the number of pictures."""
    count, size, start = find_directory(file, length)
    file.seek(start)
    members = list(read_directory(file.read(size), count))
    _refuse_faulty(members, _entry_fault)
    _refuse_twins(members)
    fewest = 1 if practice else FEWEST
    if not fewest <= len(members) <= MOST:
        hint = "hand in a part of them" if len(members) > MOST else "translate more photos"
        if fewest > len(members) > 0:
            hint += "; what is for practice alone is checked with --practice"
        expected = f"the competition expects {FEWEST:,} to {MOST:,}" if not practice else f"1 to {MOST:,} are expected"
        held = f"holds {len(members):,} picture{'' if len(members) == 1 else 's'}"
        raise SubmissionError(f"{held}, but {expected}: {hint}")
    total = sum(member.unpacked for member in members)
    if total > _TOTAL_BYTES:
        raise SubmissionError(
            f"would unpack to {total:,} bytes, but at most {_TOTAL_BYTES:,} are expected: {WRITE_AGAIN}"
        )
    # Where the next member or the directory begins: data that goes on beyond it is shared, as in an overlap bomb.
    ordered = sorted(members, key=lambda member: member.offset)
    limits = {id(member): after.offset for member, after in pairwise(ordered)}

    def content_fault(member: Member) -> Fault | None:
        data = unpack(file, member, min(limits.get(id(member), start), start))
        return data if isinstance(data, Fault) else picture_fault(data)

    with strict_pillow():
        _refuse_faulty(members, content_fault)
    return len(members)


def _refuse_faulty(members: Sequence[Member], fault_of: Callable[[Member], Fault | None]) -> None:
    """Raise SubmissionError for the first faulty member, and count the others that fail the same expectation."""
    first, sentence, alike = None, "", 0
    for member in members:
        fault = fault_of(member)
        if fault and first is None:
            first, sentence = fault, f"member {shown(member.name)} {fault.found}, but {fault.expected}"
        elif fault and first and fault.expected == first.expected:
            alike += 1
    if first:
        raise SubmissionError(sentence + (f" ({alike:,} more like it)" if alike else ""))


def _entry_fault(member: Member) -> Fault | None:
    """Say what is wrong with a member as the directory declares it, before any of it is read."""
    kind = member.attributes >> 16 & _UNIX_KIND
    if kind == _UNIX_LINK:
        return Fault("is a symbolic link", "the competition expects the pictures themselves: zip without `--symlinks`")
    fault = name_fault(member.name)
    if fault:
        return fault
    if kind not in {0, _UNIX_FILE} or member.attributes & _DOS_FOLDER:
        return Fault("is marked as a folder or a device", "the competition expects ordinary picture files")
    if member.flags & ENCRYPTED:
        return Fault("is encrypted", "the competition expects no password: zip the pictures without one")
    if member.method not in {STORED, DEFLATED}:
        return Fault(f"is packed with method {member.method}", "stored or deflated is expected: zip it in that way")
    if member.flags & ~USUAL_FLAGS or member.version > NEWEST_VERSION:
        return Fault("needs an unusual zip reader", f"a plain zip is expected: {WRITE_AGAIN}")
    if member.unpacked == 0:
        return Fault("is empty", "the competition expects a picture: translate that photo again")
    if max(member.packed, member.unpacked) > _MEMBER_BYTES:
        found = f"declares {member.packed:,} bytes that unpack to {member.unpacked:,}"
        return Fault(found, f"at most {_MEMBER_BYTES:,} are expected of a {SIDE}x{SIDE} JPEG: save it again")
    if member.unpacked > _RATIO * member.packed:
        found = f"would unpack from {member.packed:,} to {member.unpacked:,} bytes"
        return Fault(found, f"a JPEG is expected to shrink less than {_RATIO} times: this looks like a zip bomb")
    return None


def _refuse_twins(members: Sequence[Member]) -> None:
    """Raise SubmissionError where two members are one file on a disk that ignores case."""
    firsts: dict[str, Member] = {}
    for member in members:
        firsts.setdefault(same_file_key(member.name), member)

    def twin_fault(member: Member) -> Fault | None:
        first = firsts[same_file_key(member.name)]
        if first is member:
            return None
        found = "is there twice" if first.name == member.name else f"is {shown(first.name)} where case is ignored"
        return Fault(found, "names are expected to differ, also where case is ignored: rename it")

    _refuse_faulty(members, twin_fault)
