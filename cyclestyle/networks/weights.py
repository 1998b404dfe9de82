"""Published weights of networks that see: found, or downloaded; looked at before they are believed; and named.

Nothing in a file is executed. Whatever precision a file stores, the tensors are float32, copied and finite.
"""

import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open

from cyclestyle.files import reason, sha256
from cyclestyle.images import walk
from cyclestyle.networks.stored import Tensors, is_plain, kinds

FOLDER_VARIABLE = "CYCLESTYLE_WEIGHTS"
SUFFIXES = (".safetensors", ".pth", ".pt")
LONGEST_SILENCE = 10.0
"""Seconds that a server may keep a download waiting."""

TORCH = "https://download.pytorch.org/models/"
FIDELITY = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
LPIPS = (
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/"
    "082bb24f84c091ea94de2867d34c4544f68e0963/lpips/weights/v0.1/"
)


class Known(NamedTuple):
    """A file that somebody published."""

    what: str
    file: str
    """Its name in PyTorch's cache."""
    url: str | None
    sha256: str
    """How its SHA-256 begins; empty where that is not known."""
    names: tuple[str, ...]
    """How files that hold these weights may be called, in lower case and without suffix."""
    prefix: str = ""
    """What stands before the names of its tensors in a file that holds several networks."""
    packages: tuple[tuple[str, str], ...] = ()
    """Installed packages that bring the file, and where in them it lies."""


def _heads(net: str, digest: str) -> Known:
    """LPIPS's weights for one network; 6 to 11 KB."""
    packages = (("lpips", f"weights/v0.1/{net}.pth"), ("torchmetrics", f"functional/image/lpips_models/{net}.pth"))
    names, url = ("lpips*", net), f"{LPIPS}{net}.pth"
    return Known(f"linear heads of LPIPS-{net} v0.1", f"lpips_v0.1_{net}.pth", url, digest, names, f"{net}.", packages)


KNOWN = {
    "vgg19": Known("VGG-19", "vgg19-dcbb9e9d.pth", f"{TORCH}vgg19-dcbb9e9d.pth", "dcbb9e9d", ("vgg19*",)),
    "vgg16": Known("VGG-16", "vgg16-397923af.pth", f"{TORCH}vgg16-397923af.pth", "397923af", ("vgg16*",)),
    # Made from Collaborative-Distillation's checkpoint, whose own layout is another: nowhere to download it from.
    "vgg19-distilled": Known("VGG-19 distilled", "vgg19_cd16x_encoder.safetensors", None, "", ("vgg19*",)),
    "alexnet": Known(
        "AlexNet", "alexnet-owt-7be5be79.pth", f"{TORCH}alexnet-owt-7be5be79.pth", "7be5be79", ("alexnet*",)
    ),
    "squeezenet": Known(
        "SqueezeNet 1.1",
        "squeezenet1_1-b8a52dc0.pth",
        f"{TORCH}squeezenet1_1-b8a52dc0.pth",
        "b8a52dc0",
        ("squeezenet1_1*",),
    ),
    "resnet18": Known(
        "ResNet-18", "resnet18-f37072fd.pth", f"{TORCH}resnet18-f37072fd.pth", "f37072fd", ("resnet18*",)
    ),
    # torchvision's first weights, with which style transfer through ResNets was published (Wang et al. 2021); its
    # second ones, resnet50-11ad3fa6.pth, fit as well, and are told as not the published file.
    "resnet50": Known(
        "ResNet-50", "resnet50-0676ba61.pth", f"{TORCH}resnet50-0676ba61.pth", "0676ba61", ("resnet50*",)
    ),
    "inception": Known(
        "FID Inception (TensorFlow, 2015-12-05)",
        "weights-inception-2015-12-05-6726825d.pth",
        f"{FIDELITY}weights-inception-2015-12-05-6726825d.pth",
        "6726825d",
        ("*inception*",),
    ),
    "lpips-alex": _heads("alex", "df73285e35b22355"),
    "lpips-vgg": _heads("vgg", "a78928a0af1e5f0f"),
    "lpips-squeeze": _heads("squeeze", "4a5350f23600cb79"),
}


