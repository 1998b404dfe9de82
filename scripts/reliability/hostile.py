"""Checkpoints and painters made to do harm: nothing in them is executed, and each is refused in a sentence.

Somebody who makes a checkpoint can also make a manifest that is right in every digest; so most of these have one.
"""

import json
import os
import pickle
import resource
import shutil
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from trial import Row, draw_sets, main, settings_file, start, tiny, type_command

from cyclestyle.config import Settings
from cyclestyle.files import sha256
from cyclestyle.networks.painter import MARK
from cyclestyle.training.checkpoints import MANIFEST, _sealed

STEP = 10
SECONDS, KILOBYTES = 30.0, 1_000_000
NETWORKS, OPTIMIZERS, OWN = "networks.safetensors", "optimizers.safetensors", "process-0.safetensors"


class Canary:
    """Unpickled, it makes a file."""

    path = Path("canary")

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


@dataclass(frozen=True)
class Case:
    """A way to do harm."""

    what: str
    tamper: Callable[[Path], object]
    """Done to the checkpoint's folder, or to the painter's file."""
    seal: bool = True
    """Make the manifest right again."""
    small: bool = False
    harmless: bool = False
    """May also be passed by: exit code 0."""


# --- how to tamper ------------------------------------------------------------------------------------------------


def seal(folder: Path) -> None:
    """Make the manifest fit whatever lies there, as somebody can who knows how."""
    manifest = json.loads((folder / MANIFEST).read_text())
    names = [path for path in sorted(folder.iterdir()) if path.name != MANIFEST and path.is_file()]
    known = manifest["files"]
    files = {p.name: known.get(p.name) if _sparse(p) else _described(p) for p in names}
    (folder / MANIFEST).write_bytes(_sealed({"facts": manifest["facts"], "files": files}))


def _sparse(path: Path) -> bool:
    return path.stat().st_size > 1 << 33


