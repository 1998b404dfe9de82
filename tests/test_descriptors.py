"""Rows that describe pictures: what changes them, what does not, and what their distances mean."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cyclestyle.evaluation.descriptors import (
    PALETTE_BINS,
    directions,
    gram,
    gram_matrix,
    luminance,
    mean_std,
    palette,
    pooled,
    pooled_gaussian,
)
from cyclestyle.evaluation.truth import lab


def features(n: int = 3, channels: int = 6, height: int = 9, width: int = 7, seed: int = 0) -> Tensor:
    """Of positive mean, channels correlated; (n, c, h, w) float32."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(channels, channels, generator=generator)
    return torch.einsum("dc,nchw->ndhw", mixing, torch.randn(n, channels, height, width, generator=generator)) + 1


def pictures(n: int = 3, height: int = 24, width: int = 20, seed: int = 0) -> Tensor:
    coarse = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return F.interpolate(coarse, (height, width), mode="bilinear")


def colour(red: float, green: float, blue: float) -> Tensor:
    return torch.tensor([red, green, blue], dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, 8, 8) * 2 - 1


def shuffled(images: Tensor) -> Tensor:
    """The same positions in another order."""
    order = torch.randperm(images[0, 0].numel(), generator=torch.Generator().manual_seed(5))
    return images.flatten(2)[..., order].view_as(images)


def hellinger(x: Tensor, y: Tensor) -> Tensor:
    return (palette(x).double() - palette(y).double()).norm(dim=1) / math.sqrt(2)


EACH = pytest.mark.parametrize(
    ("describe", "width"),
    [
        (pooled, 3),
        (mean_std, 6),
        (gram, 6),
        (lambda images: gram(images, directions(3, 2)), 3),
        (palette, PALETTE_BINS),
    ],
    ids=["pooled", "mean_std", "gram", "gram in directions", "palette"],
)


@EACH
def test_a_row_is_float32_and_depends_on_its_picture_alone(describe, width: int) -> None:
    images = pictures(4)
    rows = describe(images)
    assert rows.shape == (4, width)
    assert rows.dtype == torch.float32
    assert torch.equal(rows, torch.cat([describe(images[[i]]) for i in range(4)]))
    assert torch.equal(rows.flip(0), describe(images.flip(0)))
    assert torch.equal(rows, describe(images.to(memory_format=torch.channels_last)))
    assert torch.equal(rows, describe(images.clone().requires_grad_()))
    assert describe(images[:0]).shape == (0, width)


@EACH
def test_where_things_stand_and_how_often_they_are_tiled_does_not_matter(describe, width: int) -> None:
    images = pictures()
    rows = describe(images)
    assert torch.allclose(describe(shuffled(images)), rows, atol=1e-6)
    assert torch.allclose(describe(images.repeat(1, 1, 4, 4)), rows, atol=1e-6)


@EACH
def test_constant_pictures_have_finite_rows(describe, width: int) -> None:
    constants = torch.cat([colour(0, 0, 0), colour(1, 1, 1), colour(0.2, 0.4, 0.9), colour(0.5, 0.5, 0.5)])
    assert describe(constants).isfinite().all()


@EACH
def test_what_is_no_batch_of_maps_is_refused_in_words(describe, width: int) -> None:
    for wrong in (pictures()[0], pictures().byte()):
        with pytest.raises(ValueError, match=r"expected (float maps|RGB pictures) of shape"):
            describe(wrong)


def test_means_and_deviations_are_their_formulas() -> None:
    maps = features().double()
    assert torch.allclose(pooled(maps).double(), maps.mean((2, 3)), rtol=1e-6)
    expected = torch.cat((maps.mean((2, 3)), maps.var((2, 3), correction=0).sqrt()), dim=1)
    assert torch.allclose(mean_std(maps).double(), expected, rtol=1e-6)
    assert mean_std(torch.full((1, 2, 5, 5), 3.0)).tolist() == [[3.0, 3.0, 0.0, 0.0]]


