"""Refuse, in one sentence, an `images.zip` that Kaggle's `gan-getting-started` would not take.

The file may come from anywhere, so its directory is read here byte by byte and bounded before anything is inflated:
`zipfile` reads a directory of any size into memory, trusts declared sizes, and disagrees with itself about names.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from cyclestyle.data.submission import (
    FEWEST,
    MOST,
    SIDE,
    Fault,
    looks_like,
    name_fault,
    picture_fault,
    reason,
    same_file_key,
    shown,
    strict_pillow,
)

# Bounds. The heaviest honest picture (noise, quality 100, 4:4:4) has 0.25 MB and hardly deflates at all.
_MEMBER_BYTES = 4 * 2**20
_TOTAL_BYTES = 4 * 2**30
_RATIO = 50
_ENTRIES = 5 * MOST  # more than MOST, so that a Mac's `__MACOSX` twins are called by their name
_DIRECTORY_BYTES = 32 * 2**20

_END = struct.Struct("<4s4H2LH")  # signature, 2 disks, 2 counts, directory size and offset, comment length
_END64_LOCATOR = struct.Struct("<4sLQL")  # signature, disk, offset of the record, disks
_END64 = struct.Struct("<4sQ2H2L4Q")  # ..., 2 disks, 2 counts, directory size and offset
# signature, 2 versions, flags, method, time, date, CRC, packed and unpacked size, lengths of name, extra and comment,
# disk, internal and external attributes, offset
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")  # as _ENTRY up to the length of extra, less one version

_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_SIZES_FOLLOW = 1 << 3
_UTF8 = 1 << 11
_USUAL_FLAGS = 1 << 1 | 1 << 2 | _SIZES_FOLLOW | _UTF8  # the first two only say how hard deflate tried
_NEWEST_VERSION = 63  # of the zip format, as far as Python's readers go
_UNIX_KIND, _UNIX_FILE, _UNIX_LINK, _DOS_FOLDER = 0o170000, 0o100000, 0o120000, 0x10
_WIDE = 0xFFFFFFFF  # a 32-bit field that says: look into the zip64 extra field

_WRITE_AGAIN = "write it again with `cyclestyle submit RUN --photos DIR --to images.zip`"
_DAMAGED = f"a whole zip is expected: copy or download it again, or {_WRITE_AGAIN}"
_LYING = f"headers that agree with the data are expected: {_WRITE_AGAIN}"


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


@dataclass(frozen=True, slots=True)
class _Member:
    """What the directory at the end of a zip declares about one file."""

    name: str
    raw_name: bytes
    version: int
    flags: int
    method: int
    crc: int
    packed: int  # bytes in the zip
    unpacked: int  # bytes as a file
    attributes: int
    offset: int  # of the local header


def validate_submission(path: Path, *, practice: bool = False) -> SubmissionReport:
    """Make sure that the competition would take the zip at `path`, down to the last pixel of each picture.

    `practice` lifts the minimum count. SubmissionError names the first problem and how many members share it.
    """
    try:
        if not path.exists():
            raise SubmissionError(
                f"there is no such file, but a zip of pictures is expected: {_WRITE_AGAIN.replace(' again', '')}"
            )
        if not path.is_file():
            raise SubmissionError("this is not a file, but a zip of pictures is expected: give the zip itself")
        length = path.stat().st_size
        with path.open("rb") as file:
            count = _check(file, length, practice)
    except SubmissionError as error:
        raise SubmissionError(f"{shown(str(path), 400)}: {error}") from None
    except (OSError, ValueError) as error:  # no permission, a failing disk, a NUL in the path
        raise SubmissionError(f"{shown(str(path), 400)}: cannot be read ({reason(error)})") from None
    return SubmissionReport(path, count, length, practice)


def _check(file: BinaryIO, length: int, practice: bool) -> int:
    """Go through the zip from its directory to its pixels; return the number of pictures."""
    count, size, start = _find_directory(file, length)
    file.seek(start)
    members = list(_read_directory(file.read(size), count))
    _refuse_faulty(members, _entry_fault)
    _refuse_twins(members)
    fewest = 1 if practice else FEWEST
    if not fewest <= len(members) <= MOST:
        hint = "hand in a part of them" if len(members) > MOST else "translate more photos"
        if fewest > len(members) > 0:
            hint += ", or ask for a practice zip to try things out"
        expected = f"the competition expects {FEWEST:,} to {MOST:,}" if not practice else f"1 to {MOST:,} are expected"
        held = f"holds {len(members):,} picture{'' if len(members) == 1 else 's'}"
        raise SubmissionError(f"{held}, but {expected}: {hint}")
    total = sum(member.unpacked for member in members)
    if total > _TOTAL_BYTES:
        raise SubmissionError(
            f"would unpack to {total:,} bytes, but at most {_TOTAL_BYTES:,} are expected: {_WRITE_AGAIN}"
        )
    # Where the next member or the directory begins: data that goes on beyond it is shared, as in an overlap bomb.
    ordered = sorted(members, key=lambda member: member.offset)
    limits = {id(member): after.offset for member, after in pairwise(ordered)}

    def content_fault(member: _Member) -> Fault | None:
        data = _unpack(file, member, min(limits.get(id(member), start), start))
        return data if isinstance(data, Fault) else picture_fault(data)

    with strict_pillow():
        _refuse_faulty(members, content_fault)
    return len(members)


def _refuse_faulty(members: Sequence[_Member], fault_of: Callable[[_Member], Fault | None]) -> None:
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


def _find_directory(file: BinaryIO, length: int) -> tuple[int, int, int]:
    """Find how many entries a zip declares, and the size and the offset of its directory; refuse too large ones."""
    file.seek(max(0, length - _END.size - 0xFFFF))
    tail = file.read(_END.size + 0xFFFF)
    at = tail.rfind(b"PK\5\6", 0, max(0, len(tail) - _END.size + 4))
    if at < 0:
        file.seek(0)
        head = file.read(512)
        if head.startswith((b"PK\3\4", b"PK\7\x08")):
            raise SubmissionError(f"the end of the zip is missing, it was cut off, but {_DAMAGED}")
        raise SubmissionError(f"this is {looks_like(head)}, but a zip of pictures is expected: {_WRITE_AGAIN}")
    _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail, at)
    end = length - len(tail) + at
    if at + _END.size + comment != len(tail):
        raise SubmissionError(f"there are bytes after the end of the zip or some of it is missing, but {_DAMAGED}")
    file.seek(max(0, end - _END64.size - _END64_LOCATOR.size))
    wide = file.read(min(end, _END64.size + _END64_LOCATOR.size))
    if wide[-_END64_LOCATOR.size :].startswith(b"PK\6\7"):
        end -= _END64.size + _END64_LOCATOR.size
        located = end >= 0 and wide[-_END64_LOCATOR.size :] == _END64_LOCATOR.pack(b"PK\6\7", 0, end, 1)
        if not located or not wide.startswith(b"PK\6\6"):
            raise SubmissionError(f"the zip64 directory is damaged, but {_DAMAGED}")
        disk, first_disk, here, count, size, start = _END64.unpack_from(wide)[4:]
    if disk or first_disk or here != count:
        raise SubmissionError("this is one part of a split zip, but one whole zip is expected: join the parts first")
    if count > _ENTRIES or size > _DIRECTORY_BYTES:
        found = f"declares {count:,} entries in a directory of {size:,} bytes"
        raise SubmissionError(f"{found}, but the competition expects {FEWEST:,} to {MOST:,} pictures")
    if start + size != end:
        found = f"the directory should end at byte {start + size:,} and ends at byte {end:,}"
        raise SubmissionError(f"{found}, so bytes were lost or added, but {_DAMAGED}")
    return count, size, start


def _read_directory(directory: bytes, count: int) -> Iterator[_Member]:
    """Read the declared entries, no more and no fewer."""
    at = 0
    for index in range(count):
        entry = directory[at : at + _ENTRY.size]
        if len(entry) < _ENTRY.size or not entry.startswith(b"PK\1\2"):
            raise SubmissionError(f"the directory is damaged at entry {index + 1:,} of {count:,}, but {_DAMAGED}")
        values = _ENTRY.unpack(entry)
        version, flags, method, _, _, crc, packed, unpacked, name, extra, comment = values[2:13]
        attributes, offset = values[15:]
        at += _ENTRY.size
        raw_name = directory[at : at + name]
        fields = directory[at + name : at + name + extra]
        at += name + extra + comment
        try:
            text = raw_name.decode("utf-8" if flags & _UTF8 else "cp437")
            unpacked, packed, offset = _widened(fields, [unpacked, packed, offset])
        except (UnicodeDecodeError, struct.error):
            found = f"entry {index + 1:,} of {count:,} has a name or extra field that cannot be read"
            raise SubmissionError(f"{found}, but {_DAMAGED}") from None
        yield _Member(text, raw_name, version & 0xFF, flags, method, crc, packed, unpacked, attributes, offset)
    if at != len(directory):
        found = f"the zip declares {count:,} entries and its directory has room for a different number"
        raise SubmissionError(f"{found}, but {_LYING}")


def _widened(fields: bytes, values: Sequence[int]) -> list[int]:
    """Take the 64-bit values of the zip64 extra field for those that do not fit in 32 bits."""
    wide: Iterator[tuple[int, ...]] = iter(())
    while len(fields) >= 4:
        kind, length = struct.unpack_from("<HH", fields)
        if 4 + length > len(fields):
            raise struct.error("an extra field is longer than the room it has")
        if kind == 1:
            wide = struct.iter_unpack("<Q", fields[4 : 4 + length - length % 8])
        fields = fields[4 + length :]
    return [next(wide, (value,))[0] if value == _WIDE else value for value in values]


def _entry_fault(member: _Member) -> Fault | None:
    """Say what is wrong with a member as the directory declares it, before any of it is read."""
    kind = member.attributes >> 16 & _UNIX_KIND
    if kind == _UNIX_LINK:
        return Fault("is a symbolic link", "the competition expects the pictures themselves: zip without `--symlinks`")
    fault = name_fault(member.name)
    if fault:
        return fault
    if kind not in {0, _UNIX_FILE} or member.attributes & _DOS_FOLDER:
        return Fault("is marked as a folder or a device", "the competition expects ordinary picture files")
    if member.flags & _ENCRYPTED:
        return Fault("is encrypted", "the competition expects no password: zip the pictures without one")
    if member.method not in {_STORED, _DEFLATED}:
        return Fault(f"is packed with method {member.method}", "stored or deflated is expected: zip it in that way")
    if member.flags & ~_USUAL_FLAGS or member.version > _NEWEST_VERSION:
        return Fault("needs an unusual zip reader", f"a plain zip is expected: {_WRITE_AGAIN}")
    if member.unpacked == 0:
        return Fault("is empty", "the competition expects a picture: translate that photo again")
    if max(member.packed, member.unpacked) > _MEMBER_BYTES:
        found = f"declares {member.packed:,} bytes that unpack to {member.unpacked:,}"
        return Fault(found, f"at most {_MEMBER_BYTES:,} are expected of a {SIDE}x{SIDE} JPEG: save it again")
    if member.unpacked > _RATIO * member.packed:
        found = f"would unpack from {member.packed:,} to {member.unpacked:,} bytes"
        return Fault(found, f"a JPEG is expected to shrink less than {_RATIO} times: this looks like a zip bomb")
    return None


def _refuse_twins(members: Sequence[_Member]) -> None:
    """Raise SubmissionError where two members are one file on a disk that ignores case."""
    firsts: dict[str, _Member] = {}
    for member in members:
        firsts.setdefault(same_file_key(member.name), member)

    def twin_fault(member: _Member) -> Fault | None:
        first = firsts[same_file_key(member.name)]
        if first is member:
            return None
        found = "is there twice" if first.name == member.name else f"is {shown(first.name)} where case is ignored"
        return Fault(found, "names are expected to differ, also where case is ignored: rename it")

    _refuse_faulty(members, twin_fault)


def _unpack(file: BinaryIO, member: _Member, limit: int) -> bytes | Fault:
    """Read one member into memory, never more than it declares, or say how its headers and data disagree."""
    overlapping = Fault("shares bytes with what follows it in the zip", _LYING)
    if member.offset + _LOCAL.size > limit:
        return overlapping
    file.seek(member.offset)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size or not header.startswith(b"PK\3\4"):
        return Fault("does not begin where the directory says", _DAMAGED)
    _, _, flags, method, _, _, crc, packed, unpacked, name, extra = _LOCAL.unpack(header)
    if file.read(name) != member.raw_name:
        return Fault("has a different name in its own header", _LYING)
    declared = [(crc, member.crc), (packed, member.packed), (unpacked, member.unpacked)]
    sizes_differ = any(own not in {listed, _WIDE} for own, listed in declared) and not flags & _SIZES_FOLLOW
    if sizes_differ or method != member.method or (flags ^ member.flags) & (_ENCRYPTED | _UTF8):
        return Fault("declares other sizes, checksum or method in its own header than in the directory", _LYING)
    if member.offset + _LOCAL.size + name + extra + member.packed > limit:
        return overlapping
    file.seek(extra, 1)
    data = file.read(member.packed)
    if method == _DEFLATED:
        inflater = zlib.decompressobj(-15)
        try:
            # One byte more than declared is enough to catch a lie, and all that a bomb gets.
            data = inflater.decompress(data, member.unpacked + 1)
        except zlib.error:
            return Fault("has damaged compressed data", _DAMAGED)
        if len(data) <= member.unpacked and (not inflater.eof or inflater.unused_data):
            return Fault("has compressed data that ends too early or too late", _DAMAGED)
    if len(data) != member.unpacked:
        more_or_less = "more" if len(data) > member.unpacked else "less"
        return Fault(f"holds {more_or_less} than the {member.unpacked:,} bytes it declares", _LYING)
    if zlib.crc32(data) != member.crc:
        return Fault("does not match its checksum (CRC-32)", _DAMAGED)
    return data
