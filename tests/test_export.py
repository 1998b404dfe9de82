"""`cyclestyle export`: a file that paints what PyTorch paints, where there is no PyTorch; or a sentence and no file."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Draw
from PIL import Image
from torch import nn

from cyclestyle.commands.export import export
from cyclestyle.config import GeneratorSettings
from cyclestyle.exporting.describing import NO_DATA, TERMS
from cyclestyle.exporting.packages import require
from cyclestyle.files import sha256
from cyclestyle.images import Images, load, to_images, to_levels
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import initialise
from cyclestyle.networks.painter import PainterCard, load_painter, save_painter

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from cyclestyle.exporting import graph  # noqa: E402 - onnx is optional
from cyclestyle.exporting.exporting import export_painter  # noqa: E402
from cyclestyle.exporting.portable import load_portable  # noqa: E402

SETTINGS = GeneratorSettings(width=4, blocks=2, upsampling="resize")


def write_painter(path: Path, *, seed: int = 0, direction: str = "photo to painting", nan: bool = False) -> Path:
    network = build_generator(SETTINGS)
    initialise(network, torch.Generator().manual_seed(seed), deviation=0.2)
    if nan:
        next(network.parameters()).data.fill_(torch.nan)
    card = PainterCard.model_validate({"direction": direction, "generator": SETTINGS, "side": 64, "step": 500})
    path.parent.mkdir(parents=True, exist_ok=True)
    save_painter(network, card, path)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "mine"
    write_painter(folder / "paint.safetensors")
    write_painter(folder / "unpaint.safetensors", seed=1, direction="painting to photo")
    write_painter(folder / "checkpoints" / "step-0000250" / "paint.safetensors")
    told = {"seed": 0, "pictures": {"photos": "ab", "paintings": "cd"}, "counts": {"photos": 7, "paintings": 3}}
    (folder / "provenance.json").write_text(json.dumps(told))
    (folder / "config.toml").write_text(f'run = "x"\n[data]\nfolder = "{tmp_path.as_posix()}/private/sea"\n')
    return folder


def card_in(path: Path) -> dict[str, object]:
    """Read as whoever has ONNX Runtime and nothing of this project would."""
    entries = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    return json.loads(entries["model_card"])


def painted(path: Path, images: Images) -> Images:
    session = onnxruntime.InferenceSession(path)
    return torch.from_numpy(session.run(None, {"photos": images.numpy()})[0])


def some(height: int, width: int) -> Images:
    coarse = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)


@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-3), ("fp16", 0.1), ("int8", 0.5)])
def test_a_run_becomes_one_file_that_paints_the_same(
    run: Path, tmp_path: Path, precision: str, most: float, capfd: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "out" / "painter.onnx"
    export(run, to=to, precision=precision)
    said = capfd.readouterr()
    assert said.err == ""
    assert len(re.findall(r"^ *\d+ x \d+  \d\.\de-\d\d  \d\.\de-\d\d", said.out, re.MULTILINE)) == 10
    assert said.out.rstrip().splitlines()[-1].startswith(f"{to}: a p")
    assert ("a preview of" in said.out) == (precision == "int8")
    assert [path.name for path in to.parent.iterdir()] == ["painter.onnx"]
    images = some(50, 37)
    wanted = load_painter(run / "paint.safetensors")(images)
    assert (painted(to, images) - wanted).abs().max() < most
    assert wanted.std() > 0.03


def test_the_way_back_is_another_painter(run: Path, tmp_path: Path) -> None:
    for back in (False, True):
        export(run, to=tmp_path / f"{back}.onnx", back=back)
    assert card_in(tmp_path / "False.onnx")["direction"] == "photo to painting"
    assert card_in(tmp_path / "True.onnx")["direction"] == "painting to photo"
    images = some(20, 20)
    wanted = load_painter(run / "unpaint.safetensors")(images)
    assert (painted(tmp_path / "True.onnx", images) - wanted).abs().max() < 1e-3
    assert (painted(tmp_path / "False.onnx", images) - wanted).abs().max() > 0.05


def test_the_file_says_what_it_is_and_nothing_of_where_it_was_made(run: Path, tmp_path: Path) -> None:
    to = tmp_path / "painter.onnx"
    exported = export_painter(run / "paint.safetensors", to, "int8", licence="CC-BY-4.0, by me")
    told = card_in(to)
    assert told == json.loads(exported.card.model_dump_json())
    assert exported.bytes == to.stat().st_size
    assert told["generator"]["width"] == 4
    assert (told["side"], told["step"], told["precision"], told["preview"]) == (64, 500, "int8", True)
    assert told["source"] == {"file": "paint.safetensors", "sha256": sha256(run / "paint.safetensors")}
    assert told["data"] == {
        "count": {"photos": 7, "paintings": 3},
        "fingerprint": {"photos": "ab", "paintings": "cd"},
        "folders": {"folder": "sea"},
    }
    assert told["licence"] == "CC-BY-4.0, by me"
    assert 0 < told["parity"]["mean"] < told["parity"]["largest"] < 2
    assert len(told["parity"]["sizes"]) == 10
    assert str(tmp_path).encode() not in to.read_bytes()
    assert "RGB" in onnxruntime.InferenceSession(to).get_modelmeta().description


def test_of_a_checkpoint_the_run_is_known_and_of_a_single_file_nothing(run: Path, tmp_path: Path) -> None:
    checkpoint = export_painter(run / "checkpoints" / "step-0000250" / "paint.safetensors", tmp_path / "a.onnx")
    assert checkpoint.card.data["count"] == {"photos": 7, "paintings": 3}
    alone = export_painter(write_painter(tmp_path / "alone" / "deep" / "down" / "one.safetensors"), tmp_path / "b.onnx")
    assert (alone.card.data, alone.card.licence) == (NO_DATA, TERMS)
    (run / "provenance.json").write_text("{")
    assert export_painter(run / "paint.safetensors", tmp_path / "c.onnx").card.data == NO_DATA


def test_the_same_painter_gives_the_same_graph(run: Path, tmp_path: Path) -> None:
    for name in "ab":
        export(run, to=tmp_path / f"{name}.onnx")
    images = some(33, 21)
    assert torch.equal(painted(tmp_path / "a.onnx", images), painted(tmp_path / "b.onnx", images))


WITHOUT = """
import importlib.util, sys
sys.path.insert(0, {packages!r})
for name in ("torch", "cyclestyle", "onnx"):
    assert importlib.util.find_spec(name) is None, name
