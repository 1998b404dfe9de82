"""A batch that was interrupted ends in the bits of one that was not, whatever is asked for."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from cyclestyle.networks.extractors import Extractor, random_network
from cyclestyle.styling import stylizing
from cyclestyle.styling.descent import State
from cyclestyle.styling.gallery import Chosen, Gallery
from cyclestyle.styling.recipes import Layers, StylingSettings
from cyclestyle.styling.stylizing import Made, Moment, scales_of, stylize
from cyclestyle.styling.unfinished import Unfinished
from cyclestyle.styling.workshop import Order, Workshop

CPU = torch.device("cpu")
LAYERS = Layers(("relu1_1", "relu2_1"), ("relu2_1",))
FIRST = Chosen((0,), (1.0,))
HEIGHT, WIDTH = 47, 50


@pytest.fixture(scope="module")
def network() -> Extractor:
    return random_network("vgg19-distilled", deepest="relu2_1")


@pytest.fixture(scope="module")
def paintings(draw: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Soft in their contrast, so that noise of their colours stays within those that can be shown."""
    paths = draw(tmp_path_factory.mktemp("paintings"), 3, size=(60, 50))
    for number, path in enumerate(paths):
        with Image.open(path) as picture:
            picture.point(lambda level: 60 + 40 * number + 0.3 * level).save(path)  # noqa: B023
    return paths


Begin = Callable[..., Workshop]


@pytest.fixture
def begin(network: Extractor, paintings: list[Path], monkeypatch: pytest.MonkeyPatch) -> Begin:
    """With two scales also for pictures as small as here."""
    monkeypatch.setattr(stylizing, "SMALLEST", 32)

    def make(**asked: Any) -> Workshop:
        wanted = StylingSettings.model_validate({"network": "vgg19-distilled", "steps": 3, "scales": 2} | asked)
        return Workshop(wanted, network, LAYERS, Gallery(paintings, [0.5, 0.3, 0.2]), CPU)

    return make


def photo(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 7, generator=generator) * 2 - 1
    return F.interpolate(coarse, (height, width), mode="bicubic").clamp(-1, 1)


def order(key: int = 5, **others: Any) -> Order:
    return Order(photo(key), others.pop("chosen", FIRST), key, **others)


