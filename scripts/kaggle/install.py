"""Install cyclestyle and what this Python lacks of its needs from the wheels beside this file; no index is asked.

    python install.py

What is there and new enough stays. What is too old is replaced if its wheel is here. PyTorch, NumPy and others that
belong to the image are never among the wheels: if one of them is too old, that is said, and it stays.
"""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.tags import sys_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

OURS = "cyclestyle"


def wheels_in(folder: Path) -> dict[str, Path]:
    """The wheels that fit this Python, by their packages."""
    fitting, found = set(sys_tags()), dict[str, Path]()
    for path in sorted(folder.glob("*.whl")):
        name, _, _, tags = parse_wheel_filename(path.name)
        if tags & fitting:
            found[name] = path
    return found


def needs_of(wheel: Path) -> list[Requirement]:
    """What a wheel says that it needs here."""
    with ZipFile(wheel) as opened:
        metadata = next(name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        lines = opened.read(metadata).decode().split("\n\n", 1)[0].splitlines()
    needs = [Requirement(line.partition(":")[2].strip()) for line in lines if line.startswith("Requires-Dist:")]
    return [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]


def installed(name: str) -> str | None:
    """The version that is there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def chosen(wheels: dict[str, Path]) -> tuple[list[Path], list[str]]:
    """The wheels to install: ours, and of its needs, and theirs, what is not there. And what is to be said."""
    taken, said, waiting = {OURS: wheels[OURS]}, list[str](), needs_of(wheels[OURS])
    while waiting:
        need = waiting.pop()
        name, there = canonicalize_name(need.name), installed(need.name)
        if name in taken or (there is not None and need.specifier.contains(there, prereleases=True)):
            continue
        if name in wheels:
            taken[name] = wheels[name]
            waiting += needs_of(wheels[name])
        else:
            said.append(f"{need.name} {there or 'is missing'}: {need} was asked for; nothing here replaces it")
    return list(taken.values()), sorted(set(said))


def main() -> None:
    here = Path(__file__).resolve().parent
    wheels = wheels_in(here)
    if OURS not in wheels:
        sys.exit(f"no wheel of {OURS} beside {Path(__file__).name}")
    taken, said = chosen(wheels)
    print(f"installing {', '.join(path.name.split('-')[0] for path in taken)}", flush=True)
    for sentence in said:
        print(f"note: {sentence}", flush=True)
    # Forced, since another wheel may have the version that is there.
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    words += ["--no-index", "--no-deps", "--force-reinstall"]
    sys.exit(subprocess.run([*words, *map(str, taken)], check=False).returncode)


if __name__ == "__main__":
    main()
