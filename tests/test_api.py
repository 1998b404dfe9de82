"""The package in Python (cyclestyle.api): what goes in comes out painted, in the same form."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Draw
from PIL import ExifTags, Image, ImageCms

import cyclestyle
from cyclestyle.api import ReadyPainter, load_painter
from cyclestyle.config import GeneratorSettings
from cyclestyle.images import load, to_images, to_pictures
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import initialise
from cyclestyle.networks.painter import PainterCard, save_painter
from cyclestyle.networks.painter import load_painter as load_weights

SETTINGS = GeneratorSettings(width=4, blocks=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    for seed, (name, direction) in enumerate([("paint", "photo to painting"), ("unpaint", "painting to photo")]):
        network = build_generator(SETTINGS)
        initialise(network, torch.Generator().manual_seed(seed), deviation=0.2)
        card = PainterCard.model_validate({"direction": direction, "generator": SETTINGS, "side": 64, "step": 9})
        save_painter(network, card, folder / f"{name}.safetensors")
    return folder


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from cyclestyle.exporting.exporting import export_painter

    return export_painter(run / "paint.safetensors", tmp_path_factory.mktemp("exported") / "painter.onnx").path


@pytest.fixture
def photo(tmp_path: Path, draw: Draw) -> Path:
    return draw(tmp_path, 1, size=(41, 30), seed=3)[0]


def wanted(run: Path, photo: Path) -> np.ndarray[Any, Any]:
    """The painting as `cyclestyle translate` makes it."""
    (painting,) = to_pictures(load_weights(run / "paint.safetensors")(to_images([load(photo)])))
    return np.asarray(painting)


def test_what_goes_in_comes_out_painted_in_the_same_form(run: Path, photo: Path) -> None:
    painter, expected = load_painter(run, device="cpu"), wanted(run, photo)
    picture = load(photo)
    assert expected.std() > 3
    for given in (picture, photo, str(photo)):
        painting = painter(given)
        assert isinstance(painting, Image.Image)
        assert (painting.mode, painting.size) == ("RGB", (41, 30))
        assert np.array_equal(np.asarray(painting), expected)
    array = painter(np.asarray(picture))
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.uint8
    assert np.array_equal(array, expected)
    array[0, 0] = 0  # one's own, to write into
    images = to_images([picture])
    tensor = painter(images)
    assert tensor.shape == images.shape
    assert np.array_equal(np.asarray(to_pictures(tensor)[0]), expected)
    assert torch.equal(images, to_images([picture]))
    assert painter.direction == "photo to painting"


def test_of_a_list_comes_a_list(run: Path, photo: Path) -> None:
    painter, expected, picture = load_painter(run, device="cpu"), wanted(run, photo), load(photo)
    found = painter([picture, picture.crop((0, 0, 20, 16))])
    assert np.array_equal(np.asarray(found[0]), expected)
    assert found[1].size == (20, 16)
    assert [type(one) for one in painter([np.asarray(picture)])] == [np.ndarray]
    assert [one.shape for one in painter([to_images([picture, picture])])] == [(2, 3, 30, 41)]
    assert painter([]) == []
    assert [one.size for one in painter((photo, photo))] == [(41, 30)] * 2


def test_tensors_come_back_as_they_were(run: Path) -> None:
    painter = load_painter(run, device="cpu")
    images = torch.rand(2, 3, 17, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    painted = painter(images, strength=1.5)
    assert (painted.dtype, painted.shape) == (torch.float64, images.shape)
    assert painted.abs().max() <= 1


def test_strength_goes_from_the_photo_to_the_painting_and_beyond(run: Path, photo: Path) -> None:
    painter, picture, expected = load_painter(run, device="cpu"), load(photo), wanted(run, photo)
    images = to_images([picture])
    assert np.array_equal(np.asarray(painter(picture, strength=0)), np.asarray(picture))
    assert torch.equal(painter(images, strength=0), images)
    distances = [(painter(images, strength=s / 4) - images).abs().mean().item() for s in range(7)]
    assert distances == sorted(distances)
    assert len(set(distances)) == 7
    half = np.asarray(painter(picture, strength=0.5)).astype(float)
    assert np.abs(half - (np.asarray(picture) / 2 + expected / 2)).max() <= 1.01


def test_kept_colours_are_the_photos(run: Path, photo: Path) -> None:
    painter, picture = load_painter(run, device="cpu"), load(photo)
    kept = np.asarray(painter(picture, keep_colour=True)).astype(int)
    own = np.asarray(picture).astype(int)
    whole = ((kept > 0) & (kept < 255)).all(2)  # nothing was cut there
    assert whole.mean() > 0.3
    for first, second in ((0, 1), (1, 2)):  # the differences between channels are the colour
        assert np.abs((kept[..., first] - kept[..., second]) - (own[..., first] - own[..., second]))[whole].max() <= 2
    assert np.abs(kept - own).mean() > 3


def test_the_way_back(run: Path, photo: Path) -> None:
    back = load_painter(run, back=True, device="cpu")
    assert back.direction == "painting to photo"
    assert not np.array_equal(np.asarray(back(photo)), wanted(run, photo))


@pytest.mark.parametrize("options", [{}, {"strength": 0.4}, {"strength": 1.5, "keep_colour": True}])
def test_an_exported_painter_is_called_the_same_way(
    run: Path, exported: Path, photo: Path, options: dict[str, Any]
) -> None:
    here, there = load_painter(run, device="cpu"), load_painter(exported)
    assert there.direction == here.direction
    picture = load(photo)
    for given in (photo, picture, np.asarray(picture)):
        apart = np.asarray(there(given, **options)).astype(int) - np.asarray(here(given, **options))
        assert np.abs(apart).max() <= 1
    images = to_images([picture, picture])
    assert (there(images, **options) - here(images, **options)).abs().max() < 2e-3


def test_pictures_that_do_not_fit_are_painted_in_bands(run: Path, photo: Path) -> None:
    painter, picture = load_painter(run, device="cpu"), load(photo).resize((400, 300))
    assert np.array_equal(np.asarray(painter(picture, max_memory="900GB")), np.asarray(painter(picture)))
    with pytest.raises(ValueError, match="no amount of memory"):
        painter(picture, max_memory="1 lot")
    with pytest.raises(ValueError, match="give --max-memory"):
        painter(picture, max_memory=1_000_000)


def test_pictures_are_upright_and_in_rgb_whatever_they_were(run: Path, tmp_path: Path, photo: Path) -> None:
    painter, picture = load_painter(run, device="cpu"), load(photo)
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    picture.save(tmp_path / "turned.jpg", exif=turned)
    assert painter(Image.open(tmp_path / "turned.jpg")).size == (30, 41)
    for mode in ("L", "P", "RGBA", "CMYK", "1"):
        assert painter(picture.convert(mode)).mode == "RGB"


def test_the_meaning_of_colours_stays_with_the_picture(run: Path, tmp_path: Path, photo: Path) -> None:
    load(photo).save(tmp_path / "wide.png", icc_profile=b"a profile")
    painting = load_painter(run, device="cpu")(Image.open(tmp_path / "wide.png"))
    assert painting.info["icc_profile"] == b"a profile"


def test_a_profile_is_kept_or_applied_however_the_picture_comes(run: Path, tmp_path: Path, photo: Path) -> None:
    painter = load_painter(run, device="cpu")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = load(photo).resize((32, 24))
    for mode in ("RGB", "RGBA", "P"):
        path = tmp_path / f"{mode}.png"
        picture.convert(mode).save(path, icc_profile=profile)
        assert painter(path).info["icc_profile"] == profile
        assert painter(Image.open(path)).info["icc_profile"] == profile
    picture.convert("L").save(tmp_path / "grey.png")
    assert "icc_profile" not in painter(tmp_path / "grey.png").info


def test_pillow_pictures_that_are_broken_or_empty_are_refused(run: Path, tmp_path: Path, photo: Path) -> None:
    painter = load_painter(run, device="cpu")
    load(photo).resize((300, 200)).save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(ValueError, match="cannot be read whole"):
        painter(Image.open(tmp_path / "half.jpg"))
    with pytest.raises(ValueError, match="0 x 5 pixels cannot be painted"):
        painter(Image.new("RGB", (0, 5)))
    with pytest.raises(ValueError, match="without quotes"):
        painter(photo, strength="1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.zeros((8, 8), np.uint8), r"an array of uint8 \(8, 8\) is no picture; give \(h, w, 3\) of uint8, RGB"),
        (np.zeros((8, 8, 3)), r"an array of float64 \(8, 8, 3\) is no picture"),
        (np.zeros((0, 8, 3), np.uint8), "is no picture"),
        (torch.zeros(3, 8, 8), r"torch.float32 \(3, 8, 8\) is no batch of pictures; give floats \(n, 3, h, w\)"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "is no batch of pictures"),
        (torch.zeros(0, 3, 8, 8), "is no batch of pictures"),
        (torch.full((1, 3, 8, 8), 255.0), r"values go from 255 to 255; give pictures in \[-1, 1\], RGB"),
        (torch.full((1, 3, 8, 8), torch.nan), r"give pictures in \[-1, 1\], RGB"),
        (3, "a int cannot be painted; give a Pillow picture, the name of a file"),
        (None, "a NoneType cannot be painted"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_picture_is_refused_in_a_sentence(run: Path, given: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        load_painter(run, device="cpu")(given)


def test_what_is_not_possible_is_refused_in_a_sentence(run: Path, exported: Path, photo: Path, tmp_path: Path) -> None:
    painter = load_painter(run, device="cpu")
    for strength in (-0.1, 1.6, float("nan")):
        with pytest.raises(ValueError, match="strength"):
            painter(photo, strength=strength)
        with pytest.raises(ValueError, match="strength"):
            painter(torch.zeros(1, 3, 8, 8), strength=strength)
    with pytest.raises(FileNotFoundError, match="no such picture"):
        painter(tmp_path / "none.jpg")
    with pytest.raises(ValueError, match="tensors are painted at once"):
        painter(torch.zeros(1, 3, 8, 8), max_memory="2GB")
    with pytest.raises(ValueError, match="ONNX painter paints pictures at once"):
        load_painter(exported)(photo, max_memory="2GB")
    with pytest.raises(ValueError, match="there is no device 'gpu' here"):
        load_painter(exported, device="gpu")
    with pytest.raises(ValueError, match="is painted with on the CPU"):
        load_painter(exported, device="cuda")
    with pytest.raises(ValueError, match="nothing to choose"):
        load_painter(exported, back=True)
    with pytest.raises(ValueError, match="no device 'banana' here"):
        load_painter(run, device="banana")
    with pytest.raises(FileNotFoundError, match="no such run or painter"):
        load_painter(tmp_path / "none")


@pytest.mark.slow
def test_importing_it_does_not_wait_for_what_trains(tmp_path: Path) -> None:
    script = (
        "import sys, cyclestyle.api\n"
        "heavy = {'accelerate', 'albumentations', 'cv2', 'tensorboard', 'torchvision', 'onnx', 'onnxruntime'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_its_types_are_told_to_whoever_uses_it() -> None:
    assert (Path(cyclestyle.__file__).parent / "py.typed").exists()
    assert ReadyPainter.__call__.__doc__