def disc(height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """White in the middle with a soft edge, black around."""
    rows, columns = torch.arange(height)[:, None] - height / 2, torch.arange(width)[None] - width / 2
    return ((16 - (rows.square() + columns.square()).sqrt()) / 4).clamp(0, 1)[None, None]


def unheard(moment: Moment) -> None:
    """Nobody listens."""


class PulledOut(Exception):  # noqa: N818
    """As if the power went."""


def stopped_after(
    workshop: Workshop, orders: list[Order], side: int | None, moments: int, folder: Path, resumed: State | None = None
) -> State:
    """What is found in a folder after so many moments were told and the last of them was kept."""
    unfinished, count = Unfinished(folder), 0

    def told(moment: Moment) -> None:
        nonlocal count
        count += 1
        if count == moments:
            unfinished.keep(["these"], moment.remembered())
            raise PulledOut

    with pytest.raises(PulledOut):
        stylize(workshop, orders, side, told, resumed)
    found = unfinished.find(["these"], CPU)
    assert found is not None
    return found


def require_same(found: Made, expected: Made) -> None:
    assert torch.equal(found.images, expected.images)
    assert found.evaluations == expected.evaluations
    for one, other in ((found.first, expected.first), (found.last, expected.last)):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


# --- going on -----------------------------------------------------------------------------------------------------

WAYS: dict[str, tuple[dict[str, Any], dict[str, Any], int | None]] = {
    "adam": ({}, {}, None),
    "adam in tiles": ({"steps": 2}, {}, 16),
    "adam from noise": ({"start": "noise"}, {}, None),
    "adam masked": ({"start": "noise"}, {"mask": disc()}, None),
    "lbfgs": ({"optimizer": "lbfgs", "steps": 6, "history": 2}, {}, None),
    "lbfgs masked in tiles": ({"optimizer": "lbfgs", "steps": 4}, {"mask": disc()}, 16),
    "lbfgsb": ({"optimizer": "lbfgsb"}, {}, None),
    "mdan": ({"method": "mdan", "steps": 2}, {}, None),
    "positions": ({"method": "mmd", "kernel": "gaussian", "steps": 2}, {}, None),
}


QUICK = ("adam", "lbfgs", "lbfgsb")


@pytest.mark.parametrize("way", [way if way in QUICK else pytest.param(way, marks=pytest.mark.slow) for way in WAYS])
def test_stopped_after_any_step_it_ends_in_the_same_bits(way: str, begin: Begin, tmp_path: Path) -> None:
    asked, others, side = WAYS[way]
    moments = list[tuple[int, int]]()
    workshop, orders = begin(**asked), [order(**others)]
    expected = stylize(workshop, orders, side, lambda moment: moments.append((moment.scale, moment.done)))
    assert {scale for scale, _ in moments} == {0, 1}
    assert moments[-1][1] == expected.evaluations == 2 * workshop.wanted.steps
    for stop in range(1, len(moments) + 1):
        state = stopped_after(begin(**asked), orders, side, stop, tmp_path)
        rest = list[tuple[int, int]]()
        found = stylize(begin(**asked), orders, side, lambda moment: rest.append((moment.scale, moment.done)), state)  # noqa: B023
        require_same(found, expected)
        if workshop.wanted.optimizer == "lbfgsb":  # from the scale's beginning
            assert rest == [moment for moment in moments if moment[0] >= moments[stop - 1][0]]
        else:
            assert rest == moments[stop:]


def test_a_batch_goes_on_as_well_and_after_several_stops(begin: Begin, tmp_path: Path) -> None:
    for asked in ({}, {"method": "mdan"}, {"method": "mmd", "kernel": "gaussian"}):
        orders = [Order(photo(key, 34, 35), FIRST, key) for key in (1, 2)]
        expected = stylize(begin(**asked), orders, None, unheard)
        state = None
        for _ in range(3):
            state = stopped_after(begin(**asked), orders, None, 1, tmp_path, state)
        require_same(stylize(begin(**asked), orders, None, unheard, state), expected)


def test_what_is_kept_is_little_beside_the_optimisers_own(begin: Begin, tmp_path: Path) -> None:
    """Pictures, and what the next step needs."""
    pixels = 3 * HEIGHT * WIDTH
    for asked, pictures in (
        ({}, 3),
        ({"optimizer": "lbfgs", "steps": 9, "history": 2}, 9),
        ({"optimizer": "lbfgsb"}, 1),
    ):
        workshop = begin(scales=1, **asked)
        told = list[int]()
        stylize(workshop, [order()], None, lambda moment: told.append(0))  # noqa: B023
        state = stopped_after(workshop, [order()], None, len(told), tmp_path)
        assert sum(one.numel() for one in state.values()) <= pictures * pixels + 100


# --- batches ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked", [{}, {"start": "noise"}, {"method": "mdan"}, {"method": "mmd", "kernel": "gaussian"}], ids=str
)
def test_a_pictures_bits_do_not_depend_on_what_else_is_in_the_batch(begin: Begin, asked: dict[str, Any]) -> None:
    asked = {"steps": 2} | asked
    orders = [Order(photo(key, 34, 35), Chosen((place,), (1.0,)), key) for key, place in ((1, 2), (2, 0), (3, 0))]
    together = stylize(begin(**asked), orders, None, unheard)
    assert together.images.shape == (3, 3, 34, 35)
    for place, one in enumerate(orders):
        alone = stylize(begin(**asked), [one], None, unheard)
        assert torch.equal(alone.images[0], together.images[place])
        for name in alone.last:
            assert torch.equal(alone.first[name][0], together.first[name][place])
            assert torch.equal(alone.last[name][0], together.last[name][place])


def test_the_objective_falls(begin: Begin) -> None:
    for optimizer in ("adam", "lbfgs", "lbfgsb"):
        made = stylize(begin(optimizer=optimizer, steps=12, scales=1), [order()], None, unheard)
        first, last = (sum(part.item() for part in parts.values()) for parts in (made.first, made.last))
        assert last < 0.8 * first
        assert made.images.abs().max() <= 1
        assert made.evaluations == 12


# --- masks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "lbfgsb"])
@pytest.mark.parametrize("start", ["photo", "noise"])
def test_what_is_not_painted_is_the_photo_at_every_step_and_scale(begin: Begin, optimizer: str, start: str) -> None:
    """Also where a coarser scale has left something blurred, or in movement."""
    mask, one, seen, moved = disc(), order(mask=disc()), list[int](), list[bool]()
    workshop = begin(optimizer=optimizer, start=start)

    def told(moment: Moment) -> None:
        images = moment.step.images
        size = (images.shape[-2], images.shape[-1])
        seen.append(moment.scale)
        held = F.adaptive_avg_pool2d(mask, size) == 0
        expected = (
            one.photo
            if moment.scale == 1
            else F.interpolate(one.photo, size, mode="bicubic", antialias=True).clamp(-1, 1)
        )
        assert torch.equal(images * held, expected * held)
        moved.append(not torch.equal(images, expected))

    made = stylize(workshop, [one], None, told)
    assert set(seen) == {0, 1}
    assert all(moved[1:])
    assert torch.equal(made.images * (mask == 0), one.photo * (mask == 0))
    assert not torch.equal(made.images * (mask == 1), one.photo * (mask == 1))


def test_grey_of_a_mask_is_a_blend(begin: Begin) -> None:
    half = stylize(begin(scales=1), [order(mask=torch.full((1, 1, HEIGHT, WIDTH), 0.5))], None, unheard).images
    seen = list[Tensor]()
    stylize(
        begin(scales=1),
        [order(mask=torch.full((1, 1, HEIGHT, WIDTH), 0.5))],
        None,
        lambda moment: seen.append(moment.step.images.clone()),
    )
    torch.testing.assert_close(half, (seen[-1] + photo(5)) / 2)


