"""What scripts/kaggle builds, and what its notebook does with the network off."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from conftest import Draw

from cyclestyle.competing.competition import HIDDEN
from cyclestyle.data.submission_check import validate_submission
from cyclestyle.images import load
from cyclestyle.settings import read_settings

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "scripts" / "kaggle"
BELONGS_TO_THE_IMAGE = {"torch", "torchvision", "numpy", "scipy", "pillow", "opencv-python-headless", "tensorboard"}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"kaggle_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build, install = script("build"), script("install")


@pytest.fixture(autouse=True)
def nothing_leaves_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test starts finds closed doors where it might look for a network."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        for spelling in (name, name.lower()):
            monkeypatch.setenv(spelling, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


# --- the notebook as it is built ----------------------------------------------------------------------------------


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    build.build_notebook(tmp_path / "notebook", "some-one", "3h")
    return tmp_path / "notebook"


def code(notebook: Path) -> list[str]:
    cells = json.loads((notebook / "cyclestyle-monet.ipynb").read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_is_one_and_its_cells_are_few_and_short(notebook: Path) -> None:
    content = json.loads((notebook / "cyclestyle-monet.ipynb").read_text())
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(content)
    assert len(code(notebook)) == 3
    assert all(len(cell.splitlines()) <= 6 for cell in code(notebook))
    kinds = [cell["cell_type"] for cell in content["cells"]]
    assert kinds == ["markdown", "code"] * 3


def test_its_command_can_be_typed_and_has_the_budget_that_was_asked_for(notebook: Path) -> None:
    from cyclestyle.cli import build_app

    line = next(line for cell in code(notebook) for line in cell.splitlines() if "cyclestyle compete" in line)
    words = line.removeprefix("!python -m cyclestyle ").replace("{bundle}", "/kaggle/input/bundle").split()
    _, bound, _ = build_app().parse_args(words, exit_on_error=False, print_error=False)
    assert bound.arguments["budget"] == "3h"
    assert bound.arguments["settings"] == Path("/kaggle/input/bundle/kaggle-5h.toml")
    assert bound.arguments["input"] == Path("/kaggle/input")


def test_its_metadata_keep_the_internet_off_and_attach_data_and_bundle(notebook: Path) -> None:
    metadata = json.loads((notebook / "kernel-metadata.json").read_text())
    assert metadata["enable_internet"] is False
    assert metadata["enable_gpu"] is True
    assert metadata["competition_sources"] == ["gan-getting-started"]
    assert metadata["dataset_sources"] == ["some-one/cyclestyle-bundle"]
    assert (notebook / metadata["code_file"]).exists()


def test_what_is_printed_at_the_end_names_what_was_built() -> None:
    said = build.advice(Path("build/kaggle"), "some-one")
    for words in (
        "kaggle datasets create -p build/kaggle/dataset",
        "kaggle kernels push -p build/kaggle/notebook",
        "kaggle competitions submit -c gan-getting-started -k some-one/cyclestyle-monet -v 1 -f images.zip -m",
    ):
        assert words in said


class Kaggle(BaseHTTPRequestHandler):
    """Takes a notebook that is pushed, as the service would."""

    pushed: list[dict[str, Any]]

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.pushed.append({"path": self.path, "body": json.loads(content or b"{}")})
        answer = json.dumps({"ref": "/some-one/cyclestyle-monet", "url": "http://localhost/x", "versionNumber": 1})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def kaggle() -> Iterator[SimpleNamespace]:
    handler = type("Handler", (Kaggle,), {"pushed": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield SimpleNamespace(port=server.server_address[1], pushed=handler.pushed)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.skipif(importlib.util.find_spec("kaggle") is None, reason="the kaggle client is not installed")
def test_the_real_client_pushes_it(notebook: Path, kaggle: SimpleNamespace, tmp_path: Path) -> None:
    proxy = f"http://127.0.0.1:{kaggle.port}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
        "KAGGLE_USERNAME": "some-one",
        "KAGGLE_KEY": "k",
        **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), proxy),
    }
    words = [sys.executable, "-m", "kaggle", "kernels", "push", "-p", str(notebook)]
    run = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "successfully pushed" in run.stdout
    (sent,) = (one["body"] for one in kaggle.pushed if "SaveKernel" in one["path"])
    assert sent["enableInternet"] is False
    assert sent["enableGpu"] is True
    assert sent["competitionDataSources"] == ["gan-getting-started"]
    assert sent["datasetDataSources"] == ["some-one/cyclestyle-bundle"]
    assert sent["slug"] == "some-one/cyclestyle-monet"
    assert "cyclestyle compete" in sent["text"]


# --- the bundle ---------------------------------------------------------------------------------------------------


def test_every_wheel_is_pinned_with_hashes_and_none_belongs_to_the_image() -> None:
    names = (*build.PURE, *build.COMPILED)
    text = build.pinned(names)
    assert len(re.findall(r"^[a-z0-9-]+==", text, re.MULTILINE)) == len(names)
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=[a-z])", text.strip()))
    assert not BELONGS_TO_THE_IMAGE & set(names)
    assert not [name for name in names if name.startswith(("nvidia", "cuda", "triton"))]
    with pytest.raises(SystemExit, match=r"does not pin no-such-package; run scripts/lock\.sh"):
        build.pinned(("no-such-package",))


def test_all_that_is_needed_is_in_the_bundle_or_belongs_to_the_image() -> None:
    import tomllib

    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=!~ ]", need)[0] for need in needs}
    assert names <= {*build.PURE, *build.COMPILED} | BELONGS_TO_THE_IMAGE


def test_the_owner_has_to_be_a_name_as_in_addresses(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["build.py", "--owner", "Some One"])
    with pytest.raises(SystemExit):
        build.main()
    assert "lower-case letters, digits and hyphens" in capsys.readouterr().err


def wheel(folder: Path, name: str, version: str, *needs: str, tag: str = "py3-none-any", code: str = "") -> Path:
    """A small wheel that pip takes."""
    path, module = folder / f"{name}-{version}-{tag}.whl", name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {n}" for n in needs)]
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(f"{module}.py", code or f"VERSION = '{version}'\n")
        opened.writestr(f"{info}/METADATA", "\n".join(lines) + "\n\nRequires-Dist: not-this\n")
        opened.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n")
        opened.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def image(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is installed, by name."""
    there: dict[str, str] = {}
    monkeypatch.setattr(install, "installed", lambda name: there.get(install.canonicalize_name(name)))
    return there


