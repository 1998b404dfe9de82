"""Build what a Kaggle notebook needs to run with the internet off: a dataset of wheels, and the notebook itself.

    python scripts/kaggle/build.py --owner YOUR-KAGGLE-NAME [--to build/kaggle] [--weights DIR] [--budget 4h45m]

The dataset: our wheel, wheels of what Kaggle's image may lack (pinned and hashed in scripts/requirements.txt), the
installer, the settings; with --weights also networks' weights, for the card. Nothing is uploaded: the commands for
that are printed. Wheels that were fetched before are not fetched again.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
COMPETITION = "gan-getting-started"

PURE = (
    "accelerate",
    "albucore",
    "albumentations",
    "annotated-types",
    "attrs",
    "cyclopts",
    "docstring-parser",
    "jinja2",
    "markdown-it-py",
    "mdurl",
    "pydantic",
    "pygments",
    "rich",
    "rich-rst",
    "tomli-w",
    "tqdm",
    "typing-extensions",
    "typing-inspection",
)
COMPILED = ("markupsafe", "psutil", "pydantic-core", "safetensors", "simsimd", "stringzilla")
"""What the image may lack or have in too old a version. Never what belongs to it: torch, torchvision, numpy, scipy,
pillow, opencv, tensorboard."""

PYTHONS = ("3.11", "3.12", "3.13")
"""Which of them the image has changes from time to time."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_12_x86_64")

DATASET, NOTEBOOK = "cyclestyle-bundle", "cyclestyle-monet"
BUDGET = "4h45m"
WEIGHTS = {".safetensors", ".pth", ".pt"}


def pinned(names: tuple[str, ...]) -> str:
    """The lines of scripts/requirements.txt on some packages, hashes included."""
    text = (ROOT / "scripts" / "requirements.txt").read_text(encoding="utf-8")
    blocks = {block.partition("==")[0].strip(): block for block in re.split(r"\n(?=\S)", text)}
    lacking = [name for name in names if name not in blocks]
    if lacking:
        sys.exit(f"scripts/requirements.txt does not pin {', '.join(lacking)}; run scripts/lock.sh")
    return "\n".join(blocks[name] for name in names) + "\n"


def fetch(names: tuple[str, ...], to: Path, *options: str) -> None:
    """Download wheels, each with one of its pinned hashes."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(pinned(names))
        requirements.flush()
        words = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
        pip(*words, "--require-hashes", *options, "--dest", str(to), "--requirement", requirements.name)


def pip(*words: str) -> None:
    """Run pip, and stop where it fails."""
    if subprocess.run([sys.executable, "-m", "pip", *words], cwd=ROOT, check=False).returncode:
        sys.exit("pip failed; what it says is the reason")


def build_wheel(to: Path) -> None:
    """Our own wheel, of the checkout as it is."""
    for old in to.glob("cyclestyle-*.whl"):
        old.unlink()
    pip(
        "wheel",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(to),
        ".",
    )


def fetch_wheels(to: Path) -> None:
    """All others."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    fetch(PURE, to)
    for python in PYTHONS:
        abis = ("--abi", f"cp{python.replace('.', '')}", "--abi", "abi3", "--abi", "none")
        fetch(COMPILED, to, "--python-version", python, "--implementation", "cp", *abis, *platforms)


def build_dataset(to: Path, owner: str, weights: Path | None) -> None:
    """The folder that becomes a dataset. It is flat: the client passes over folders in it."""
    to.mkdir(parents=True, exist_ok=True)
    build_wheel(to)
    fetch_wheels(to)
    shutil.copy(HERE / "install.py", to)
    shutil.copy(ROOT / "configs" / "kaggle-5h.toml", to)
    for path in sorted(weights.rglob("*")) if weights else []:
        if path.suffix.lower() in WEIGHTS and path.is_file():
            shutil.copy(path, to)
    metadata = {"title": DATASET.replace("-", " "), "id": f"{owner}/{DATASET}", "licenses": [{"name": "other"}]}
    (to / "dataset-metadata.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")


def cells(text: str) -> list[dict[str, object]]:
    """A notebook's cells from Markdown, in which blocks of Python are cells of code."""
    found: list[dict[str, object]] = []
    for place, part in enumerate(re.split(r"^```(?:python)?\n", text, flags=re.MULTILINE)):
        source = part.strip().splitlines(keepends=True)
        cell: dict[str, object] = {"id": f"cell-{place}", "metadata": {}, "source": source}
        if place % 2:
            found.append(cell | {"cell_type": "code", "execution_count": None, "outputs": []})
        elif source:
            found.append(cell | {"cell_type": "markdown"})
    return found


def build_notebook(to: Path, owner: str, budget: str) -> None:
    """The folder that is pushed."""
    to.mkdir(parents=True, exist_ok=True)
    text = (HERE / "notebook.md").read_text(encoding="utf-8")
    assert BUDGET in text
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {
        "cells": cells(text.replace(BUDGET, budget)),
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (to / f"{NOTEBOOK}.ipynb").write_text(json.dumps(notebook, indent=1) + "\n", encoding="utf-8")
    metadata = {
        "id": f"{owner}/{NOTEBOOK}",
        "title": NOTEBOOK.replace("-", " "),
        "code_file": f"{NOTEBOOK}.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "enable_tpu": False,
        "enable_internet": False,
        "machine_shape": "NvidiaTeslaT4Highmem",
        "dataset_sources": [f"{owner}/{DATASET}"],
        "competition_sources": [COMPETITION],
        "kernel_sources": [],
        "model_sources": [],
    }
    (to / "kernel-metadata.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")


def advice(to: Path, owner: str) -> str:
    """What to type next."""
    return f"""\
Accept the rules once: https://www.kaggle.com/competitions/{COMPETITION}/rules
Then:

    kaggle datasets create -p {to / "dataset"}
    kaggle kernels push -p {to / "notebook"}        # runs it; --accelerator chooses another GPU
    kaggle kernels status {owner}/{NOTEBOOK}
    kaggle competitions submit -c {COMPETITION} -k {owner}/{NOTEBOOK} -v 1 -f images.zip -m "cyclestyle"

A new bundle: kaggle datasets version -p {to / "dataset"} -m "new". Each push is a new version of the notebook (-v)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--owner", required=True, help="your name on Kaggle, as in its addresses")
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "kaggle")
    parser.add_argument("--weights", type=Path, help="folder of networks' weights for the card")
    parser.add_argument("--budget", default=BUDGET, help="time for everything")
    arguments = parser.parse_args()
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", arguments.owner):
        parser.error(f"--owner {arguments.owner}: as in kaggle.com/NAME: lower-case letters, digits and hyphens")
    if arguments.weights is not None and not arguments.weights.is_dir():
        parser.error(f"--weights {arguments.weights}: no such folder")
    build_dataset(arguments.to / "dataset", arguments.owner, arguments.weights)
    build_notebook(arguments.to / "notebook", arguments.owner, arguments.budget)
    size = sum(path.stat().st_size for path in (arguments.to / "dataset").iterdir())
    print(f"{arguments.to}: a bundle of {size / 1e6:.0f} MB and its notebook. {advice(arguments.to, arguments.owner)}")


if __name__ == "__main__":
    main()
