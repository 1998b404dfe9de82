"""A whole card from folders of drawn pictures: it knows good painters, bad ones, copies, grids, and what it cannot say.

Paintings here are drawn pictures in other colours and with a fine texture; a good painter does just that to photos.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Draw, as_processes
from PIL import Image, ImageFilter

from cyclestyle.evaluation import asking, measures
from cyclestyle.evaluation.asking import Asked, make_card
from cyclestyle.evaluation.eyes import Eyes
from cyclestyle.evaluation.looking import Look
from cyclestyle.evaluation.measuring import Folders
from cyclestyle.evaluation.terminal import table
from cyclestyle.networks.lpips import random_lpips
from cyclestyle.networks.vgg import random_vgg
from cyclestyle.processes import Processes

SIDE, PHOTOS, PAINTINGS = 32, 12, 24
LEVEL = "random VGG-19 relu2_2"
Change = Callable[[np.ndarray, int], np.ndarray]


def changed(place: Path, change: Change, to: Path) -> Path:
    """A folder of the same names, each picture (h, w, 3) in [0, 255] changed."""
    to.mkdir(parents=True)
    for number, path in enumerate(sorted(place.iterdir())):
        with Image.open(path) as picture:
            made = change(np.asarray(picture).astype(float), number)
        Image.fromarray(np.rint(made).clip(0, 255).astype(np.uint8)).save(to / path.name)
    return to


def painting_of(pixels: np.ndarray, number: int) -> np.ndarray:
    """Warmer, less contrast, and strokes."""
    strokes = np.random.default_rng(number).normal(0, 18, pixels.shape[:2])[..., None]
    return (pixels * 0.5 + 64) * (1.2, 1.0, 0.6) + strokes


class World:
    """Folders, and cards of them; each is made once."""

    def __init__(self, place: Path, draw: Draw) -> None:
        self.place = place
        for seed, (name, count) in enumerate({"photos": PHOTOS, "drawn": PAINTINGS, "others": PAINTINGS}.items()):
            draw(place / name, count, seed=seed, size=(SIDE, SIDE))
        self.photos = place / "photos"
        self.paintings = changed(place / "drawn", painting_of, place / "paintings")
        self.others = changed(place / "others", lambda pixels, n: painting_of(pixels, n + 100), place / "held-out")
        self.good = changed(self.photos, lambda pixels, n: painting_of(pixels, n + 200), place / "good")
        self.card = cache(self._card)

    def painted(self, name: str, change: Change) -> Path:
        to = self.place / name
        return to if to.exists() else changed(self.photos, change, to)

    def asked(self, painted: Path | None = None, to: str = "card", **more: Any) -> Asked:
        folders = {"painted": painted or self.good, "photos": self.photos, "paintings": self.paintings}
        folders |= {name: more.pop(name) for name in list(more) if name in Folders.__dataclass_fields__}
        base = Asked(Folders(**folders), self.place / to, random=True, cache=self.place / "features")
        return replace(base, **more)

    def _card(self, painted: Path | None = None) -> dict[str, Any]:
        return self.made(self.asked(painted))

    def made(self, asked: Asked) -> dict[str, Any]:
        card = make_card(asked, Processes.join())
        assert card is not None
        return card


@cache
def small_eyes(seed: int) -> Eyes:
    return Eyes(random_vgg(seed, LEVEL.split()[-1]), None, random_lpips(seed), torch.device("cpu"))


@pytest.fixture(scope="module", autouse=True)
def _quickly() -> Iterator[None]:
    """A shallower network and fewer draws than people get."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "open_eyes", lambda asked, device: small_eyes(asked.seed))
        patch.setattr(measures, "DRAWS", 3)
        patch.setattr(measures, "SPLITS", 5)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> World:
    return World(tmp_path_factory.mktemp("world"), draw)


def measure(card: dict[str, Any], key: str) -> dict[str, Any]:
    return next(one for one in card["measures"] if one["key"] == key)


def skills(card: dict[str, Any], row: str = "painted") -> dict[str, float | None]:
    return {one["key"]: one["skill"].get(row) for one in card["measures"]}


def left_out(card: dict[str, Any]) -> str:
    return " ".join(one["what"] for one in card["left_out"])


def finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def test_a_good_painter_has_come_all_the_way(world: World) -> None:
    card = world.card()
    found = skills(card)
    for key in (f"kid/{LEVEL}", "mmd_mean_std/relu2_1", "mmd_gram/relu2_1", "mmd_texture/relu1_1"):
        assert found[key] == pytest.approx(1, abs=0.25), key
        assert measure(card, key)["different"]["painted"]
    assert found["palette"] == pytest.approx(1, abs=0.25)
    assert "of the way from photos to real paintings" in card["verdict"]
    assert card["verdict"].startswith("With random weights, which say nothing about quality")
    assert not any(one["alarming"] for one in card["behaviour"].values())
    assert [row["name"] for row in card["rows"]] == [
        *("photos, untouched", "colour transfer", "painted", "real paintings"),
    ]
    assert card["counts"] == {"photos": PHOTOS, "painted": PHOTOS, "paintings": PAINTINGS}


def test_photos_are_0_and_real_paintings_1_wherever_there_is_a_scale(world: World) -> None:
    card = world.card()
    assert sum(skills(card, "photos")[key] is not None for key in skills(card)) > 10
    for one in card["measures"]:
        if one["skill"] and one["skill"]["photos"] is not None:
            assert one["skill"]["photos"] == 0.0
            assert one["skill"]["real"] == pytest.approx(1.0)


def test_colour_transfer_has_the_palette_and_not_the_texture(world: World) -> None:
    found = skills(world.card(), "colour")
    assert found["palette"] > 0.5
    assert abs(found["mmd_texture/relu1_1"]) < 0.7
    assert found["palette"] > found["mmd_texture/relu1_1"]


def test_the_files_are_strict_json_and_a_page_that_carries_its_pictures(world: World) -> None:
    card = world.made(world.asked(to="files"))
    text = (world.place / "files" / "card.json").read_text()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    written = json.loads(text, parse_constant=refuse)
    assert finite(written)
    assert written["measures"] == json.loads(json.dumps(card["measures"]))
    page = (world.place / "files" / "card.html").read_text()
    assert page.count("data:image/") >= 10 + len(written["copying_gallery"]) + len(written["spectra"])
    assert "never trained" in page
    assert len(written["worst"]["pictures"]) == 10
    values = [one["value"] for one in written["worst"]["pictures"]]
    assert values == sorted(values, reverse=True)
    assert sorted(path.name for path in (world.place / "files").iterdir()) == ["card.html", "card.json"]
    assert table(card)


def without_time(card: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in card.items() if key != "made"}


def test_the_same_card_again_looks_at_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = without_time(world.card())
    monkeypatch.setattr(Eyes, "look", lambda *_: pytest.fail("looked again"))
    assert without_time(world.made(world.asked())) == first


def test_features_gone_bad_are_looked_at_again_and_the_numbers_are_the_same(world: World, tmp_path: Path) -> None:
    first = world.card()
    shutil.copytree(world.place / "features", tmp_path / "features")
    for number, path in enumerate(sorted((tmp_path / "features").rglob("*.f32"))):
        if number % 7 == 0:
            path.write_bytes(path.read_bytes()[:40])
    again = world.made(world.asked(cache=tmp_path / "features"))
    assert without_time(again) == without_time(first)


@pytest.mark.slow
def test_three_processes_make_the_same_card(world: World, tmp_path: Path) -> None:
    cards = as_processes(3, lambda process: make_card(world.asked(cache=tmp_path / "new"), process))
    assert cards[1:] == [None, None]
    assert without_time(cards[0]) == without_time(world.card())


def test_what_one_process_refuses_all_refuse(world: World) -> None:
    refused = as_processes(2, lambda process: make_card(world.asked(world.place / "nowhere"), process))
    assert [str(one) for one in refused] == [f"no such folder: {world.place / 'nowhere'}"] * 2