def taken(folder: Path) -> tuple[set[str], list[str]]:
    wheels, said = install.chosen(install.wheels_in(folder))
    return {path.name.split("-")[0] for path in wheels}, said


def test_what_is_missing_or_too_old_is_installed_with_what_it_needs_and_the_rest_stays(
    image: dict[str, str], tmp_path: Path
) -> None:
    wheel(tmp_path, "cyclestyle", "0.1.0", "typer_like>=4", "checker>=2.10", "torch>=2.6", 'gone; extra == "kaggle"')
    wheel(tmp_path, "typer_like", "5.0", "helper")
    wheel(tmp_path, "helper", "1.0")
    wheel(tmp_path, "checker", "2.14", "checker-core==2.50")
    wheel(tmp_path, "checker_core", "2.50")
    image |= {"torch": "2.8.0+cu126", "checker": "2.11", "checker-core": "2.30", "helper": "0.9"}
    assert taken(tmp_path) == ({"cyclestyle", "typer_like"}, [])
    image["checker"] = "2.9"  # too old; its core has to go with it
    assert taken(tmp_path) == ({"cyclestyle", "typer_like", "checker", "checker_core"}, [])
    del image["helper"]
    assert "helper" in taken(tmp_path)[0]


def test_what_belongs_to_the_image_stays_even_if_it_is_too_old_and_that_is_said(
    image: dict[str, str], tmp_path: Path
) -> None:
    wheel(tmp_path, "cyclestyle", "0.1.0", "torch>=2.6", "numpy>=2.0")
    image["torch"] = "2.4.0"
    names, said = taken(tmp_path)
    assert names == {"cyclestyle"}
    assert said == [
        "numpy is missing: numpy>=2.0 was asked for; nothing here replaces it",
        "torch 2.4.0: torch>=2.6 was asked for; nothing here replaces it",
    ]


