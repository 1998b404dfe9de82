"""A gauge (cyclestyle.evaluation.gauge) sees pictures as their files hold them, with the deepest layer there is."""

import math
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cyclestyle.evaluation.gauge import Gauge, open_gauge
from cyclestyle.images import load, save, to_images, to_pictures
from cyclestyle.networks import precision
from cyclestyle.networks.inception import _skeleton, load_inception
from cyclestyle.networks.vgg import random_vgg

CPU = torch.device("cpu")


def pictures(count: int, *, beyond: float = 1.0) -> torch.Tensor:
    chances = torch.Generator().manual_seed(3)
    return (torch.rand(count, 3, 32, 32, generator=chances) * 2 - 1) * beyond


def test_pictures_are_seen_as_their_saved_files_would_be(tmp_path: Path) -> None:
    images = pictures(2, beyond=1.2)  # some values are cut
    for index, picture in enumerate(to_pictures(images)):
        save(picture, tmp_path / f"{index}.png")
    saved = to_images([load(tmp_path / f"{index}.png") for index in range(2)])
    seen = open_gauge("random", None, CPU).look(images)
    expected = random_vgg()(saved, ("relu4_1",))["relu4_1"].mean((2, 3))
    assert seen.shape == (2, 512)
    assert (seen.dtype, seen.requires_grad) == (torch.float32, False)
    assert torch.equal(seen, expected)
    assert not torch.allclose(seen, random_vgg()(images, ("relu4_1",))["relu4_1"].mean((2, 3)), rtol=1e-4)


def test_what_was_given_is_not_written_to() -> None:
    images = pictures(1)
    before = images.clone()
    open_gauge("random", None, CPU).look(images)
    assert torch.equal(images, before)


def test_features_do_not_depend_on_what_is_seen_beside_a_picture() -> None:
    gauge, images = open_gauge("random", None, CPU), pictures(3)
    alone = torch.cat([gauge.look(image) for image in images.split(1)])
    assert torch.allclose(gauge.look(images), alone, rtol=1e-5, atol=1e-6)


def test_a_picture_that_is_not_finite_has_features_that_are_not() -> None:
    images = pictures(2)
    images[0, 1, 5, 5] = math.nan
    seen = open_gauge("random", None, CPU).look(images)
    assert not seen[0].isfinite().all()
    assert seen[1].isfinite().all()


def test_in_bf16_it_says_so_and_comes_near(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, images = open_gauge("random", None, CPU), pictures(2)
    monkeypatch.setattr(precision, "knows", lambda wanted, device: True)
    rough = open_gauge("random", None, CPU, "bf16")
    assert (rough.name, rough.note) == (f"{exact.name} in bf16", None)
    seen, expected = rough.look(images), exact.look(images)
    assert seen.dtype == torch.float32
    assert 1e-4 < float((seen - expected).norm() / expected.norm()) < 0.03


def test_where_bf16_is_imitated_fp32_is_taken_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "knows", lambda wanted, device: False)
    exact, gauge, images = open_gauge("random", None, CPU), open_gauge("random", None, CPU, "bf16"), pictures(1)
    assert gauge.name == exact.name
    assert gauge.note is not None
    assert "fp32 is taken" in gauge.note
    assert torch.equal(gauge.look(images), exact.look(images))


def test_halves_of_precision_are_seen_in_full() -> None:
    types = []
    gauge = Gauge("types", lambda images: (types.append(images.dtype), images.mean((2, 3)))[1])
    seen = gauge.look(pictures(1).bfloat16())
    assert (types, seen.dtype) == ([torch.float32], torch.float32)


def test_opening_and_looking_leave_the_training_its_chances() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    open_gauge("random", None, CPU).look(pictures(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_deepest_layer_that_a_file_has_is_taken_and_named(tmp_path: Path) -> None:
    tensors = random_vgg(seed=1, deepest="relu2_2").state_dict()
    files = {  # in torchvision's names
        f"features.{number}.{part}": tensors[f"convolutions.{tap}.{part}"].contiguous()
        for number, tap in ((0, "relu1_1"), (2, "relu1_2"), (5, "relu2_1"), (7, "relu2_2"))
        for part in ("weight", "bias")
    }
    save_file(files, tmp_path / "vgg19.safetensors")
    gauge, images = open_gauge("vgg19", tmp_path, CPU), pictures(2)
    assert gauge.name == "VGG-19 relu2_1"
    seen = to_images(to_pictures(images))
    assert torch.equal(gauge.look(images), random_vgg(seed=1)(seen, ("relu2_1",))["relu2_1"].mean((2, 3)))


def test_the_deepest_level_of_inception_that_a_file_has_is_taken_and_named(tmp_path: Path) -> None:
    chances = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.rand(value.shape, generator=chances) + 0.1
        for name, value in _skeleton().state_dict().items()
        if name.startswith(("Conv2d_1", "Conv2d_2", "Conv2d_3", "Conv2d_4")) and not name.endswith("_tracked")
    }
    torch.save(tensors, tmp_path / "my-inception.pth")
    gauge, images = open_gauge("inception", tmp_path, CPU), pictures(1)
    assert gauge.name == "Inception-192"
    expected = load_inception(tmp_path)(to_images(to_pictures(images)), (192,))[192]
    assert torch.equal(gauge.look(images), expected)


@pytest.mark.parametrize("network", ["inception", "vgg19"])
def test_a_folder_that_is_not_there_is_named(network: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such folder of weights: .*nowhere"):
        open_gauge(network, tmp_path / "nowhere", CPU)


@pytest.mark.assets
@pytest.mark.skipif("CYCLESTYLE_ASSETS" not in os.environ, reason="CYCLESTYLE_ASSETS names no folder of real weights")
@pytest.mark.parametrize(
    ("network", "name", "width"), [("inception", "Inception-768", 768), ("vgg19", "VGG-19 relu3_1", 256)]
)
def test_real_weights_are_used_as_deep_as_they_go(network: str, name: str, width: int) -> None:
    gauge = open_gauge(network, Path(os.environ["CYCLESTYLE_ASSETS"]) / "weights", CPU)
    assert gauge.name == name
    seen = gauge.look(pictures(1))
    assert seen.shape == (1, width)
    assert seen.isfinite().all()
