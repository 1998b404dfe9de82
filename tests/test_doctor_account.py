"""cyclestyle.doctor.account: which way of signing in, held against what the real client does (no network in either)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cyclestyle.doctor import account
from cyclestyle.doctor.findings import Finding

SECRET = "KGAT_0123456789abcdefdeadbeef"
CLOSED = "http://127.0.0.1:9"
PAIR = json.dumps({"username": "monet", "key": SECRET})
SIGNED_IN = json.dumps({"refresh_token": SECRET, "username": "monet"})


class Case(NamedTuple):
    """What lies in a home folder and its environment, and what signs in: a token, a key, oauth; none; or it fails."""

    expected: str
    variables: dict[str, str] = {}  # noqa: RUF012 - never changed
    files: dict[str, bytes | str | None] = {}  # noqa: RUF012
    """Below the home; None is a folder."""
    says: str = ""
    """What the doctor says of it."""


CASES = {
    "nothing": Case("none", says="cannot sign in"),
    "a token in a variable": Case("token", {"KAGGLE_API_TOKEN": SECRET}),
    "a token's file in a variable": Case(
        "token", {"KAGGLE_API_TOKEN": "HOME/t"}, {"t": SECRET}, "KAGGLE_API_TOKEN names"
    ),
    "an empty file in a variable comes before a token's file": Case(
        "none", {"KAGGLE_API_TOKEN": "HOME/t"}, {"t": "\n", ".kaggle/access_token": SECRET}, "is empty"
    ),
    "a folder in a variable": Case("fails", {"KAGGLE_API_TOKEN": "HOME/t"}, {"t": None}, "Is a directory"),
    "a token that is too long for a name": (  # whether such a file is there: an error, from Python 3.14 on a no
        Case("fails", {"KAGGLE_API_TOKEN": SECRET * 20}, says="is too long")
        if sys.version_info < (3, 14)
        else Case("token", {"KAGGLE_API_TOKEN": SECRET * 20})
    ),
    "a token's file": Case("token", {}, {".kaggle/access_token": SECRET + "\n"}, "access_token"),
    "a token's file with an ending": Case("token", {}, {".kaggle/access_token.txt": SECRET}),
    "an empty file, and one with an ending": Case(
        "token", {}, {".kaggle/access_token": "", ".kaggle/access_token.txt": SECRET}, "is empty"
    ),
    "a folder as a token's file": Case("fails", {}, {".kaggle/access_token": None}, "Is a directory"),
    "a token's file of bytes": Case("fails", {}, {".kaggle/access_token": b"\xff\xfe\x00"}, "is not a text"),
    "a name and a key in variables": Case("key", {"KAGGLE_USERNAME": "monet", "KAGGLE_KEY": SECRET}),
    "a name without a key": Case("none", {"KAGGLE_USERNAME": "monet"}, says="is set without KAGGLE_KEY"),
    "kaggle.json": Case("key", {}, {".kaggle/kaggle.json": PAIR}, "kaggle.json"),
    "kaggle.json in the settings of the desktop": Case("key", {}, {".config/kaggle/kaggle.json": PAIR}),
    "kaggle.json where XDG's variable says": Case("key", {"XDG_CONFIG_HOME": "HOME/x"}, {"x/kaggle/kaggle.json": PAIR}),
    "kaggle.json where KAGGLE_CONFIG_DIR says": Case("key", {"KAGGLE_CONFIG_DIR": "HOME/x"}, {"x/kaggle.json": PAIR}),
    "kaggle.json where KAGGLE_CONFIG_DIR does not say": Case(
        "none", {"KAGGLE_CONFIG_DIR": "HOME/x"}, {"x/y": "", ".kaggle/kaggle.json": PAIR}, "is not looked at"
    ),
    "a name in a variable, a key in kaggle.json": Case(
        "key", {"KAGGLE_USERNAME": "monet"}, {".kaggle/kaggle.json": json.dumps({"key": SECRET})}
    ),
    "kaggle.json that is no JSON": Case("none", {}, {".kaggle/kaggle.json": PAIR[:-3]}, "is not JSON"),
    "kaggle.json that is no object": Case("none", {}, {".kaggle/kaggle.json": f'["{SECRET}"]'}, "is no JSON object"),
    "kaggle.json without a key": Case("none", {}, {".kaggle/kaggle.json": '{"username": "monet"}'}, "lacks key"),
    "kaggle.json that is a folder": Case("none", {}, {".kaggle/kaggle.json": None}, "Is a directory"),
    "kaggle.json of bytes": Case("none", {}, {".kaggle/kaggle.json": b"\xff\xfe\x00"}, "is not a text"),
    "signed in": Case("oauth", {}, {".kaggle/credentials.json": SIGNED_IN}, "credentials.json"),
    "signed in, but no JSON": Case("none", {}, {".kaggle/credentials.json": SIGNED_IN[1:]}, "is not JSON"),
    "signed in, but no object": Case("fails", {}, {".kaggle/credentials.json": "[1]"}, "is no JSON object"),
    "signed in, but no token": Case("none", {}, {".kaggle/credentials.json": "{}"}, "lacks a refresh token"),
    "signed in, but a folder": Case("fails", {}, {".kaggle/credentials.json": None}, "Is a directory"),
    "a token before a key": Case("token", {"KAGGLE_API_TOKEN": SECRET}, {".kaggle/kaggle.json": PAIR}),
    "a key before signed in": Case(
        "key", {}, {".kaggle/kaggle.json": PAIR, ".kaggle/credentials.json": SIGNED_IN}, "kaggle.json"
    ),
    "an unreadable key before signed in": Case(
        "oauth", {}, {".kaggle/kaggle.json": "{", ".kaggle/credentials.json": SIGNED_IN}, "is not JSON"
    ),
}


def laid_out(case: Case, home: Path) -> dict[str, str]:
    """Put the files of a case there; its environment."""
    home.mkdir()
    for name, content in case.files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            path.chmod(0o600)
    return {"HOME": str(home), **{name: value.replace("HOME", str(home)) for name, value in case.variables.items()}}


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets this process have the environment of a case, and nobody's account."""

    def take(variables: dict[str, str]) -> None:
        for name in [name for name in os.environ if name.startswith(("KAGGLE", "XDG"))]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return take


