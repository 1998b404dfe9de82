"""Are the libraries there, and do they suit one another? Told by what is installed, without importing it."""

from __future__ import annotations

import os
import re
import shlex
import sys
from importlib import metadata
from importlib.util import find_spec
from typing import Iterable, Iterator, NamedTuple  # noqa: UP035 - for Python 3.8

from cyclestyle.doctor.findings import Finding, fine, note, wrong


class Library(NamedTuple):
    """Something that the package imports."""

    module: str
    requirement: str
    """As pyproject.toml has it."""

    @property
    def name(self) -> str:
        """What it is called where it is installed from."""
        return re.split(r"[<>=]", self.requirement)[0]


NEEDED = (
    Library("torch", "torch>=2.6"),
    Library("torchvision", "torchvision>=0.21"),
    Library("accelerate", "accelerate>=1.10"),
    Library("albumentations", "albumentations>=2.0.8,<2.1"),
    Library("cv2", "opencv-python-headless>=4.10.0.84"),
    Library("PIL", "pillow>=11"),
    Library("scipy", "scipy>=1.14"),
    Library("psutil", "psutil>=6"),
    Library("numpy", "numpy>=2.0"),
    Library("tensorboard", "tensorboard>=2.18"),
    Library("safetensors", "safetensors>=0.5"),
    Library("pydantic", "pydantic>=2.10"),
    Library("cyclopts", "cyclopts>=4.0"),
    Library("tomli_w", "tomli-w>=1.1"),
    Library("jinja2", "jinja2>=3.1"),
    Library("markupsafe", "markupsafe>=2.1"),
    Library("tqdm", "tqdm>=4.66"),
)


SOME = 3
"""Libraries that may be missing from an installation; where more are, it is another Python that has them."""
MODULES = {"opencv-python-headless": "cv2", "pyyaml": "yaml"}
"""What some libraries are imported as, where it is not their name; others may bring the same module."""


def is_there(module: str) -> bool:
    """Whether a module can be found; it is not imported."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def version_of(name: str) -> str | None:
    """The installed version; None where the installation says none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def libraries() -> Iterable[Finding]:
    """What is missing, too old or too new; then whether what is there suits what else is there."""
    lacking = [library for library in NEEDED if not is_there(library.module)]
    if len(lacking) > SOME:
        names = ", ".join(library.name for library in lacking)
        do = f"`. .venv/bin/activate`, if they are installed there; or {install(lacking)}"
        yield wrong("libraries", f"{len(lacking)} of {len(NEEDED)} are not installed in {sys.executable}: {names}", do)
    else:
        for library in lacking:
            yield wrong(library.name, "not installed", install([library]))
    others = [library for library in NEEDED if library not in lacking]
    unsuitable = [finding for library in others for finding in _unsuitable(library)]
    yield from unsuitable
    quarrels = list(_quarrels([library.name for library in others]))
    yield from quarrels
    if not lacking and not unsuitable and not quarrels:
        yield fine("libraries", f"all {len(NEEDED)} installed, in versions that suit one another")


def install(lacking: list[Library]) -> str:
    """A command for libraries that are not there.

    PyTorch stays as it is: another one might not suit the card. In a Kaggle notebook that is a rule.
    """
    wanted = [library.requirement for library in lacking]
    torch = version_of("torch")
    if torch and "torchvision" in {library.name for library in lacking}:
        wanted.append(f"torch=={torch.split('+')[0]}")
    offline = " (in a notebook without internet: from wheels in a dataset)" if in_notebook() else ""
    return pip(*wanted) + offline


def pip(*words: str) -> str:
    """A command that installs into this Python; environments made by uv have no pip of their own."""
    python = shlex.quote(sys.executable)
    command = f"{python} -m pip install" if is_there("pip") else f"uv pip install --python {python}"
    return " ".join([command, *(shlex.quote(word) for word in words)])


def in_notebook() -> bool:
    """Whether this is one of Kaggle's notebooks."""
    return "KAGGLE_KERNEL_RUN_TYPE" in os.environ


def _unsuitable(library: Library) -> Iterator[Finding]:
    """A finding if a library has a version with which the package was not made."""
    version = version_of(library.name)
    if version is None:
        yield note(library.name, "there, but installed without its version")
    elif not suits(version, library.requirement):
        do = pip(library.requirement)
        if library.name == "torch" and in_notebook():
            do = "choose another environment in the notebook's settings; never upgrade torch there"
        yield wrong(library.name, f"{version}; needed: {library.requirement}", do)


def suits(version: str, requirement: str) -> bool:
    """Whether a version is in the range of a requirement made of `>=` and `<`."""
    for sign, bound in re.findall(r"(>=|<)([\d.]+)", requirement):
        if (numbers(version) >= numbers(bound)) != (sign == ">="):
            return False
    return True


def numbers(version: str) -> tuple[int, ...]:
    """`2.15.0+cu132` -> (2, 15): what two versions are compared by. Zeros at the end say nothing."""
    found = [int(part) for part in re.match(r"[\d.]*", version).group().split(".") if part]  # type: ignore[union-attr]
    while found and not found[-1]:
        found.pop()
    return tuple(found)


def _quarrels(names: list[str]) -> Iterator[Finding]:
    """What installed libraries say that they need of one another, and do not have."""
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:  # Accelerate imports it too
        if "accelerate" in names:
            yield wrong("packaging", "not installed; accelerate needs it", pip("packaging"))
        return
    for name in names:
        # PyTorch's own needs are seen by importing it: Conda brings them under other names.
        for line in metadata.requires(name) or [] if name != "torch" and version_of(name) else []:
            try:
                wanted = Requirement(line)
            except InvalidRequirement:
                continue
            if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
                continue
            there = version_of(wanted.name)
            if there is not None and wanted.specifier.contains(there, prereleases=True):
                continue
            if there is None and is_there(MODULES.get(wanted.name.lower(), wanted.name.replace("-", "_"))):
                continue
            # Whether it really stops is found out by importing it; a version alone stops nothing.
            asked = f"{wanted.name}{wanted.specifier}"
            has = "is not installed" if there is None else f"is {there}"
            yield note(name, f"{version_of(name)} asks for {asked}, which {has}", _reconcile(name, asked, there))


def _reconcile(name: str, asked: str, there: str | None) -> str:
    """A command that makes two libraries suit one another; of PyTorch and another one, the other one moves."""
    if there is not None and re.split(r"[<>=!~]", asked)[0] == "torch":
        return pip(name, f"torch=={there.split('+')[0]}")
    return pip(asked)
