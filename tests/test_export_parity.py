"""What an exported painter has to show (cyclestyle.exporting.parity): pictures of all sizes, and what is refused."""

import re

import pytest
import torch
from torch import nn

from cyclestyle.config import GeneratorSettings
from cyclestyle.exporting.parity import BOUNDS, SIZES, apart, differences, in_float64, photos
from cyclestyle.images import Images
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.painter import Painter, PainterCard

CARD = PainterCard(direction="photo to painting", generator=GeneratorSettings(width=4, blocks=1), side=None, step=None)


class Shifted(nn.Module):
    """Gives back its picture, in float32 a little off: what rounding is in a real network."""

    multiple = 1

    def __init__(self, by: float = 0.0) -> None:
        super().__init__()
        self.by = by

    def forward(self, images: Images) -> Images:
        return images + self.by if images.dtype == torch.float32 else images


def painter(by: float = 0.0) -> Painter:
    return Painter(Shifted(by), CARD, "")


def test_there_are_ten_sizes_or_more_and_something_to_see_in_each() -> None:
    made = photos()
    assert len(made) == len(SIZES) >= 10
    assert [tuple(images.shape[-2:]) for images in made] == list(SIZES)
    assert sorted({len(images) for images in made}) == [1, 2]
    for images in made:
        assert images.abs().max() <= 1
        assert images.std() > 0.1
        assert torch.equal(*(images[:1], images[-1:])) == (len(images) == 1)


@pytest.mark.parametrize("precision", BOUNDS)
def test_what_paints_the_same_differs_by_nothing(precision: str) -> None:
    found = differences(painter(), lambda images: images, precision)
    assert [(one.height, one.width) for one in found] == list(SIZES)
    assert {(one.largest, one.mean) for one in found} == {(0.0, 0.0)}
    assert {one.allowed for one in found} == {BOUNDS[precision]}


def test_differences_are_told_as_they_are() -> None:
    found = differences(painter(), lambda images: images + 1e-4, "fp32")
    assert all(one.largest == pytest.approx(1e-4, rel=0.01) for one in found)
    assert all(one.mean == pytest.approx(1e-4, rel=0.01) for one in found)
    assert apart(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 1.0])) == (0.5, 0.25)


@pytest.mark.parametrize(
    ("precision", "off", "sentence"),
    [
        ("fp32", 2e-3, r"in fp32, .* by up to 2\.0e-03 at 30 x 33, and 1\.0e-03 is allowed, so nothing was written$"),
        ("fp16", 0.2, r"in fp16, .* by up to 2\.0e-01 at 30 x 33, and 1\.0e-01 is allowed.*; give --precision fp32$"),
        ("fp16", 0.01, r"in fp16, .* on average by 1\.0e-02 at 30 x 33, and 4\.0e-03 is allowed"),
        ("int8", 0.2, r"in int8, .* on average by 2\.0e-01 at 30 x 33, and 1\.0e-01 is allowed"),
    ],
)  # fmt: skip
def test_a_painter_that_is_too_far_off_at_one_size_is_refused(precision: str, off: float, sentence: str) -> None:
    def exported(images: Images) -> Images:
        return images + off if images.shape[-2:] == (30, 33) else images

    with pytest.raises(ValueError, match=sentence):
        differences(painter(), exported, precision)


def test_where_pytorch_itself_rounds_more_than_that_it_may_be_twice_as_far() -> None:
    found = differences(painter(by=0.01), lambda images: images, "fp32")  # exact, where PyTorch is not
    assert all(one.largest == pytest.approx(0.01, rel=0.01) for one in found)
    assert all(one.allowed.largest == pytest.approx(0.02, rel=0.01) for one in found)
    with pytest.raises(ValueError, match="differs from PyTorch's by up to"):
        differences(painter(by=0.01), lambda images: images - 0.02, "fp32")


def test_in_float64_a_network_computes_what_it_computes_in_float32() -> None:
    network = build_generator(GeneratorSettings(width=4, blocks=1)).requires_grad_(False).eval()
    one, images = Painter(network, CARD, ""), photos([(30, 33)])[0]
    exact = in_float64(one, images)
    assert exact.dtype == torch.float64
    assert 0 < apart(one(images), exact)[0] < 1e-3
    assert next(network.parameters()).dtype == torch.float32  # the painter is as it was


@pytest.mark.parametrize("at", [(1, 1), (64, 96)])
@pytest.mark.parametrize("what", ["nan", "smaller"])
def test_what_is_no_picture_is_refused(at: tuple[int, int], what: str) -> None:
    def exported(images: Images) -> Images:
        if images.shape[-2:] != at:
            return images
        return images * torch.nan if what == "nan" else images[..., :-1]

    with pytest.raises(ValueError, match=re.escape(f"gives no picture at {at[0]} x {at[1]}, so nothing was written")):
        differences(painter(), exported, "fp32")


def test_a_damaged_painter_is_named_as_such() -> None:
    with pytest.raises(ValueError, match="values that are no numbers; it is damaged, so nothing was written"):
        differences(painter(by=torch.nan), lambda images: images, "fp32")
