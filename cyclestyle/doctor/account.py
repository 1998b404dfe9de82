"""Which of its ways of signing in the Kaggle client would take, told without asking anybody, and without a secret.

The order is that of the client, 2.2: an access token; a user's name and key; what `kaggle auth login` left. It takes
the first that is there; if that one cannot be read, it stops. Whether Kaggle accepts it is not tried.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, NamedTuple  # noqa: UP035 - for Python 3.8

from cyclestyle.doctor.findings import Finding, fine, note, wrong
from cyclestyle.doctor.libraries import in_notebook, is_there, pip, version_of

SETTINGS = "https://www.kaggle.com/settings"
SIGN_IN = f"make a token at {SETTINGS} and save it as ~/.kaggle/access_token (chmod 600); or `kaggle auth login`"
OTHERS_MAY_READ = 0o044
LONGEST_TOKEN = 10_000
"""Bytes; a file that holds more is no token."""


class Way(NamedTuple):
    """One way of signing in, as far as it is there."""

    name: str
    """Of a variable or a file; never what it holds."""
    trouble: str = ""
    """Why it cannot be used; empty if it can."""
    stops: bool = False
    """Whether the client fails over it, rather than try the next way."""
    file: Path | None = None
    do: str = ""


class Unusable(Exception):  # noqa: N818 - not an error of ours
    """A file does not hold what it should; how the client takes it."""

    def __init__(self, trouble: str, stops: bool) -> None:
        super().__init__(trouble)
        self.trouble, self.stops = trouble, stops


def client(needed: bool) -> Iterable[Finding]:
    """Whether the client is installed, and with what it forgets to ask for; it is not imported."""
    install = pip("kaggle>=2.2.4", "six>=1.16")
    without = "; it fetches the competition's pictures" if needed else "; the pictures are here, it would submit"
    if not is_there("kaggle"):
        yield _judged(needed, "kaggle", f"the client is not installed{without}", install)
    elif not is_there("six"):
        found = f"the client {version_of('kaggle') or ''} cannot be imported: it needs six, and does not say so"
        yield _judged(needed, "kaggle", found, pip("six>=1.16"))
    else:
        yield from _settings_folder(needed)


def _settings_folder(needed: bool) -> Iterator[Finding]:
    """The client makes its folder when it is imported, and fails where it cannot."""
    folder = settings_folder()
    said = f"client {version_of('kaggle') or 'of unknown version'}"
    existing = folder
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if existing == folder:
        yield fine("kaggle", said)
    elif not existing.is_dir() or not can_make(existing):
        do = "export KAGGLE_CONFIG_DIR=/a/folder/of/yours"
        yield _judged(needed, "kaggle", f"{said} cannot be imported: it fails to make its folder {folder}", do)
    else:
        yield fine("kaggle", said)


def can_make(folder: Path) -> bool:
    """Whether a folder can be made inside; an empty one is made and removed."""
    trial = folder / f".doctor-{os.getpid()}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError:
        return False
    return True


def credentials(needed: bool) -> Iterable[Finding]:
    """Which way of signing in would be taken, and what is the matter with those before it."""
    if in_notebook():
        yield fine("credentials", "not needed in a Kaggle notebook: the competition's data are attached to it")
        return
    taken = None
    for way in ways():
        if not way.trouble:
            taken = way
            break
        do = way.do or SIGN_IN
        if way.stops:
            yield _judged(needed, "credentials", f"{way.name} {way.trouble}: the client fails over it", do)
            return
        yield note("credentials", f"{way.name} {way.trouble}: the client passes over it", do)
    if taken is None:
        yield _judged(needed, "credentials", "none: the Kaggle client cannot sign in", SIGN_IN)
        return
    if taken.file is not None and os.name != "nt" and taken.file.stat().st_mode & OTHERS_MAY_READ:
        yield note("credentials", f"{taken.name}, which others here can read", f"chmod 600 {taken.file}")
        return
    yield fine("credentials", f"{taken.name} (not tried: that would need the network)")


def _judged(needed: bool, subject: str, found: str, do: str) -> Finding:
    return wrong(subject, found, do) if needed else note(subject, found, do)


def own_folder() -> Path:
    """Where the client reads tokens from, whatever it is told of its settings."""
    return Path(os.path.expanduser("~/.kaggle"))  # noqa: PTH111 - stays as it is without a home


def settings_folder() -> Path:
    """Where the client looks for kaggle.json."""
    if os.environ.get("KAGGLE_CONFIG_DIR"):
        return Path(os.environ["KAGGLE_CONFIG_DIR"])
    folder = own_folder()
    if sys.platform.startswith("linux") and not folder.exists():
        return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "kaggle")  # noqa: PTH111
    return folder


def ways() -> Iterator[Way]:
    """Every way that is there, in the client's order."""
    yield from _access_tokens()
    yield from _name_and_key()
    yield from _read(own_folder() / "credentials.json", _signed_in)