# --- starts -------------------------------------------------------------------------------------------------------


def begun(workshop: Workshop, orders: list[Order]) -> Tensor:
    """What the first evaluation sees: L-BFGS-B tells where it was asked, and takes one picture."""
    found = list[Tensor]()
    for one in orders:
        seen = list[Tensor]()
        settings = StylingSettings.model_validate(workshop.wanted.model_dump() | {"optimizer": "lbfgsb", "steps": 1})
        asked = Workshop(settings, workshop.network, workshop.layers, workshop.gallery, CPU)
        stylize(asked, [one], None, lambda moment: seen.append(moment.step.images))  # noqa: B023
        found.append(seen[0])
    return torch.cat(found)


def test_it_begins_with_the_photo(begin: Begin) -> None:
    assert torch.equal(begun(begin(scales=1), [order()]), photo(5))
    coarse = begun(begin(), [order()])
    assert coarse.shape == (1, 3, 33, 35)
    expected = F.interpolate(photo(5), (33, 35), mode="bicubic", antialias=True).clamp(-1, 1)
    assert torch.equal(coarse, expected)


def test_it_begins_with_noise_of_the_photos_own(begin: Begin) -> None:
    workshop = begin(scales=1, start="noise")
    first, again, other = begun(workshop, [order(1), order(1), order(2)]).split(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    reseeded = begun(begin(scales=1, start="noise", seed=1), [order(1)])
    assert not torch.equal(first, reseeded)
    unlike = begun(workshop, [Order(photo(9), Chosen((2,), (1.0,)), 1)])
    assert torch.equal(first, unlike)  # neither photo nor style is in it
    assert abs(first.mean().item()) < 0.005
    assert first.std().item() == pytest.approx(0.1, rel=0.05)


def test_noise_of_the_style_has_its_colours(begin: Begin) -> None:
    workshop = begin(scales=1, start="style")
    for place in (0, 1):
        one = order(chosen=Chosen((place,), (1.0,)))
        found = begun(workshop, [one])
        mean, deviation = workshop.colours(one)
        assert deviation.max() > 0.1
        assert (mean.abs() + 3 * deviation).max() < 1
        torch.testing.assert_close(found.mean((0, 2, 3)), mean.flatten(), rtol=0, atol=0.02)
        torch.testing.assert_close(found.std((0, 2, 3)), deviation.flatten(), rtol=0.06, atol=0)
    assert not torch.allclose(workshop.colours(order())[0], mean, atol=0.1)


def test_each_scale_begins_where_the_one_before_ended(begin: Begin) -> None:
    seen = dict[int, list[Tensor]]()
    workshop = begin(optimizer="lbfgsb", steps=6)
    stylize(
        workshop, [order()], None, lambda moment: seen.setdefault(moment.scale, []).append(moment.step.images.clone())
    )
    assert [images[0].shape[-2:] for images in seen.values()] == [(33, 35), (HEIGHT, WIDTH)]
    ends = [F.interpolate(one, (HEIGHT, WIDTH), mode="bicubic", antialias=True).clamp(-1, 1) for one in seen[0]]
    assert sum(torch.equal(one, seen[1][0]) for one in ends) == 1


def test_adam_takes_its_memory_along_and_the_others_begin_with_none(begin: Begin) -> None:
    for optimizer, name, expected in (
        ("adam", "memory.step", [1, 2, 3, 4, 5, 6]),
        ("lbfgs", "memory.count", [1, 2, 3, 1, 2, 3]),
    ):
        counts = list[int]()
        workshop = begin(optimizer=optimizer)
        stylize(workshop, [order()], None, lambda moment: counts.append(int(moment.remembered()[name])))  # noqa: B023
        assert counts == expected


# --- scales -------------------------------------------------------------------------------------------------------


def test_scales_go_from_coarse_to_fine_in_doubling_areas() -> None:
    assert scales_of(400, 600, 1, 1) == [(400, 600)]
    found = scales_of(512, 600, 8, 1)
    assert found[-1] == (512, 600)
    assert found[0] == (64, 75)
    assert len(found) == 7
    for (height, width), (larger, wider) in itertools.pairwise(found):
        assert larger * wider / (height * width) == pytest.approx(2, rel=0.03)
        assert width / height == pytest.approx(600 / 512, rel=0.02)
    assert scales_of(512, 600, 3, 1) == found[-3:]


def test_scales_too_small_to_be_seen_are_left_out() -> None:
    assert scales_of(200, 400, 8, 100) == [(100, 200), (141, 283), (200, 400)]
    assert scales_of(63, 500, 8, 1) == [(63, 500)]
    assert scales_of(64, 64, 8, 1) == [(64, 64)]
    assert scales_of(91, 91, 8, 1) == [(64, 64), (91, 91)]
    assert min(min(size) for size in scales_of(1000, 333, 8, 1)) >= 64
    assert math.isclose(scales_of(128, 128, 8, 1)[0][0], 64)
