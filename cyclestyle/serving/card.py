"""What a painter's ONNX file says of itself, read without any package for ONNX."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue, ValidationError

from cyclestyle.exporting.card import KEY, ExportCard
from cyclestyle.settings import describe

METADATA = 14
"""Number of the field `metadata_props` in ONNX's ModelProto."""
GRAPH = 7
"""Number of its field `graph`."""
VARINT, EIGHT_BYTES, COUNTED, FOUR_BYTES = 0, 1, 2, 5
"""Wire types of protocol buffers."""


def read_card(model: bytes, path: Path) -> ExportCard:
    """The card of an exported painter. Raises ValueError, naming the file, for anything that is none."""
    try:
        fields = list(_fields(model))
    except (IndexError, ValueError):
        raise ValueError(
            f"{path} is not a whole ONNX file; `cyclestyle export RUN --to {path.name}` writes one"
        ) from None
    entries = [dict(_fields(value)) for number, value in fields if number == METADATA and isinstance(value, memoryview)]
    metadata = {_text(entry.get(1)): _text(entry.get(2)) for entry in entries}
    if KEY not in metadata or all(number != GRAPH for number, _ in fields):
        raise ValueError(f"{path} is no painter that `cyclestyle export` wrote; `cyclestyle export --help` tells how")
    try:
        return ExportCard.model_validate_json(metadata[KEY])
    except ValidationError as error:
        raise ValueError(f"{path} has a card that cannot be read: {describe(error)}") from None


def _text(value: int | memoryview | None) -> str:
    return bytes(value).decode(errors="replace") if isinstance(value, memoryview) else ""


def _fields(message: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a protocol buffer: number and value. Raises ValueError or IndexError for what is none.

    Source: the encoding of protocol buffers, as documented.
    """
    view, place = memoryview(message), 0
    while place < len(view):
        key, place = _varint(view, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = _varint(view, place)
            yield number, value
            continue
        if kind == COUNTED:
            length, place = _varint(view, place)
        else:
            length = {EIGHT_BYTES: 8, FOUR_BYTES: 4}.get(kind, -1)
        if number == 0 or length < 0 or place + length > len(view):
            raise ValueError(f"field {number} of kind {kind} and length {length} at {place}")
        yield number, view[place : place + length]
        place += length


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    """An integer in base 128, lowest first, and the place after it."""
    value = shift = 0
    while True:
        byte = view[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("an integer of more than 64 bits")


def about(card: ExportCard, size: int) -> list[tuple[str, str]]:
    """A card as terms and what stands beside them, for people."""
    squares = f", on squares of {card.side} pixels" if card.side else ""
    said = {
        "Direction": card.direction,
        "Trained": f"{card.step:,} steps{squares}" if card.step else "",
        "Trained on": _trained_on(card.data),
        "Licence": card.licence,
        "Network": f"{card.generator.kind} of width {card.generator.width}, {size / 1e6:.1f} MB in {card.precision}",
        "Preview": "Weights are rounded to 8 bits: paintings are not quite those of the painter it was made of."
        if card.preview
        else "",
        "Difference from PyTorch": f"{card.parity.mean * 127.5:.2g} of 255 levels on average, "
        f"{card.parity.largest * 127.5:.2g} at most",
        "Made of": card.source.get("file", ""),
        "Made by": ", ".join(f"{name} {version}" for name, version in card.versions.items()),
        "For programs": card.use,
    }
    return [(term, text) for term, text in said.items() if text]


def _trained_on(data: JsonValue) -> str:
    counts, folders = (data.get(key) if isinstance(data, dict) else None for key in ("count", "folders"))
    if not isinstance(counts, dict) or not isinstance(folders, dict):
        return _words(data)
    names = f" ({', '.join(map(str, folders.values()))})" if folders else ""
    return " and ".join(f"{count:,} {kind}" for kind, count in counts.items() if isinstance(count, int)) + names


def _words(value: JsonValue) -> str:
    """JSON in words; fingerprints are for machines, which find them in the file."""
    if isinstance(value, dict):
        kept = {key: _words(one) for key, one in value.items() if key not in {"fingerprint", "sha256"}}
        return "; ".join(f"{key.replace('_', ' ')}: {text}" for key, text in kept.items() if text)
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return "" if value is None else str(value)
