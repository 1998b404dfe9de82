"""What the `kaggle` client says when it fails, in one sentence with what to do about it.

Its words are those of version 2.2.4, and the server's. It tells no status where the server sent a message of its own.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclestyle.data.fetching.sources import COMPETITION, INSTALL, RULES, SETTINGS, SOURCES

LONGEST_WORDS = 300
"""Letters of what others say that go into a sentence of ours."""
LONGEST_ASKED = 600.0
"""Seconds that a server may ask for; longer waits are left to people."""


class FetchError(ValueError):
    """The client did not bring the file. Its text says why and what to type."""


@dataclass(frozen=True)
class Refusal:
    """Why the client did not bring the file."""

    sentence: str
    passing: bool = False
    """Whether the same again may succeed after a while, with nobody doing anything."""
    wait: float | None = None
    """Seconds that the server asks for."""
    spoilt: bool = False
    """Whether what has come so far is to be thrown away."""


DISK_FULL = "the disk is full: free some room, or choose another disk with --to, and type the same again"
_ANOTHER_WAY = "or download the zip elsewhere and give it with --from-zip"
_TABLE: tuple[tuple[str, Refusal], ...] = (
    (
        r"No module named ['\"]?kaggle\b",
        Refusal(f"the kaggle client is not installed: type `{INSTALL}`, {_ANOTHER_WAY}"),
    ),
    (
        r"No module named ['\"](?P<module>[\w.]+)",
        Refusal(f"the kaggle client needs a module that is not installed ({{module}}): type `{INSTALL}`"),
    ),
    (
        r"accept(ed)? (this|the) competition.?s rules|competitions\.participate",
        Refusal(f"the competition's rules are not accepted yet: accept them in a browser at {RULES}"),
    ),
    (r"\b401 Client Error|Unauthori[sz]ed|Unauthenticated", Refusal("{credentials}")),
    (
        r"\b429 Client Error|too many requests|rate.?limit",
        Refusal("Kaggle says that there were too many requests (429): wait some minutes and type the same again", True),
    ),
    (
        r"\b50[0234] Server Error|Service Unavailable|Bad Gateway|Gateway Time-?out",
        Refusal("Kaggle cannot answer at the moment ({words}): type the same again later", True),
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError",
        Refusal(
            "the connection to Kaggle is not trusted (certificate): behind a company's proxy, name its certificates "
            f"with REQUESTS_CA_BUNDLE=FILE, {_ANOTHER_WAY}"
        ),
    ),
    (
        r"Failed to resolve|getaddrinfo|Max retries exceeded|ProxyError|Connection ?Error|Connection aborted"
        r"|IncompleteRead|Connection broken|Read timed out|InvalidProxyURL",
        Refusal(
            "Kaggle cannot be reached: is this machine online (https://www.kaggle.com)? The same command goes on where "
            f"it stopped, {_ANOTHER_WAY}"
        ),
    ),
    (
        r"\b403 Client Error|Forbidden|Permission '|Required permission",
        Refusal(f"Kaggle refuses ({{words}}): sign in and accept the competition's rules in a browser at {RULES}"),
    ),
    (
        r"\b404 Client Error|not found",
        Refusal(f"Kaggle knows no competition {COMPETITION} ({{words}}): see {SOURCES['monet'].address}"),
    ),
    (
        r"does not match expected size",
        Refusal("what came is not the whole zip: type the same again", passing=True, spoilt=True),
    ),
    (
        r"(Permission denied|Read-only file system|Not a directory|File exists): '(?P<path>[^']*)'",
        Refusal("the kaggle client cannot write {path}: name a folder for its settings with KAGGLE_CONFIG_DIR"),
    ),
)


def explain(said: Sequence[str], complained: Sequence[str], environment: Mapping[str, str]) -> Refusal:
    """The sentence for a client that has failed, by its lines on standard output and on standard error."""
    if any("Authentication required to call the Kaggle API" in line for line in said):
        return Refusal(_about_credentials(environment))
    words = last_words(complained) or last_words(said)
    if is_disk_full(words):
        return Refusal(DISK_FULL)
    for pattern, refusal in _TABLE:
        if match := re.search(pattern, words, re.IGNORECASE):
            parts = {name: value or "" for name, value in match.groupdict().items()}
            sentence = refusal.sentence.format(
                words=words[:LONGEST_WORDS], credentials=_about_credentials(environment), **parts
            )
            return Refusal(sentence, refusal.passing, _asked_for(words) if refusal.passing else None, refusal.spoilt)
    ended = words[:LONGEST_WORDS] or "it said nothing"
    return Refusal(f"the kaggle client failed: {ended}; see {SOURCES['monet'].address}, {_ANOTHER_WAY}")


def is_disk_full(line: str) -> bool:
    """Whether a line of the client tells of a full disk, a used up quota or a file too large for the place."""
    return re.search(r"\[Errno (28|122|27)\]", line) is not None


def last_words(lines: Sequence[str]) -> str:
    """What is told in a program's last lines: of a traceback the error alone, of progress bars nothing."""
    told = [line.strip() for line in lines if line.strip() and not line.startswith((" ", "\t"))]
    told = [line for line in told if not re.search(r"\d+%\||\d[kMG]?B/s\]|^Warning: Looks like", line)]
    return "".join(letter if letter.isprintable() else " " for letter in told[-1]) if told else ""


def credentials(environment: Mapping[str, str]) -> str | None:
    """What the client would sign in with, by name, in the order in which it looks; None if there is nothing."""
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or os.devnull)
    own, given = home / ".kaggle", environment.get("KAGGLE_CONFIG_DIR")
    fallback = Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "kaggle"
    settings = Path(given) if given else own if own.is_dir() else fallback
    if environment.get("KAGGLE_API_TOKEN"):
        return "KAGGLE_API_TOKEN"
    for path in (own / "access_token", own / "access_token.txt"):
        if path.is_file():
            return str(path)
    if environment.get("KAGGLE_USERNAME") and environment.get("KAGGLE_KEY"):
        return "KAGGLE_USERNAME and KAGGLE_KEY"
    return next((str(path) for path in (settings / "kaggle.json", own / "credentials.json") if path.is_file()), None)


def _about_credentials(environment: Mapping[str, str]) -> str:
    used = credentials(environment)
    new = f"at {SETTINGS} (API, Generate New Token) and put it into ~/.kaggle/access_token"
    if used is None:
        return f"not signed in to Kaggle: make a token {new}, or type `kaggle auth login`"
    return f"Kaggle does not accept what {used} holds (expired, or mistyped): make a new token {new}"


def _asked_for(words: str) -> float | None:
    """The seconds after which a server wants to be asked again, where its message tells them."""
    found = re.search(r"(\d+(?:\.\d+)?)\s*s(?:ec(?:ond)?s?)?\b", words, re.IGNORECASE)
    seconds = float(found.group(1)) if found else None
    return seconds if seconds is not None and seconds <= LONGEST_ASKED else None
