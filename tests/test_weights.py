"""Weights that were published: found by name and keys, read without running anything, and told apart."""

import hashlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from cyclestyle.networks import weights
from cyclestyle.networks.weights import KNOWN, find_weights

NAMES = [f"features.{number}.{part}" for number in (0, 2, 5) for part in ("weight", "bias")]
EXPECTED = {name: torch.empty(4 if name.endswith("bias") else (4, 3, 3, 3), device="meta") for name in NAMES}
HEADS = {f"lin{number}.model.1.weight": torch.empty((1, 4, 1, 1), device="meta") for number in range(2)}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, no folder named, no package with weights, and no network."""

    def refuse(url: str, *_: Any, **__: Any) -> None:
        raise URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("CYCLESTYLE_WEIGHTS", raising=False)
    monkeypatch.setattr(weights, "find_spec", lambda _: None)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


def drawn(expected: dict[str, torch.Tensor] = EXPECTED, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(like.shape, generator=generator) for name, like in expected.items()}


def put(path: Path, tensors: Any, **options: Any) -> Path:
    """A file of weights in the format that its suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(tensors, path, **options)
    else:
        torch.save(tensors, path, **options)
    return path


def cache(tmp_path: Path) -> Path:
    return tmp_path / "torch" / "hub" / "checkpoints"


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert tensor.dtype is torch.float32
        assert torch.equal(tensor, expected[name].float()), name


def sentence(caught: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(caught.value)
    assert "\n" not in text
    assert text.count(". ") == 0
    return text


# --- where, and under which names ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, known.file) for kind, known in KNOWN.items()]
    + [
        ("vgg19", "vgg19_features_r31.safetensors"),
        ("vgg19", "VGG19.PTH"),
        ("vgg16", "vgg16_features_r22.safetensors"),
        ("vgg19-distilled", "vgg19_cd16x_encoder.pt"),
        ("alexnet", "alexnet_features.safetensors"),
        ("squeezenet", "torch_home/hub/checkpoints/squeezenet1_1-b8a52dc0.pth"),
        ("inception", "torch_fidelity_inception_to_768.pth"),
        ("inception", "pt_inception-2015-12-05-6726825d.pth"),
        ("lpips-alex", "lpips_v0.1_heads.safetensors"),
        ("lpips-alex", "weights/v0.1/alex.pth"),
        ("lpips-vgg", "lpips_vgg.pth"),
    ],
)
def test_files_are_known_by_name(tmp_path: Path, kind: str, name: str) -> None:
    tensors = drawn()
    path = put(tmp_path / "given" / name.replace(".PTH", ".pth"), tensors)
    path.rename(tmp_path / "given" / name)
    found = find_weights(kind, tmp_path / "given", EXPECTED)
    assert_equal(found.tensors, tensors)
    assert found.file == Path(name).name
    assert found.sha256 == hashlib.sha256((tmp_path / "given" / name).read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "name", ["squeezenet1_0-b66bff10.pth", "resnet.pth", "my_vgg19.pth", "vgg19.txt", ".vgg19.pth", "vgg19"]
)
def test_files_called_otherwise_are_not_opened(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / "given" / f"one{Path(name).suffix or '.pth'}", drawn())
    path.rename(path.with_name(name))
    for kind in ("vgg19", "squeezenet"):
        with pytest.raises(FileNotFoundError):
            find_weights(kind, tmp_path / "given", EXPECTED)


def test_places_are_asked_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, named, cached = (drawn(seed=seed) for seed in range(3))
    put(cache(tmp_path) / "vgg19-dcbb9e9d.pth", cached)
    assert_equal(find_weights("vgg19", None, EXPECTED).tensors, cached)
    put(tmp_path / "named" / "deep" / "vgg19.pth", named)
    assert_equal(find_weights("vgg19", None, EXPECTED).tensors, cached)
    monkeypatch.setenv("CYCLESTYLE_WEIGHTS", str(tmp_path / "named"))
    assert_equal(find_weights("vgg19", None, EXPECTED).tensors, named)
    put(tmp_path / "given" / "vgg19.pth", given)
    assert_equal(find_weights("vgg19", tmp_path / "given", EXPECTED).tensors, given)
    (tmp_path / "empty").mkdir()
    assert_equal(find_weights("vgg19", tmp_path / "empty", EXPECTED).tensors, cached)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such folder of weights: .*nowhere; give") as caught:
        find_weights("vgg19", tmp_path / "nowhere", EXPECTED)
    sentence(caught)
    monkeypatch.setenv("CYCLESTYLE_WEIGHTS", str(tmp_path / "elsewhere"))
    with pytest.raises(FileNotFoundError, match="elsewhere, which CYCLESTYLE_WEIGHTS names"):
        find_weights("vgg19", None, EXPECTED)


