"""A picture's chances follow from its own seed and from nothing else."""

import os
import random
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cyclestyle.config import DataSettings
from cyclestyle.data.augment import Augmentation, augment
from cyclestyle.images import to_images

PRESETS = ["paper", "flip", "zoom", "none"]
CHANCY = ["paper", "flip", "zoom"]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def chain(preset: str, *, crop: int = 32, resize: int = 64) -> Augmentation:
    return Augmentation(DataSettings(augmentation=preset, crop=crop, resize=resize))


def coordinates(side: int) -> Image.Image:
    """A picture whose red is the column and whose green is the row."""
    rows, columns = np.indices((side, side), dtype=np.uint8)
    return Image.fromarray(np.stack([columns, rows, np.zeros_like(rows)], axis=-1))


def levels(tensor: torch.Tensor) -> torch.Tensor:
    return ((tensor + 1) * 127.5).round().int()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(100, 80), (20, 300), (32, 32), (1, 1), (64, 64)])
def test_every_preset_gives_squares_of_the_crops_side_in_minus_one_to_one(preset: str, size: tuple[int, int]) -> None:
    for seed in range(3):
        image = augment(chain(preset), noise(*size), seed)
        assert image.shape == (3, 32, 32)
        assert image.dtype == torch.float32
        assert image.is_contiguous()
        assert image.min() >= -1
        assert image.max() <= 1


@pytest.mark.parametrize("preset", PRESETS)
def test_black_and_white_stay_so(preset: str) -> None:
    for level, value in ((0, -1.0), (255, 1.0)):
        flat = Image.new("RGB", (50, 40), (level,) * 3)
        assert torch.equal(augment(chain(preset), flat, 3), torch.full((3, 32, 32), value))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_seed_gives_the_same_pixels(preset: str) -> None:
    first, second, picture = chain(preset), chain(preset), noise(70, 60)
    for seed in (0, 1, 2**32 - 1):
        assert torch.equal(augment(first, picture, seed), augment(second, picture, seed))


@pytest.mark.parametrize("preset", CHANCY)
def test_what_a_chain_did_before_does_not_matter(preset: str) -> None:
    used, picture = chain(preset), noise(70, 60)
    expected = {seed: augment(chain(preset), picture, seed) for seed in range(5)}
    for seed in (3, 0, 0, 4, 1, 2, 3):
        augment(used, noise(40, 90, seed=1), 99 + seed)
        assert torch.equal(augment(used, picture, seed), expected[seed])


@pytest.mark.parametrize("preset", CHANCY)
def test_different_seeds_give_different_pixels(preset: str) -> None:
    made = {augment(chain(preset), noise(70, 60), seed).numpy().tobytes() for seed in range(40)}
    assert len(made) == 2 if preset == "flip" else len(made) > 30


@pytest.mark.parametrize("preset", CHANCY)
def test_global_random_states_do_not_matter_and_are_left_alone(preset: str) -> None:
    picture = noise(70, 60)
    expected = [augment(chain(preset), picture, seed) for seed in range(6)]
    for state in (0, 1, 2):
        random.seed(state)
        np.random.seed(state)
        torch.manual_seed(state)
        made = [augment(chain(preset), picture, seed) for seed in range(6)]
        after = random.random(), np.random.random(), torch.rand(1).item()
        assert all(torch.equal(a, b) for a, b in zip(made, expected, strict=True))
        random.seed(state)
        np.random.seed(state)
        torch.manual_seed(state)
        assert after == (random.random(), np.random.random(), torch.rand(1).item())


def test_the_preset_none_is_a_plain_resize_whatever_the_seed() -> None:
    picture = noise(32, 32)
    for seed in range(10):
        assert torch.equal(augment(chain("none"), picture, seed), to_images([picture])[0])
        assert torch.equal(augment(chain("none"), noise(90, 50), seed), augment(chain("none"), noise(90, 50), 0))


