"""The real kaggle client against a Kaggle on this machine: what it brings, and what is said where it cannot.

Covers cyclestyle.data.fetching.client.
"""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from loopback import CLOSED, MEGABYTE, Answer, Loopback, competition_zip, keep_at_home, refused, sign_in, until

from cyclestyle.data.fetching import client
from cyclestyle.data.fetching.client import PART, come_so_far, fetch
from cyclestyle.data.fetching.refusals import DISK_FULL, FetchError
from cyclestyle.data.fetching.sources import RULES, SETTINGS
from cyclestyle.stopping import Stopped, StopRequest

pytestmark = pytest.mark.skipif(find_spec("kaggle") is None, reason="needs the kaggle extra")


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Loopback]:
    with Loopback().serving() as server:
        keep_at_home(monkeypatch, tmp_path / "home", server.address)
        sign_in(monkeypatch)
        monkeypatch.setattr(client, "WAITS", (0.01, 0.01))
        server.zip = competition_zip(padding=3 * MEGABYTE)
        yield server
        assert server.strangers == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "arriving").mkdir()
    return tmp_path / "arriving"


def refusal(folder: Path) -> str:
    """The sentence in which a download ends that cannot be."""
    with pytest.raises(FetchError) as caught:
        fetch(folder, StopRequest())
    return str(caught.value)


def clients() -> list[psutil.Process]:
    """The clients that run. Python's fork server, from 3.14 on, may stand beside them for other tests' loaders."""
    return [child for child in psutil.Process().children() if "kaggle" in child.cmdline()]


def test_the_zip_comes_whole(kaggle: Loopback, folder: Path) -> None:
    path = fetch(folder, StopRequest())
    assert path.read_bytes() == kaggle.zip
    assert [one.after for one in kaggle.transfers] == [None]
    assert list(folder.iterdir()) == [folder / PART]
    assert not list(Path.cwd().glob("gan-getting-started*"))