class Weights(NamedTuple):
    """What a file gives, and which file it is."""

    tensors: Tensors
    """Those of the expected ones that are there and finite, float32, on the CPU."""
    file: str
    """Its name, without folders."""
    sha256: str
    """Of the whole file."""
    published: bool | None
    """Whether the file is byte for byte the published one; None where it does not claim to be."""
    source: str
    """The address at which it is published, or "given"."""
    note: str
    """What the file says of itself; empty for most."""

    @property
    def provenance(self) -> dict[str, Any]:
        """Everything but the tensors, for a report."""
        return {name: value for name, value in self._asdict().items() if name != "tensors" and value != ""}


def find_weights(
    kind: str, folder: Path | None, expected: Mapping[str, torch.Tensor], *, whole: bool = False
) -> Weights:
    """Weights of the network `kind` (a key of `KNOWN`): from a folder, PyTorch's cache, a package, or the network.

    Looked at in this order: `folder` (else the one that CYCLESTYLE_WEIGHTS names), with its sub-folders; torch.hub's
    checkpoints; for LPIPS's heads the installed packages `lpips` and `torchmetrics`, which are not imported. The first
    of these that has any of the expected tensors is taken, in it the file with most of them (of equals the first by
    name). Otherwise the published file is downloaded into torch.hub's checkpoints; one with a wrong hash is removed.

    A file with one of the expected names in another shape is taken for another network (as torchvision's own
    Inception and VGG with batch norm are, whose files are called alike) and passed over.

    Args:
        kind: a key of `KNOWN`.
        folder: where to look first; None for CYCLESTYLE_WEIGHTS.
        expected: names and shapes of the network's tensors; may be on the device "meta". A file may lack some:
            what it can be used for then is the network's to say.
        whole: pass over files that lack some.

    Raises:
        FileNotFoundError: there is no such folder; or there are no weights, and none to be downloaded.
        ValueError: a file that is named like these weights is damaged, or not one of plain tensors.
    """
    known, least = KNOWN[kind], len(expected) if whole else 1
    passed: list[str] = []
    for paths in places(known, folder):
        best = _best(paths, known, expected, least, passed)
        if best is not None:
            return best
    downloaded = _best([_download(known, passed)], known, expected, least, passed)
    if downloaded is None:
        raise ValueError(f"{known.url} does not hold {known.what} as expected; give a file of it with --weights DIR")
    return downloaded


def places(known: Known, folder: Path | None) -> Iterator[list[Path]]:
    """Files that are named as these weights may be, one place after the other."""
    variable = os.environ.get(FOLDER_VARIABLE)
    given = folder or (Path(variable) if variable else None)
    if given is not None:
        if not given.is_dir():
            named = "" if folder else f", which {FOLDER_VARIABLE} names"
            raise FileNotFoundError(f"no such folder of weights: {given}{named}; give one with --weights DIR")
        yield [place / name for place, _, names in walk(given) for name in names if _is_named(name, known)]
    cache = torch_cache()
    yield [path for path in cache.iterdir() if _is_named(path.name, known)] if cache.is_dir() else []
    for package, inside in known.packages:
        found = find_spec(package)
        folders = (found.submodule_search_locations if found else None) or []
        yield [path for path in (Path(one) / inside for one in folders) if path.is_file()]


def _is_named(name: str, known: Known) -> bool:
    stem, dot, suffix = name.lower().rpartition(".")
    return dot + suffix in SUFFIXES and any(fnmatch(stem, pattern) for pattern in known.names)


