"""cyclestyle.commands.doctor on machines that lack something: each is a process of its own that lacks just that."""

import ast
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Draw

from cyclestyle.__main__ import main as start
from cyclestyle.commands import doctor as command
from cyclestyle.doctor import visit
from cyclestyle.doctor.probe import Asked, questions

ROOT = Path(__file__).resolve().parents[1]
SECRET = "KGAT_0123456789abcdefdeadbeef"
CLOSED = "http://127.0.0.1:9"
"""Where nobody listens: what would go to a network goes there."""
ANY = ("-S", "-m", "cyclestyle")
"""This Python without what is installed: it starts at once, and nearly every look needs no library."""
WHOLE = ("-m", "cyclestyle")


class Said:
    """What a command printed, and how it ended."""

    def __init__(self, run: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = run.returncode, run.stdout, run.stderr

    @property
    def findings(self) -> list[dict[str, str]]:
        assert "Traceback" not in self.err, self.err
        told = json.loads(self.out)
        assert set(told) == {"ok", "findings"}
        assert told["ok"] == (self.code == 0) == all(one["state"] != "wrong" for one in told["findings"])
        assert {tuple(one) for one in told["findings"]} == {("subject", "state", "found", "do")}
        assert {one["state"] for one in told["findings"]} <= {"fine", "note", "wrong"}
        assert all(one["do"] for one in told["findings"] if one["state"] == "wrong")
        return told["findings"]

    def of(self, subject: str) -> list[dict[str, str]]:
        return [one for one in self.findings if one["subject"] == subject]

    def only(self, subject: str) -> dict[str, str]:
        found = self.of(subject)
        assert len(found) == 1, self.out
        return found[0]


def surroundings(home: Path, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment with a home of its own, without anybody's account, and without a way out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KAGGLE", "XDG", "CYCLE"))}
    out = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), CLOSED)
    ours = {"HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "100"}
    return {**kept, **out, **ours, **(given or {})}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def look(
    home: Path,
    *words: object,
    python: Sequence[str] = (sys.executable, *ANY),
    given: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
    folder: Path | None = None,
) -> Said:
    """What `doctor` says in a process of its own; `before` starts it in a world that is set up first."""
    run = subprocess.run(
        [*before, *python, "doctor", *map(str, words)],
        env=surroundings(home, given),
        cwd=folder or home.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return Said(run)


# Everything there


GUARD = """
import os, socket, sys
def refuse(*words, **more):
    with open(os.environ["WENT_OUT"], "a") as file:
        file.write(repr(sys.argv))
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
"""


@pytest.mark.slow
def test_a_machine_that_has_everything_is_told_so_without_a_network(home: Path, tmp_path: Path, draw: Draw) -> None:
    pytest.importorskip("kaggle")
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    token = home / ".kaggle" / "access_token"
    token.parent.mkdir()
    token.write_text(SECRET + "\n")
    token.chmod(0o600)
    draw(tmp_path / "data" / "monet" / "monet_jpg", 3)
    draw(tmp_path / "data" / "monet" / "photo_jpg", 5)
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "vgg19-dcbb9e9d.pth").write_bytes(b"PK, and no end")
    given = {"PYTHONPATH": f"{tmp_path / 'guard'}:{ROOT}", "WENT_OUT": str(tmp_path / "went-out")}
    said = look(home, "--json", "--weights", weights, python=(sys.executable, *WHOLE), given=given)
    assert said.code == 0, said.out
    fine = {one["subject"] for one in said.findings if one["state"] == "fine"}
    assert fine >= {"Python", "libraries", "torch", "home", "kaggle", "credentials", "data"}
    assert said.only("torch")["found"].startswith(__import__("torch").__version__)
    assert str(token) in said.only("credentials")["found"]
    assert said.only("data")["found"].startswith("5 photos, 3 paintings in data/monet")
    assert "cut off" in said.of("weights")[0]["found"]
    assert SECRET not in said.out + said.err
    assert not (tmp_path / "went-out").exists()
    # Nothing was changed: not even the folder that importing the Kaggle client makes.
    assert {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")} == {"home", "guard", "data", "weights"}
    assert list(home.rglob("*")) == [token.parent, token]


# No credentials, an unreadable token


def test_no_credentials_stop_the_way_where_the_pictures_are_still_to_be_fetched(home: Path) -> None:
    said = look(home, "--json")
    assert said.code == 1
    found = said.only("credentials")
    assert found["state"] == "wrong"
    assert "none" in found["found"]
    assert "https://www.kaggle.com/settings" in found["do"]


def test_no_credentials_are_a_note_where_the_pictures_are(home: Path) -> None:
    (home.parent / "data" / "monet").mkdir(parents=True)
    assert look(home, "--json").only("credentials")["state"] == "note"


def without_powers() -> list[str]:
    """Words that start a process whose files' permissions hold for it; root has to lay down some of its powers."""
    if os.geteuid() != 0:
        return []
    words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    if shutil.which("setpriv") is None or subprocess.run([*words, "true"], check=False).returncode:
        pytest.skip("root's power to read every file cannot be laid down here (setpriv)")
    return words


def test_a_token_that_may_not_be_read_is_named(home: Path) -> None:
    token = home / ".kaggle" / "access_token"
    token.parent.mkdir()
    token.write_text(SECRET)
    token.chmod(0)
    said = look(home, "--json", before=without_powers())
    found = said.only("credentials")
    assert (said.code, found["state"]) == (1, "wrong")
    assert found["found"].startswith(f"{token} cannot be read (Permission denied)")
    assert f"chmod 600 {token}" in found["do"]
    assert SECRET not in said.out + said.err


def test_a_token_that_is_a_folder_is_named(home: Path) -> None:
    (home / ".kaggle" / "access_token").mkdir(parents=True)
    assert "cannot be read (Is a directory)" in look(home, "--json").only("credentials")["found"]


# No disk, a home that cannot be written


def mounted(folder: Path, options: str) -> list[str]:
    """Words that start a process to which `folder` is a file system of its own, seen by nobody else."""
    folder.mkdir(exist_ok=True)
    script = f'mount -t tmpfs -o {options} none "$0" && shift 0 && exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", script, str(folder)]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file systems can be mounted here (unshare --mount)")
    return words


def test_a_small_disk_is_named(home: Path, tmp_path: Path) -> None:
    words = mounted(tmp_path / "small", "size=8m")
    said = look(home, "--json", before=[*words, "sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path / "small")])
    found = said.of("disk")[0]
    assert (said.code, found["state"]) == (1, "wrong")
    assert found["found"].startswith("8.4 MB free for this folder, runs, data;")
    assert "df -h" in found["do"]


def test_a_full_disk_is_named(home: Path, tmp_path: Path) -> None:
    words = mounted(tmp_path / "full", "size=64k")
    fill = 'cd "$0" && { head -c 1000000 /dev/zero > full 2>/dev/null; exec "$@"; }'
    said = look(home, "--json", before=[*words, "sh", "-c", fill, str(tmp_path / "full")])
    assert said.code == 1
    found = said.only("this folder")
    assert found["state"] == "wrong"
    why = "cannot be written (for this folder, runs, data): No space left on device"
    assert found["found"] == f"{tmp_path / 'full'} {why}"


def test_a_disk_without_room_for_files_is_named(home: Path, tmp_path: Path) -> None:
    words = mounted(tmp_path / "few", "nr_inodes=100,size=2g")
    said = look(home, "--json", before=[*words, "sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path / "few")])
    assert "but only 99 more files" in said.of("disk")[0]["found"]
    assert said.of("disk")[0]["state"] == "wrong"


def test_a_working_folder_that_can_only_be_read_is_named(home: Path, tmp_path: Path) -> None:
    words = mounted(tmp_path / "fixed", "ro")
    said = look(home, "--json", before=[*words, "sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path / "fixed")])
    assert said.only("this folder")["found"].endswith("Read-only file system")
    assert said.code == 1


def test_a_home_that_can_only_be_read_is_named(home: Path) -> None:
    said = look(home, "--json", before=mounted(home, "ro"))
    found = said.only("home")
    assert found["state"] == "note"
    assert found["found"].startswith(f"{home} cannot be written: Read-only file system")
    assert "CYCLESTYLE_CACHE" in found["do"]
    caches = said.only("cache of pictures")
    assert caches["state"] == "note"
    assert caches["found"].endswith("(for cache of pictures, PyTorch's cache): Read-only file system")


@pytest.mark.parametrize(
    ("there", "named"),
    [("/proc", "cannot be written"), (__file__, "is no folder"), ("/no/such", "is not there")],
)
def test_a_home_that_is_none_is_named(there: str, named: str, home: Path) -> None:
    found = look(home, "--json", given={"HOME": there}).only("home")
    assert found["state"] == "note"
    assert found["found"].startswith(f"{there} {named}")


def test_without_a_home_in_its_environment_the_systems_is_taken(home: Path) -> None:
    assert look(home, "--json", before=["env", "-u", "HOME"]).only("home")["state"] in {"fine", "note"}


def test_a_working_folder_that_is_gone_is_named(home: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    said = look(home, "--json", folder=gone, before=["sh", "-c", 'rmdir "$0" && exec "$@"', str(gone)])
    assert said.only("this folder")["found"].endswith("No such file or directory")


# Another Python, missing libraries


def old_python(minor: int) -> str | None:
    """An older Python on this machine, that starts."""
    managed = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    names = [shutil.which(f"python3.{minor}"), *map(str, managed.glob(f"3.{minor}.*/bin/python"))]
    works = (name for name in names if name and not subprocess.run([name, "-c", ""], capture_output=True).returncode)
    return next(works, None)


@pytest.mark.slow
@pytest.mark.parametrize("minor", [8, 9, 10])
def test_an_old_python_says_that_it_is_old(minor: int, home: Path) -> None:
    old = old_python(minor)
    if old is None:
        pytest.skip(f"no Python 3.{minor} here")
    said = look(home, "--json", python=(old, "-m", "cyclestyle"))
    found = said.only("Python")
    assert (said.code, found["state"]) == (1, "wrong")
    assert found["found"].startswith(f"3.{minor}.")
    assert "3.11 or newer is needed" in found["found"]
    assert "-m venv" in found["do"]
    assert said.only("home")["state"] == "fine"  # and the rest is looked at all the same
    run = subprocess.run([old, "-m", "cyclestyle", "train"], env=surroundings(home), capture_output=True, text=True)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert "3.11 or newer is needed" in run.stderr


@pytest.mark.parametrize(
    "path", [ROOT / "cyclestyle" / "__main__.py", *sorted((ROOT / "cyclestyle" / "doctor").glob("*.py"))]
)
def test_old_pythons_can_read_what_they_are_told_by(path: Path) -> None:
    oldest = (3, 6) if path.stem in {"__main__", "__init__", "interpreter", "findings"} else (3, 8)
    tree = ast.parse(path.read_text(), feature_version=oldest)
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in top if isinstance(node, ast.ImportFrom)}
    assert all(
        name.startswith("cyclestyle.doctor") or name.split(".")[0] in sys.stdlib_module_names for name in names
    ), names
    if oldest == (3, 6):
        assert "__future__" not in names


def test_without_any_library_it_works_and_says_which_are_missing(home: Path) -> None:
    said = look(home, "--json")
    found = said.only("libraries")
    assert (said.code, found["state"]) == (1, "wrong")
    assert "17 of 17 are not installed" in found["found"]
    assert "'torch>=2.6'" in found["do"]
    table = look(home)
    assert table.code == 1
    assert table.out.splitlines()[0].startswith("fine   Python")
    assert "stop the way to a trained painter: libraries, kaggle, credentials" in " ".join(table.out.split())


def test_without_libraries_other_commands_say_which_is_missing(home: Path) -> None:
    for words in (["train"], ["--help"], []):
        run = subprocess.run(
            [sys.executable, *ANY, *words], env=surroundings(home), capture_output=True, text=True, check=False
        )
        assert run.returncode == 2
        assert run.stderr.startswith("error: the library cyclopts is not installed in ")
        assert run.stderr.endswith("`python -m cyclestyle doctor` says what to type\n")
        assert len(run.stderr.splitlines()) == 1


def test_both_ways_to_read_its_command_line_know_the_same(home: Path) -> None:
    run = look(home, "--help")
    assert run.code == 0
    known = {f"--{name}" for name in inspect.signature(command.doctor).parameters}
    assert set(re.findall(r"--\w+", run.out)) == known | {"--help"}
    assert look(home, "--nonsense").code == 2


def beside(folder: Path, leaving_out: Sequence[str]) -> Path:
    """The installed libraries but for some, as links in a folder."""
    folder.mkdir()
    installed = Path(__import__("torch").__file__).parents[1]
    for path in installed.iterdir():
        if not path.name.lower().startswith(tuple(leaving_out)) and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.slow
def test_a_missing_torchvision_is_named_with_the_one_to_install(home: Path, tmp_path: Path) -> None:
    there = beside(tmp_path / "installed", ["torchvision"])
    given = {"PYTHONPATH": f"{there}:{ROOT}"}
    said = look(home, "--json", given=given)
    found = said.only("torchvision")
    assert (said.code, found["state"], found["found"]) == (1, "wrong", "not installed")
    version = __import__("torch").__version__.split("+")[0]
    assert found["do"].endswith(f"'torchvision>=0.21' torch=={version}")  # PyTorch stays
    assert said.only("torch")["state"] == "fine"
    assert not said.of("libraries")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ModuleNotFoundError("No module named 'torchvision'", name="torchvision"),
            "the library torchvision is not installed",
        ),
        (
            ImportError("libGL.so.1: cannot open shared object file\nand more"),
            "a library cannot be loaded: libGL.so.1: cannot",
        ),
    ],
)
def test_a_library_that_is_missing_when_it_is_needed_ends_in_a_sentence(
    error: ImportError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cyclestyle", "evaluate"])
    monkeypatch.setattr("cyclestyle.cli.main", lambda: (_ for _ in ()).throw(error))
    with pytest.raises(SystemExit) as end:
        start()
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {said}")
    assert "doctor" in told
    assert len(told.splitlines()) == 1


def test_a_mistake_of_the_package_itself_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ImportError("cannot import name 'x'", name="cyclestyle.runs")
    monkeypatch.setattr("cyclestyle.cli.main", lambda: (_ for _ in ()).throw(error))
    with pytest.raises(ImportError, match="cannot import name"):
        start()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (
            "raise ImportError('libcudart.so.13: cannot open shared object file')",
            "ImportError: libcudart.so.13: cannot",
        ),
        ("raise OSError('[WinError 126] the module c10.dll was not found')", "OSError: [WinError 126] the module"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "Python crashes (SIGSEGV)"),
        ("import os\nos.write(2, b'Illegal instruction')\nos._exit(3)", "Illegal instruction"),
        ("import nonsuch", "nonsuch is missing"),
        ("print('1')\nraise SystemError('bad call')", "SystemError: bad call"),
    ],
)
def test_a_torch_that_cannot_be_imported_is_named_and_takes_nobody_along(
    content: str, named: str, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken" / "torch").mkdir(parents=True)
    (tmp_path / "broken" / "torch" / "__init__.py").write_text(content)
    said = look(home, "--json", given={"PYTHONPATH": f"{tmp_path / 'broken'}:{ROOT}"})
    found = next(one for one in said.of("torch") if one["state"] == "wrong")
    assert said.code == 1
    assert named in found["found"]
    assert "pip install" in found["do"]
    assert said.only("home")["state"] == "fine"


def test_torch_is_looked_for_where_the_program_would_find_it(home: Path, tmp_path: Path) -> None:
    for place, said in (("installed", "the installed one"), ("working", "what lies about")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "torch.py").write_text(f"raise ImportError('{said}')")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cyclestyle").write_text("from cyclestyle.__main__ import main\nmain()\n")
    said = look(
        home,
        "--json",
        python=(sys.executable, "-S", str(tmp_path / "bin" / "cyclestyle")),
        given={"PYTHONPATH": f"{tmp_path / 'installed'}:{ROOT}"},
        folder=tmp_path / "working",
    )
    assert any("the installed one" in one["found"] for one in said.of("torch"))
    assert "what lies about" not in said.out
    # from a checkout that is installed nowhere, which is found because it is the working folder
    said = look(home, "--json", given={"PYTHONPATH": str(tmp_path / "installed")}, folder=ROOT)
    assert any("the installed one" in one["found"] for one in said.of("torch"))


def test_a_torch_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("import time\ntime.sleep(3600)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    asked = Asked({"modules": [], "weights": None, "data": []})
    assert asked.answers(patience=0.5) == {"torch": {"error": "no answer within 0 seconds"}}
    assert asked.process.returncode == -signal.SIGKILL


def test_what_crashes_after_torch_loses_only_itself() -> None:
    class Late(Asked):
        def __init__(self, program: str) -> None:
            words = [sys.executable, "-c", program]
            self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    tell = 'print(\'{"question": "torch", "answer": {}}\\n{"question": "cards"}\\n{"ques\', flush=True); '
    found = Late(tell + "import os; os.abort()").answers()
    assert found == {"torch": {}, "cards": {"error": "Python crashes (SIGABRT)"}}


def test_every_look_is_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*words: Any) -> Any:
        raise PermissionError(13, "Permission denied", SECRET)

    places = [visit.machine, visit.places, visit.account, visit.supplies, visit.libraries]
    looks = ["cores", "memory", "shared_memory", "compiler", "disk", "home_folder", "client", "credentials", "data"]
    for name in [*looks, "libraries"]:
        place = next(place for place in places if inspect.isfunction(getattr(place, name, None)))
        monkeypatch.setattr(place, name, fails)
    monkeypatch.setattr(visit, "_ask", lambda folder, weights: None)
    found = visit.visit()
    failed = [one for one in found if one.found == "could not be looked at (PermissionError: Permission denied)"]
    assert len(failed) == len(looks) + 1
    assert all(one.state == "note" and SECRET not in str(one) for one in failed)


def test_what_needs_torch_is_asked_in_one_process() -> None:
    asked = [name for name, _ in questions({"modules": ["numpy"], "weights": None, "data": ["d"]})]
    assert asked == ["torch", "processor", "cards", "weights", "data d", "import numpy"]