@pytest.mark.slow
def test_a_connection_that_breaks_is_told_and_gone_on_with_at_the_byte(
    kaggle: Loopback, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kaggle.breaks = [2 * MEGABYTE + 12_345]
    assert fetch(folder, StopRequest()).read_bytes() == kaggle.zip
    assert [one.after for one in kaggle.transfers] == [None, 2 * MEGABYTE]  # it writes by the megabyte
    assert "the connection broke; asking again in " in capfd.readouterr().err


@pytest.mark.slow
def test_an_error_page_in_the_place_of_the_rest_is_thrown_away(
    kaggle: Loopback, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The client writes whatever the storage gives it into the zip, once the address has run out."""
    kaggle.breaks = [2 * MEGABYTE]
    kaggle.after_break = [Answer(403, "<html>run out</html>", "text/html")] * 2
    assert fetch(folder, StopRequest()).read_bytes() == kaggle.zip
    assert [one.after for one in kaggle.transfers] == [None, 2 * MEGABYTE, None, None]
    assert "what came is not the whole zip; asking again" in capfd.readouterr().err


RUN = """
import sys
from importlib.util import find_spec
from pathlib import Path
from cyclestyle.data.fetching.client import fetch
from cyclestyle.stopping import StopRequest
fetch(Path(sys.argv[1]), StopRequest())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the client ends with us at once on Linux only")
def test_killed_and_run_again_it_goes_on_at_the_byte(kaggle: Loopback, folder: Path) -> None:
    kaggle.stalls_after = 2 * MEGABYTE + 500
    run = subprocess.Popen([sys.executable, "-c", RUN, str(folder)], stderr=subprocess.DEVNULL)
    until(lambda: come_so_far(folder)[0] == 2 * MEGABYTE)
    (its_client,) = psutil.Process(run.pid).children()
    run.kill()
    run.wait()
    its_client.wait(30)  # or two would write to one file
    assert come_so_far(folder) == (2 * MEGABYTE, len(kaggle.zip))
    assert fetch(folder, StopRequest()).read_bytes() == kaggle.zip
    # the client asks for all of it to see what it is, and then for the rest
    assert [one.after for one in kaggle.transfers] == [None, None, 2 * MEGABYTE]
    assert list(folder.iterdir()) == [folder / PART]


def test_killed_after_the_last_byte_it_is_whole(kaggle: Loopback, folder: Path) -> None:
    """The client, which has not come to removing its mark, then finds that it has nothing to do, and leaves it."""
    (folder / PART).write_bytes(kaggle.zip)
    mark = folder / f"{PART}.kaggle-partial"
    mark.write_text(json.dumps({"validator": kaggle.etag, "size": len(kaggle.zip)}))
    assert fetch(folder, StopRequest()).read_bytes() == kaggle.zip
    assert mark.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the client as Linux shows it")
def test_an_interrupt_of_the_client_alone_is_no_success(kaggle: Loopback, folder: Path) -> None:
    """It calls it one, with exit code 0."""
    kaggle.stalls_after = 2 * MEGABYTE
    kaggle.when_stalled = lambda: (
        until(lambda: come_so_far(folder)[0] == 2 * MEGABYTE),
        clients()[0].send_signal(signal.SIGINT),
    )
    assert refusal(folder) == "the kaggle client was interrupted; the same command goes on where it stopped"
    assert come_so_far(folder) == (2 * MEGABYTE, len(kaggle.zip))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_asked_to_stop_it_keeps_what_has_come(kaggle: Loopback, folder: Path, name: str) -> None:
    kaggle.stalls_after = 2 * MEGABYTE
    kaggle.when_stalled = lambda: (
        until(lambda: come_so_far(folder)[0] == 2 * MEGABYTE),
        os.kill(os.getpid(), getattr(signal, name)),
    )
    with StopRequest() as stop, pytest.raises(Stopped) as stopped:
        fetch(folder, stop)
    whole = f"{2 * MEGABYTE:,} of {len(kaggle.zip):,} bytes are here"
    assert str(stopped.value) == f"stopped ({name}): {whole}; the same command goes on from there"
    assert come_so_far(folder) == (2 * MEGABYTE, len(kaggle.zip))
    assert clients() == []


@pytest.mark.slow
def test_silence_is_ended_and_gone_on_from(
    kaggle: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    kaggle.stalls_after = 2 * MEGABYTE
    patience = client.LONGEST_SILENCE
    kaggle.when_stalled = lambda: (
        until(lambda: come_so_far(folder)[0] == 2 * MEGABYTE),
        monkeypatch.setattr(client, "LONGEST_SILENCE", 0.2),
    )
    monkeypatch.setattr(client, "_wait", lambda *_: monkeypatch.setattr(client, "LONGEST_SILENCE", patience))
    assert fetch(folder, StopRequest()).read_bytes() == kaggle.zip
    assert kaggle.transfers[-1].after == 2 * MEGABYTE
    assert "Kaggle has been silent for 0 s; asking again" in capfd.readouterr().err


ACCEPT = "You must accept this competition's rules before you'll be able to download files."


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refused(401, "Unauthenticated"), f"what KAGGLE_USERNAME and KAGGLE_KEY holds .*{SETTINGS}"),
        (refused(403, ACCEPT), f"the competition's rules are not accepted yet: .* {RULES}$"),
        (
            refused(403, "Permission 'competitions.participate' was denied"),
            f"the competition's rules are not accepted yet: .* {RULES}$",
        ),
        (
            Answer(403, "<html><h1>Forbidden</h1></html>", "text/html"),
            rf"^Kaggle refuses \(403 Client Error: Forbidden .*{RULES}$",
        ),
        (refused(404, "Competition not found"), "^Kaggle knows no competition gan-getting-started .*/data$"),
        (Answer(404, "<html></html>", "text/html"), "^Kaggle knows no competition gan-getting-started .*/data$"),
        (refused(400, "Odd {thing}\nand more"), "^the kaggle client failed: .*and more; see https://www.kaggle.com/"),
    ],
    ids=["401", "403 rules", "403 participate", "403 page", "404", "404 page", "400"],
)
def test_a_refusal_is_one_sentence_with_one_address(kaggle: Loopback, folder: Path, answer: Answer, said: str) -> None:
    kaggle.always = answer
    sentence = refusal(folder)
    assert re.search(said, sentence), sentence
    assert sentence.count("https://") == 1
    assert "\n" not in sentence
    assert list(folder.iterdir()) == []
    assert len(kaggle.asked) == 1  # nothing is tried again that people have to mend


@pytest.mark.slow
def test_too_many_requests_are_waited_for(kaggle: Loopback, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kaggle.refusals = [refused(429, "Too Many Requests"), refused(429, "Rate limit: try again in 0.02 seconds")]
    assert fetch(folder, StopRequest()).read_bytes() == kaggle.zip
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("note: ")]
    assert told == [
        f"note: Kaggle says that there were too many requests (429); asking again in 0 s ({turn} of 2)"
        for turn in (1, 2)
    ]


