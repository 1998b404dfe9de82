"""Masks become regions and their weights at any size, and what is held by a mask stays as it is in the photo."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cyclestyle.styling.masks import Regions, blend, corresponding, read_mask, read_regions, region_weights
from cyclestyle.styling.moments import moments

RED, GREEN, BLUE = (255, 0, 0), (0, 128, 0), (0, 0, 255)


def mask(path: Path, width: int = 12, height: int = 8) -> Path:
    """Red above; below green, and blue in the right corner."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2] = RED
    pixels[height // 2 :] = GREEN
    pixels[height // 2 :, -width // 3 :] = BLUE
    Image.fromarray(pixels).save(path)
    return path


def regions(height: int = 13, width: int = 17, count: int = 3) -> Regions:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(count, (height, width), generator=generator)
    return Regions(tuple((index, 0, 0) for index in range(count)), labels)


def features(height: int = 8, width: int = 12, n: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, 5, height, width, generator=generator, dtype=torch.float64)


def test_a_region_is_a_colour(tmp_path: Path) -> None:
    found = read_regions(mask(tmp_path / "mask.png"), (12, 8))
    assert found.colours == (BLUE, GREEN, RED)
    expected = torch.full((8, 12), 2)
    expected[4:, :8], expected[4:, 8:] = 1, 0
    assert torch.equal(found.labels, expected)


def test_palette_grey_and_one_coloured_masks_are_read_as_they_look(tmp_path: Path) -> None:
    with Image.open(mask(tmp_path / "mask.png")) as picture:
        picture.quantize(8).save(tmp_path / "palette.png")
    as_palette = read_regions(tmp_path / "palette.png", (12, 8))
    assert torch.equal(as_palette.labels, read_regions(tmp_path / "mask.png", (12, 8)).labels)
    Image.new("L", (12, 8), 128).save(tmp_path / "grey.png")
    assert read_regions(tmp_path / "grey.png", (12, 8)).colours == ((128, 128, 128),)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    path = mask(tmp_path / "mask.png", 300, 200)
    for read in (read_regions, read_mask):
        with pytest.raises(ValueError, match=r"mask\.png is 300 x 200, its picture 400 x 300 \(width x height\)"):
            read(path, (400, 300))
        with pytest.raises(FileNotFoundError, match=r"none\.png"):
            read(tmp_path / "none.png", (400, 300))


def test_smeared_masks_are_refused_with_the_number_of_their_colours(tmp_path: Path) -> None:
    with Image.open(mask(tmp_path / "mask.png", 60, 40)) as picture:
        picture.save(tmp_path / "mask.jpg", quality=80)
    with Image.open(tmp_path / "mask.jpg") as picture:
        count = len(picture.getcolors(1 << 24))
    with pytest.raises(ValueError, match=f"has {count:,} colours, .*may be 8; save it as PNG"):
        read_regions(tmp_path / "mask.jpg", (60, 40))


def test_regions_of_one_colour_belong_together() -> None:
    photo = Regions((GREEN, RED), torch.tensor([[0, 1], [1, 1]]))
    style = Regions((BLUE, RED, GREEN), torch.tensor([[0, 1, 2], [2, 1, 0]]))
    found = corresponding(photo, style)
    assert found.colours == photo.colours
    assert found.labels.tolist() == [[-1, 1, 0], [0, 1, -1]]
    weights = region_weights(found, 2, 3)[:, 0]
    assert weights.sum(0).tolist() == [[0, 1, 1], [1, 1, 0]]
    with pytest.raises(ValueError, match="photo's mask has #0000ff, the style's only #008000, #ff0000"):
        corresponding(style, photo)


@pytest.mark.parametrize(("height", "width"), [(13, 17), (8, 12), (5, 3), (1, 1), (4, 40), (26, 34)])
def test_weights_are_shares_of_area(height, width) -> None:
    found = regions()
    weights = region_weights(found, height, width)
    assert weights.shape == (3, 1, height, width)
    torch.testing.assert_close(weights.sum(0), torch.ones(1, height, width, dtype=torch.float64))
    assert weights.min() >= 0
    shares = torch.bincount(found.labels.flatten()).double() / found.labels.numel()
    torch.testing.assert_close(weights.mean((1, 2, 3)), shares)  # no region vanishes, none grows


def test_weights_are_the_mask_itself_at_its_size_and_means_of_blocks_where_they_fit() -> None:
    found = regions(12, 16)
    whole = torch.nn.functional.one_hot(found.labels).double().movedim(2, 0)[:, None]
    assert torch.equal(region_weights(found, 12, 16), whole)
    torch.testing.assert_close(region_weights(found, 3, 4), torch.nn.functional.avg_pool2d(whole, 4))
    assert torch.equal(region_weights(found, 24, 32), whole.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_a_region_of_one_pixel_is_still_there_in_the_deepest_layer() -> None:
    labels = torch.zeros(256, 256, dtype=torch.long)
    labels[100, 30] = 1
    weights = region_weights(Regions((RED, GREEN), labels), 8, 8)
    expected = torch.zeros(8, 8, dtype=torch.float64)
    expected[3, 0] = 1 / 32**2
    torch.testing.assert_close(weights[1, 0], expected)
    found = moments(features(8, 8), weights[1:])
    torch.testing.assert_close(found.mean, features(8, 8)[..., 3, 0])


def test_one_region_is_no_region() -> None:
    everything = region_weights(Regions((RED,), torch.zeros(100, 50, dtype=torch.long)), 8, 12)
    for guided, plain in zip(moments(features(), everything), moments(features()), strict=True):
        torch.testing.assert_close(guided, plain)


def test_gram_matrices_of_the_regions_add_up_to_that_of_the_whole() -> None:
    weights = region_weights(regions(), 8, 12)
    parts = [moments(features(), one[None]) for one in weights]
    whole = sum(one.second * share for one, share in zip(parts, weights.mean((1, 2, 3)), strict=True))
    torch.testing.assert_close(whole, moments(features()).second)


def test_a_region_has_no_gradient_outside_of_itself() -> None:
    labels = torch.zeros(8, 12, dtype=torch.long)
    labels[:, 7:] = 1
    weights = region_weights(Regions((RED, GREEN), labels), 8, 12)
    found = features().requires_grad_()
    for region, (inside, outside) in enumerate(((slice(0, 7), slice(7, 12)), (slice(7, 12), slice(0, 7)))):
        (gradient,) = torch.autograd.grad(moments(found, weights[[region]]).second.square().sum(), found)
        assert not gradient[..., outside].any()
        assert gradient[..., inside].all()


def test_a_black_and_white_mask_is_read_from_any_file(tmp_path: Path) -> None:
    grey = np.zeros((8, 12), np.uint8)
    grey[:, 6:], grey[:, 3] = 255, 102
    expected = torch.from_numpy(grey.astype(np.float32))[None, None] / 255
    for mode in ("L", "RGB"):
        Image.fromarray(grey).convert(mode).save(tmp_path / f"{mode}.png")
        assert torch.equal(read_mask(tmp_path / f"{mode}.png", (12, 8)), expected)
    Image.fromarray(grey).convert("RGB").save(tmp_path / "mask.jpg", quality=95)
    assert (read_mask(tmp_path / "mask.jpg", (12, 8)) - expected).abs().max() < 0.1
    with pytest.raises(ValueError, match="is coloured"):
        read_mask(mask(tmp_path / "coloured.png"), (12, 8))


def test_the_photo_stays_where_the_mask_is_black_and_the_painting_where_it_is_white() -> None:
    photo, painting = torch.rand(2, 3, 8, 40), torch.rand(2, 3, 8, 40)
    half = torch.zeros(1, 1, 8, 40)
    half[..., 20:] = 1
    blended = blend(photo, painting, half)
    assert torch.equal(blended[..., :20], photo[..., :20])
    assert torch.equal(blended[..., 20:], painting[..., 20:])
    softly = blend(photo, painting, half, soft=2)
    assert torch.equal(softly[..., :14], photo[..., :14])
    torch.testing.assert_close(softly[..., 26:], painting[..., 26:], rtol=0, atol=1e-6)
    assert not torch.equal(softly[..., 14:26], blended[..., 14:26])
    # an edge between black and white, seen alone: it rises, and its middle is the middle
    edge = blend(torch.zeros_like(photo), torch.ones_like(photo), half, soft=2)[0, 0, 4]
    assert (edge.diff() >= 0).all()
    assert (edge + edge.flip(0)).sub(1).abs().max() < 1e-6
    assert edge[19] < 0.5 < edge[20]


def test_blends_lie_between_and_each_picture_may_have_its_own_mask() -> None:
    photo, painting = torch.rand(2, 3, 6, 7), torch.rand(2, 3, 6, 7)
    own = torch.rand(2, 1, 6, 7)
    blended = blend(photo, painting, own, soft=1)
    assert (blended <= torch.maximum(photo, painting) + 1e-6).all()
    assert (blended >= torch.minimum(photo, painting) - 1e-6).all()
    alone = torch.cat([blend(photo[[i]], painting[[i]], own[[i]], soft=1) for i in range(2)])
    torch.testing.assert_close(blended, alone)
    torch.testing.assert_close(blend(photo, photo, own, soft=1), photo)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda x: blend(x, x[..., 1:], x[:, :1]), "one height and width"),
        (lambda x: blend(x, x, x), "one height and width"),
        (lambda x: blend(x, x, x[:, :1] + 1.5), "leaves 0 to 1"),
        (lambda x: blend(x, x, x[:, :1] * torch.nan), "leaves 0 to 1"),
        (lambda x: blend(x, x, x[:, :1], soft=-1), "0 pixels or more"),
        (lambda x: region_weights(regions(), 0, 3), "0 x 3"),
    ],
)
def test_what_does_not_fit_is_refused(call, told) -> None:
    with pytest.raises(ValueError, match=told):
        call(torch.rand(1, 3, 5, 5))