def torch_cache() -> Path:
    """Where PyTorch keeps what it has downloaded."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _best(
    paths: list[Path], known: Known, expected: Mapping[str, torch.Tensor], least: int, passed: list[str]
) -> Weights | None:
    """The file that gives most of the expected tensors, and `least` at least; names of those with fewer are noted."""
    best, most, refusal = None, {}, None
    for path in sorted(paths, key=lambda path: (path.name, path)):
        try:
            tensors = _read(path, known.prefix, expected)
        except ValueError as error:
            refusal = refusal or error
            continue
        if len(tensors) < least:
            passed.append(path.name)
        elif len(tensors) > len(most):
            best, most = path, tensors
    if best is None:
        if refusal is not None:
            raise refusal
        return None
    digest = sha256(best)
    published = _is_published(best.name, digest, known)
    source = known.url if published and known.url else "given"
    return Weights(most, best.name, digest, published, source, _note(best))


def _is_published(name: str, digest: str, known: Known) -> bool | None:
    """Whether a file is the published one; None where neither its name says so nor its content is."""
    if known.sha256 and digest.startswith(known.sha256):
        return True
    claimed = re.search(r"-([0-9a-f]{8})\.(pth|pt|safetensors)$", name)  # torchvision's convention
    return False if claimed or (name == known.file and known.sha256) else None


def _read(path: Path, prefix: str, expected: Mapping[str, torch.Tensor]) -> Tensors:
    """Those expected tensors that the file has, finite ones only; none if it holds another network.

    Raises ValueError for what is not a file of plain tensors.
    """
    try:
        stored = _safetensors if path.suffix.lower() == ".safetensors" else _pickled
        with torch.no_grad():
            return _chosen(stored(path), prefix, expected)
    except Exception as error:  # damaged files make the restricted unpickler raise errors of every kind
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        # The first sentence: PyTorch goes on with advice, to load the file in a way that runs what is in it.
        why = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
        raise ValueError(f"{path} is not a file of plain weights ({why[:120]}); remove or replace it") from None


def _chosen(stored: Tensors, prefix: str, expected: Mapping[str, torch.Tensor]) -> Tensors:
    """The expected tensors among the stored ones, whatever stands before their names."""
    short = {name.removeprefix("module.").removeprefix(prefix): tensor for name, tensor in stored.items()}
    there = {name: short[name] for name in expected if name in short}
    if any(tensor.shape != expected[name].shape for name, tensor in there.items()):
        return {}
    # Copied: what was read is mapped, and would change with the file.
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in there.items()}
    return {name: tensor for name, tensor in copies.items() if tensor.isfinite().all()}


def _safetensors(path: Path) -> Tensors:
    """The tensors of a .safetensors file; mapped, so not in memory before they are touched."""
    kinds(path)
    with safe_open(path, framework="pt") as stored:
        return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dictionary


def _pickled(path: Path) -> Tensors:
    """The tensors of a .pth file; mapped as well, unless it is of the older kind (VGG's are)."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ValueError("it holds no dictionary of tensors")
    tensors = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    for name, tensor in tensors.items():
        if not is_plain(tensor):
            raise ValueError(f"{name[:80]} is not a plain tensor")
    return tensors


def _note(path: Path) -> str:
    """What a safetensors file says that it is, and where it is from."""
    metadata = kinds(path)[1] if path.suffix.lower() == ".safetensors" else {}
    return "; ".join(metadata[entry] for entry in ("arch", "note", "source") if entry in metadata)


def _download(known: Known, passed: list[str]) -> Path:
    """Fetch the published file into PyTorch's cache, or say how else it can be had."""
    path, why = torch_cache() / known.file, "it is published nowhere in this form"
    if known.url is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _fetch(known.url, path, known.sha256)
            return path
        except (
            OSError,
            RuntimeError,
            HTTPException,
        ) as error:  # RuntimeError: torch found another hash, and removed it
            why = f"{known.url} could not be fetched ({_why(error)})"
    others = f" ({', '.join(sorted(set(passed)))}: another network, or a part of it)" if passed else ""
    raise FileNotFoundError(
        f"no weights of {known.what} here{others}, and none downloaded: {why}; put {known.file} into a folder and give "
        f"it with --weights DIR or {FOLDER_VARIABLE}, or put it into {path.parent}, or do without: --random-weights"
    )


def _why(error: Exception) -> str:
    """What hindered a download; urllib wraps what the system says."""
    inner = getattr(error, "reason", None)
    return reason(inner if isinstance(inner, OSError) else error) or type(error).__name__


def _fetch(url: str, path: Path, digest: str) -> None:
    """Download aside, check, move into place; a silent server is given up after `LONGEST_SILENCE`."""
    sys.stderr.write(f"downloading {url} to {path}\n")
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(LONGEST_SILENCE)  # torch's own download waits for ever
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest, progress=sys.stderr.isatty())
    finally:
        socket.setdefaulttimeout(before)
