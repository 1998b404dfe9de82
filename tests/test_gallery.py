"""The nearest painting is the nearest, a draw is the photo's own, and memory stays bounded."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from cyclestyle.images import load, to_images
from cyclestyle.networks.extractors import Extractor, random_network
from cyclestyle.styling.gallery import KEPT, Chosen, Described, Gallery, scaled
from cyclestyle.styling.gram import gram_loss
from cyclestyle.styling.moments import Moments, moments


def maps(count: int, channels: int = 6, seed: int = 0) -> Tensor:
    """Features that are mixed in another way, and of another size, in each picture."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(count, channels, channels, generator=generator)
    plain = torch.randn(count, channels, 50, generator=generator)
    sizes = torch.logspace(-0.5, 0.5, count)[:, None, None]
    return (sizes * (mixing @ plain)).relu().view(count, channels, 5, 10)


def described(found: dict[str, Moments]) -> dict[str, Described]:
    return {tap: Described.of(one) for tap, one in found.items()}


def of(found: dict[str, Moments], place: int) -> dict[str, Moments]:
    return {tap: Moments(*(part[place : place + 1] for part in one)) for tap, one in found.items()}


def gallery(count: int, **others: Any) -> Gallery:
    return Gallery([Path(f"{number}.png") for number in range(count)], [1 / count] * count, **others)


def unasked() -> dict[str, Described]:
    raise AssertionError("nobody needs to look at the photo")


# --- the nearest --------------------------------------------------------------------------------------------------


def test_the_nearest_to_a_painting_is_the_painting() -> None:
    paintings = {"shallow": moments(maps(30)), "deep": moments(maps(30, 9, seed=1))}
    hung = gallery(30, grams=described(paintings))
    for place in range(30):
        chosen = hung.choose("nearest", 0, lambda: described(of(paintings, place)))  # noqa: B023
        assert chosen == Chosen((place,), (1.0,))


def test_distances_are_relative_gram_losses() -> None:
    paintings, photo = moments(maps(30)), moments(maps(1, seed=5))
    found = Described.of(paintings).distances(Described.of(photo))
    expected = torch.cat([gram_loss(photo, of({"": paintings}, place)[""]) for place in range(30)])
    assert expected.max() > 3 * expected.min()
    torch.testing.assert_close(found, expected, rtol=5e-3, atol=5e-3)  # half precision


def test_the_nearest_has_the_smallest_sum_over_layers() -> None:
    paintings = {"shallow": moments(maps(40)), "deep": moments(maps(40, 9, seed=1))}
    hung = gallery(40, grams=described(paintings))
    places, each = set[int](), list[set[int]]([set(), set()])
    for seed in range(20):
        photo = {"shallow": moments(maps(1, seed=100 + seed)), "deep": moments(maps(1, 9, seed=200 + seed))}
        losses = {
            tap: torch.cat([gram_loss(photo[tap], of(paintings, place)[tap]) for place in range(40)]) for tap in photo
        }
        (place,) = hung.choose("nearest", 0, lambda: described(photo)).places  # noqa: B023
        total = losses["shallow"] + losses["deep"]
        assert total[place] <= total.min() * 1.01
        assert total[place] < total.median()
        places.add(place)
        for one, tap in zip(each, photo, strict=True):
            one.add(int(losses[tap].argmin()))
    assert len(places) > 3
    assert each[0] != each[1]  # a single layer would choose others


