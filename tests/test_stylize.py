"""`cyclestyle stylize`: a folder of photos in a style, with networks of random weights and small pictures."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Draw
from PIL import ExifTags, Image
from test_commands import Terminal, terminal  # noqa: F401 - a fixture

from cyclestyle.data.jobs import jobs_for
from cyclestyle.images import load, save, to_images
from cyclestyle.progress import Progress
from cyclestyle.stopping import Stopped, StopRequest
from cyclestyle.styling.folder import REPORT, Tally, steps_of, stylize_all
from cyclestyle.styling.opening import Ways, describe
from cyclestyle.styling.preparing import layers_of, prepare
from cyclestyle.styling.recipes import METHODS, StylingSettings
from cyclestyle.styling.unfinished import FOLDER
from cyclestyle.styling.workshop import Order

pytestmark = [
    pytest.mark.usefixtures("fresh_accelerate"),
    pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens"),
]

SIDE = 48
QUICK = ("--random-weights", "--steps", 3, "--style-taps", "relu1_1", "relu2_1", "--content-taps", "relu2_1")
SMALL: dict[str, Any] = {"steps": 3, "style_taps": ("relu1_1", "relu2_1"), "content_taps": ("relu2_1",)}
CPU = torch.device("cpu")


@pytest.fixture
def photos(tmp_path: Path, draw: Draw) -> Path:
    draw(tmp_path / "photos", 3, size=(SIDE, SIDE))
    return tmp_path / "photos"


@pytest.fixture
def styles(tmp_path: Path, draw: Draw) -> Path:
    draw(tmp_path / "styles", 4, size=(SIDE, SIDE), seed=7)
    return tmp_path / "styles"


def make(photos: Path, styles: Path, to: Path, ways: Ways | None = None, **asked: Any) -> Tally:
    """What the command does, without the typing."""
    prepared = prepare(StylingSettings(**SMALL | asked), [styles], CPU, random=True, show=False)
    jobs = jobs_for(photos, to, ".png")
    with Progress("stylizing", len(jobs) * steps_of(prepared), unit="steps", show=False) as progress:
        tally = stylize_all(jobs, prepared, progress, ways=ways)
        assert progress.done == progress.total
    return tally


def pixels(folder: Path) -> list[np.ndarray]:
    return [np.asarray(load(path)) for path in sorted(folder.glob("*.png"))]


def test_a_folder_is_made_once_and_says_how(terminal: Terminal, photos: Path, styles: Path, tmp_path: Path) -> None:  # noqa: F811
    to = tmp_path / "to"
    said = terminal("stylize", photos, "--style", styles, "--to", to, *QUICK)
    assert said.startswith("3 painted (loss ")
    made = sorted(to.glob("*.png"))
    assert [path.stem for path in made] == [path.stem for path in sorted(photos.iterdir())]
    before = [path.read_bytes() for path in made]
    assert "0 painted, 3 were there already" in terminal("stylize", photos, "--style", styles, "--to", to, *QUICK)
    assert [path.read_bytes() for path in made] == before
    with Image.open(made[0]) as picture:
        exif = picture.getexif()
    told = json.loads(exif[ExifTags.Base.ImageDescription])
    assert told["stylize"]["method"] == "gatys"
    assert told["stylize"]["target"] == "nearest"
    assert told["stylize"]["steps"] == 3
    assert {"style", "photo", "network"} <= set(told)
    lines = [json.loads(line) for line in (to / REPORT).read_text().splitlines()]
    assert [line["painting"] for line in lines] == [path.name for path in made]
    for line in lines:
        assert sum(line["last"].values()) < sum(line["first"].values())
        assert line["evaluations"] == 3
        assert exif[ExifTags.Base.DocumentName] == lines[0]["styles"][0]
    assert not (to / FOLDER).exists()


def test_other_settings_or_another_photo_are_another_picture(photos: Path, styles: Path, tmp_path: Path) -> None:
    to = tmp_path / "to"
    assert make(photos, styles, to).painted == 3
    assert make(photos, styles, to).kept == 3
    assert make(photos, styles, to, style_weight=5.0).painted == 3
    save(Image.new("RGB", (SIDE, SIDE), "teal"), sorted(photos.iterdir())[0])
    again = make(photos, styles, to, style_weight=5.0)
    assert (again.painted, again.kept) == (1, 2)
    save(Image.effect_noise((SIDE, SIDE), 50).convert("RGB"), sorted(styles.iterdir())[0])
    assert make(photos, styles, to, style_weight=5.0).painted == 3


@pytest.mark.parametrize(
    "target", ["nearest", *(pytest.param(target, marks=pytest.mark.slow) for target in ("random", "mean"))]
)
def test_batches_and_the_order_of_photos_change_nothing(
    target: str, photos: Path, styles: Path, tmp_path: Path
) -> None:
    make(photos, styles, tmp_path / "one", target=target)
    make(photos, styles, tmp_path / "three", Ways(batch=3), target=target)
    for path in sorted(photos.iterdir())[:2]:
        path.unlink()
    make(photos, styles, tmp_path / "last", target=target)
    one, three, last = (pixels(tmp_path / name) for name in ("one", "three", "last"))
    assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))
    assert np.array_equal(one[-1], last[0])


@pytest.mark.slow
def test_tiles_change_a_picture_by_rounding_alone(tmp_path: Path, styles: Path, draw: Draw) -> None:
    draw(tmp_path / "photos", 1, size=(101, 77))
    make(tmp_path / "photos", styles, tmp_path / "whole", steps=5)
    make(tmp_path / "photos", styles, tmp_path / "tiled", Ways(tile=32), steps=5)
    whole, tiled = (pixels(tmp_path / name)[0].astype(int) for name in ("whole", "tiled"))
    assert np.abs(whole - tiled).max() <= 2
    assert np.abs(whole - tiled).mean() < 0.02


class Impatient(StopRequest):
    """Asks to stop after so many looks."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.looks = after

    @property
    def asked(self) -> str | None:
        self.looks -= 1
        return "SIGTERM" if self.looks < 0 else None


