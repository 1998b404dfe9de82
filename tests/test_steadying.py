"""Flicker, measured and damped: frames whose average is known."""

from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image
from test_video_flow import clouds

from cyclestyle.images import to_images
from cyclestyle.translation.whole import blended
from cyclestyle.video.flow import Pixels, motion
from cyclestyle.video.steadying import KEPT, Flicker, Steadier


def go_through(steadier: Steadier, photos: list[Pixels], painted: list[Pixels]) -> list[Pixels]:
    before = steadier.before.photo if steadier.before else None
    shown = []
    for photo, painting in zip(photos, painted, strict=True):
        shown.append(steadier.next(photo, painting, None if before is None else motion(before, photo)))
        before = photo
    return shown


def flat(*levels: int) -> list[Pixels]:
    return [np.full((64, 80, 3), level, np.uint8) for level in levels]


def test_where_nothing_moves_frames_are_averaged_with_those_before() -> None:
    scene = clouds(64, 80)
    shown = go_through(Steadier(), [scene] * 4, flat(100, 150, 100, 150))
    mean, expected = 100.0, []
    for level in (100, 150, 100, 150):
        mean += (1 - KEPT) * (level - mean)
        expected.append(mean)
    assert [frame.mean() for frame in shown] == pytest.approx(expected, abs=0.6)


def test_flicker_is_the_mean_difference_along_the_motion() -> None:
    scene = clouds(64, 80)
    steadier = Steadier(kept=0.5)
    go_through(steadier, [scene] * 3, flat(100, 140, 100))
    # shown: 100, 120, 110
    assert steadier.flicker.levels() == pytest.approx({"photo": 0, "painted": 40, "steadied": 15}, abs=0.1)


def test_a_pan_does_not_count_as_flicker_and_is_not_blurred() -> None:
    whole = clouds(80, 200)
    photos = [whole[:, 2 * step : 2 * step + 100] for step in range(8)]
    steadier = Steadier()
    shown = go_through(steadier, photos, [255 - photo for photo in photos])
    assert steadier.flicker.levels()["painted"] < 1.5
    assert np.abs(shown[-1].astype(int) - (255 - photos[-1])).mean() < 1.5  # eight frames that are all the same scene


def test_noise_is_damped_without_a_trace_of_what_has_gone() -> None:
    rng = np.random.default_rng(0)
    ground, thing = clouds(96, 128, 1), clouds(32, 32, 2)
    photos, painted = [], []
    for step in range(10):
        photo = ground.copy()
        photo[32:64, 8 * step : 8 * step + 32] = thing
        photos.append(photo)
        painted.append((photo * 0.5 + 64 + rng.normal(0, 12, photo.shape)).clip(0, 255).astype(np.uint8))
    steadier = Steadier()
    shown = go_through(steadier, photos, painted)
    found = steadier.flicker.levels()
    assert found["steadied"] < 0.5 * found["painted"]
    uncovered = np.s_[34:62, 66:70]  # behind the thing's last step
    assert np.abs(shown[-1][uncovered].mean((0, 1)) - (ground[uncovered] * 0.5 + 64).mean((0, 1))).max() < 6


def test_a_new_scene_begins_afresh() -> None:
    photos = [clouds(64, 80, 1), clouds(64, 80, 2)]
    shown = go_through(Steadier(), photos, flat(20, 220))
    assert shown[1].mean() > 215


def test_without_damping_frames_are_as_painted_and_flicker_is_told_all_the_same() -> None:
    painted = flat(100, 150, 100)
    steadier = Steadier(kept=0.0)
    shown = go_through(steadier, [clouds(64, 80)] * 3, painted)
    assert all((one == other).all() for one, other in zip(shown, painted, strict=True))
    assert steadier.flicker.levels()["painted"] == steadier.flicker.levels()["steadied"] == pytest.approx(50, abs=0.1)


def test_one_frame_has_no_flicker() -> None:
    steadier = Steadier()
    go_through(steadier, [clouds(64, 80)], flat(100))
    assert steadier.flicker.levels() == {}


@pytest.mark.parametrize(("strength", "keep_colour"), [(0.5, False), (1.5, False), (1.0, True), (0.7, True)])
def test_strength_and_colours_are_those_of_pictures(strength: float, keep_colour: bool) -> None:
    photo, painting = clouds(64, 80, 1), clouds(64, 80, 2)
    shown = Steadier(strength, keep_colour).next(photo, painting, None)
    of_photo, of_painting = (to_images([Image.fromarray(one)]) for one in (photo, painting))
    wanted = (blended(of_photo, of_painting, strength, keep_colour=keep_colour)[0].permute(1, 2, 0) + 1) * 127.5
    assert np.abs(shown - wanted.clamp(0, 255).numpy()).max() <= 0.51


def test_the_share_of_the_photo_is_never_averaged() -> None:
    photos = [clouds(64, 80, 1), (clouds(64, 80, 1) * 0.97).astype(np.uint8)]
    shown = go_through(Steadier(strength=0.0), photos, flat(10, 200))
    assert (shown[1] == photos[1]).all()


def test_another_one_goes_on_where_one_was_stopped() -> None:
    whole = clouds(80, 200)
    photos = [whole[:, 2 * step : 2 * step + 100] for step in range(6)]
    painted = [np.roll(photo, step, 0) for step, photo in enumerate(photos)]
    at_once = Steadier(0.8, True)
    expected = go_through(at_once, photos, painted)
    first = Steadier(0.8, True)
    go_through(first, photos[:3], painted[:3])
    second = Steadier(0.8, True)
    second.go_on(first.state(), Flicker(**asdict(first.flicker)))
    rest = go_through(second, photos[3:], painted[3:])
    assert all((one == other).all() for one, other in zip(rest, expected[3:], strict=True))
    assert second.flicker == at_once.flicker
