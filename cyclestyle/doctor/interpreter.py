"""Is this Python new enough? Written so that Pythons since 3.6 can read it, and be told that they are not."""

import shutil
import subprocess
import sys
from typing import Iterable, Tuple  # noqa: UP035 - for Python 3.6

from cyclestyle.doctor.findings import Finding, fine, wrong

Version = Tuple[int, ...]  # noqa: UP006 - as above

OLDEST = (3, 11)
"""Python that the package needs."""
OLDEST_FOR_A_LOOK = (3, 8)
"""Python that the rest of the doctor needs."""
NEWER = ("python3.14", "python3.13", "python3.12", "python3.11")


def is_old(version: Version = sys.version_info[:2]) -> bool:
    """Whether a Python is too old for the package."""
    return tuple(version[:2]) < OLDEST


def python(version: Version = sys.version_info[:3]) -> Iterable[Finding]:
    """A finding on the version of Python."""
    said = ".".join(str(part) for part in version)
    if is_old(version):
        needed = ".".join(str(part) for part in OLDEST)
        yield wrong("Python", f"{said} ({sys.executable}); {needed} or newer is needed", what_to_type())
    else:
        yield fine("Python", f"{said} ({sys.executable})")


def what_to_type() -> str:
    """How to come to a Python that is new enough: with the newest on the path, if there is one."""
    there = next((name for name in NEWER if shutil.which(name) and _starts(name)), None)
    made = "{} -m venv .venv && . .venv/bin/activate && python -m pip install '.[kaggle]'"
    if there:
        return made.format(there)
    return f"install Python 3.11 or newer, for example `uv python install 3.12`; then {made.format('python3.12')}"


def _starts(name: str) -> bool:
    """Whether a Python runs; version managers put names on the path that do not."""
    try:
        subprocess.run([name, "-c", ""], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def sentence() -> str:
    """That this Python is too old, and what to type."""
    finding = next(iter(python()))
    return f"this is Python {finding.found}: {finding.do}"