def _described(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def facts(**changed: Any) -> Callable[[Path], None]:
    """Change what a manifest says of the run."""

    def tamper(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["facts"] |= changed
        manifest.pop("sha256")
        (folder / MANIFEST).write_bytes(_sealed(manifest))

    return tamper


def entries(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Change a manifest's list of files, and seal it."""

    def tamper(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest.pop("sha256")
        change(manifest["files"])
        (folder / MANIFEST).write_bytes(_sealed(manifest))

    return tamper


def tensors(name: str, change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    """Change the tensors of a file."""

    def tamper(place: Path) -> None:
        path = place / name if place.is_dir() else place
        metadata = _metadata(path)
        held = {key: value.clone() for key, value in load_file(path).items()}
        change(held)
        save_file(held, path, metadata=metadata)

    return tamper


def _metadata(path: Path) -> dict[str, str] | None:
    content = path.read_bytes()
    return json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]]).get("__metadata__")


def header(text: bytes, *, claimed: int | None = None, size: int = 0) -> Callable[[Path], None]:
    """A safetensors file with this header, `size` bytes long (with a hole) if it is to be longer."""

    def tamper(place: Path) -> None:
        path = place / NETWORKS if place.is_dir() else place
        path.write_bytes(struct.pack("<Q", len(text) if claimed is None else claimed) + text)
        if size:
            os.truncate(path, size)

    return tamper


def instead(name: str, put: Callable[[Path], object]) -> Callable[[Path], None]:
    """Something else in a file's place."""

    def tamper(place: Path) -> None:
        path = place / name if place.is_dir() else place
        path.unlink()
        put(path)

    return tamper


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weights": Canary()}))


def torch_saved(path: Path) -> None:
    torch.save({"weights": Canary()}, path)


def hole(folder: Path) -> None:
    """4 TB of zeros that take no room, and a manifest that knows their size."""
    header(_shape_of(10**6, 10**6), size=4 * 10**12 + 200)(folder)
    entries(lambda files: files[NETWORKS].update(bytes=4 * 10**12 + 200))(folder)


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def _first(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[dict[str, torch.Tensor]], None]:
    def apply(held: dict[str, torch.Tensor]) -> None:
        name = max(held, key=lambda key: held[key].numel())
        held[name] = change(held[name]).contiguous()

    return apply


def _shape_of(*shape: int) -> bytes:
    count = 4
    for side in shape:
        count *= side
    return json.dumps({"a": {"dtype": "F32", "shape": list(shape), "data_offsets": [0, count]}}).encode()


def _many(count: int) -> bytes:
    return json.dumps(
        {f"{number:x}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(count)}
    ).encode()


def _twice() -> bytes:
    entry = b'"paint.x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    return b"{" + entry + b"," + entry + b"}"


def _files_a_number(folder: Path) -> None:
    told = json.loads((folder / MANIFEST).read_text())["facts"]
    (folder / MANIFEST).write_bytes(_sealed({"facts": told, "files": 5}))


def _manifest(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / MANIFEST).write_bytes(content)


def _steps_away(folder: Path) -> None:
    """A checkpoint of a step far beyond the schedule."""
    facts(step=10**15)(folder)
    folder.rename(folder.with_name(f"step-{10**15}"))


# --- the cases ----------------------------------------------------------------------------------------------------

DEEP = b"[" * 1_000_000 + b"]" * 1_000_000
NAN = float("nan")
PB = 1 << 50

CHECKPOINTS = [
    Case("pickle named networks.safetensors", instead(NETWORKS, pickled), small=True),
    Case("torch.save named networks.safetensors", instead(NETWORKS, torch_saved)),
    Case("pickle named manifest.json", instead(MANIFEST, pickled), seal=False, small=True),
    Case("pickle beside the others", lambda folder: pickled(folder / "networks.pkl"), harmless=True),
    Case("header of 100 MB", header(b"{" + b" " * 100_000_000 + b"}")),
    Case("header that claims 1 PB", header(b"{}", claimed=PB), small=True),
    Case("header of 2,000,000 brackets", header(b'{"a":' + DEEP + b"}")),
    Case("header with 1,000,000 tensors", header(_many(1_000_000))),
    Case("header with 60,000 tensors, below the bound", header(_many(60_000))),
    Case("shape of 1e12 values, no data", header(_shape_of(10**6, 10**6)), small=True),
    Case("shape of 1e12 values in a file of 4 TB (a hole)", hole, seal=False, small=True),
    Case("shape of 2^63 x 2^63", header(_shape_of(1 << 63, 1 << 63))),
    Case("offsets beyond the file", header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[99,103]}}')),
    Case("a tensor twice in the header", header(_twice())),
    Case("wrong shape", tensors(NETWORKS, _first(lambda value: value.flatten())), small=True),
    Case("wrong type", tensors(NETWORKS, _first(lambda value: value.half()))),
    Case("type that nothing here is", tensors(NETWORKS, _first(lambda value: value.to(torch.int8)))),
    Case("a tensor missing", tensors(NETWORKS, lambda held: held.pop(next(iter(held))))),
    Case("a tensor too many", tensors(NETWORKS, lambda held: held.update(more=torch.zeros(1)))),
    Case("all weights not a number", tensors(NETWORKS, _first(lambda value: value * NAN)), small=True),
    Case("averaged painter not a number", tensors("paint.safetensors", _first(lambda value: value * NAN))),
    Case("Adam's squares negative", tensors(OPTIMIZERS, lambda h: [v.fill_(-1) for k, v in h.items() if "sq" in k])),
    Case(
        "Adam's step -1", tensors(OPTIMIZERS, lambda h: [v.fill_(-1) for k, v in h.items() if "step" in k]), small=True
    ),
    Case("Adam's moments not a number", tensors(OPTIMIZERS, _first(lambda value: value * NAN))),
    Case("a remembered fake not a number", tensors(OWN, _first(lambda value: value * NAN))),
    Case("remembered fakes of another size", tensors(OWN, _first(lambda value: value.repeat(1, 1, 9, 9)))),
    Case("means of unknown losses", tensors(OWN, lambda h: h.update({"means.x": torch.ones(())})), harmless=True),
    Case("means over -1 steps", tensors(OWN, lambda h: h["means.count"].fill_(-1)), harmless=True),
    Case("guard not a number", facts(guard={"skipped": NAN}), seal=False),
    Case("guard with a name of its methods", facts(guard={"look": 1, "skip": 1}), seal=False, small=True),
    Case("guard with patience 1e300", facts(guard={"patience": 1e300}), seal=False),
    Case("step -1", facts(step=-1), seal=False),
    Case("step of another folder", facts(step=5), seal=False),
    Case("step 1e15, folder and all", _steps_away, seal=False, small=True),
    Case("step a list", facts(step=[1]), seal=False),
    Case("1e30 processes", facts(processes=10**30), seal=False),
    Case("settings are numbers", facts(settings={"seed": 1e308}), seal=False),
    Case("settings of 900,000 letters", facts(settings={"seed": "x" * 900_000}), seal=False, small=True),
    Case("settings 400 levels deep", facts(settings={"seed": json.loads("[" * 400 + "]" * 400)}), seal=False),
    Case("pictures are a number", facts(pictures=5), seal=False),
    Case("a budget of 1e308 seconds used", facts(budget={"used": 1e308}), seal=False, harmless=True),
    Case("scaler of scale not a number", facts(scaler={"scale": NAN, "growth_tracker": 0}), seal=False),
    Case("unknown facts", facts(more=1), seal=False),
    Case("manifest of 5,000,000 bytes", _manifest(b" " * 5_000_000), seal=False, small=True),
    Case("manifest of 500,000 brackets", _manifest(b"[" * 500_000), seal=False, small=True),
    Case("manifest that is not JSON", _manifest(b"\xff\xfe\x00"), seal=False),
    Case("manifest with a number of 900,000 digits", _manifest(b'{"sha256":' + b"9" * 900_000 + b"}"), seal=False),
    Case("manifest that is a pipe", instead(MANIFEST, os.mkfifo), seal=False, small=True),
    Case("manifest linked to /dev/zero", instead(MANIFEST, _link("/dev/zero")), seal=False),
    Case("manifest whose list of files is a number", _files_a_number, seal=False),
    Case("file named ../../../x", entries(lambda files: files.update({"../../../x": {}})), seal=False, small=True),
    Case("file named /etc/passwd", entries(lambda f: f.update({"/etc/passwd": {}})), seal=False),
    Case("file named .", entries(lambda f: f.update({".": {"bytes": 1, "sha256": ""}})), seal=False),
    Case("file with a size of -1", entries(lambda f: f[NETWORKS].update(bytes=-1)), seal=False),
    Case("file with a digest of 5", entries(lambda f: f[NETWORKS].update(sha256=5)), seal=False),
    Case("weights linked to /dev/zero", instead(NETWORKS, _link("/dev/zero")), seal=False, small=True),
    Case("weights linked to /etc/passwd", instead(NETWORKS, _link("/etc/passwd")), seal=False),
    Case("weights that are a pipe", instead(NETWORKS, os.mkfifo), seal=False, small=True),
    Case("weights that are a folder", instead(NETWORKS, lambda path: path.mkdir()), seal=False),
    Case("weights missing, and not in the manifest", instead(NETWORKS, lambda path: None), small=True),
]


def _card(**changed: Any) -> Callable[[Path], None]:
    """A painter whose card says something else."""

    def tamper(path: Path) -> None:
        held, metadata = load_file(path), _metadata(path)
        assert metadata
        told = json.loads(metadata[MARK])
        told["card"]["generator"] |= changed
        save_file({name: value.clone() for name, value in held.items()}, path, metadata={MARK: json.dumps(told)})

    return tamper


def _marked(text: str) -> Callable[[Path], None]:
    def tamper(path: Path) -> None:
        save_file({"a": torch.zeros(1)}, path, metadata={MARK: text})

    return tamper


def _expanded(path: Path) -> None:
    """A reference file whose weights claim 1e12 values and hold one."""
    names = ("model.1.weight", "model.1.bias", "model.4.weight", "model.26.weight", "model.26.bias")
    torch.save({name: torch.zeros(1).expand(1_000_000, 1_000_000) for name in names}, path)


PAINTERS = [
    Case("pickle named paint.safetensors", pickled, small=True),
    Case("torch.save named paint.safetensors", torch_saved),
    Case("header of 100 MB", header(b"{" + b" " * 100_000_000 + b"}"), small=True),
    Case("header that claims 1 PB", header(b"{}", claimed=PB)),
    Case("header of 2,000,000 brackets", header(b'{"a":' + DEEP + b"}")),
    Case("header with 1,000,000 tensors", header(_many(1_000_000))),
    Case("shape of 1e12 values in a file of 4 TB (a hole)", header(_shape_of(10**6, 10**6), size=4 * 10**12 + 200)),
    Case("card with a width of 1e9", _card(width=10**9)),
    Case("card with 1e9 blocks", _card(blocks=10**9), small=True),
    Case("card with a width of 1e30", _card(width=10**30)),
    Case("card for a U-Net of depth 10", _card(kind="unet", depth=10)),
    Case("card of 3,000,000 brackets", _marked("[" * 3_000_000), small=True),
    Case("card that is a number", _marked("5")),
    Case("card with not a number", _marked('{"format": 1, "card": {"step": NaN}}')),
    Case("linked to /dev/zero", instead("", _link("/dev/zero")), small=True),
    Case("linked to /etc/passwd", instead("", _link("/etc/passwd"))),
    Case("a pipe", instead("", os.mkfifo)),
    Case("empty", lambda path: path.write_bytes(b"")),
    Case(".pth: a pickle", pickled, small=True),
    Case(".pth: torch.save of a pickle", torch_saved, small=True),
    Case(".pth: weights that claim 1e12 values", _expanded, small=True),
    Case(".pth: a list in a list, 100,000 times", lambda path: path.write_bytes(b"\x80\x02" + b"]" * 100_000 + b".")),
    Case(".pth: not a number of names", lambda path: torch.save([1, 2, 3], path)),
    Case(".pth: 1 GB of nothing", lambda path: (path.write_bytes(b""), os.truncate(path, 1 << 30))),
]


# --- the trial ----------------------------------------------------------------------------------------------------


def _measured(words: tuple[object, ...], peak: Path) -> int:
    """Type a command; note how much memory this process had at most."""
    code = type_command(*words)
    peak.write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
    return code


def _judge(case: Case, words: tuple[object, ...], place: Path) -> Row:
    """Run the command on what was tampered with, in a process of its own."""
    peak, began = place / "peak", time.monotonic()
    peak.unlink(missing_ok=True)
    child = start(partial(_measured, words, peak), place / "said.txt")[0]
    try:
        code: int | str = child.wait(SECONDS)
    except TimeoutError:
        code = f"no end in {SECONDS:.0f} s"
    took, said = time.monotonic() - began, child.said().strip()
    memory = int(peak.read_text()) if peak.exists() else None
    last = said.splitlines()[-1] if said else ""
    wrong = [] if code == 2 or (case.harmless and code == 0) else [f"exit code {code}"]
    wrong += ["traceback"] if "Traceback" in said else []
    wrong += ["executed"] if Canary.path.exists() else []
    wrong += [f"{memory / 1000:.0f} MB"] if memory is not None and memory > KILOBYTES else []
    wrong += [f"a sentence of {len(last):,} letters"] if len(last) > 2_000 else []
    told = last.replace(f"{place}/", "").replace("|", "/")
    told = told if len(told) < 160 else told[:159] + "…"
    bad = f"**{', '.join(wrong)}**: " if wrong else ""
    found = f"{bad}{told} ({(memory or 0) / 1000:.0f} MB, {took:.1f} s)"
    Canary.path.unlink(missing_ok=True)
    return Row(case.what, "refused or harmless" if case.harmless else "refused", found, not wrong)


def _checkpoint_refused(case: Case, settings: Settings, sound: Path, place: Path) -> Row:
    """A run with a single checkpoint, tampered with."""
    shutil.rmtree(settings.run, ignore_errors=True)
    shutil.copytree(sound, settings.run)
    folder = settings.run / "checkpoints" / f"step-{STEP:07d}"
    case.tamper(folder)
    if case.seal:
        seal(folder)
    return _judge(case, ("train", "--config", settings_file(settings)), place)


def _painter_refused(case: Case, painter: Path, place: Path) -> Row:
    """A painter's file, tampered with."""
    path = place / ("painter.pth" if case.what.startswith(".pth") else "painter.safetensors")
    path.unlink(missing_ok=True)
    shutil.copyfile(painter, path)
    case.tamper(path)
    row = _judge(case, ("translate", path, place / "data" / "photos", "--to", place / "painted"), place)
    return Row(f"painter: {row.what}", row.demanded, row.found, row.holds)


def trial(place: Path, full: bool) -> list[Row]:
    """Each case in a copy of one sound run."""
    data, sound = draw_sets(place / "data"), place / "sound"
    Canary.path = place / "canary"
    report = {"checkpoint_every": STEP, "keep": 9}
    child = start(
        lambda: type_command("train", "--config", settings_file(tiny(sound, data, report=report))), place / "s"
    )
    assert child[0].wait() == 0, child[0].said()
    for other in (2 * STEP, 3 * STEP):
        shutil.rmtree(sound / "checkpoints" / f"step-{other:07d}")
    settings = tiny(place / "run", data, report=report)
    untouched = Case("nothing (does the trial itself work?)", lambda folder: None, harmless=True)
    first = _checkpoint_refused(untouched, settings, sound, place)
    rows = [Row(first.what, "goes on", first.found, "finished" in first.found and first.holds)]
    chosen = [case for case in CHECKPOINTS if full or case.small]
    rows += [_checkpoint_refused(case, settings, sound, place) for case in chosen]
    chosen = [case for case in PAINTERS if full or case.small]
    return rows + [_painter_refused(case, sound / "paint.safetensors", place) for case in chosen]


if __name__ == "__main__":
    main("Hostile checkpoints and painters", trial)
