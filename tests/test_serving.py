"""`cyclestyle serve` without a browser: which files there are, who gets what, and what is refused."""

import gzip
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from cyclestyle.config import GeneratorSettings
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.painter import PainterCard, save_painter
from cyclestyle.serving.card import about, read_card
from cyclestyle.serving.exported import exported
from cyclestyle.serving.server import Server
from cyclestyle.serving.site import Site, build_site, write_bundle

RUNTIME = Path(str(files("cyclestyle.serving"))) / "runtime"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a painter for each way."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    settings = GeneratorSettings(width=4, blocks=1)
    for name, direction in (("paint", "photo to painting"), ("unpaint", "painting to photo")):
        card = PainterCard(direction=direction, generator=settings, side=64, step=1200)  # type: ignore[arg-type]
        save_painter(build_generator(settings), card, folder / f"{name}.safetensors")
    return folder


@pytest.fixture(scope="module")
def painter(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from cyclestyle.exporting.exporting import export_painter

    path = tmp_path_factory.mktemp("exported") / "painter.onnx"
    export_painter(run / "paint.safetensors", path, licence="<b>CC0</b> & more")
    return path


@pytest.fixture(scope="module")
def site(painter: Path) -> Site:
    return build_site(painter, kept=False)


@pytest.fixture
def server(site: Site) -> Iterator[Server]:
    with Server(site, 0) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(server: Server, path: str, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer, answer.read()


def test_the_runtime_is_the_one_that_was_vendored() -> None:
    origin = json.loads((RUNTIME / "origin.json").read_text())
    assert origin["integrity"].startswith("sha512-")
    assert len(origin["sha256"]) == 4
    for name, wanted in origin["sha256"].items():
        path = RUNTIME / name
        content = path.read_bytes() if path.exists() else gzip.decompress((RUNTIME / f"{name}.gz").read_bytes())
        assert hashlib.sha256(content).hexdigest() == wanted
        assert path.exists() or content.startswith(b"\0asm")
    assert f"v{origin['version']}" in (RUNTIME / "plain.js").read_text()[:200]
    script = (Path(__file__).parents[1] / "scripts" / "vendor.sh").read_text()
    assert f"version={origin['version']}\n" in script
    assert origin["integrity"] in script


def test_the_licences_come_along(site: Site) -> None:
    assert site.files["runtime/LICENSE.txt"].startswith(b"MIT License")
    assert b"THIRD PARTY" in site.files["runtime/ThirdPartyNotices.txt"][:500].upper()
    assert b'href="runtime/LICENSE.txt"' in site.files["index.html"]


def test_the_page_names_no_other_host_and_no_absolute_path(site: Site) -> None:
    own = {
        name: content.decode()
        for name, content in site.files.items()
        if name.endswith((".html", ".css")) or ("/" not in name and name.endswith(".js"))
    }
    assert len(own) == 8
    for name, text in own.items():
        text = text.replace("http://www.w3.org/2000/svg", "")  # the name of a language
        assert not re.search(r"https?://|(src|href)=\"/|url\(|from \"/|fetch\(\"/", text), name


def test_the_page_says_what_the_painter_is(painter: Path, site: Site) -> None:
    card = read_card(painter.read_bytes(), painter)
    assert (card.direction, card.step, card.precision) == ("photo to painting", 1200, "fp32")
    told = dict(about(card, 1_234_567))
    assert told["Network"] == "resnet of width 4, 1.2 MB in fp32"
    assert told["Made of"] == "paint.safetensors"
    assert told["Trained"] == "1,200 steps, on squares of 64 pixels"
    data = {
        "count": {"photos": 1000, "paintings": 300},
        "folders": {"folder": "monet"},
        "fingerprint": {"photos": "0f"},
    }
    told = dict(about(card.model_copy(update={"data": data}), 1))
    assert told["Trained on"] == "1,000 photos and 300 paintings (monet)"
    page = site.files["index.html"].decode()
    assert "Your photo, as a painting" in page
    assert "&lt;b&gt;CC0&lt;/b&gt; &amp; more" in page  # nothing of the card is taken for HTML
    assert f'data-bytes="{painter.stat().st_size}"' in page


def test_the_card_is_what_the_package_for_onnx_reads(painter: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(painter)
    (written,) = [one.value for one in model.metadata_props if one.key == "model_card"]
    assert read_card(painter.read_bytes(), painter).model_dump() == json.loads(written)


def test_what_is_no_exported_painter_is_refused(painter: Path, tmp_path: Path) -> None:
    content = painter.read_bytes()
    for name, given, said in (
        ("empty.onnx", b"", "no painter that `cyclestyle export` wrote"),
        ("torn.onnx", content[: len(content) // 2], "not a whole ONNX file"),
        ("words.onnx", b"This is no painter at all, only words.", "not a whole ONNX file"),
        ("endless.onnx", b"\xff" * 100, "not a whole ONNX file"),
        ("strange.onnx", content.replace(b"model_card", b"other_card"), "no painter that `cyclestyle export` wrote"),
        ("card.onnx", content.replace(b'"format": 1', b'"format": 9'), "card that cannot be read"),
    ):
        (tmp_path / name).write_bytes(given)
        with pytest.raises(ValueError, match=f"{name}.*{said}"):
            build_site(tmp_path / name, kept=False)
    with pytest.raises(FileNotFoundError, match="no such painter"):
        build_site(tmp_path / "none.onnx", kept=False)


def test_every_file_is_given_with_its_kind_and_with_headers_that_keep_it_here(server: Server) -> None:
    kinds = {
        "": "text/html",
        "page.js": "text/javascript",
        "page.css": "text/css",
        "runtime/plain.js": "text/javascript",
    }
    for name in server.site.files:
        answer, body = ask(server, f"/{name}?some=thing")
        assert (answer.status, body) == (200, server.site.files[name])
        assert answer.headers["Content-Type"].split(";")[0] == kinds.get(
            name, answer.headers["Content-Type"].split(";")[0]
        )
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    answer, body = ask(server, "/")
    assert body == server.site.files["index.html"]
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    answer, body = ask(server, "/painter.onnx", "HEAD")
    assert (answer.status, body) == (200, b"")
    assert int(answer.headers["Content-Length"]) == len(server.site.files["painter.onnx"])


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/..%2f..%2fserver.py",
        "//etc/passwd",
        "/page/",
        "/runtime",
        "/runtime/",
        "/%00",
        "/site.py",
        "/page.js/",
        "/./page.js",
        "/keep.js",
    ],
)
def test_there_is_nothing_else_to_be_had(server: Server, path: str) -> None:
    answer, body = ask(server, path)
    assert (answer.status, body) == (404, b"There is nothing here.\n")


def test_nothing_can_be_sent(server: Server) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert ask(server, "/", method)[0].status == 501


def test_a_browser_that_goes_away_ends_nothing(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        gone = socket.create_connection(("127.0.0.1", server.server_port))
        gone.sendall(b"GET /runtime/plain.wasm.gz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        gone.recv(10)
        gone.close()
    assert ask(server, "/")[0].status == 200
    assert capfd.readouterr().err == ""


def test_only_this_machine_is_served(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.address == f"http://127.0.0.1:{server.server_port}/"


def test_a_port_that_is_taken_is_named_with_another(site: Site, server: Server) -> None:
    with pytest.raises(ValueError, match=rf"port {server.server_port} is taken .* --port {server.server_port + 1}"):
        Server(site, server.server_port)


def test_a_bundle_is_the_page_and_what_lets_it_be_kept(painter: Path, site: Site, tmp_path: Path) -> None:
    bundle = build_site(painter, kept=True)
    assert bundle.files.keys() - site.files.keys() == {"keep.js"}
    builds = {name: len(bundle.files[f"runtime/{name}.wasm.gz"]) for name in ("plain", "webgpu")}
    assert builds["plain"] < builds["webgpu"] < bundle.visit < bundle.size - builds["plain"]
    write_bundle(bundle, tmp_path / "new" / "folder")
    write_bundle(bundle, tmp_path / "new" / "folder")  # again: it is replaced
    written = {
        path.relative_to(tmp_path / "new" / "folder").as_posix(): path.read_bytes()
        for path in (tmp_path / "new").rglob("*")
        if path.is_file()
    }
    assert written == bundle.files
    modes = [(tmp_path / "new" / "folder" / name).stat().st_mode for name in written]
    assert all(mode & 0o444 == 0o444 for mode in modes if os.name != "nt")


def test_a_bundle_takes_no_place_of_other_files(site: Site, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds other files \(thesis.tex\).*--bundle"):
        write_bundle(site, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(ValueError, match="is a file; give a folder after --bundle"):
        write_bundle(site, tmp_path / "thesis.tex")


@pytest.mark.parametrize("name", ["index.html", "painter.onnx"])
def test_a_bundle_takes_no_place_of_somebody_s_page(name: str, site: Site, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=rf"holds other files \({name}\)"):
        write_bundle(site, tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_scripts_of_the_worker_may_be_kept_under_a_name_of_their_content(server: Server) -> None:
    """Or it could not be started again once the server has ended."""
    kept = {"runtime/plain.js?1": True, "worker.js?1": True, "worker.js": False, "page.css?1": False}
    for path, may_be in kept.items():
        answer, _ = ask(server, f"/{path}")
        assert ("immutable" in answer.headers["Cache-Control"]) is may_be
    answer, _ = ask(server, "/nothing.js?1")
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_run_is_exported_first_either_way(run: Path, painter: Path) -> None:
    with exported(painter) as path:
        assert path == painter
    with exported(run, back=True) as path:
        page = build_site(path, kept=False).files["index.html"].decode()
        assert "Your painting, as a photo" in page
        assert "Choose a painting" in page
    assert not path.exists()
    with pytest.raises(FileNotFoundError, match="no such run or painter"), exported(run / "none"):
        pass


def typed(*words: object, **more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cyclestyle", "serve", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | more)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C is another thing there")
def test_the_command_serves_until_it_is_ended(painter: Path) -> None:
    with typed(painter, "--port", 0) as process:
        assert process.stdout is not None
        look = process.stdout.readline()
        found = re.fullmatch(r"look: http://127\.0\.0\.1:(\d+)/ \(Ctrl\+C ends it\)\n", look)
        assert found, look
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
        connection.request("GET", "/")
        assert b"Nothing is uploaded" in connection.getresponse().read()
        connection.close()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    assert (process.returncode, rest, errors) == (0, "", "ended\n")


def test_the_command_serves_an_exported_painter_without_torch_or_onnx(painter: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    for name in ("torch", "onnx", "onnxruntime"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text("raise ImportError('it is not here')")
    with typed(painter, "--bundle", tmp_path / "page", PYTHONPATH=str(blocked)) as process:
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "try it: python -m http.server" in said
    assert (tmp_path / "page" / "index.html").is_file()


def test_without_the_packages_for_exporting_the_command_says_what_to_install(run: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "onnx"
    blocked.mkdir()
    (blocked / "__init__.py").write_text("raise ImportError('it is not here')")
    with typed(run, "--bundle", tmp_path / "page", PYTHONPATH=str(tmp_path)) as process:
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said == ""
    assert "pip install 'cyclestyle[onnx]'" in errors
    assert len(errors.splitlines()) <= 2
    assert not (tmp_path / "page").exists()
