"""A card is made with the weights that are there, and as large as there is time (cyclestyle.competing.scoring)."""

import zipfile
from pathlib import Path

import pytest

from cyclestyle.competing import scoring
from cyclestyle.competing.scoring import FEWEST, NAMES, Weights, command, find_weights, pictures_in, unpacked
from cyclestyle.networks.weights import KNOWN

VGG, INCEPTION, ALEX, HEADS = (
    "vgg19-dcbb9e9d.pth",
    "weights-inception-2015-12-05-6726825d.pth",
    "alexnet-owt-7be5be79.pth",
    "lpips_v0.1_alex.pth",
)


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


@pytest.fixture(autouse=True)
def no_packages_bring_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "find_spec", lambda name: None)


def test_files_are_named_as_the_networks_look_for_them() -> None:
    assert all(KNOWN[kind].names == patterns for kind, patterns in NAMES.items())
    assert {KNOWN["vgg19"].file, KNOWN["inception"].file} == {VGG, INCEPTION}
    assert {KNOWN["alexnet"].file, KNOWN["lpips-alex"].file} == {ALEX, HEADS}


@pytest.mark.parametrize(
    ("files", "left_out"),
    [
        ((VGG, INCEPTION, ALEX, HEADS), ()),
        ((VGG, INCEPTION), ("lpips",)),
        ((VGG, ALEX, HEADS), ("inception",)),
        ((VGG, ALEX), ("inception", "lpips")),
        (("vgg19_features_r31.safetensors",), ("inception", "lpips")),
    ],
)
def test_what_lacks_weights_is_left_out(files: tuple[str, ...], left_out: tuple[str, ...], tmp_path: Path) -> None:
    folder = put(tmp_path / "datasets/me/weights", *files)
    assert find_weights(None, tmp_path) == Weights(folder, left_out)
    assert find_weights(folder, tmp_path / "nothing") == Weights(folder, left_out)


@pytest.mark.parametrize("files", [(), (INCEPTION, ALEX, HEADS), ("vgg19.txt", "model.pth")])
def test_without_vgg_there_is_no_card(files: tuple[str, ...], tmp_path: Path) -> None:
    put(tmp_path, *files)
    assert find_weights(None, tmp_path) is None


def test_heads_that_a_package_brings_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, VGG, INCEPTION, ALEX)
    monkeypatch.setattr(scoring, "find_spec", lambda name: name == "torchmetrics" or None)
    assert find_weights(None, tmp_path) == Weights(tmp_path, ())


def test_weights_in_several_places_are_looked_for_in_what_holds_them_all(tmp_path: Path) -> None:
    put(tmp_path / "a", VGG)
    put(tmp_path / "b/c", INCEPTION)
    put(tmp_path / "d", "other.pth")
    assert find_weights(None, tmp_path) == Weights(tmp_path, ("lpips",))


def test_as_many_pictures_as_there_is_time_for_or_none() -> None:
    assert pictures_in(900, cpu=False) > 10 * pictures_in(900, cpu=True) >= 10 * FEWEST
    assert pictures_in(1e5, cpu=True) > pictures_in(1e4, cpu=True)
    assert [pictures_in(seconds, cpu=cpu) for seconds in (-5.0, 0.0, 5.0) for cpu in (True, False)] == [0] * 6


def test_the_command_can_be_typed(tmp_path: Path) -> None:
    from cyclestyle.cli import build_app

    words = command(
        tmp_path, (tmp_path / "p", tmp_path / "m"), tmp_path / "c", Weights(tmp_path, ("lpips", "inception")), 70
    )
    _, bound, _ = build_app().parse_args(words, exit_on_error=False, print_error=False)
    assert bound.arguments["leave_out"] == ["lpips", "inception"]
    assert bound.arguments["at_most"] == 70
    assert bound.arguments["photos"] == tmp_path / "p"
    assert bound.arguments["paintings"] == tmp_path / "m"


def test_a_zip_is_unpacked_for_as_long_as_it_is_needed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as opened:
        opened.writestr("a.jpg", "one")
    with unpacked(tmp_path / "images.zip") as folder:
        assert (Path(folder) / "a.jpg").read_text() == "one"
    assert not Path(folder).exists()