def told(findings: list[Finding]) -> str:
    return "\n".join(f"{one.state} {one.found} -> {one.do}" for one in findings)


@pytest.mark.parametrize("name", CASES)
def test_every_way_of_signing_in_is_known_and_no_secret_told(name: str, live: Any, tmp_path: Path) -> None:
    case = CASES[name]
    live(laid_out(case, tmp_path / "home"))
    findings = list(account.credentials(needed=True))
    assert case.says in told(findings)
    assert SECRET not in told(findings)
    assert findings[-1].state == ("wrong" if case.expected in {"none", "fails"} else "fine")
    assert ("the client fails over it" in findings[-1].found) == (case.expected == "fails")
    assert all(one.do for one in findings if one.state != "fine")
    assert [one.state for one in account.credentials(needed=False)][-1] in {"note", "fine"}


def taken() -> str:
    """Which way the doctor expects, in a word."""
    for way in account.ways():
        if not way.trouble:
            file = way.file.name if way.file else way.name
            return {"kaggle.json": "key", "KAGGLE_USERNAME and KAGGLE_KEY": "key", "credentials.json": "oauth"}.get(
                file, "token"
            )
        if way.stops:
            return "fails"
    return "none"


WENT_OUT = 99
ALONE = f"""
import os, socket
def refuse(*words, **more):
    os._exit({WENT_OUT})
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""
"""A process that would ask a network ends at once: the client lives through every exception."""

CLIENT = """
import json, os, sys
import kaggle
from kaggle.api.kaggle_api_extended import KaggleApi
from kagglesdk import get_access_token_from_env
from kagglesdk.kaggle_creds import KaggleCredentials
def way():
    if get_access_token_from_env()[0]:
        return "token"
    api = KaggleApi()
    api._load_config()
    if api._authenticate_with_legacy_apikey():
        return "key"
    return "oauth" if KaggleCredentials.load(client=None) else "none"
ends = []
for variables, settings in json.loads(sys.argv[1]):
    for name in [name for name in os.environ if name.startswith(("KAGGLE", "XDG"))]:
        del os.environ[name]
    os.environ.update(variables)
    KaggleApi.config = settings
    try:
        ends.append(way())
    except Exception:
        ends.append("fails")
print(json.dumps(ends))
"""


def client(program: str, home: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The real client in a process of its own; whatever it would ask of a network goes where nobody listens."""
    pytest.importorskip("six")
    if not account.is_there("kaggle"):
        pytest.skip("the Kaggle client is not installed")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KAGGLE", "XDG"))}
    out = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), CLOSED)
    ours = {"HOME": str(home), "KAGGLE_API_ENVIRONMENT": "LOCALHOST", **variables}
    words = (sys.executable, "-c", ALONE + program, *words)
    run = subprocess.run(words, env={**kept, **out, **ours}, capture_output=True, text=True, check=False)
    assert run.returncode != WENT_OUT
    return run