@pytest.mark.slow
def test_they_are_not_waited_for_for_ever(kaggle: Loopback, folder: Path) -> None:
    kaggle.always = Answer(429, "<html></html>", "text/html", (("Retry-After", "1"),))
    assert "too many requests (429): wait some minutes and type the same again" in refusal(folder)
    assert len(kaggle.asked) == 3


def test_a_wait_ends_where_somebody_asks(kaggle: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kaggle.always = refused(429, "Too Many Requests")
    monkeypatch.setattr(client, "WAITS", (3600.0,))
    monkeypatch.setattr(client, "_say", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with StopRequest() as stop, pytest.raises(Stopped, match=r"stopped \(SIGTERM\): 0 bytes are here"):
        fetch(folder, stop)


INACTIVE = Answer(200, '{"active": false}')


@pytest.mark.parametrize("token", [INACTIVE, refused(404, "no such token"), refused(401, "Unauthorized")])
def test_a_token_that_has_run_out_is_named(
    kaggle: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch, token: Answer
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_secret")
    kaggle.token = token
    sentence = refusal(folder)
    assert sentence.startswith("Kaggle does not accept what KAGGLE_API_TOKEN holds (expired, or mistyped)")
    assert SETTINGS in sentence
    assert "secret" not in sentence


def test_who_is_not_signed_in_is_told_how(kaggle: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    sentence = refusal(folder)
    assert sentence.startswith(f"not signed in to Kaggle: make a token at {SETTINGS}")
    assert kaggle.asked == []


@pytest.mark.parametrize("token", [False, True])
def test_without_a_network_it_says_so(
    kaggle: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch, token: bool
) -> None:
    """With a token the client asks about it first, and falls over with a traceback."""
    keep_at_home(monkeypatch, folder.parent / "home", CLOSED)
    (monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_secret") if token else sign_in(monkeypatch))
    assert refusal(folder).startswith("Kaggle cannot be reached: is this machine online (https://www.kaggle.com)?")
    assert kaggle.asked == []


def test_a_test_that_forgot_where_its_kaggle_is_reaches_this_machine_alone(
    kaggle: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_API_ENVIRONMENT")
    assert "cannot be reached" in refusal(folder)
    assert set(kaggle.strangers) == {"api.kaggle.com:443"}
    assert {one.method for one in kaggle.asked} == {"CONNECT"}
    kaggle.asked.clear()


def test_a_full_disk_is_told_at_once(kaggle: Loopback, folder: Path) -> None:
    """As a limit of the process, which its client inherits: the system refuses further bytes in the same way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MEGABYTE, before[1]))
    try:
        assert refusal(folder) == DISK_FULL
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(kaggle.transfers) == 1
    assert fetch(folder, StopRequest()).read_bytes() == kaggle.zip  # once there is room
    assert kaggle.transfers[-1].after == 2 * MEGABYTE


LACKING = """
import sys
class Lacking:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == {module!r}:
            raise ModuleNotFoundError("No module named '" + name + "'", name=name)
sys.meta_path.insert(0, Lacking())
"""


def test_a_module_that_the_client_forgets_to_declare_is_named(
    kaggle: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LACKING.format(module="six"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert refusal(folder) == (
        "the kaggle client needs a module that is not installed (six): type `pip install 'cyclestyle[kaggle]'`"
    )


def test_a_client_that_is_not_there_is_missed(kaggle: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = getattr(sys, "_base_executable", sys.executable)
    if subprocess.run([bare, "-c", "import kaggle"], capture_output=True, check=False).returncode == 0:
        pytest.skip("kaggle is installed outside of the environment too")
    monkeypatch.setattr(sys, "executable", bare)
    sentence = refusal(folder)
    assert sentence.startswith("the kaggle client is not installed: type `pip install 'cyclestyle[kaggle]'`")
    assert "--from-zip" in sentence


def test_modules_that_happen_to_lie_here_are_not_run(
    kaggle: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("kaggle.py", "requests.py", "six.py"):
        Path(name).write_text("raise SystemExit('run')")
    assert fetch(folder, StopRequest()).read_bytes() == kaggle.zip


def test_a_home_that_cannot_be_written_is_named(
    kaggle: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    sentence = refusal(folder)
    assert str(tmp_path / "file") in sentence
    assert sentence.endswith("KAGGLE_CONFIG_DIR")


def test_a_web_page_that_comes_instead_is_found_whatever_the_client_names_it(kaggle: Loopback, folder: Path) -> None:
    kaggle.always = Answer(200, "<html>Welcome to our hotel</html>", "text/html")
    assert b"hotel" in fetch(folder, StopRequest()).read_bytes()
    client.throw_away(folder)
    assert list(folder.iterdir()) == []