@pytest.mark.parametrize(
    ("package", "inside"),
    [("lpips", "weights/v0.1/alex.pth"), ("torchmetrics", "functional/image/lpips_models/alex.pth")],
)
def test_heads_are_taken_from_packages_that_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, inside: str
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("CYCLESTYLE_WEIGHTS", raising=False)
    tensors, folder = drawn(HEADS), tmp_path / "site" / package
    put(folder / inside, tensors, _use_new_zipfile_serialization=False)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    for name in list(sys.modules):
        if name.partition(".")[0] in {"lpips", "torchmetrics"}:
            monkeypatch.delitem(sys.modules, name)
    assert_equal(find_weights("lpips-alex", None, HEADS).tensors, tensors)
    assert package not in sys.modules


# --- which of several ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [("zebra", "aardvark"), ("aardvark", "zebra")])
def test_the_file_with_most_layers_wins_and_of_equals_the_first_by_name(
    tmp_path: Path, first: str, second: str
) -> None:
    some, every, same = drawn(seed=0), drawn(seed=1), drawn(seed=2)
    put(tmp_path / "given" / "vgg19-a.pth", dict(list(some.items())[:2]))
    put(tmp_path / "given" / first / "vgg19-b.pth", every)
    put(tmp_path / "given" / second / "vgg19-c.pth", same)
    assert_equal(find_weights("vgg19", tmp_path / "given", EXPECTED).tensors, every)


def test_a_folder_goes_before_a_cache_with_more_unless_all_is_needed(tmp_path: Path) -> None:
    some, every = dict(list(drawn().items())[:2]), drawn(seed=1)
    put(tmp_path / "given" / "vgg19.pth", some)
    put(cache(tmp_path) / "vgg19-dcbb9e9d.pth", every)
    assert_equal(find_weights("vgg19", tmp_path / "given", EXPECTED).tensors, some)
    assert_equal(find_weights("vgg19", tmp_path / "given", EXPECTED, whole=True).tensors, every)


def test_another_network_under_the_same_name_is_passed_over(tmp_path: Path) -> None:
    """VGG with batch norm has the first convolution in the same place, and torchvision's Inception all of them."""
    other = drawn() | {"features.5.weight": torch.zeros(4, 4, 3, 3)}
    put(tmp_path / "given" / "vgg19_bn-c79401a0.pth", other)
    put(tmp_path / "given" / "vgg19_cd.safetensors", {"conv11.weight": torch.zeros(4, 3, 3, 3)})
    with pytest.raises(FileNotFoundError, match=r"vgg19_bn-c79401a0.pth, vgg19_cd.safetensors: another network"):
        find_weights("vgg19", tmp_path / "given", EXPECTED)
    put(cache(tmp_path) / "vgg19-dcbb9e9d.pth", drawn(seed=1))
    assert_equal(find_weights("vgg19", tmp_path / "given", EXPECTED).tensors, drawn(seed=1))


# --- formats ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
def test_every_format_and_precision_becomes_float32(tmp_path: Path, form: str, half: torch.dtype) -> None:
    tensors = {name: tensor.to(half) for name, tensor in drawn().items()}
    if form == "safetensors":
        put(tmp_path / "vgg19.safetensors", tensors)
    else:
        put(tmp_path / "vgg19.pth", tensors, _use_new_zipfile_serialization=form == "zip")
    assert_equal(find_weights("vgg19", tmp_path, EXPECTED).tensors, tensors)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_what_was_read_does_not_change_with_the_file(tmp_path: Path, suffix: str) -> None:
    tensors = drawn()
    path = put(tmp_path / f"vgg19{suffix}", tensors)
    found = find_weights("vgg19", tmp_path, EXPECTED)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert_equal(found.tensors, tensors)


def test_wrappers_and_prefixes_are_taken_off(tmp_path: Path) -> None:
    tensors = drawn()
    under = {f"module.{name}": tensor for name, tensor in tensors.items()}
    put(tmp_path / "vgg19.pth", {"state_dict": under, "epoch": 3})
    assert_equal(find_weights("vgg19", tmp_path, EXPECTED).tensors, tensors)