def test_the_real_client_takes_the_same_way(live: Any, tmp_path: Path) -> None:
    asked, expected = [], []
    for number, case in enumerate(CASES.values()):
        variables = laid_out(case, tmp_path / f"home-{number}")
        live(variables)
        asked.append([variables, str(account.settings_folder() / "kaggle.json")])
        expected.append(case.expected)
        assert taken() == case.expected, list(CASES)[number]
    (tmp_path / "nobody").mkdir()
    run = client(CLIENT, tmp_path / "nobody", json.dumps(asked))
    assert run.returncode == 0, run.stderr
    ends = json.loads(run.stdout.splitlines()[-1])
    assert dict(zip(CASES, ends, strict=True)) == dict(zip(CASES, expected, strict=True))


@pytest.mark.parametrize("given", [{}, {"XDG_CONFIG_HOME": "HOME/x"}, {"KAGGLE_CONFIG_DIR": "HOME/x"}, {"OLD": ""}])
def test_the_real_client_has_its_settings_where_the_doctor_looks(
    given: dict[str, str], live: Any, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / ".kaggle" if "OLD" in given else home).mkdir(parents=True)
    variables = {name: value.replace("HOME", str(home)) for name, value in given.items()}
    live({"HOME": str(home), **variables})
    expected = account.settings_folder()
    run = client("import kaggle; print(); print(kaggle.api.config_dir)", home, **variables)
    assert run.stdout.splitlines()[-1] == str(expected), run.stderr
    assert expected.is_dir()


def test_a_settings_folder_that_cannot_be_made_is_named_and_the_real_client_fails(live: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    variables = {"HOME": str(tmp_path / "file"), "XDG_CONFIG_HOME": str(tmp_path / "file")}
    run = client("import kaggle", tmp_path / "file", **variables)
    assert run.returncode == 1
    live(variables)
    found = next(iter(account.client(needed=True)))
    assert found.state == "wrong"
    assert "it fails to make its folder" in found.found
    assert "KAGGLE_CONFIG_DIR" in found.do


def test_a_client_without_six_is_named(live: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live({"HOME": str(tmp_path)})
    for there, says, do in (({"kaggle"}, "needs six", "'six>=1.16'"), (set(), "not installed", "'kaggle>=2.2.4'")):
        monkeypatch.setattr(account, "is_there", lambda module, there=there: module in there)
        found = next(iter(account.client(needed=True)))
        assert found.state == "wrong"
        assert says in found.found
        assert do in found.do
        assert next(iter(account.client(needed=False))).state == "note"


def test_a_token_that_others_can_read_is_a_note(live: Any, tmp_path: Path) -> None:
    case = CASES["a token's file"]
    live(laid_out(case, tmp_path / "home"))
    file = tmp_path / "home" / ".kaggle" / "access_token"
    file.chmod(0o644)
    found = list(account.credentials(needed=True))
    assert [one.state for one in found] == ["note"]
    assert found[0].do == f"chmod 600 {file}"


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("~/.kaggle/access_token", "names a file that is not there"),
        ("token.txt", "names a file that is not there"),
        (f"{SECRET} ", "spaces or line breaks"),
        (f"{SECRET}\n{SECRET}", "spaces or line breaks"),
    ],
)
def test_a_variable_that_holds_no_token_is_named(variable: str, says: str, live: Any, tmp_path: Path) -> None:
    live({"HOME": str(tmp_path), "KAGGLE_API_TOKEN": variable})
    found = list(account.credentials(needed=True))
    assert says in found[0].found
    assert found[-1].state == "wrong"
    assert SECRET not in told(found)


@pytest.mark.parametrize(
    ("content", "says"),
    [(PAIR, "holds what belongs into"), (f"token: {SECRET}", "holds more than a token"), (SECRET * 1000, "more than")],
)
def test_a_file_that_holds_another_thing_than_a_token_is_named(
    content: str, says: str, live: Any, tmp_path: Path
) -> None:
    live(laid_out(Case("none", {}, {".kaggle/access_token": content}), tmp_path / "home"))
    found = list(account.credentials(needed=True))
    assert says in found[0].found
    assert found[0].do.startswith(f"rm {tmp_path / 'home' / '.kaggle' / 'access_token'}; then make a token at")
    assert SECRET not in told(found)


def test_an_empty_name_or_key_is_taken_by_the_client_and_named(live: Any, tmp_path: Path) -> None:
    live({"HOME": str(tmp_path), "KAGGLE_USERNAME": "monet", "KAGGLE_KEY": " "})
    found = list(account.credentials(needed=True))
    assert [one.state for one in found] == ["wrong"]
    assert "one is empty" in found[0].found


def test_a_notebook_needs_no_account(live: Any, tmp_path: Path) -> None:
    live({"HOME": str(tmp_path), "KAGGLE_KERNEL_RUN_TYPE": "Interactive"})
    assert [one.state for one in account.credentials(needed=True)] == ["fine"]