"""


OURS = """
import pathlib, torch
from cyclestyle.exporting.portable import load_portable
load_portable(pathlib.Path("painter.onnx"))(torch.zeros(1, 3, 16, 16))
"""
THEIRS = """
import onnxruntime
onnxruntime.InferenceSession("painter.onnx", providers=["CPUExecutionProvider"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it keeps its number in another place")
@pytest.mark.parametrize(("script", "tells"), [(OURS, False), (THEIRS, True)])
def test_nobody_is_told_that_a_painter_is_used(run: Path, tmp_path: Path, script: str, tells: bool) -> None:
    """ONNX Runtime by itself keeps a device's number in its user's folder, to send with what it tells."""
    export(run, to=tmp_path / "painter.onnx")
    home = tmp_path / "home"
    home.mkdir()
    # It is silent where it sees that it is tested; and nothing gets out of here either way.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_", "CI", "PYTEST"))}
    kept |= {"HOME": str(home), "HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=kept, check=True)
    assert any("onnxruntime" in path.name for path in home.rglob("*")) == tells


def test_where_there_is_no_pytorch_the_example_in_the_card_paints_the_same(
    run: Path, tmp_path: Path, draw: Draw
) -> None:
    """A process that finds NumPy, Pillow and ONNX Runtime and nothing else."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("numpy", "onnxruntime", "PIL"):
        (place,) = importlib.util.find_spec(name).submodule_search_locations
        (packages / name).symlink_to(place)
    for libraries in Path(np.__file__).parents[1].glob("*.libs"):
        (packages / libraries.name).symlink_to(libraries)
    export(run, to=tmp_path / "painter.onnx")
    (photo,) = draw(tmp_path, 1, size=(61, 40), suffix=".jpg")
    photo.rename(tmp_path / "photo.jpg")
    script = WITHOUT.format(packages=str(packages)) + str(card_in(tmp_path / "painter.onnx")["example"])
    # -I and -S: no folder of installed packages
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    wanted = to_levels(load_painter(run / "paint.safetensors")(to_images([load(tmp_path / "photo.jpg")])))[0]
    found = np.asarray(Image.open(tmp_path / "painting.png")).astype(int)
    assert np.abs(found - wanted.numpy()).max() <= 1  # where a value lies between two levels
    assert found.std() > 3


def test_a_painter_that_would_paint_differently_is_not_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "out" / "painter.onnx"
    export(run, to=to)
    before = to.read_bytes()
    monkeypatch.setattr(graph, "SMALLEST", 20)  # small pictures are continued further than by PyTorch
    with pytest.raises(
        ValueError, match=r"exported in fp32, the painter differs from PyTorch's by up to .* at 3 x 5, and"
    ):
        export(run, to=to)
    assert to.read_bytes() == before
    assert [path.name for path in to.parent.iterdir()] == ["painter.onnx"]
    with pytest.raises(ValueError, match="so nothing was written"):
        export(run, to=tmp_path / "other" / "painter.onnx")
    assert not (tmp_path / "other").exists()


def test_a_damaged_painter_is_not_exported(tmp_path: Path) -> None:
    damaged = write_painter(tmp_path / "paint.safetensors", nan=True)
    with pytest.raises(ValueError, match="no numbers; it is damaged, so nothing was written"):
        export(damaged, to=tmp_path / "painter.onnx")
    assert not (tmp_path / "painter.onnx").exists()


def test_what_cannot_be_done_is_said_before_anything_is_computed(run: Path, tmp_path: Path) -> None:
    for to, sentence in {
        tmp_path: rf"^{re.escape(str(tmp_path))} is a folder; give a file name that ends in \.onnx after --to, such as",
        tmp_path / "painter.pt": r"painter\.pt does not end in \.onnx; give such a file name after --to$",
        tmp_path / "painter": "painter does not end in",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            export(run, to=to)
    with pytest.raises(FileNotFoundError, match="no such run or painter"):
        export(tmp_path / "none", to=tmp_path / "painter.onnx")
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        export(run / "config.toml", to=tmp_path / "painter.onnx")


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_what_to_type(
    run: Path, tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match=rf"^exporting needs {missing}, .*; type pip install 'cyclestyle\[onnx\]'$"):
        export(run, to=tmp_path / "painter.onnx")
    assert not (tmp_path / "painter.onnx").exists()
    assert require("json", "math", why="this") == [json, sys.modules["math"]]


# --- the file, read again (cyclestyle.exporting.portable) -----------------------------------------------------------


def test_a_file_that_was_exported_is_a_painter_again(run: Path, tmp_path: Path) -> None:
    export(run, to=tmp_path / "painter.onnx")
    one = load_portable(tmp_path / "painter.onnx")
    assert one.sha256 == sha256(tmp_path / "painter.onnx")
    assert one.card.direction == "photo to painting"
    images = some(30, 44)
    assert (one(images) - load_painter(run / "paint.safetensors")(images)).abs().max() < 1e-3


def test_what_was_not_exported_is_refused_in_a_sentence(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "painter.onnx"
    with pytest.raises(FileNotFoundError, match="no such painter"):
        load_portable(path)
    export(run, to=path)
    whole = path.read_bytes()
    capfd.readouterr()
    for content in (b"", b"<!doctype html>" * 50, whole[: len(whole) // 2], whole[:-3]):
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"painter\.onnx is not a whole ONNX file that can be painted with: .+"
        ) as refused:
            load_portable(path)
        assert len(str(refused.value).splitlines()) == 1
    model = graph.draw(build_generator(SETTINGS), "fp32")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="is an ONNX file, but not one that `cyclestyle export` wrote"):
        load_portable(path)
    graph.describe(model, {"model_card": '{"format": 2}'}, "")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="has a card that cannot be read"):
        load_portable(path)
    assert capfd.readouterr() == ("", "")


# --- a real painter and real photos ---------------------------------------------------------------------------------


@pytest.mark.assets
@pytest.mark.skipif("CYCLESTYLE_ASSETS" not in os.environ, reason="CYCLESTYLE_ASSETS names no folder of real pictures")
def test_of_real_photos_the_paintings_are_the_same(run: Path, tmp_path: Path) -> None:
    export(run, to=tmp_path / "painter.onnx")
    photos = sorted((Path(os.environ["CYCLESTYLE_ASSETS"]) / "data" / "monet2photo" / "testB").iterdir())[:5]
    here = load_painter(run / "paint.safetensors")
    for photo in photos:
        images = to_images([load(photo)])
        assert (painted(tmp_path / "painter.onnx", images) - here(images)).abs().max() < 1e-3