def test_a_file_of_several_networks_gives_each_its_own(tmp_path: Path) -> None:
    alex, squeeze = drawn(HEADS), drawn(HEADS, seed=1)
    both = {f"alex.{name}": tensor for name, tensor in alex.items()}
    put(tmp_path / "lpips_heads.safetensors", both | {f"squeeze.{name}": tensor for name, tensor in squeeze.items()})
    assert_equal(find_weights("lpips-alex", tmp_path, HEADS).tensors, alex)
    assert_equal(find_weights("lpips-squeeze", tmp_path, HEADS).tensors, squeeze)
    with pytest.raises(FileNotFoundError):
        find_weights("lpips-vgg", tmp_path, HEADS)


def test_numbers_that_are_none_are_left_out(tmp_path: Path) -> None:
    tensors = drawn()
    tensors["features.2.bias"][1] = float("nan")
    tensors["features.5.weight"][0, 0, 0, 0] = float("inf")
    put(tmp_path / "vgg19.pth", tensors)
    found = find_weights("vgg19", tmp_path, EXPECTED).tensors
    assert found.keys() == EXPECTED.keys() - {"features.2.bias", "features.5.weight"}


# --- what cannot be believed --------------------------------------------------------------------------------------


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


def scripted(path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Conv2d(3, 4, 3)), path)


def truncated(path: Path) -> None:
    put(path, drawn())
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


BAD: dict[str, Callable[[Path], Any]] = {
    "hostile": lambda path: torch.save({"features.0.weight": Hostile(path.parent / "opened")}, path),
    "hostile legacy": lambda path: torch.save(
        Hostile(path.parent / "opened"), path, _use_new_zipfile_serialization=False
    ),
    "truncated": truncated,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("<html>404</html>\n" * 9),
    "a list": lambda path: torch.save([torch.zeros(3)], path),
    "numbered": lambda path: torch.save({0: torch.zeros(3)}, path),
    "expanded": lambda path: torch.save(drawn() | {"features.0.bias": torch.zeros(1).expand(4)}, path),
    "sparse": lambda path: torch.save(drawn() | {"features.0.bias": torch.ones(4).to_sparse()}, path),
    "meta": lambda path: torch.save(EXPECTED, path),
    "scripted": scripted,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bad", BAD)
def test_a_bad_file_gives_a_sentence_and_does_nothing(tmp_path: Path, bad: str) -> None:
    given = tmp_path / "given"
    given.mkdir()
    BAD[bad](given / "vgg19.pth")
    with pytest.raises(ValueError, match=r"given/vgg19.pth is not a file of plain weights \(\S.*\); remove") as caught:
        find_weights("vgg19", given, EXPECTED)
    assert len(sentence(caught)) < 250 + len(str(given))
    assert not (given / "opened").exists()
    put(given / "vgg19-good.pth", drawn())
    assert_equal(find_weights("vgg19", given, EXPECTED).tensors, drawn())


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, (1 << 40).to_bytes(8, "little") + b"{}"])
def test_a_bad_safetensors_file_gives_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vgg19.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"vgg19.safetensors is not a whole safetensors file") as caught:
        find_weights("vgg19", tmp_path, EXPECTED)
    sentence(caught)


# --- which file it was --------------------------------------------------------------------------------------------


def test_a_published_file_is_known_by_its_content_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "vgg19_of_mine.pth", drawn())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    found = find_weights("vgg19", tmp_path, EXPECTED)
    assert (found.published, found.source) == (None, "given")
    monkeypatch.setitem(KNOWN, "vgg19", KNOWN["vgg19"]._replace(sha256=digest[:8]))
    found = find_weights("vgg19", tmp_path, EXPECTED)
    assert (found.published, found.source) == (True, "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth")


@pytest.mark.parametrize("name", ["vgg19-dcbb9e9d.pth", "vgg19-0123abcd.pth"])
def test_a_name_with_a_hash_that_the_content_has_not_is_told(tmp_path: Path, name: str) -> None:
    put(tmp_path / name, drawn())
    found = find_weights("vgg19", tmp_path, EXPECTED)
    assert found.published is False
    assert found.source == "given"
    assert_equal(found.tensors, drawn())


def test_provenance_has_what_the_file_says_of_itself(tmp_path: Path) -> None:
    metadata = {"format": "pt", "note": "rescaled", "arch": "VGG", "source": "somewhere"}
    put(tmp_path / "vgg19_r.safetensors", drawn(), metadata=metadata)
    provenance = find_weights("vgg19", tmp_path, EXPECTED).provenance
    assert provenance.pop("sha256").isalnum()
    note = "VGG; rescaled; somewhere"
    assert provenance == {"file": "vgg19_r.safetensors", "published": None, "source": "given", "note": note}