@pytest.mark.slow
def test_threads_change_no_digit(world: World, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        card = world.made(world.asked(cache=tmp_path / "new"))
    finally:
        torch.set_num_threads(before)
    assert without_time(card) == without_time(world.card())


@pytest.mark.slow
def test_another_seed_is_another_network_and_other_draws(world: World) -> None:
    one, other = world.card(), world.made(world.asked(seed=1))
    key = f"fid_equal/{LEVEL}"
    assert measure(one, key)["values"]["painted"] != measure(other, key)["values"]["painted"]
    assert measure(one, "palette")["values"]["painted"] == measure(other, "palette")["values"]["painted"]
    assert other["provenance"]["statistics"]["seed"] == "1"


def test_painted_pictures_that_are_the_photos_stand_at_0(world: World) -> None:
    card = world.card(world.photos)
    assert all(skill in (None, 0.0) for skill in skills(card).values())
    assert not any(one["different"].get("painted") for one in card["measures"])
    assert "cannot be told from untouched photos" in card["verdict"]
    assert card["behaviour"]["diversity"]["numbers"]["ratio"] == pytest.approx(1)
    for one in card["content"]:
        expected = 1.0 if one["key"] == "ssim" else 0.0
        assert one["rows"]["painted"]["median"] == pytest.approx(expected, abs=1e-6)


def test_copied_paintings_ring_and_mifid_fires(world: World) -> None:
    to = world.place / "copies"
    to.mkdir()
    for photo, painting in zip(sorted(world.photos.iterdir()), sorted(world.paintings.iterdir()), strict=False):
        shutil.copy(painting, to / photo.name)
    card = world.card(to)
    copying = card["behaviour"]["copying"]
    assert copying["alarming"]
    assert copying["numbers"]["suspicious"] == 1.0
    assert len(card["copying_gallery"]) == 6
    assert all(one["distance"] == pytest.approx(0, abs=1e-9) for one in card["copying_gallery"])
    honest, copied = (measure(one, f"mifid/{LEVEL}")["values"]["painted"]["value"] for one in (world.card(), card))
    assert copied > 1e6 * honest
    assert measure(card, f"memorisation/{LEVEL}")["values"]["painted"]["value"] == pytest.approx(0, abs=1e-9)
    assert "colour transfer, painted)" in measure(card, f"mifid/{LEVEL}")["explained"]


def test_some_copies_among_honest_pictures_ring_too(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.good, tmp_path / "some")
    for number in (2, 5):
        shutil.copy(world.paintings / "picture-03.png", tmp_path / "some" / f"picture-{number:02d}.png")
    card = world.card(tmp_path / "some")
    assert card["behaviour"]["copying"]["numbers"]["suspicious"] == pytest.approx(2 / PHOTOS)
    assert card["behaviour"]["copying"]["alarming"]
    assert {one["name"] for one in card["copying_gallery"][:2]} == {"picture-02", "picture-05"}


def test_one_picture_for_all_is_a_collapse_and_far_from_the_paintings(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.good, tmp_path / "same")
    for path in (tmp_path / "same").iterdir():
        shutil.copy(world.good / "picture-00.png", path)
    card = world.card(tmp_path / "same")
    assert card["behaviour"]["diversity"]["alarming"]
    assert card["behaviour"]["diversity"]["numbers"]["ratio"] == pytest.approx(0, abs=1e-6)
    assert not card["behaviour"]["copying"]["alarming"]
    coverage, honest = (measure(one, f"coverage/{LEVEL}") for one in (card, world.card()))
    assert coverage["values"]["painted"]["value"] < honest["values"]["painted"]["value"]


def test_inverted_pictures_ring(world: World) -> None:
    card = world.card(world.painted("inverted", lambda pixels, _: 255 - pixels))
    assert card["behaviour"]["inversion"]["alarming"]
    assert card["behaviour"]["inversion"]["numbers"] == {"brightness": 1.0, "colours": 1.0}
    assert not world.card()["behaviour"]["inversion"]["alarming"]


@pytest.mark.parametrize("period", [2, 4])
def test_a_grid_rings_and_is_told_with_its_period(world: World, period: int) -> None:
    def with_grid(pixels: np.ndarray, _: int) -> np.ndarray:
        waves = np.cos(2 * np.pi * np.arange(SIDE) / period) * 8
        return pixels * 0.8 + 25 + (waves[:, None] + waves)[..., None]

    told = world.card(world.painted(f"grid-{period}", with_grid))["behaviour"]["checkerboard"]
    assert told["alarming"]
    assert told["numbers"]["period"] == period
    assert f"period {period} pixels" in told["sentence"]


def test_flat_black_pictures_give_finite_numbers(world: World) -> None:
    card = world.card(world.painted("black", lambda pixels, _: pixels * 0))
    assert finite(json.loads((world.place / "card" / "card.json").read_text()))
    assert card["behaviour"]["diversity"]["alarming"]
    assert skills(card)["palette"] < 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("painted", "paintings", "measured", "missing"),
    [
        (1, 2, [], ["every distance between sets", "classifier", "diversity", "copying"]),
        (1, 24, [], ["every distance between sets", "classifier", "diversity"]),
        (2, 2, ["kid", "palette"], ["Frechet", "MiFID", "classifier", "copying"]),
        (3, 4, ["kid", "fid_equal", "w2"], ["precision", "classifier"]),
        (7, 11, ["kid", "fid_equal"], ["precision", "classifier"]),
        (12, 12, ["kid", "precision", "mifid"], []),
    ],
)
def test_few_pictures_give_what_can_be_measured_and_name_the_rest(
    world: World, tmp_path: Path, painted: int, paintings: int, measured: list[str], missing: list[str]
) -> None:
    for name, place, count in (("made", world.good, painted), ("real", world.paintings, paintings)):
        (tmp_path / name).mkdir()
        for path in sorted(place.iterdir())[:count]:
            shutil.copy(path, tmp_path / name)
    card = world.made(world.asked(tmp_path / "made", paintings=tmp_path / "real"))
    kinds = {one["key"].partition("/")[0] for one in card["measures"]}
    assert set(measured) <= kinds
    assert bool(kinds) == bool(measured)
    assert all(any(what in one["what"] for one in card["left_out"]) for what in missing), left_out(card)
    assert card["content"][0]["rows"]["painted"]["count"] == painted
    alone = f"{PHOTOS - painted} of the {PHOTOS} photos have no painted picture"
    assert (alone in " ".join(card["notes"])) == (painted < PHOTOS)
    if not measured:
        assert card["verdict"].startswith("There are too few pictures")
    assert finite(json.loads((world.place / "card" / "card.json").read_text()))
    assert table(card)