def test_directions_are_orthonormal_fixed_and_seeded() -> None:
    found = directions(100, 16)
    assert found.shape == (16, 100)
    assert torch.allclose(found @ found.mT, torch.eye(16).double(), atol=1e-14)
    assert torch.equal(found, directions(100, 16))
    assert (found - directions(100, 16, seed=1)).norm() > 1
    before = torch.random.get_rng_state()
    directions(80)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_directions_do_not_depend_on_the_signs_that_a_library_chooses() -> None:
    # Gram-Schmidt, whose signs are always those of the drawn vectors
    drawn = torch.randn(50, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64).mT
    expected: list[Tensor] = []
    for vector in drawn:
        rest = vector - sum(((vector @ other) * other for other in expected), torch.zeros(50).double())
        expected.append(rest / rest.norm())
    assert torch.allclose(directions(50, 8), torch.stack(expected), atol=1e-13)


def test_few_channels_are_their_own_directions() -> None:
    assert torch.equal(directions(64), torch.eye(64).double())
    maps = features()
    assert torch.equal(gram(maps, directions(6)), gram(maps))


def test_a_gram_is_its_formula_and_comes_back_from_its_row() -> None:
    flat = features().double().flatten(2)
    expected = flat @ flat.mT / flat.shape[2]
    found = gram_matrix(gram(features()))
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(found, found.mT)
    assert torch.equal(gram_matrix(gram(features())[1]), found[1])
    across = directions(6, 4)
    assert torch.allclose(gram_matrix(gram(features(), across)), across @ expected @ across.mT, rtol=1e-5, atol=1e-6)


def test_grams_grow_with_the_square_and_are_positive_semi_definite() -> None:
    maps = features()
    assert torch.allclose(gram(3 * maps), 9 * gram(maps), rtol=1e-5)
    assert torch.linalg.eigvalsh(gram_matrix(gram(maps))).min() > -1e-5


def test_distances_of_rows_are_frobenius_distances_of_grams() -> None:
    x, y = gram(features(seed=1)).double(), gram(features(seed=2)).double()
    expected = torch.linalg.matrix_norm(gram_matrix(x) - gram_matrix(y))
    assert torch.allclose((x - y).norm(dim=1), expected, rtol=1e-12)