def test_second_weights_of_a_network_are_told_as_not_those_that_are_meant(tmp_path: Path) -> None:
    """torchvision has two sets for ResNet-50, whose files differ in the hash in their names alone."""
    given = tmp_path / "given"
    put(given / "resnet50-11ad3fa6.pth", drawn())
    assert find_weights("resnet50", given, EXPECTED).published is False
    put(given / "resnet50-0676ba61.pth", drawn(seed=1))
    assert find_weights("resnet50", given, EXPECTED).file == "resnet50-0676ba61.pth"
    with pytest.raises(FileNotFoundError, match=r"resnet18-f37072fd\.pth"):
        find_weights("resnet18", given, EXPECTED)


# --- downloads ----------------------------------------------------------------------------------------------------


def test_where_nothing_can_be_had_all_ways_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        find_weights("inception", None, EXPECTED)
    text = sentence(caught)
    known = KNOWN["inception"]
    for part in (known.what, known.file, str(known.url), "--weights", "CYCLESTYLE_WEIGHTS", "--random-weights"):
        assert part in text
    assert str(cache(tmp_path)) in text
    assert "(Name or service not known)" in text


def test_weights_published_nowhere_are_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(FileNotFoundError, match=r"vgg19_cd16x_encoder.safetensors into a folder"):
        find_weights("vgg19-distilled", None, EXPECTED)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, alone: None) -> Iterator[Callable[..., ThreadingHTTPServer]]:
    """Serves one answer as VGG-19's address, to torch's own client."""
    monkeypatch.undo()
    running: list[ThreadingHTTPServer] = []

    def serve(answer: bytes | None, digest: str, tmp_path: Path) -> ThreadingHTTPServer:
        ended = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if answer is None:
                    ended.wait(20)
                    return
                self.send_response(200 if answer else 404)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        one = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        one.ended = ended  # type: ignore[attr-defined]
        running.append(one)
        threading.Thread(target=one.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.delenv("CYCLESTYLE_WEIGHTS", raising=False)
        url = f"http://127.0.0.1:{one.server_port}/vgg19.pth"
        monkeypatch.setitem(KNOWN, "vgg19", KNOWN["vgg19"]._replace(url=url, sha256=digest[:8]))
        return one

    yield serve
    for one in running:
        one.ended.set()  # type: ignore[attr-defined]
        one.shutdown()
        one.server_close()


def test_what_is_nowhere_is_downloaded_once(
    tmp_path: Path, server: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    content = put(tmp_path / "published.pth", drawn()).read_bytes()
    server(content, hashlib.sha256(content).hexdigest(), tmp_path)
    (tmp_path / "given").mkdir()
    for _ in range(2):
        found = find_weights("vgg19", tmp_path / "given", EXPECTED)
        assert_equal(found.tensors, drawn())
        assert (found.published, found.source) == (True, KNOWN["vgg19"].url)
    assert [path.name for path in cache(tmp_path).iterdir()] == ["vgg19-dcbb9e9d.pth"]
    assert capsys.readouterr().err.count("downloading http") == 1
    assert socket.getdefaulttimeout() is None


def test_a_download_with_another_hash_is_refused_and_removed(tmp_path: Path, server: Callable[..., Any]) -> None:
    server(put(tmp_path / "published.pth", drawn()).read_bytes(), "0" * 64, tmp_path)
    with pytest.raises(FileNotFoundError, match="invalid hash value") as caught:
        find_weights("vgg19", None, EXPECTED)
    sentence(caught)
    assert not list(cache(tmp_path).iterdir())


def test_a_server_that_has_it_not_is_told(tmp_path: Path, server: Callable[..., Any]) -> None:
    server(b"", "0" * 64, tmp_path)
    with pytest.raises(FileNotFoundError, match="404"):
        find_weights("vgg19", None, EXPECTED)


def test_a_silent_server_is_given_up(
    tmp_path: Path, server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert weights.LONGEST_SILENCE <= 10
    server(None, "0" * 64, tmp_path)
    monkeypatch.setattr(weights, "LONGEST_SILENCE", 0.2)
    with pytest.raises(FileNotFoundError, match="timed out"):  # the server would answer after 20 seconds
        find_weights("vgg19", None, EXPECTED)
    assert socket.getdefaulttimeout() is None


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "torch").write_text("a file where the folder should be")
    with pytest.raises(FileNotFoundError, match="could not be fetched") as caught:
        find_weights("vgg19", None, EXPECTED)
    sentence(caught)