@pytest.mark.slow
def test_held_out_paintings_are_the_reference_and_copies_gain_nothing(world: World) -> None:
    card = world.made(world.asked(held_out=world.others))
    assert card["counts"]["held-out paintings"] == PAINTINGS
    key = f"memorisation/{LEVEL}"
    assert set(measure(card, key)["values"]) == {"photos", "colour", "painted", "real"}
    assert "held-out paintings" in card["behaviour"]["copying"]["sentence"]
    assert skills(card)["palette"] == pytest.approx(1, abs=0.3)
    assert measure(card, "palette")["values"]["photos"] != measure(world.card(), "palette")["values"]["photos"]


@pytest.mark.parametrize("few", ["paintings", "held_out"])
def test_one_painting_beside_many_leaves_distances_out(world: World, tmp_path: Path, few: str) -> None:
    (tmp_path / "one").mkdir()
    source = world.others if few == "held_out" else world.paintings
    shutil.copy(source / "picture-00.png", tmp_path / "one")
    card = world.made(world.asked(**{"held_out": world.others, few: tmp_path / "one"}))
    assert card["measures"] == []
    assert "every distance between sets" in left_out(card)


def test_held_out_paintings_that_were_learnt_from_are_left_out(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.others, tmp_path / "held-out")
    shutil.copy(world.paintings / "picture-00.png", tmp_path / "held-out" / "known.png")
    card = world.made(world.asked(held_out=tmp_path / "held-out"))
    total = len(list((tmp_path / "held-out").iterdir()))
    assert f"1 of the {total} held-out paintings are training paintings: left out." in card["notes"]
    assert card["counts"]["held-out paintings"] == total - 1
    with pytest.raises(ValueError, match="none of them is held out"):
        world.made(world.asked(held_out=world.paintings))


@pytest.mark.slow
def test_further_methods_are_rows_of_their_own(world: World) -> None:
    blurred = world.painted("blurred", lambda pixels, _: blur(pixels, 2))
    card = world.made(world.asked(also={"older": blurred, "again": world.good}))
    assert [row["key"] for row in card["rows"]][2:5] == ["painted", "also:older", "also:again"]
    for one in card["measures"]:
        assert one["values"]["also:again"] == one["values"]["painted"]
    texture = "mmd_texture/relu1_1"
    assert skills(card, "also:older")[texture] < skills(card)[texture] - 0.3
    assert "older" in [one["name"] for one in card["spectra"]]


def blur(pixels: np.ndarray, radius: float) -> np.ndarray:
    picture = Image.fromarray(pixels.astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius))).astype(float)


def hue(pixels: np.ndarray, degrees: float) -> np.ndarray:
    hsv = np.asarray(Image.fromarray(pixels.astype(np.uint8)).convert("HSV")).copy()
    hsv[..., 0] += np.uint8(degrees / 360 * 256)
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB")).astype(float)


