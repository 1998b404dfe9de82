"""A picture of any size, as strong as wanted, in the memory that there is."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_streaming import KINDS, a_painter, noise
from torch import nn

from cyclestyle.images import Picture, luminance, to_images
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import ReflectionPad
from cyclestyle.networks.lpips import random_lpips
from cyclestyle.networks.painter import Painter, save_painter
from cyclestyle.translation import whole
from cyclestyle.translation.room import SHARE, TooLargeError, at_once, bytes_of, in_words, require_program, resident
from cyclestyle.translation.whole import fits, paint_picture, plan_for

CPU = torch.device("cpu")


def levels(picture: Picture) -> np.ndarray:
    return np.asarray(picture).astype(int)


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture fits at once."""
    monkeypatch.setattr(whole, "at_once", lambda *given, **named: 1 << 60)


def test_where_a_gpu_has_too_little_memory_after_all_tiles_are_taken(tmp_path: Path) -> None:
    class Full(Painter):
        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    painter, photo, said = a_painter(KINDS["resnet"]), noise(60, 44), list[str]()
    full = Full(painter.network, painter.card, painter.sha256)
    made = paint_picture(full, photo, aside=tmp_path, say=said.append)
    assert np.abs(levels(made) - levels(paint_picture(painter, photo))).max() <= 1
    assert "painted in tiles" in said[0]
    with pytest.raises(torch.OutOfMemoryError):  # there is no other way
        paint_picture(Full(nn.Sequential(), painter.card, painter.sha256), photo)


def test_on_a_gpu_half_the_bits_take_half_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, photo = a_painter(KINDS["resnet"]), noise(60, 44)
    room = 0.7 * at_once(exact, *photo.size) / SHARE
    half = exact.rounded("bf16")
    for device, both in (("cuda", (False, True)), ("mps", (False, False))):
        monkeypatch.setattr(whole, "_device", lambda painter, device=device: torch.device(device))
        monkeypatch.setattr(whole, "free_memory", lambda of: 1 << 50 if of.type == "cpu" else room)
        assert (fits(exact, photo), fits(half, photo)) == both


def widest(painter: Painter, height: int, width: int) -> int | None:
    """Values of the largest map that is continued by reflection, if there is one."""
    seen: list[int] = []
    network = build_generator(painter.card.generator).to("meta")
    for module in network.modules():
        if isinstance(module, ReflectionPad):
            module.register_forward_pre_hook(lambda _, given: seen.append(given[0].numel()))
    network(torch.empty(1, 3, height, width, device="meta"))
    return max(seen, default=None)


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
@pytest.mark.parametrize("kind", ["resnet", "unet"])
def test_maps_of_more_values_than_cuda_counts_are_not_made(
    kind: str, upsampling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "free_memory", lambda device: 1 << 60)
    monkeypatch.setattr(whole, "_device", lambda painter: torch.device("cuda"))
    painter = a_painter(KINDS[kind].model_copy(update={"upsampling": upsampling}))
    sides = range(1 << 14, 1 << 20, 1 << 14)
    fitting = [side for side in sides if fits(painter, SimpleNamespace(width=side, height=2048, size=(side, 2048)))]  # type: ignore[arg-type] - of which only the size matters
    assert 0 < len(fitting) < len(sides)
    found = widest(painter, 2048, fitting[-1])
    assert found is None or 2**28 < found < 2**31 - 10**7


