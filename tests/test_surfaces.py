"""What lies on the surface of pictures, through files: grids, inversion, spectra of every set."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Draw
from PIL import Image

from cyclestyle.evaluation.measures import COLOUR, PAINTED, PHOTOS
from cyclestyle.evaluation.pictures import View, read_set
from cyclestyle.evaluation.surfaces import PAINTINGS, VISIBLE, grid_of, inversion_of, look_at_surfaces, spectra_of
from cyclestyle.evaluation.symptoms import spectrum_powers, window_powers

SIDE = 64


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> Path:
    place = tmp_path_factory.mktemp("surfaces")
    for seed, name in enumerate(("photos", "other", "paintings")):
        draw(place / name, 4, seed=seed, size=(SIDE, SIDE))
    for name, change in {
        "grid": lambda pixels: pixels * 0.8 + 25 + 6 * np.cos(np.arange(SIDE) * np.pi / 2)[:, None],
        "faint": lambda pixels: pixels + 1.4 * np.cos(np.arange(SIDE) * np.pi)[:, None],
        "inverted": lambda pixels: 255 - pixels,
        "noisy": lambda pixels: pixels + np.random.default_rng(0).normal(0, 30, pixels.shape),
    }.items():
        (place / name).mkdir()
        for path in (place / "photos").iterdir():
            with Image.open(path) as picture:
                made = np.stack([change(channel) for channel in np.asarray(picture).transpose(2, 0, 1).astype(float)])
            Image.fromarray(np.rint(made).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)).save(
                place / name / path.name
            )
    return place


def views(place: Path, painted: str, **more: str) -> dict[str, list[View]]:
    names = {PHOTOS: "photos", PAINTED: painted, **more, PAINTINGS: "paintings"}
    return {key: [View(item, SIDE) for item in read_set(place / name).items] for key, name in names.items()}


def test_sums_are_those_of_all_pictures_at_once(place: Path) -> None:
    seen: list[int] = []
    found = look_at_surfaces(views(place, "other", **{"also:grid": "grid"}), SIDE, seen.append)
    assert sum(seen) == 16
    assert list(found.spectra) == [PHOTOS, PAINTED, "also:grid", PAINTINGS]
    whole = torch.cat([view.images() for view in views(place, "other")[PAINTED]])
    assert torch.allclose(found.spectra[PAINTED].mean, spectrum_powers(whole, SIDE).mean)
    assert torch.allclose(found.windows[PAINTED].mean, window_powers(whole).mean)
    assert found.spectra[PAINTED].count == len(found.brightness) == len(found.colours) == 4


def test_a_grid_that_can_be_seen_rings_with_its_period_and_strength(place: Path) -> None:
    found = grid_of(look_at_surfaces(views(place, "grid"), SIDE))
    assert found.alarming
    assert found.numbers["period"] == 4
    assert found.numbers["amplitude"] == pytest.approx(6, rel=0.05)
    assert "period 4 pixels" in found.sentence


def test_a_faint_grid_is_told_and_does_not_ring(place: Path) -> None:
    found = grid_of(look_at_surfaces(views(place, "faint"), SIDE))
    assert 0 < found.numbers["amplitude"] < VISIBLE
    assert found.sentence.endswith("too faint to be seen.")
    assert not found.alarming


@pytest.mark.parametrize("painted", ["photos", "other"])
def test_smooth_pictures_have_no_grid(place: Path, painted: str) -> None:
    found = grid_of(look_at_surfaces(views(place, painted), SIDE))
    assert found.numbers["amplitude"] == 0
    assert not found.alarming


def test_a_grid_that_the_photos_have_too_is_not_the_painters(place: Path) -> None:
    both = views(place, "grid")
    both[PHOTOS] = both[PAINTED]
    assert grid_of(look_at_surfaces(both, SIDE)).numbers["amplitude"] == 0


@pytest.mark.parametrize(("painted", "share"), [("photos", 0.0), ("inverted", 1.0)])
def test_inversion_is_the_share_of_pictures_turned_round(place: Path, painted: str, share: float) -> None:
    found = inversion_of(look_at_surfaces(views(place, painted), SIDE))
    assert found.numbers == {"brightness": share, "colours": share}
    assert found.alarming == (share > 0.25)
    assert f"inverted in {share:.0%} of the painted pictures" in found.sentence


def test_spectra_are_shown_of_all_but_photos_and_colour_transfer(place: Path) -> None:
    found = look_at_surfaces(views(place, "grid", **{COLOUR: "other", "also:noisy": "noisy"}), SIDE)
    shown = spectra_of(found, {PAINTED: "painted", "also:noisy": "noisy", PAINTINGS: "paintings"})
    assert [name for name, _, _ in shown] == ["painted", "noisy", "paintings"]
    noisy = np.asarray(shown[1][1]).astype(int)
    border = noisy[2:6, 2:6].reshape(-1, 3).mean(0)  # the highest frequencies: far more power than smooth photos have
    assert border[0] > border[2] + 50  # red
    assert shown[1][2].startswith("noisy against photos; ")


def test_the_same_pictures_show_white(place: Path) -> None:
    shown = spectra_of(look_at_surfaces(views(place, "photos"), SIDE), {})
    assert np.asarray(shown[0][1]).min() == 255
    assert "1.00 times" in shown[0][2]