SLOWER = [{"optimizer": "lbfgs", "steps": 16}, {"optimizer": "lbfgsb"}, {"start": "noise"}]


@pytest.mark.parametrize("asked", [{"scales": 2}, *(pytest.param(asked, marks=pytest.mark.slow) for asked in SLOWER)])
def test_stopped_anywhere_it_goes_on_to_the_same_bits(
    asked: dict[str, Any], photos: Path, styles: Path, tmp_path: Path
) -> None:
    asked = {"steps": 4} | asked
    make(photos, styles, tmp_path / "straight", **asked)
    prepared = prepare(StylingSettings(**SMALL | asked), [styles], CPU, random=True, show=False)
    jobs, stops = jobs_for(photos, tmp_path / "stopped", ".png"), 0
    while True:
        try:
            with Progress("stylizing", 1, unit="steps", show=False) as progress:
                stylize_all(jobs, prepared, progress, ways=Ways(batch=2), stop=Impatient(2 + stops))
            break
        except Stopped:
            stops += 1
    assert stops > 1
    straight, gone_on = pixels(tmp_path / "straight"), pixels(tmp_path / "stopped")
    assert len(straight) == 3
    assert all(np.array_equal(a, b) for a, b in zip(straight, gone_on, strict=True))
    assert not (tmp_path / "stopped" / FOLDER).exists()