def test_about_half_are_mirrored_left_to_right_and_nothing_else_happens() -> None:
    picture = noise(32, 32)
    straight = to_images([picture])[0]
    mirrored = straight.flip(2)
    count, once = 0, chain("flip")
    for seed in range(400):
        made = augment(once, picture, seed)
        assert torch.equal(made, straight) or torch.equal(made, mirrored)
        count += torch.equal(made, mirrored)
    assert 160 < count < 240  # four standard deviations of 10 on each side of 200


def test_the_papers_preset_cuts_out_an_unscaled_square_anywhere_and_mirrors_half() -> None:
    """The picture has the side it is scaled to, so its pixels tell where the crop was."""
    picture, once = coordinates(64), chain("paper")
    lefts, tops, mirrored = [], [], 0
    for seed in range(600):
        red, green, blue = levels(augment(once, picture, seed))
        if red[0, 0] > red[0, -1]:
            mirrored += 1
            red, green = red.flip(1), green.flip(1)
        left, top = int(red[0, 0]), int(green[0, 0])
        assert torch.equal(red, (left + torch.arange(32).int()).expand(32, 32))
        assert torch.equal(green, (top + torch.arange(32).int()).expand(32, 32).T)
        assert (blue == 0).all()
        lefts.append(left)
        tops.append(top)
    assert 240 < mirrored < 360
    for offsets in (lefts, tops):
        assert set(offsets) == set(range(33))  # all of them: the chance to miss one is below 10^-6
        assert abs(np.mean(offsets) - 16) < 4 * np.std(range(33)) / 600**0.5
    assert abs(np.corrcoef(lefts, tops)[0, 1]) < 4 / 600**0.5


def test_the_zoom_preset_cuts_out_50_to_100_percent_of_the_area() -> None:
    picture, once = coordinates(250), chain("zoom", crop=48)
    areas, ratios = [], []
    for seed in range(300):
        red, green, _ = levels(augment(once, picture, seed)).float()
        # Each of 48 pixels averages 1/48 of the range, so the ends are half of that within it.
        width, height = (abs(float(side[0, 0] - side[-1, -1])) * 48 / 47 for side in (red, green))
        areas.append(width * height / 250**2)
        ratios.append(width / height)
    assert min(areas) > 0.47
    assert max(areas) < 1.03
    assert min(areas) < 0.55
    assert max(areas) > 0.93
    assert 0.72 < np.mean(areas) < 0.78
    assert min(ratios) > 0.87
    assert max(ratios) < 1.14


@pytest.mark.parametrize("preset", PRESETS)
def test_pictures_are_never_turned_upside_down(preset: str) -> None:
    once = chain(preset)
    for seed in range(50):
        green = levels(augment(once, coordinates(200), seed))[1]
        assert (green[-1] > green[0]).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_large_pictures_are_averaged_and_not_sampled(preset: str) -> None:
    """Of noise with a deviation of 0.58, at least 8 x 10 pixels averaged leave no more than a ninth."""
    made = augment(chain(preset), noise(640, 512), 1)
    assert abs(made.mean()) < 0.02
    assert made.std() < 0.1


def test_the_picture_itself_is_not_changed() -> None:
    picture = noise(70, 60)
    for preset in PRESETS:
        augment(chain(preset), picture, 1)
    assert np.array_equal(np.asarray(picture), np.asarray(noise(70, 60)))


def test_opencv_uses_one_thread() -> None:
    assert cv2.getNumThreads() == 1


ASKING = """
import socket, urllib.request
def asked(*args, **kwargs):
    print("asked the network", args[:1])
    raise OSError("no network")
socket.getaddrinfo = socket.create_connection = socket.socket.connect = asked
urllib.request.urlopen = urllib.request.OpenerDirector.open = asked
import cyclestyle.data.augment
print("imported")
"""


@pytest.mark.slow
def test_importing_asks_nobody_for_newer_versions() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NO_ALBUMENTATIONS_UPDATE"}
    result = subprocess.run([sys.executable, "-c", ASKING], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == "imported\n"