def _access_tokens() -> Iterator[Way]:
    """Of these the client takes the first that holds something, and a variable is the last that it looks at."""
    given = os.environ.get("KAGGLE_API_TOKEN")
    if given:
        try:
            is_file = Path(given).exists()
        except OSError:  # which the client asks in the same way
            do = "unset KAGGLE_API_TOKEN; save the token as ~/.kaggle/access_token"
            yield Way("KAGGLE_API_TOKEN", "is too long: the client takes it for a file's name first", True, do=do)
            return
        if is_file:
            yield from _read(Path(given), _token, "the file that KAGGLE_API_TOKEN names")
        elif given.startswith(("~", "/", ".")) or given.endswith((".json", ".txt", "access_token")):
            trouble = "names a file that is not there, and is taken for a token itself"
            yield Way("KAGGLE_API_TOKEN", trouble, do="unset KAGGLE_API_TOKEN; or give it the file's full path")
        elif given != given.strip() or not given.isprintable() or " " in given:
            do = "copy the token again, without spaces or line breaks"
            yield Way("KAGGLE_API_TOKEN", "holds spaces or line breaks", do=do)
        else:
            yield Way("KAGGLE_API_TOKEN")
        return
    for name in ("access_token", "access_token.txt"):
        yield from _read(own_folder() / name, _token)


def _name_and_key() -> Iterator[Way]:
    """A name and a key, each from a variable or else from kaggle.json."""
    file = settings_folder() / "kaggle.json"
    stored = list(_read(file, _named_key))
    given = [name for name in ("KAGGLE_USERNAME", "KAGGLE_KEY") if name in os.environ]
    if len(given) == 2:
        empty = not (os.environ["KAGGLE_USERNAME"].strip() and os.environ["KAGGLE_KEY"].strip())
        # The client takes them empty, too.
        yield Way("KAGGLE_USERNAME and KAGGLE_KEY", "are set, but one is empty" if empty else "", empty)
        return
    if given and not any(not way.trouble for way in stored):
        lacking = "KAGGLE_KEY" if given == ["KAGGLE_USERNAME"] else "KAGGLE_USERNAME"
        yield Way(given[0], f"is set without {lacking}", do=f"export {lacking}=...; or unset {given[0]}")
    yield from stored
    elsewhere = own_folder() / "kaggle.json"
    if file != elsewhere and elsewhere.exists() and not file.exists():
        do = f"unset KAGGLE_CONFIG_DIR; or move it to {file}"
        yield Way(str(elsewhere), f"is not looked at, since KAGGLE_CONFIG_DIR is {file.parent}", do=do)


def _read(file: Path, check: Callable[[str, Path], None], name: str = "") -> Iterator[Way]:
    """A file as a way of signing in; none where it is not there."""
    if not os.path.lexists(file):
        return
    name = name or str(file)
    make_anew = f"rm {file}; then {SIGN_IN}"
    try:
        with file.open("rb") as opened:
            content = opened.read(LONGEST_TOKEN + 1)
        check(content.decode("utf-8"), file)
    except UnicodeDecodeError:
        yield Way(name, "is not a text", check is not _named_key, file, make_anew)
    except OSError as error:
        own = f"chmod 600 {file}; or {make_anew}" if isinstance(error, PermissionError) else make_anew
        # kaggle.json is the one file over which the client does not fail.
        yield Way(name, f"cannot be read ({error.strerror})", check is not _named_key, file, own)
    except Unusable as unusable:
        yield Way(name, unusable.trouble, unusable.stops, file, make_anew)
    else:
        yield Way(name, file=file)


def _token(content: str, file: Path) -> None:
    """An access token: one word."""
    token = content.strip()
    if not token:
        raise Unusable("is empty", False)
    if token.startswith("{"):
        raise Unusable(f"holds what belongs into {file.with_name('kaggle.json')}, not a token", False)
    if len(token.split()) > 1 or len(token) > LONGEST_TOKEN:
        raise Unusable("holds more than a token", False)


def _named_key(content: str, file: Path) -> None:
    """kaggle.json: a name and a key. The client ignores one that is not JSON, and says nothing."""
    told = _object(content, False)
    known = {**told, **{name: "" for name in ("username", "key") if f"KAGGLE_{name.upper()}" in os.environ}}
    lacking = [name for name in ("username", "key") if name not in known]
    if lacking:
        raise Unusable(f"lacks {' and '.join(lacking)}", False)
    if not all(isinstance(told.get(name, "x"), str) and told.get(name, "x") for name in ("username", "key")):
        raise Unusable("holds no name or no key", True)


def _signed_in(content: str, file: Path) -> None:
    """credentials.json, as `kaggle auth login` writes it."""
    if not _object(content, True).get("refresh_token"):
        raise Unusable("lacks a refresh token", False)


def _object(content: str, stops: bool) -> dict[str, Any]:
    """A JSON object. One that is another value makes the client fail (`stops`), text that is no JSON does not."""
    try:
        told = json.loads(content)
    except ValueError:
        raise Unusable("is not JSON", False) from None
    if not isinstance(told, dict):
        raise Unusable("is no JSON object", stops)
    return told