def test_only_white_of_a_mask_is_painted(photos: Path, styles: Path, tmp_path: Path) -> None:
    photo = sorted(photos.iterdir())[0]
    mask = Image.new("L", (SIDE, SIDE), 0)
    mask.paste(255, (0, 0, SIDE // 2, SIDE))
    mask.save(tmp_path / "mask.png")
    for start in ("photo", "noise"):
        make(photo, styles, tmp_path / f"{start}.png", Ways(mask=tmp_path / "mask.png"), start=start)
        before, after = np.asarray(load(photo)).astype(int), np.asarray(load(tmp_path / f"{start}.png")).astype(int)
        assert np.array_equal(before[:, SIDE // 2 :], after[:, SIDE // 2 :])
        assert np.abs(before - after)[:, : SIDE // 2].mean() > 1


def test_regions_take_the_colours_of_their_own_regions(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 12, (SIDE, SIDE, 3))
    grey = np.clip(128 + noise, 0, 255).astype(np.uint8)
    style = noise.copy()
    style[:, : SIDE // 2] += (220, 60, 60)
    style[:, SIDE // 2 :] += (60, 60, 220)
    save(Image.fromarray(grey), tmp_path / "photo.png")
    save(Image.fromarray(np.clip(style, 0, 255).astype(np.uint8)), tmp_path / "style.png")
    halves = np.zeros((SIDE, SIDE), np.uint8)
    halves[: SIDE // 2] = 255  # the upper half like the left of the style
    Image.fromarray(halves).save(tmp_path / "mask.png")
    Image.fromarray(halves.T.copy()).save(tmp_path / "style_mask.png")
    ways = Ways(mask=tmp_path / "mask.png", style_mask=tmp_path / "style_mask.png")
    to = tmp_path / "to.png"
    make(tmp_path / "photo.png", tmp_path / "style.png", to, ways, steps=60, content_weight=0.0)
    made = np.asarray(load(to)).astype(float)
    upper, lower = made[: SIDE // 2].mean((0, 1)), made[SIDE // 2 :].mean((0, 1))
    assert upper[0] - upper[2] > 40  # red
    assert lower[2] - lower[0] > 40  # blue


def test_brightness_alone_keeps_the_photos_colours(photos: Path, styles: Path, tmp_path: Path) -> None:
    photo = sorted(photos.iterdir())[0]
    make(photo, styles, tmp_path / "to.png", colour="luminance", steps=6)
    chroma = [np.asarray(load(path).convert("YCbCr")).astype(int)[..., 1:] for path in (photo, tmp_path / "to.png")]
    inside = (np.asarray(load(tmp_path / "to.png")) % 255 != 0).all(2)  # what was not clipped
    assert inside.mean() > 0.5
    assert np.abs(chroma[0] - chroma[1])[inside].max() <= 2
    assert not np.array_equal(np.asarray(load(photo)), np.asarray(load(tmp_path / "to.png")))


def test_previews_and_single_files(terminal: Terminal, photos: Path, styles: Path, tmp_path: Path) -> None:  # noqa: F811
    photo, painting = sorted(photos.iterdir())[0], sorted(styles.iterdir())[0]
    words = ("--previews", tmp_path / "way", "--preview-every", 2, "--format", "jpg")
    terminal("stylize", photo, "--style", painting, "--to", tmp_path / "a.webp", *QUICK, *words)
    assert load(tmp_path / "a.webp").size == (SIDE, SIDE)
    assert [path.name for path in (tmp_path / "way" / photo.stem).iterdir()] == ["step-00002.jpg"]


def test_photos_that_cannot_be_read_are_passed_over(
    terminal: Terminal,  # noqa: F811
    photos: Path,
    styles: Path,
    tmp_path: Path,
) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (1, 90)).save(photos / "thin.png")
    said = terminal.fails("stylize", photos, "--style", styles, "--to", tmp_path / "to", *QUICK)
    assert said.startswith("2 of 5 photos were passed over")
    assert "broken.jpg" in said
    assert "thin.png is made at 1 x 90 pixels" in said
    assert len(pixels(tmp_path / "to")) == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--style-taps", "relu9_9"], "has no relu9_9 here; there are relu1_1"),
        (["--target", "one"], "--target one, but there are 4 paintings"),
        (["--method", "mrf", "--target", "mean"], "mrf looks at whole pictures, not at means"),
        (["--target", "mean", "--colour", "matched"], "needs one painting per photo"),
        (["--method", "mdan", "--optimizer", "lbfgs"], "only adam can follow"),
        (
            ["--method", "mmd", "--kernel", "gaussian", "--optimizer", "lbfgsb"],
            "other positions at each step; only adam",
        ),
        (["--method", "swag", "--convention", "gatys-paper"], "its weights are those of relative"),
        (["--mix", "1", "2"], "--mix 1, 2 for 1 --style"),
        (["--mix", "1"], "--mix weighs paintings, and --target nearest takes one"),
        (["--style-taps", ","], "no layer is named"),
        (["--style-scale", "nan"], "style_scale = 'nan': should be a finite number"),
        (["--method", "mrf", "--tile", "64"], "mrf looks at whole pictures"),
        (["--style-mask", "mask.png"], "--style-mask goes with --mask"),
        (["--mask", "nowhere.png"], "no such mask"),
        (["--method", "mrf", "--mask", "mask.png"], "mrf looks at whole pictures and knows no masks"),
        (["--mask", "mask.png"], "one mask for a folder"),
        (["--size", "0"], "size"),
        (["--method", "gatsy"], "gatys"),
        (["--tile", "3"], "--tile 3: give at least 16 pixels"),
    ],
)
def test_mistakes_are_told_in_a_sentence_before_anything_is_begun(
    words: list[str],
    sentence: str,
    terminal: Terminal,  # noqa: F811
    photos: Path,
    styles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (SIDE, SIDE), 255).save("mask.png")
    quick = QUICK[:3] if "--style-taps" in words else QUICK
    said = terminal.fails("stylize", photos, "--style", styles, "--to", "to", *quick, *words)
    assert sentence in said
    assert not list(tmp_path.glob("to/*.png"))


def test_masks_of_another_size_and_styles_too_small_are_told(
    terminal: Terminal,  # noqa: F811
    photos: Path,
    styles: Path,
    tmp_path: Path,
) -> None:
    photo = sorted(photos.iterdir())[0]
    Image.new("L", (20, 30)).save(tmp_path / "mask.png")
    words = ("stylize", photo, "--to", tmp_path / "to.png", *QUICK)
    said = terminal.fails(*words, "--style", styles, "--mask", tmp_path / "mask.png")
    assert f"is 20 x 30, its picture {SIDE} x {SIDE}" in said
    Image.new("RGB", (1, 40)).save(tmp_path / "thin.png")
    assert "is 1 x 40 pixels" in terminal.fails(*words, "--style", tmp_path / "thin.png")
    (tmp_path / "empty").mkdir()
    assert "no pictures below" in terminal.fails(*words, "--style", tmp_path / "empty")
    assert "no such picture or folder" in terminal.fails(*words, "--style", tmp_path / "nowhere")
    (tmp_path / "no.png").write_bytes(b"")
    assert "no.png" in terminal.fails(*words, "--style", tmp_path / "no.png")
    assert not (tmp_path / "to.png").exists()


def test_nothing_that_is_read_is_written_over(
    terminal: Terminal,  # noqa: F811
    photos: Path,
    styles: Path,
    tmp_path: Path,
) -> None:
    Image.new("L", (SIDE, SIDE), 255).save(tmp_path / "sky.png")
    before = {path: path.read_bytes() for path in (*styles.iterdir(), tmp_path / "sky.png")}
    photo = sorted(photos.iterdir())[0]
    said = terminal.fails("stylize", photos, "--style", styles, "--to", styles, *QUICK)
    assert "is read as a style or a mask, and would be replaced" in said
    words = ("--to", tmp_path / "sky.png", "--mask", tmp_path / "sky.png")
    assert "would be replaced" in terminal.fails("stylize", photo, "--style", styles, *words, *QUICK)
    assert {path: path.read_bytes() for path in before} == before


def test_a_photo_that_cannot_be_made_does_not_keep_the_others_from_it(
    terminal: Terminal,  # noqa: F811
    photos: Path,
    styles: Path,
    tmp_path: Path,
) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    first, second, third = (path.stem for path in sorted(photos.iterdir()))
    Image.new("L", (SIDE, SIDE), 255).save(masks / f"{first}.png")
    Image.new("L", (SIDE, SIDE), 0).save(masks / f"{second}.png")
    (photos / "sub").mkdir()
    Image.new("RGB", (SIDE, SIDE), "teal").save(photos / "sub" / f"{first}.png")
    words = ("--style", styles, "--to", tmp_path / "to", "--mask", masks, "--previews", tmp_path / "way")
    said = terminal.fails("stylize", photos, *words, "--preview-every", 3, *QUICK)
    assert said.startswith("3 of 4 photos were passed over")
    assert f"{second}.png is black: nothing of" in said
    assert f"has no mask: there is no {masks / third}.png" in said
    assert f"there is no {masks / 'sub' / first}.png" in said
    assert [path.stem for path in (tmp_path / "to").rglob("*.png")] == [first]
    assert [path.as_posix() for path in (tmp_path / "way").rglob("*.jpg")] == [f"{tmp_path}/way/{first}/step-00003.jpg"]


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_may_hold_bytes_that_are_no_text(photos: Path, styles: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.png")
    try:
        sorted(photos.iterdir())[0].rename(photos / odd)
    except OSError:
        pytest.skip("this file system takes text alone")
    assert make(photos, styles, tmp_path / "to").painted == 3
    lines = (tmp_path / "to" / REPORT).read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 3


def test_a_picture_tells_what_was_left_open_too(photos: Path, styles: Path, tmp_path: Path) -> None:
    make(photos, styles, tmp_path / "to")
    with Image.open(next((tmp_path / "to").glob("*.png"))) as picture:
        told = json.loads(picture.getexif()[ExifTags.Base.ImageDescription])["stylize"]
    assert told["network"] == "vgg19"
    assert told["style_weight"] == METHODS["gatys"].style_weight
    assert told["content_taps"] == ["relu2_1"]


def test_a_mix_is_weighted_by_its_shares(styles: Path, photos: Path) -> None:
    one, *others = sorted(styles.iterdir())
    asked = StylingSettings(**SMALL, target="mean")
    prepared = prepare(asked, [one, *others], CPU, random=True, shares=[3, 1, 1, 1], show=False)
    assert prepared.workshop.gallery.shares == pytest.approx([0.5, 1 / 6, 1 / 6, 1 / 6])
    whole = prepare(asked, [one, styles], CPU, random=True, shares=[1, 1], show=False)
    assert whole.workshop.gallery.shares == pytest.approx([0.5, 0.125, 0.125, 0.125, 0.125])
    same = prepare(asked, [one, *others], CPU, random=True, shares=[1, 1, 1, 1], show=False)
    photo = sorted(photos.iterdir())[0]
    assert describe(prepared, photo, Ways()) != describe(same, photo, Ways())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_pictures(method: str, photos: Path, styles: Path, tmp_path: Path, draw: Draw) -> None:
    layers = {
        "mrf": {"style_taps": ("relu2_1",)},
        "mdan": {"style_taps": ("relu1_2",)},
        "swag": {"network": "resnet18", "style_taps": ("relu1", "layer1.0"), "content_taps": ("layer1.0",)},
    }
    photo = sorted(photos.iterdir())[0]
    tally = make(photo, styles, tmp_path / "to.png", method=method, **layers.get(method, {}))
    assert tally.painted == 1
    assert not np.array_equal(np.asarray(load(photo)), np.asarray(load(tmp_path / "to.png")))


needs_assets = pytest.mark.skipif("CYCLESTYLE_ASSETS" not in os.environ, reason="CYCLESTYLE_ASSETS is not set")


@pytest.mark.assets
@needs_assets
def test_cut_weights_are_told_of_and_too_deep_layers_refused(tmp_path: Path, styles: Path) -> None:
    weights = Path(os.environ["CYCLESTYLE_ASSETS"]) / "weights"
    prepared = prepare(StylingSettings(), [styles], CPU, weights=weights, show=False)
    assert prepared.workshop.layers.style == ("relu1_1", "relu2_1", "relu3_1")
    assert prepared.workshop.layers.content == ("relu3_1",)
    assert any("ends at relu3_1" in note for note in prepared.notes)
    with pytest.raises(ValueError, match="end before relu4_1; give whole ones with --weights DIR"):
        layers_of(prepared.workshop.network, StylingSettings(style_taps=("relu1_1", "relu4_1")))


@pytest.mark.assets
@needs_assets
@pytest.mark.slow
def test_without_content_the_style_is_reached(tmp_path: Path) -> None:
    """99 % of the style loss, with the real network, from the photo (the issue's bound is for 300 evaluations)."""
    assets = Path(os.environ["CYCLESTYLE_ASSETS"])
    asked = StylingSettings(content_weight=0.0, optimizer="lbfgs", steps=100, size=128)
    prepared = prepare(asked, [assets / "data/nst/starry_night.jpg"], CPU, weights=assets / "weights", show=False)
    jobs = jobs_for(assets / "data/nst/tubingen.jpg", tmp_path / "to.png", ".png")
    with Progress("stylizing", 1, unit="steps", show=False) as progress:
        tally = stylize_all(jobs, prepared, progress)
    first, last = tally.fell[0]
    assert last < 0.01 * first


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", ["gatys", "wasserstein", "histogram"])
def test_on_a_gpu_batches_and_the_processor_agree(method: str, photos: Path, styles: Path, tmp_path: Path) -> None:
    """Gradients are compared, since the first steps of Adam follow their signs alone.

    In their norm: rounding sends some through another value of a pooling (1.6e-2 for maps off by 1e-5). TF32, which is
    not wanted, would be off by 4e-2 and more.
    """
    norm = torch.linalg.vector_norm
    asked = StylingSettings(**SMALL, method=method, target="random")
    found = {}
    for name in ("cuda", "cpu"):
        workshop = prepare(asked, [styles], torch.device(name), random=True, show=False).workshop
        images = [to_images([load(path)]) for path in sorted(photos.iterdir())]
        orders = [Order(image, workshop.gallery.choose("random", key, dict), key) for key, image in enumerate(images)]
        together = torch.cat(images).to(name)
        found[name] = workshop.objective(orders, together, [{}] * 3, None)(together).gradient.cpu()
        alone = [
            workshop.objective([one], image.to(name), [{}], None)(image.to(name)).gradient.cpu()
            for one, image in zip(orders, images, strict=True)
        ]
        assert norm(torch.cat(alone) - found[name]) < 0.03 * norm(found[name])
    assert norm(found["cuda"] - found["cpu"]) < 0.03 * norm(found["cpu"])


def test_where_there_is_no_float64_the_cpu_computes_and_somebody_is_told(tmp_path: Path, draw: Draw) -> None:
    styles, wanted = draw(tmp_path, 1, size=(40, 40)), StylingSettings(network="vgg19-distilled", size=32)
    there = prepare(wanted, styles, torch.device("mps"), random=True, show=False)
    here = prepare(wanted, styles, torch.device("cpu"), random=True, show=False)
    assert there.workshop.device == torch.device("cpu")
    assert [note for note in there.notes if note not in here.notes] == [
        "style transfer is computed on the CPU: it needs float64, which MPS has not"
    ]