WORSE = {
    "blur": lambda pixels, amount: blur(pixels, 4 * amount),
    "noise": lambda pixels, amount: pixels + np.random.default_rng(0).normal(0, 120 * amount, pixels.shape),
    "hue": lambda pixels, amount: hue(pixels, 170 * amount),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", WORSE)
def test_more_of_what_is_wrong_never_comes_nearer(world: World, kind: str) -> None:
    """Three amounts are rows of one card, so that everything else is equal."""
    rows = {}
    for number, amount in enumerate((0.15, 0.4, 1.0)):
        to = world.place / f"{kind}-{number}"
        rows[str(number)] = changed(world.good, lambda pixels, _, a=amount: WORSE[kind](pixels, a), to)
    card = world.made(world.asked(also=rows))
    keys = [f"kid/{LEVEL}", "mmd_mean_std/relu1_1", "mmd_gram/relu2_1", "w2/relu2_1"]
    keys += ["palette"] if kind == "hue" else ["mmd_texture/relu1_1"]
    for key in keys:
        values = measure(card, key)["values"]
        in_order = [values[row]["value"] for row in ("painted", "also:0", "also:1", "also:2")]
        assert in_order == sorted(in_order), key
        assert in_order[-1] > in_order[0]


@pytest.mark.slow
def test_cycle_and_identity_are_measured_with_the_run_that_painted(world: World, tmp_path: Path) -> None:
    from test_distributed import write_painter

    for name in ("paint", "unpaint"):
        write_painter(tmp_path / f"{name}.safetensors")
    card = world.made(world.asked(run=tmp_path))
    for name in ("cycle", "identity"):
        told = card["behaviour"][name]
        assert told["numbers"]["levels"] > 0
        assert told["numbers"]["pictures"] == (PHOTOS if name == "cycle" else PAINTINGS)
        assert "of 255 levels" in told["sentence"]
    assert "cycle and identity" in left_out(world.card())
    assert "cycle and identity" not in left_out(card)


def test_the_known_truth_is_in_the_card_and_in_its_files(world: World) -> None:
    card = world.made(world.asked(truth=world.good, to="known", also={"inverted": inverted_photos(world)}))
    lines = {line[0]: line[1:] for line in card["truth"]["table"][1:]}
    assert list(lines) == ["photo, untouched", "colour transfer", "painted", "inverted"]
    assert lines["painted"][1:3] == ["1.000", "0.00"]
    told = json.loads((world.place / "known" / "truth.json").read_text())
    assert told["pictures"] == PHOTOS
    assert told["painted nearer than"]["inverted"] == {"psnr": 1.0, "ssim": 1.0, "ciede2000": 1.0}
    assert (world.place / "known" / "pictures.png").exists()


def inverted_photos(world: World) -> Path:
    return world.painted("inverted", lambda pixels, _: 255 - pixels)


def test_the_truth_of_some_photos_is_measured_on_those(world: World, tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    for number in (1, 4):
        shutil.copy(world.good / f"picture-{number:02d}.png", tmp_path / "truth")
    shutil.copy(world.good / "picture-01.png", tmp_path / "truth" / "not-painted.png")
    world.made(world.asked(truth=tmp_path / "truth", to="some"))
    assert json.loads((world.place / "some" / "truth.json").read_text())["pictures"] == 2


@pytest.mark.slow
def test_sets_of_other_formats_can_be_made_alike(world: World, tmp_path: Path) -> None:
    (tmp_path / "jpeg").mkdir()
    for path in world.good.iterdir():
        with Image.open(path) as picture:
            picture.save(tmp_path / "jpeg" / f"{path.stem}.jpg", quality=80)
    said = " ".join(world.card(tmp_path / "jpeg")["notes"])
    assert f"painted pictures {PHOTOS} JPEG" in said
    assert "Formats differ" not in " ".join(world.made(world.asked(tmp_path / "jpeg", jpeg=90))["notes"])


@pytest.mark.slow
def test_pictures_of_any_size_are_measured_at_one(world: World, tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "large", PHOTOS, size=(90, 64))
    card = world.made(world.asked(tmp_path / "large", side=48))
    assert card["provenance"]["pictures"]["side"].startswith("48 pixels")
    assert f"{PHOTOS} of the {PHOTOS} painted pictures are not 48 x 48" in " ".join(card["notes"])
    assert "are smaller and were enlarged" in " ".join(card["notes"])
    draw(tmp_path / "points", PHOTOS, size=(1, 1))
    assert world.card(tmp_path / "points")["provenance"]["pictures"]["side"].startswith("32 pixels")


def refused(asked: Asked) -> str:
    with pytest.raises((ValueError, OSError)) as why:
        make_card(asked, Processes.join())
    return str(why.value)


def test_mistakes_end_in_a_sentence_before_anything_is_looked_at(
    world: World, tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Look, "at", lambda *_: pytest.fail("looked"))
    file = tmp_path / "file"
    file.write_text("x")
    few = draw(tmp_path / "few", 3)[0].parent
    larger = draw(tmp_path / "larger", PHOTOS, size=(64, 64))[0].parent
    strangers = world.place / "strangers"
    strangers.mkdir()
    shutil.copy(world.photos / "picture-00.png", strangers / "stranger.png")
    shutil.copytree(few, tmp_path / "twice")
    with Image.open(tmp_path / "twice" / "picture-00.png") as picture:
        picture.save(tmp_path / "twice" / "picture-00.jpg")
    assert "File exists" in refused(replace(world.asked(), to=file))
    assert "Not a directory" in refused(replace(world.asked(), to=file / "below"))
    for inside in (world.good, world.photos / "card", world.paintings / "a" / "b"):
        assert "whose pictures are measured" in refused(replace(world.asked(), to=inside))
        assert not (world.paintings / "a").exists()
    assert "no such run or painter" in refused(world.asked(run=tmp_path / "nowhere"))
    assert "no unpaint.safetensors" in refused(world.asked(run=_run(tmp_path / "half")))
    assert "has no picture named as one of the photos" in refused(world.asked(truth=strangers))
    assert "32 x 32 pixels, its true painting 64 x 64" in refused(world.asked(truth=larger))
    assert "no such folder" in refused(world.asked(truth=tmp_path / "nowhere"))
    assert "has no photo for 1 of the 1" in refused(world.asked(strangers))
    assert "has no picture that can be read for 9 of the 12" in refused(world.asked(also={"few": few}))
    assert "holds picture-00 twice" in refused(world.asked(also={"twice": tmp_path / "twice"}))
    assert "--also.painted has the name of a row" in refused(world.asked(also={"painted": world.good}))


def _run(place: Path) -> Path:
    from test_distributed import write_painter

    place.mkdir()
    write_painter(place / "paint.safetensors")
    return place


def test_a_cache_that_cannot_be_written_is_named(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert f"{tmp_path / 'file'}" in refused(world.asked(cache=tmp_path / "file"))
    assert "cannot be written" in refused(world.asked(cache=tmp_path / "file"))


def test_a_picture_that_vanishes_meanwhile_is_named(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(world.good, tmp_path / "made")
    look = asking.see

    def see(*args: Any, **more: Any) -> None:
        (tmp_path / "made" / "picture-03.png").write_bytes(b"")
        look(*args, **more)

    monkeypatch.setattr(asking, "see", see)
    assert "picture-03.png" in refused(world.asked(tmp_path / "made", cache=tmp_path / "features"))


def test_an_interrupt_leaves_no_half_card_and_the_same_command_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, done = Look.at, []

    def stop(self: Look, scenes: Any) -> int:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(scenes)
        return look(self, scenes)

    asked = world.asked(cache=tmp_path / "features", to="interrupted")
    with monkeypatch.context() as patch:
        patch.setattr(Look, "at", stop)
        with pytest.raises(KeyboardInterrupt):
            make_card(asked, Processes.join())
    assert list(asked.to.iterdir()) == []
    assert without_time(world.made(asked)) == without_time(world.card())


def test_every_picture_is_in_the_sheet_when_there_are_few(world: World) -> None:
    card = world.made(world.asked(to="sheet", sheet_rows=3))
    assert card["sheet"] == "sheet"


def test_weights_that_end_early_still_give_a_level(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    eyes = Eyes(random_vgg(0, "relu1_2"), None, None, torch.device("cpu"))
    monkeypatch.setattr(asking, "open_eyes", lambda *_: eyes)
    card = world.made(world.asked(cache=tmp_path / "features"))
    assert measure(card, "kid/random VGG-19 relu1_2")["main"]
    assert card["worst"]["measure"] == "ssim"
    assert "relu2_1" in left_out(card)
    assert "LPIPS" in left_out(card)