# --- strength and colour ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_tiles", [False, True])
def test_strength_goes_from_the_photo_over_the_painting_beyond(
    in_tiles: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if in_tiles:
        request.getfixturevalue("tight")
    painter, photo = a_painter(KINDS["resnet"]), noise(100, 70)
    made = {
        strength: paint_picture(painter, photo, strength=strength, aside=tmp_path)
        for strength in (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5)
    }
    assert made[0].tobytes() == photo.tobytes()
    assert made[0] is not photo
    painted = painter(to_images([photo]))
    assert np.abs(levels(made[1]) - (painted[0].permute(1, 2, 0).numpy() + 1) * 127.5).max() <= 0.51
    half = (levels(photo) + levels(made[1])) / 2
    assert np.abs(levels(made[0.5]) - half).max() <= 1
    beyond = (1.5 * levels(made[1]) - 0.5 * levels(photo)).clip(0, 255)
    assert np.abs(levels(made[1.5]) - beyond).max() <= 2
    lpips = random_lpips()
    seen = [lpips(*(to_images([one]) for one in (photo, picture))).item() for picture in made.values()]
    assert seen[0] == pytest.approx(0, abs=1e-6)
    assert all(later > earlier + 1e-4 for earlier, later in pairwise(seen))


@pytest.mark.parametrize("strength", [-0.1, 1.51, float("nan"), float("inf")])
def test_other_strengths_are_refused(strength: float) -> None:
    with pytest.raises(ValueError, match=r"strength of .* is not possible; give 0 \(the photo\) to 1\.5"):
        paint_picture(a_painter(KINDS["resnet"]), noise(20, 20), strength=strength)


def test_kept_colours_are_the_photo_s_under_the_painting_s_brightness() -> None:
    painter, photo = a_painter(KINDS["resnet"]), noise(64, 48)
    made, painted, own = (
        to_images([one])
        for one in (paint_picture(painter, photo, keep_colour=True), paint_picture(painter, photo), photo)
    )
    inside = (made.abs() < 0.99).all(1, keepdim=True)
    assert inside.float().mean() > 0.3
    assert (luminance(made) - luminance(painted))[inside].abs().max() < 0.02
    chroma = [(one - luminance(one)) for one in (made, own)]
    assert (chroma[0] - chroma[1])[inside.expand(-1, 3, -1, -1)].abs().max() < 0.02
    assert paint_picture(painter, photo, keep_colour=True, strength=0).tobytes() == photo.tobytes()


# --- sizes and memory ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (255, 257)])
@pytest.mark.parametrize("kind", ["resnet", "unet"])
def test_odd_sizes_stay_in_tiles_as_well(size: tuple[int, int], kind: str, tmp_path: Path) -> None:
    told: list[str] = []
    shares: list[float] = []
    picture = noise(*size)
    made = paint_picture(
        a_painter(KINDS[kind]), picture, keep_colour=True, aside=tmp_path, say=told.append, tick=shares.append
    )
    assert (made.mode, made.size) == ("RGB", size)
    assert len(told) == 1
    assert f"{size[0]} x {size[1]} pixels" in told[0]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def test_a_picture_that_fits_is_painted_at_once_and_another_in_tiles_to_the_same(tmp_path: Path) -> None:
    painter, picture = a_painter(KINDS["resnet with winograd"]), noise(700, 500)
    assert plan_for(painter, picture) is None
    bound = resident() + int(0.7 * at_once(painter, 700, 500)) + 2 * whole.APART
    plan = plan_for(painter, picture, bound)
    assert plan is not None
    assert plan.in_memory + plan.tile + whole.APART < bound - resident()
    told: list[str] = []
    tiled = paint_picture(painter, picture, max_memory=bound, aside=tmp_path, say=told.append)
    assert "in tiles, to the same picture" in told[0]
    apart = np.abs(levels(tiled) - levels(paint_picture(painter, picture)))
    assert apart.max() <= 1
    assert apart.mean() < 0.01


def test_too_little_memory_is_refused_with_what_would_be_enough() -> None:
    painter, picture = a_painter(KINDS["resnet"]), noise(700, 500)
    with pytest.raises(TooLargeError, match=r"700 x 500 pixels take .* give --max-memory (\S+) or more") as caught:
        paint_picture(painter, picture, max_memory=resident() + 1000)
    enough = bytes_of(str(caught.value).split()[-3])
    assert plan_for(painter, picture, int(1.05 * enough)) is not None or enough > resident()
    paint_picture(painter, picture, max_memory=int(1.05 * enough))


@pytest.mark.usefixtures("tight")
def test_too_small_a_disk_is_refused_before_anything_is_painted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    painter = a_painter(KINDS["resnet"])
    monkeypatch.setattr(whole, "_host", lambda most: 1 << 27)
    monkeypatch.setattr(whole, "APART", (1 << 27) - (9 << 20))
    monkeypatch.setattr(whole.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(TooLargeError, match=r"need .* on the disk of .*, where 1MB are free; make room there"):
        paint_picture(painter, noise(800, 600), aside=tmp_path)


def test_a_network_that_is_not_known_is_painted_at_once_and_no_numbers_are_refused() -> None:
    class Burst(nn.Module):
        multiple = 1

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images / 0

    painter = Painter(Burst(), a_painter(KINDS["resnet"]).card, "")
    with pytest.raises(ValueError, match="values that are no numbers; the painter is damaged"):
        paint_picture(painter, noise(9, 9), max_memory=1)


BOUNDED = """
import sys
from pathlib import Path
from PIL import Image
from cyclestyle.footprint import peak_memory
from cyclestyle.networks.painter import load_painter
from cyclestyle.translation.room import at_once
from cyclestyle.translation.whole import paint_picture
painter, picture = load_painter(Path(sys.argv[1])), Image.effect_noise((1500, 1000), 60).convert("RGB")
before = peak_memory()
most = before + (250 << 20)
assert at_once(painter, 1500, 1000) > 2 * (most - before)
told = []
paint_picture(painter, picture, max_memory=most, aside=Path(sys.argv[1]).parent, say=told.append)
assert "in tiles" in told[0], told
assert peak_memory() <= most, (before, peak_memory(), most)
"""


@pytest.mark.slow
def test_the_bound_holds(tmp_path: Path) -> None:
    """A process of its own: its peak is what is measured. At once it would take more than twice the room."""
    painter = a_painter(KINDS["resnet with winograd"])
    save_painter(painter.network, painter.card, tmp_path / "paint.safetensors")
    ran = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(tmp_path / "paint.safetensors")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


# --- amounts ------------------------------------------------------------------------------------------------------


def test_amounts_of_memory_are_read_as_people_write_them() -> None:
    for text, size in (
        ("2GB", 2 * 10**9), ("1500 MB", 15 * 10**8), ("1.5GiB", 3 << 29), ("512k", 512_000), ("2e9", 2 * 10**9),
        (" 3 g ", 3 * 10**9), ("100", 100), ("7B", 7),
    ):  # fmt: skip
        assert bytes_of(text) == size
    for text in ("", "much", "-1GB", "2 GB RAM", "GB", "nan", "1TB"):
        with pytest.raises(ValueError, match="is no amount of memory; give for example 2GB"):
            bytes_of(text)


def test_amounts_in_words_are_never_too_little() -> None:
    for size in (1, 999_999, 10**6, 998_999_999, 10**9, 1_000_000_001, 2 * 10**9, 7_340_032_123):
        assert size <= bytes_of(in_words(size)) <= 1.11 * size + 10**6


def test_a_bound_below_the_program_itself_is_refused_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"^--max-memory 1 KB: the program itself takes .*; give --max-memory (\S+) or"
    ):
        require_program("1 KB", bytes_of("1 KB"))
    require_program("much", 2 * resident())
