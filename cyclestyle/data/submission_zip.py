"""The zip format as a submission may use it, read byte by byte from a file that may come from anywhere.

The directory is bounded before it is read, and a member before it is inflated: `zipfile` reads a directory of any size
into memory, trusts declared sizes, and passes over data hidden behind a member.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from cyclestyle.data.submission import FEWEST, MOST, Fault, looks_like

_ENTRIES = 5 * MOST  # more than MOST, so that a Mac's `__MACOSX` twins are called by their name
_DIRECTORY_BYTES = 32 * 2**20

_END = struct.Struct("<4s4H2LH")  # signature, 2 disks, 2 counts, directory size and offset, comment length
_END64_LOCATOR = struct.Struct("<4sLQL")  # signature, disk, offset of the record, disks
_END64 = struct.Struct("<4sQ2H2L4Q")  # ..., 2 disks, 2 counts, directory size and offset
# signature, 2 versions, flags, method, time, date, CRC, packed and unpacked size, lengths of name, extra and comment,
# disk, internal and external attributes, offset
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")  # as _ENTRY up to the length of extra, less one version

STORED, DEFLATED = 0, 8
ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_SIZES_FOLLOW = 1 << 3
_UTF8 = 1 << 11
USUAL_FLAGS = 1 << 1 | 1 << 2 | _SIZES_FOLLOW | _UTF8  # the first two only say how hard deflate tried
NEWEST_VERSION = 63  # of the zip format, as far as Python's readers go
_WIDE = 0xFFFFFFFF  # a 32-bit field that says: look into the zip64 extra field


WRITE_AGAIN = "write it again with `cyclestyle submit RUN --photos DIR --to images.zip`"
_DAMAGED = f"a whole zip is expected: copy or download it again, or {WRITE_AGAIN}"
_LYING = f"headers that agree with the data are expected: {WRITE_AGAIN}"


class ZipError(ValueError):
    """One sentence that says why a file cannot be read as one plain zip; its parts, for those who say it otherwise."""

    def __init__(self, found: str, expected: str, *, partial: bool = False, kind: str | None = None) -> None:
        """What was found, and what is expected of a submission.

        Args:
            found: what is wrong with the file.
            expected: what a submission should be, and what to type.
            partial: whether the file is a part of a zip: cut off, or with bytes missing.
            kind: what else the file is, where it is no zip at all.
        """
        super().__init__(f"{found}, but {expected}")
        self.found, self.partial, self.kind = found, partial, kind


@dataclass(frozen=True, slots=True)
class Member:
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


def find_directory(file: BinaryIO, length: int) -> tuple[int, int, int]:
    """Find how many entries a zip declares, and the size and the offset of its directory; refuse too large ones."""
    file.seek(max(0, length - _END.size - 0xFFFF))
    tail = file.read(_END.size + 0xFFFF)
    at = tail.rfind(b"PK\5\6", 0, max(0, len(tail) - _END.size + 4))
    if at < 0:
        file.seek(0)
        head = file.read(512)
        if head.startswith((b"PK\3\4", b"PK\7\x08")):
            raise ZipError("the end of the zip is missing, it was cut off", _DAMAGED, partial=True)
        kind = looks_like(head)
        raise ZipError(f"this is {kind}", f"a zip of pictures is expected: {WRITE_AGAIN}", kind=kind)
    _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail, at)
    end = length - len(tail) + at
    if at + _END.size + comment != len(tail):
        found = "there are bytes after the end of the zip or some of it is missing"
        raise ZipError(found, _DAMAGED, partial=True)
    file.seek(max(0, end - _END64.size - _END64_LOCATOR.size))
    wide = file.read(min(end, _END64.size + _END64_LOCATOR.size))
    if wide[-_END64_LOCATOR.size :].startswith(b"PK\6\7"):
        end -= _END64.size + _END64_LOCATOR.size
        located = end >= 0 and wide[-_END64_LOCATOR.size :] == _END64_LOCATOR.pack(b"PK\6\7", 0, end, 1)
        if not located or not wide.startswith(b"PK\6\6"):
            raise ZipError("the zip64 directory is damaged", _DAMAGED)
        disk, first_disk, here, count, size, start = _END64.unpack_from(wide)[4:]
    if disk or first_disk or here != count:
        raise ZipError("this is one part of a split zip", "one whole zip is expected: join the parts first")
    if count > _ENTRIES or size > _DIRECTORY_BYTES:
        found = f"declares {count:,} entries in a directory of {size:,} bytes"
        raise ZipError(found, f"the competition expects {FEWEST:,} to {MOST:,} pictures")
    if start + size != end:
        found = f"the directory should end at byte {start + size:,} and ends at byte {end:,}"
        raise ZipError(f"{found}, so bytes were lost or added", _DAMAGED, partial=True)
    return count, size, start


def read_directory(directory: bytes, count: int) -> Iterator[Member]:
    """Read the declared entries, no more and no fewer."""
    at = 0
    for index in range(count):
        entry = directory[at : at + _ENTRY.size]
        if len(entry) < _ENTRY.size or not entry.startswith(b"PK\1\2"):
            raise ZipError(f"the directory is damaged at entry {index + 1:,} of {count:,}", _DAMAGED)
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
            raise ZipError(found, _DAMAGED) from None
        yield Member(text, raw_name, version & 0xFF, flags, method, crc, packed, unpacked, attributes, offset)
    if at != len(directory):
        found = f"the zip declares {count:,} entries and its directory has room for a different number"
        raise ZipError(found, _LYING)


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


def unpack(file: BinaryIO, member: Member, limit: int) -> bytes | Fault:
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
    if sizes_differ or method != member.method or (flags ^ member.flags) & (ENCRYPTED | _UTF8):
        return Fault("declares other sizes, checksum or method in its own header than in the directory", _LYING)
    if member.offset + _LOCAL.size + name + extra + member.packed > limit:
        return overlapping
    file.seek(extra, 1)
    data = file.read(member.packed)
    if method == DEFLATED:
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
