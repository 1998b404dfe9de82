"""`cyclestyle download`, with the real client and a Kaggle on this machine: folders appear whole or not at all.

Covers cyclestyle.commands.download.
"""

import io
import os
import signal
import sys
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from loopback import CLOSED, MEGABYTE, Loopback, competition_zip, jpeg, keep_at_home, refused, sign_in, until

from cyclestyle import cli
from cyclestyle.data.fetching.client import come_so_far

pytestmark = [
    pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens"),
    pytest.mark.skipif(find_spec("kaggle") is None, reason="needs the kaggle extra"),
]


class Typed:
    """Types `cyclestyle download` in an empty folder and reads what it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.code, self.out, self.said = -1, "", [""]

    def __call__(self, *words: object) -> str:
        """Everything but progress that is said on standard error."""
        self.monkeypatch.setattr(sys, "argv", ["cyclestyle", "download", *map(str, words)])
        self.capsys.readouterr()
        self.code = 0
        try:
            cli.main()
        except SystemExit as end:
            self.code = 0 if end.code is None else int(end.code)
        said = self.capsys.readouterr()
        self.out = said.out
        progress = ("downloading", "unpacking:", "copying:", "opening:")
        self.said = [line for line in said.err.splitlines() if not line.startswith(progress)]
        assert "Traceback" not in said.err
        return "\n".join(self.said)

    def fails(self, *words: object) -> str:
        """The one sentence in which it ends."""
        sentence = self(*words)
        assert self.code == 2, sentence
        assert self.out == ""
        assert len(self.said) == 1, sentence
        assert sentence.startswith("error: ")
        return sentence.removeprefix("error: ")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Typed:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    keep_at_home(monkeypatch, tmp_path / "home")
    return Typed(monkeypatch, capsys)


@pytest.fixture
def kaggle(typed: Typed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Loopback]:
    with Loopback().serving() as server:
        keep_at_home(monkeypatch, tmp_path / "home", server.address)
        sign_in(monkeypatch)
        server.zip = competition_zip(3, 5, padding=3 * MEGABYTE)
        yield server
        assert server.strangers == []


def everything() -> list[str]:
    return sorted(path.as_posix() for path in Path().rglob("*") if path.is_file())


def test_from_nothing_to_a_folder_that_can_be_learnt_from_and_no_further(
    typed: Typed, kaggle: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = typed("monet", "--to", "data/monet")
    assert typed.code == 0, said
    assert typed.out.splitlines() == [
        "data/monet: 3 paintings, 5 photos",
        "next: cyclestyle check data/monet",
        "then: accelerate launch -m cyclestyle train --config configs/monet.toml",
    ]
    assert typed.said == [
        "note: left out, being no pictures of the two sets: 1 in monet_tfrec/, 1 in photo_tfrec/",
        "note: not as many pictures as usual: 3 in monet_jpg/ (usual: 300), 5 in photo_jpg/ (usual: 7,028 to 7,100)",
    ]
    files = everything()
    assert len(files) == 1 + 3 + 5
    assert {Path(file).parts[:3][-1] for file in files} == {"monet_jpg", "photo_jpg", "download.json"}
    # There is nothing more to be done, whether or not there are a network and a client.
    keep_at_home(monkeypatch, tmp_path / "home", CLOSED)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
    assert typed() == ""
    assert typed.code == 0
    assert typed.out.startswith("data/monet is there already: 3 paintings, 5 photos\nnext: ")
    assert len(kaggle.asked) == 2
    assert everything() == files
    monkeypatch.undo()


def with_member(name: str, content: bytes) -> bytes:
    file = io.BytesIO(competition_zip())
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def other_competition() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("train/a.jpg", jpeg(1))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!doctype html><title>Sign in</title>", "this is HTML or XML (a page that asks to sign in?), not a zip"),
        (other_competition(), "is it another competition's?"),
        (with_member("photo_jpg/x.jpg", bytes(50 * MEGABYTE)), "to 52,428,800 bytes, which no picture does"),
        (with_member("../../outside.jpg", jpeg(1)), "climbs out of its folder with '..'; nothing was unpacked"),
        (competition_zip()[:-700], "the end of the zip is missing, it was cut off: the zip is not whole"),
    ],
    ids=["page", "other", "huge ratio", "traversal", "truncated"],
)
def test_a_wrong_zip_leaves_nothing(typed: Typed, kaggle: Loopback, content: bytes, said: str, tmp_path: Path) -> None:
    kaggle.zip = content
    sentence = typed.fails()
    assert sentence.startswith("gan-getting-started.zip: ")
    assert said in sentence
    assert sentence.endswith("; it was removed, and the same command downloads it again")
    assert everything() == []
    assert not (tmp_path / "outside.jpg").exists()
    assert list(Path("data").iterdir()) == []


def test_a_refusal_of_kaggle_is_the_sentence_and_leaves_nothing(typed: Typed, kaggle: Loopback) -> None:
    kaggle.always = refused(403, "You must accept this competition's rules before you'll be able to download files.")
    assert typed.fails() == (
        "the competition's rules are not accepted yet: accept them in a browser at "
        "https://www.kaggle.com/competitions/gan-getting-started/rules"
    )
    assert list(Path("data").iterdir()) == []


def test_stopped_on_the_way_the_same_command_goes_on_at_the_byte(typed: Typed, kaggle: Loopback) -> None:
    arriving = Path("data/.monet.arriving").absolute()
    kaggle.stalls_after = 2 * MEGABYTE
    kaggle.when_stalled = lambda: (
        until(lambda: come_so_far(arriving)[0] == 2 * MEGABYTE),
        os.kill(os.getpid(), signal.SIGINT),
    )
    said = typed()
    assert typed.code == 75
    assert said.startswith("stopped (SIGINT): 2,097,152 of ")
    assert said.endswith(" bytes are here; the same command goes on from there")
    assert not Path("data/monet").exists()
    typed()
    assert typed.code == 0
    assert typed.said[0] == "note: going on after 2,097,152 bytes"
    assert kaggle.transfers[-1].after == 2 * MEGABYTE
    assert len(everything()) == 1 + 3 + 5


def test_what_people_have_is_taken_without_a_client(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
    zipped = tmp_path / "vangogh2photo.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        for number, folder in enumerate(("trainA", "trainB", "testA", "testB")):
            archive.writestr(f"vangogh2photo/{folder}/a.jpg", jpeg(number))
    assert typed("ukiyoe", "--from-zip", zipped, "--to", "my pictures/ukiyoe") == ""
    assert typed.out.splitlines() == [
        "my pictures/ukiyoe: 1 paintings, 1 photos, 2 kept apart for tests",
        "next: cyclestyle check 'my pictures/ukiyoe'",
        "then: accelerate launch -m cyclestyle train --config configs/vangogh.toml --run runs/ukiyoe "
        "--data.folder 'my pictures/ukiyoe'",
    ]
    assert typed("vangogh", "--from-folder", "my pictures/ukiyoe") == ""
    assert typed.out.splitlines()[2] == "then: accelerate launch -m cyclestyle train --config configs/vangogh.toml"
    assert sum(file.startswith("data/vangogh/") for file in everything()) == 5


def test_mistakes_are_told_before_anything_is_done(typed: Typed, tmp_path: Path) -> None:
    assert typed.fails("--from-zip", "a", "--from-folder", "b") == (
        "--from-zip and --from-folder were given; give one of them"
    )
    assert "vangogh2photo.zip in a browser, then type" in typed.fails("--style", "vangogh")
    assert '"monet"' in typed.fails("manet")
    assert typed.fails("--from-zip", "nowhere.zip") == "nowhere.zip: there is no such file"
    Path("file").write_text("mine")
    assert typed.fails("--to", "file") == "file is there and is not a folder; choose another place with --to"
    (tmp_path / "here" / "full").mkdir()
    Path("full/mine.txt").write_text("mine")
    assert typed.fails("--to", "full").startswith("full is not empty, and does not hold both sets of pictures")
    assert everything() == ["file", "full/mine.txt"]