def test_described_rows_are_half_a_gram_matrix() -> None:
    found = Described.of(moments(maps(7, 12)))
    assert found.directions.shape == (7, 12 * 13 // 2)
    assert found.directions.dtype == torch.float16
    torch.testing.assert_close(found.directions.float().norm(dim=1), torch.ones(7), rtol=1e-3, atol=0)
    torch.testing.assert_close(found.sizes, moments(maps(7, 12)).second.flatten(1).norm(dim=1))


def test_a_painting_of_nothing_is_finite() -> None:
    """Dead features of a random network, or of a black picture."""
    dark = Described.of(moments(torch.zeros(1, 4, 5, 5)))
    assert dark.directions.isfinite().all()
    assert Described.of(moments(maps(3, 4))).distances(dark).isfinite().all()


def test_many_paintings_are_compared_as_few_are() -> None:
    """Also where they are looked at in several blocks."""
    paintings, photo = moments(maps(150)), moments(maps(1, seed=5))
    found = Described.of(paintings).distances(Described.of(photo))
    alone = [Described.of(of({"": paintings}, place)[""]).distances(Described.of(photo)) for place in range(150)]
    torch.testing.assert_close(found, torch.cat(alone))


@pytest.fixture
def network() -> Extractor:
    return random_network("vgg19-distilled", deepest="relu2_1")


def test_a_photo_that_hangs_in_the_gallery_is_its_own_nearest(network: Extractor, draw: Any, tmp_path: Path) -> None:
    """Through a network and files, at the sizes that they have."""
    paths = [path for number in range(3) for path in draw(tmp_path / str(number), 4, size=(40 + number, 33))]

    def describe(path: Path) -> dict[str, Described]:
        with torch.no_grad():
            found = network(to_images([scaled(load(path), 36)]), network.taps)
        return {tap: Described.of(moments(features)) for tap, features in found.items()}

    each = [describe(path) for path in paths]
    grams = {tap: Described(*map(torch.cat, zip(*(one[tap] for one in each), strict=True))) for tap in network.taps}
    hung = Gallery(paths, [1 / 12] * 12, grams)
    for place, path in enumerate(paths):
        assert hung.choose("nearest", 0, lambda: describe(path)).places == (place,)  # noqa: B023


# --- the others ---------------------------------------------------------------------------------------------------


def test_a_draw_depends_on_the_photo_alone() -> None:
    hung = gallery(10)
    once = [hung.choose("random", key, unasked) for key in range(50)]
    random.seed(1)
    again = [gallery(10).choose("random", key, unasked) for key in reversed(range(50))]
    assert once == again[::-1]
    assert {one.places for one in once} == {(place,) for place in range(10)}
    assert {one.shares for one in once} == {(1.0,)}


def test_draws_follow_the_shares() -> None:
    hung = Gallery([Path("a.png"), Path("b.png"), Path("c.png")], [0.7, 0.1, 0.2])
    found = [hung.choose("random", key, unasked).places[0] for key in range(4000)]
    for place, share in enumerate(hung.shares):
        assert found.count(place) / 4000 == pytest.approx(share, abs=0.03)  # four standard errors


def test_the_mean_is_of_all_by_their_shares() -> None:
    hung = Gallery([Path("a.png"), Path("b.png"), Path("c.png")], [0.5, 0.2, 0.3])
    chosen = hung.choose("mean", 3, unasked)
    assert chosen == ((0, 1, 2), (0.5, 0.2, 0.3))
    assert sum(chosen.shares) == pytest.approx(1)


def test_the_one_is_the_first() -> None:
    assert gallery(1).choose("one", 77, unasked) == ((0,), (1.0,))


def test_the_nearest_needs_paintings_that_were_looked_at() -> None:
    with pytest.raises(AssertionError):
        gallery(3).choose("nearest", 0, dict)


# --- memory -------------------------------------------------------------------------------------------------------


def test_what_was_made_is_made_once_and_the_oldest_forgotten() -> None:
    hung, made = gallery(1), list[int]()

    def make(key: int) -> str:
        made.append(key)
        return f"of {key}"

    for key in range(KEPT):
        assert hung.remembered(key, lambda: make(key)) == f"of {key}"  # noqa: B023
    assert hung.remembered(0, lambda: make(0)) == "of 0"
    assert made == list(range(KEPT))
    for key in range(KEPT, KEPT + 10):
        hung.remembered(key, lambda: make(key))  # noqa: B023
        assert len(hung.kept) == KEPT
    made.clear()
    hung.remembered(0, lambda: make(0))  # asked for lately
    assert made == []
    hung.remembered(1, lambda: make(1))
    assert made == [1]


# --- sizes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        ((40, 30), 100, (40, 30)),
        ((40, 30), 40, (40, 30)),
        ((40, 30), 20, (20, 15)),
        ((30, 41), 20, (15, 20)),
        ((999, 2), 10, (10, 1)),
        ((7, 7), 1, (1, 1)),
    ],
)
def test_pictures_are_scaled_down_and_never_up(size: tuple[int, int], longest: int, expected: tuple[int, int]) -> None:
    picture = Image.effect_noise(size, 50).convert("RGB")
    found = scaled(picture, longest)
    assert found.size == expected
    if expected == size:
        assert found.tobytes() == picture.tobytes()


def test_a_painting_is_loaded_at_the_size_that_is_asked_for(draw: Any, tmp_path: Path) -> None:
    paths = draw(tmp_path, 2, size=(64, 48))
    hung = Gallery(paths, [0.5, 0.5])
    assert hung.picture(1, 32).size == (32, 24)
    assert hung.picture(1, 500).tobytes() == load(paths[1]).tobytes()
    flat = Image.new("RGB", (64, 48), (10, 200, 30))
    assert scaled(flat, 20).getcolors() == [(20 * 15, (10, 200, 30))]