def test_directions_show_a_difference_of_grams_as_the_documentation_says() -> None:
    c, k = 6, 2
    drawn = torch.randn(c, c, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    difference = drawn + drawn.mT + torch.eye(c)
    across = [directions(c, k, seed) for seed in range(4000)]
    seen = torch.stack([(p @ difference @ p.mT).square().sum() for p in across])
    m = c * (c - 1) * (c + 2)
    a, b = k * (k * c + c - 2) / m, k * (c - k) / m
    expected = a * difference.square().sum() + b * difference.trace().square()
    assert abs(seen.mean() - expected) < 4 * seen.std() / math.sqrt(len(seen))
    assert expected / seen.mean() == pytest.approx(1, rel=0.1)


def test_pooled_moments_are_those_of_all_positions() -> None:
    maps, across = features(5).double(), directions(6, 4)
    positions = torch.einsum("kc,nchw->knhw", across, maps).flatten(1)
    mean, covariance = pooled_gaussian(pooled(maps), gram(maps, across), across)
    assert torch.allclose(mean, positions.mean(1), atol=1e-6)
    assert torch.allclose(covariance, torch.cov(positions, correction=0), atol=1e-5)
    straight = pooled_gaussian(mean_std(maps)[:, :6], gram(maps))
    assert torch.allclose(straight[1], torch.cov(maps.movedim(1, 0).flatten(1), correction=0), atol=1e-5)


def test_every_picture_weighs_the_same_however_large() -> None:
    small, large = features(1, height=4, width=4), features(1, height=12, width=12, seed=1)
    means, grams = (torch.cat([describe(small), describe(large)]) for describe in (pooled, gram))
    again, grams_again = (
        torch.cat([describe(small.repeat(1, 1, 5, 5)), describe(large)]) for describe in (pooled, gram)
    )
    for found, same in zip(pooled_gaussian(means, grams), pooled_gaussian(again, grams_again), strict=True):
        assert torch.allclose(found, same, atol=1e-5)


def test_a_pooled_covariance_is_positive_semi_definite_also_of_constant_features() -> None:
    constant = torch.full((4, 6, 5, 5), 0.1) * torch.arange(1, 7)[:, None, None]
    mean, covariance = pooled_gaussian(pooled(constant), gram(constant))
    assert torch.linalg.eigvalsh(covariance).min() > -1e-15
    assert covariance.abs().max() < 1e-6
    assert mean.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


def test_rows_that_do_not_belong_together_are_refused_in_words() -> None:
    maps = features()
    with pytest.raises(ValueError, match="of the same pictures, got 3 and 2 rows"):
        pooled_gaussian(pooled(maps), gram(maps)[:2])
    with pytest.raises(ValueError, match="the Grams are of 4 directions, the means of 6"):
        pooled_gaussian(pooled(maps), gram(maps, directions(6, 4)))
    with pytest.raises(ValueError, match=r"give `directions\(6\)`"):
        gram(maps, directions(8, 4))
    with pytest.raises(ValueError, match="rows of 5 numbers hold no Gram matrix"):
        gram_matrix(torch.zeros(2, 5))


def test_a_palette_has_length_one_and_none_in_common_is_one() -> None:
    assert palette(pictures()).double().norm(dim=1).tolist() == pytest.approx([1.0] * 3, abs=1e-6)
    assert hellinger(colour(0, 0, 0), colour(1, 1, 1)).item() == pytest.approx(1, abs=1e-6)
    assert hellinger(pictures(), shuffled(pictures())).max() < 1e-6


def test_half_of_the_colours_in_common_is_hellinger_s_number() -> None:
    black, white, blue = colour(0, 0, 0), colour(1, 1, 1), colour(0, 0, 1)
    x, y = torch.cat([black, white], dim=2), torch.cat([black, blue], dim=2)
    assert hellinger(x, y).item() == pytest.approx(math.sqrt(1 - 0.5), abs=1e-6)


def test_a_palette_moves_with_the_colours_as_far_as_they_do() -> None:
    # also of a single colour, whose neighbouring bins are empty: with hard bins they stay or jump
    for start in (0.2, 0.3, 0.45, 0.6):
        base = colour(start, start, start)
        steps = torch.cat([hellinger(base, base + step) for step in (0.002, 0.004, 0.008)])
        assert (steps < 0.04).all()
        assert steps[1] / steps[0] == pytest.approx(2, rel=0.15)
        assert steps[2] / steps[1] == pytest.approx(2, rel=0.15)


def test_a_palette_is_farther_the_more_hues_turn() -> None:
    images = pictures()

    def turned(angle: float) -> Tensor:
        """Around the grey axis."""
        cosine, sine = math.cos(angle), math.sin(angle)
        across = (1 - cosine) / 3 * torch.ones(3, 3)
        cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
        return torch.einsum("dc,nchw->ndhw", cosine * torch.eye(3) + across + sine * cross, images)

    distances = torch.stack([hellinger(images, turned(angle)) for angle in (0.0, 0.1, 0.3, 0.8, 1.6)])
    assert (distances.diff(dim=0) > 0).all()


def test_bins_stand_where_the_documentation_says() -> None:
    image = colour(0.9, 0.3, 0.2)
    lightness, a, b = lab(image)[0, :, 0, 0].tolist()
    shares = palette(image).double().square().view(8, 16, 16)
    places = [0.5 + lightness / 100 * 6, 0.5 + (a + 80) / 160 * 14, 0.5 + (b + 80) / 160 * 14]
    for axis, place in enumerate(places):
        others = tuple(other for other in range(3) if other != axis)
        along = shares.sum(others)
        assert along @ torch.arange(len(along)).double() == pytest.approx(place, abs=1e-5)  # a B-spline keeps means
        assert (along > 1e-9).sum() <= 3


def test_grey_pictures_are_grey_and_as_bright() -> None:
    images = pictures()
    grey = luminance(images)
    assert grey.shape == images.shape
    assert torch.equal(grey[:, 0], grey[:, 2])
    expected = 0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2]
    assert torch.allclose(grey[:, 1], expected, atol=1e-6)
    assert torch.allclose(luminance(grey), grey, atol=1e-6)
    assert grey.dtype == images.dtype
