"""What a look at one thing gives: a finding, whatever happens while looking."""

from typing import Callable, Iterable, List, NamedTuple  # noqa: UP035 - for Python 3.6, which is told that it is too old

FINE, NOTE, WRONG = "fine", "note", "wrong"


class Finding(NamedTuple):
    """One thing that was looked at."""

    subject: str
    state: str
    """`fine`; `note`: slower or less than could be; `wrong`: the way to a trained painter stops here."""
    found: str
    do: str = ""
    """What to type, or to do, about it; empty where there is nothing."""


def fine(subject: str, found: str) -> Finding:
    """There is nothing to do."""
    return Finding(subject, FINE, found)


def note(subject: str, found: str, do: str = "") -> Finding:
    """It goes on, but slower or with less than could be."""
    return Finding(subject, NOTE, found, do)


def wrong(subject: str, found: str, do: str) -> Finding:
    """It stops here, until something is done."""
    return Finding(subject, WRONG, found, do)


def looked_at(subject: str, look: Callable[[], Iterable[Finding]]) -> List[Finding]:  # noqa: UP006 - as above
    """The findings of one look; an error in it becomes a finding, and the other looks go on.

    Only what the system says of an error is told, never its file or text: these may hold somebody's token.
    """
    try:
        return list(look())
    except Exception as error:
        said = getattr(error, "strerror", None)
        why = type(error).__name__ + (f": {said}" if said else "")
        return [note(subject, f"could not be looked at ({why})")]


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit, whole in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= whole:
            return f"{count / whole:,.1f} {unit}" if count < 100 * whole else f"{count / whole:,.0f} {unit}"
    return f"{count:,.0f} bytes"
