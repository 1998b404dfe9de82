"""How a video moves, as `cyclestyle.video.flow` finds it: known shifts, what comes into view, scenes that change."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from cyclestyle.video.flow import motion


def clouds(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Something soft to look at, with detail everywhere."""
    drawn = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(drawn).filter(ImageFilter.GaussianBlur(2)), float)
    return (128 + 4 * (soft - soft.mean())).clip(0, 255).astype(np.uint8)


def test_a_shift_is_found_and_what_was_there_is_carried_along() -> None:
    whole = clouds(140, 200)
    before, now = whole[10:110, 20:180], whole[13:113, 15:175]  # everything moves 5 to the right and 3 up
    along = motion(before, now)
    rows, columns = np.mgrid[:100, :160]
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(along.x - columns + 5)[inner].mean() < 0.1
    assert np.abs(along.y - rows - 3)[inner].mean() < 0.1
    assert along.trust[inner].mean() > 0.95
    assert np.abs(along.carried(before.astype(np.float32)) - now)[inner].mean() < 1.5
    assert along.trust[:, :4].max() == 0  # which was not to be seen before
    assert along.trust[-2:].max() == 0


def test_nothing_moves_in_a_picture_that_stands_still() -> None:
    still = clouds(64, 80)
    along = motion(still, still)
    assert along.trust.min() > 0.99
    np.testing.assert_allclose(along.carried(still.astype(np.float32)), still, atol=0.5)


def test_what_something_has_hidden_is_not_trusted_and_what_moved_is() -> None:
    ground, thing = clouds(120, 160, 1), clouds(40, 40, 2)
    before, now = ground.copy(), ground.copy()
    before[40:80, 40:80], now[40:80, 48:88] = thing, thing
    along = motion(before, now)
    assert along.trust[44:76, 40:47].mean() < 0.1  # uncovered
    assert along.trust[44:76, 54:84].mean() > 0.8  # the thing
    assert np.abs(along.x - np.mgrid[:120, :160][1] + 8)[44:76, 54:84].mean() < 0.5
    assert along.trust[:30].mean() > 0.95  # the ground


def test_another_scene_is_not_trusted() -> None:
    assert motion(clouds(96, 96, 1), clouds(96, 96, 2)).trust.mean() < 0.02


def test_light_that_changes_is_trusted_the_less_the_more_it_changes() -> None:
    scene = clouds(96, 96)
    trusts = [motion(scene, (scene * share).astype(np.uint8)).trust.mean() for share in (1, 0.96, 0.9, 0.6)]
    assert trusts == sorted(trusts, reverse=True)
    assert trusts[0] > 0.99
    assert trusts[-1] < 0.05


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (7, 3), (65, 64), (2, 4000), (3000, 2)])
def test_any_size(size: tuple[int, int]) -> None:
    scene = np.full((*size, 3), 90, np.uint8)
    along = motion(scene, scene)
    assert along.trust.shape == along.x.shape == along.y.shape == size
    assert along.carried(scene.astype(np.float32)).shape == (*size, 3)
    np.testing.assert_allclose(along.carried(scene.astype(np.float32)), 90)