def test_of_wheels_for_several_pythons_the_fitting_one_is_taken(image: dict[str, str], tmp_path: Path) -> None:
    own = f"cp{sys.version_info.major}{sys.version_info.minor}"
    for tag in ("cp38-cp38-win32", f"{own}-none-any", "cp399-cp399-manylinux2014_x86_64"):
        wheel(tmp_path, "fast", "1.0", tag=tag)
    assert install.wheels_in(tmp_path)["fast"].name == f"fast-1.0-{own}-none-any.whl"


@pytest.mark.slow
def test_the_installer_installs_without_an_index(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "install.py", tmp_path)
    wheel(tmp_path, "cyclestyle", "0.1.0", "fresh_one")
    wheel(tmp_path, "fresh_one", "3.0")
    place = tmp_path / "site"
    environment = os.environ | {"PIP_TARGET": str(place), "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    for _ in range(2):  # a bundle of the same version, attached anew, is installed again
        words = [sys.executable, str(tmp_path / "install.py")]
        run = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert run.returncode == 0, run.stderr
        assert run.stdout.startswith("installing cyclestyle, fresh_one")
        assert sorted(path.name for path in place.glob("*.py")) == ["cyclestyle.py", "fresh_one.py"]
        (tmp_path / "fresh_one-3.0-py3-none-any.whl").touch()
    (tmp_path / "cyclestyle-0.1.0-py3-none-any.whl").unlink()
    run = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 1
    assert "no wheel of cyclestyle beside install.py" in run.stderr


@pytest.mark.slow
def test_our_own_wheel_holds_the_package_and_installs(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    build.build_wheel(tmp_path)
    (built,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(built).namelist()
    modules = [path.relative_to(ROOT).as_posix() for path in (ROOT / "cyclestyle").rglob("*.py")]
    assert set(modules) <= set(names)
    assert "torch>=2.6" in [str(need) for need in install.needs_of(built)]


# --- the whole, with the network off ------------------------------------------------------------------------------

GUARD = '''
"""Refuses to look up and to connect to any machine but this one, and writes down what was tried."""
import os, socket

HERE = ("", "None", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::", socket.gethostname())
connect, look_up = socket.socket.connect, socket.getaddrinfo

def refuse(host):
    with open(os.environ["TRIED"], "a") as file:
        file.write(f"{host}\\n")
    raise OSError("the network is off")

def guarded_connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and str(address[0]) not in HERE:
        refuse(address[0])
    return connect(self, address)

def guarded_look_up(host, *rest, **named):
    return look_up(host, *rest, **named) if str(host) in HERE else refuse(host)

socket.socket.connect, socket.getaddrinfo = guarded_connect, guarded_look_up
'''

SETTINGS = """
run = "runs/x"
[data]
augmentation = "flip"
crop = 32
batch = 2
workers = 0
[generator]
width = 4
blocks = 1
[discriminator]
width = 4
layers = 1
[schedule]
budget = "1m"
[report]
log_every = 5
checkpoint_every = 40
judge = 4
samples = 2
"""


class Session:
    """Stand-ins for /kaggle/input and /kaggle/working, and for the kernel that runs the cells."""

    def __init__(self, place: Path, draw: Draw, budget: str) -> None:
        self.place, self.input, self.working = place, place / "kaggle" / "input", place / "kaggle" / "working"
        self.tried, self.working_log = place / "tried", place / "log"
        data = self.input / "competitions" / "gan-getting-started"
        draw(data / "photo_jpg", 60, suffix=".jpg", size=(64, 64))
        draw(data / "monet_jpg", 20, suffix=".jpg", size=(64, 64), seed=7)
        bundle = self.input / "datasets" / "some-one" / "cyclestyle-bundle"
        bundle.mkdir(parents=True)
        (bundle / "kaggle-5h.toml").write_text(SETTINGS)
        wheel(bundle, "cyclestyle", "0.1.0")  # the one that is installed stays: nothing installs it in this session
        (bundle / "install.py").write_text("print('installed')\n")
        self.working.mkdir(parents=True)
        (place / "guard").mkdir()
        (place / "guard" / "sitecustomize.py").write_text(GUARD)
        build.build_notebook(place / "notebook", "some-one", budget)
        for path in sorted(self.input.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)  # mounted read-only there

    def environment(self) -> dict[str, str]:
        paths = [str(self.place / "guard"), *filter(None, [os.environ.get("PYTHONPATH")])]
        return os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            "TRIED": str(self.tried),
            "ACCELERATE_USE_CPU": "true",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def commands(self) -> list[str]:
        """What the cells type, for the stand-ins; for so few photos, as practice."""
        lines = [
            line[1:] for cell in code(self.place / "notebook") for line in cell.splitlines() if line.startswith("!")
        ]
        bundle = next(self.input.rglob("cyclestyle-*.whl")).parent
        return [
            line.replace("{bundle}", str(bundle))
            .replace("/kaggle/", f"{self.place}/kaggle/", 2)
            .replace("cyclestyle compete", "cyclestyle compete --practice")
            if "compete" in line
            else line.replace("{bundle}", str(bundle))
            for line in lines
        ]

    def start(self) -> "subprocess.Popen[bytes]":
        """The cell that does it all."""
        with self.working_log.open("ab") as log:
            words = ["exec " + self.commands()[1]]
            return subprocess.Popen(words, shell=True, env=self.environment(), stdout=log, stderr=log, cwd=self.working)

    def said(self) -> str:
        return self.working_log.read_text()

    def rates(self) -> list[float]:
        lines = (self.working / "run" / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["learning_rate"] for line in lines]


def wait_for(what: Any, seconds: float = 240.0) -> bool:
    began = time.monotonic()
    while not what() and time.monotonic() - began < seconds:
        time.sleep(0.1)
    return bool(what())


@pytest.mark.parametrize("way", ["socket.socket().connect(('192.0.2.1', 80))", "socket.getaddrinfo('x.invalid', 80)"])
def test_the_guard_refuses_the_network_and_writes_down_who_tried(way: str, tmp_path: Path, draw: Draw) -> None:
    session = Session(tmp_path, draw, "1m")
    words = [sys.executable, "-c", f"import socket; {way}"]
    run = subprocess.run(words, env=session.environment(), capture_output=True, text=True, check=False)
    assert "the network is off" in run.stderr
    assert session.tried.read_text().strip() in way


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the notebook is for Linux")
def test_the_notebook_runs_to_the_end_with_the_network_off_also_after_a_kill(tmp_path: Path, draw: Draw) -> None:
    session = Session(tmp_path, draw, "120s")
    first = session.start()
    checkpoints = session.working / "run" / "checkpoints"
    assert wait_for(lambda: any(checkpoints.glob("step-*"))), session.said()
    first.send_signal(signal.SIGKILL)  # what it had started is asked to end by the system
    first.wait()
    again = session.start()
    assert again.wait(timeout=300) == 0, session.said()
    said = session.said()
    assert "going on at step" in said
    assert validate_submission(session.working / "images.zip", practice=True).count == 60
    assert "a practice submission, not for Kaggle: 60 JPEGs of 256x256" in said
    rates = session.rates()
    assert rates[0] == 2e-4
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.1 * rates[0]  # it has fallen to its end
    assert load(session.working / "painted.jpg").height > 512
    assert "no card: no weights of VGG-19" in said
    assert not session.tried.exists(), session.tried.read_text()
    third = session.start()
    assert third.wait(timeout=120) == 0
    assert session.said().count("training for") == said.count("training for")  # all is there
    assert {path.name for path in session.working.iterdir()} == {HIDDEN, "images.zip", "painted.jpg", "run"}


def test_the_settings_for_five_hours_have_a_budget_below_them() -> None:
    from cyclestyle.config import seconds

    settings = read_settings(ROOT / "configs" / "kaggle-5h.toml")
    assert settings.schedule.budget is not None
    assert seconds(settings.schedule.budget) < 5 * 3600
    assert settings.schedule.budget == build.BUDGET
    assert settings.data.crop == 256
