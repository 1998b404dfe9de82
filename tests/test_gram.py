"""The Gram loss is what each source computes, and weights are carried from one source to another."""

import itertools
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from cyclestyle.styling.gram import SOURCES, conversion, factor, gram_loss
from cyclestyle.styling.moments import mix, moments

C, H, W = 4, 5, 6
M, M0 = H * W, 480
"""Positions of the layer, and of the picture."""

QUADRATIC = [name for name in SOURCES if name != "crowsonkb"]
EVERY = pytest.mark.parametrize("convention", list(SOURCES))


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3


def raw_gram(features: Tensor) -> list[list[float]]:
    """sum over positions of F_i F_j, one product at a time; features (c, h, w)."""
    rows = features.flatten(1).tolist()
    return [[sum(a * b for a, b in zip(one, other, strict=True)) for other in rows] for one in rows]


def pairs(features: Tensor, style: Tensor) -> list[tuple[float, float]]:
    """The entries of both unnormalised Gram matrices."""
    return list(zip(itertools.chain(*raw_gram(features)), itertools.chain(*raw_gram(style)), strict=True))


# Each as its source writes it, for maps of one size


def gatys_paper(f: Tensor, s: Tensor) -> float:
    return sum((g - a) ** 2 for g, a in pairs(f, s)) / (4 * C**2 * M**2)


def gatys_code(f: Tensor, s: Tensor) -> float:
    squares = [(g / M - a / M) ** 2 for g, a in pairs(f, s)]
    layer_weight = 1 / C**2
    return layer_weight * sum(squares) / len(squares)


def neural_style(f: Tensor, s: Tensor) -> float:
    squares = [(g / (C * M) - a / (C * M)) ** 2 for g, a in pairs(f, s)]
    return sum(squares) / len(squares)


def johnson(f: Tensor, s: Tensor) -> float:
    return sum((g / (C * H * W) - a / (C * H * W)) ** 2 for g, a in pairs(f, s))


def magenta(f: Tensor, s: Tensor) -> float:
    squares = [(g / M - a / M) ** 2 for g, a in pairs(f, s)]
    return sum(squares) / len(squares)


def keras(f: Tensor, s: Tensor) -> float:
    channels, size = 3, M0
    return sum((a - g) ** 2 for g, a in pairs(f, s)) / (4.0 * channels**2 * size**2)


def crowsonkb(f: Tensor, s: Tensor) -> float:
    differences = [g / M - a / M for g, a in pairs(f, s)]
    return sum(d**2 for d in differences) / sum(abs(d) for d in differences)


def relative(f: Tensor, s: Tensor) -> float:
    both = pairs(f, s)
    return sum((g / M - a / M) ** 2 for g, a in both) / sum((a / M) ** 2 for _, a in both)


BY_SOURCE = {
    "relative": relative,
    "gatys-paper": gatys_paper,
    "gatys-code": gatys_code,
    "neural-style": neural_style,
    "pytorch-examples": neural_style,  # G / (C H W), then the mean
    "johnson": johnson,
    "magenta": magenta,
    "pystiche": magenta,  # G / M, then the mean
    "swag": neural_style,  # G / (C M), then the mean
    "keras": keras,
    "crowsonkb": crowsonkb,
}


@EVERY
def test_each_convention_is_its_sources(convention):
    f, s = maps(2, C, H, W), maps(1, C, H, W, seed=1)
    found = gram_loss(moments(f), moments(s), convention, image_positions=M0)
    assert found.tolist() == pytest.approx([BY_SOURCE[convention](one, s[0]) for one in f], rel=1e-12)


@pytest.mark.parametrize("convention", QUADRATIC)
def test_factors_are_of_the_squared_difference_of_unnormalised_grams(convention):
    f, s = maps(1, C, H, W), maps(1, C, H, W, seed=1)
    apart = sum((g - a) ** 2 for g, a in pairs(f[0], s[0]))
    size = moments(s).second.square().sum().item()
    found = factor(convention, C, M, image_positions=M0, target_size=size) * apart
    assert gram_loss(moments(f), moments(s), convention, image_positions=M0).item() == pytest.approx(found, rel=1e-12)


def test_factors_are_those_of_the_table():
    for convention, expected in {
        "gatys-paper": Fraction(1, 4 * 64**2 * 1024**2),
        "gatys-code": Fraction(1, 64**4 * 1024**2),
        "neural-style": Fraction(1, 64**4 * 1024**2),
        "pytorch-examples": Fraction(1, 64**4 * 1024**2),
        "swag": Fraction(1, 64**4 * 1024**2),
        "johnson": Fraction(1, 64**2 * 1024**2),
        "magenta": Fraction(1, 64**2 * 1024**2),
        "pystiche": Fraction(1, 64**2 * 1024**2),
        "keras": Fraction(1, 36 * 4096**2),
        "relative": Fraction(1, 1024**2 * 8),
    }.items():
        assert factor(convention, 64, 1024, image_positions=4096, target_size=8.0) == float(expected)


def test_weights_are_converted():
    f, s = maps(1, C, H, W), maps(1, C, H, W, seed=1)
    output, target = moments(f), moments(s)
    size = target.second.square().sum().item()
    for given, wanted in itertools.product(QUADRATIC, repeat=2):
        weight = 3 * conversion(given, wanted, C, M, image_positions=M0, target_size=size)
        before = 3 * gram_loss(output, target, given, image_positions=M0)
        assert (weight * gram_loss(output, target, wanted, image_positions=M0)).item() == pytest.approx(
            before.item(), rel=1e-12
        )


def test_conversions_are_exact():
    assert conversion("gatys-paper", "gatys-code", 512, 1000) == 512**2 / 4
    assert conversion("gatys-code", "gatys-paper", 512, 1000) == 4 / 512**2
    assert conversion("magenta", "gatys-paper", 512, 1000) == 4
    assert conversion("neural-style", "pytorch-examples", 64, 7) == 1
    assert conversion("keras", "magenta", 64, 900, image_positions=3600) == 64**2 / (36 * 16)
    # deep layers weigh (512 / 64)^2 = 64 times more against shallow ones where C^2 is divided by than where C^4 is
    ratios = [conversion("gatys-code", "gatys-paper", channels, 100) for channels in (64, 512)]
    assert ratios[0] / ratios[1] == 64


def test_each_gram_is_over_its_own_positions():
    f, s = maps(1, C, H, W), maps(1, C, 9, 3, seed=1)
    apart = moments(f).second - moments(s).second
    found = gram_loss(moments(f), moments(s), "gatys-paper")
    assert found.item() == pytest.approx(apart.square().sum().item() / (4 * C**2), rel=1e-14)
    for convention in SOURCES:
        once = gram_loss(moments(f), moments(s), convention, image_positions=M0)
        often = gram_loss(moments(f), moments(s.repeat(1, 1, 3, 2)), convention, image_positions=M0)
        torch.testing.assert_close(once, often, rtol=1e-13, atol=0)


@EVERY
def test_the_style_itself_loses_nothing_and_is_not_moved(convention):
    features = maps(2, C, H, W)
    leaf = features.clone().requires_grad_()
    loss = gram_loss(moments(leaf), moments(features), convention, image_positions=M0)
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    assert loss.tolist() == [0, 0]
    assert gradient.eq(0).all()


@EVERY
def test_the_loss_is_positive_and_falls_along_its_gradient(convention):
    f, target = maps(2, C, H, W).requires_grad_(), moments(maps(1, C, H, W, seed=1))
    loss = gram_loss(moments(f), target, convention, image_positions=M0)
    (gradient,) = torch.autograd.grad(loss.sum(), f)
    step = 1e-4 / gradient.abs().amax((1, 2, 3), keepdim=True)
    after = gram_loss(moments((f - step * gradient).detach()), target, convention, image_positions=M0)
    assert (after < loss).all()
    assert (after > 0).all()


def test_the_gradient_is_the_derived_one():
    # Gatys et al. 2016, eq. 6, (F^T (G - A))^T / (C^2 M^2)
    f, s = maps(1, C, H, W).requires_grad_(), maps(1, C, H, W, seed=1)
    (found,) = torch.autograd.grad(gram_loss(moments(f), moments(s), "gatys-paper"), f)
    rows = f.detach().flatten(2)[0]
    expected = (rows @ rows.T - s.flatten(2)[0] @ s.flatten(2)[0].T) @ rows / (C**2 * M**2)
    torch.testing.assert_close(found.flatten(2)[0], expected, rtol=1e-12, atol=1e-16)


def test_a_relative_loss_has_no_scale():
    f, s = maps(1, C, H, W), maps(1, C, 7, 7, seed=1)
    once = gram_loss(moments(f), moments(s))
    torch.testing.assert_close(gram_loss(moments(1e3 * f), moments(1e3 * s)), once, rtol=1e-12, atol=0)
    torch.testing.assert_close(gram_loss(moments(0 * f), moments(s)), torch.ones(1).double())


def test_crowsonkbs_grows_with_the_distance_not_with_its_square():
    target = moments(maps(1, C, H, W, seed=1))
    apart = moments(maps(1, C, H, W)).second - target.second
    losses = [
        gram_loss(target._replace(second=target.second + size * apart), target, "crowsonkb").item()
        for size in (1e-12, 1e-6, 1.0)
    ]
    assert losses[1] == pytest.approx(1e-6 * losses[2], rel=1e-6)
    assert losses[0] == pytest.approx(1e-12 * losses[2], rel=1e-2)


@EVERY
def test_pictures_do_not_know_their_batch_and_styles_may_be_one_or_one_each(convention):
    f, s = maps(3, C, H, W), maps(3, C, 4, 4, seed=1)

    def loss(features: Tensor, style: Tensor) -> list[float]:
        return gram_loss(moments(features), moments(style), convention, image_positions=M0).tolist()

    each = loss(f, s)
    assert len(each) == 3
    for index in range(3):
        alone = slice(index, index + 1)
        assert loss(f[alone], s[alone]) == pytest.approx(each[alone], rel=1e-13)
        assert loss(f, s[alone])[index] == pytest.approx(each[index], rel=1e-13)


def test_a_mixture_of_one_style_is_that_style():
    f, style, other = maps(1, C, H, W), moments(maps(1, C, 4, 4, seed=1)), moments(maps(1, C, 4, 4, seed=2))
    found = gram_loss(moments(f), mix([style, style], [1, 3]))
    torch.testing.assert_close(found, gram_loss(moments(f), style))
    between = gram_loss(moments(f), mix([style, other]), "magenta")
    # of squared distances: that to the middle is the middle of both less a quarter of theirs
    ends = [gram_loss(moments(f), one, "magenta") for one in (style, other)]
    apart = (style.second - other.second).square().sum() / C**2
    torch.testing.assert_close(between, (ends[0] + ends[1]) / 2 - apart / 4)


def test_a_guided_style_stays_in_its_region():
    f = maps(1, C, 6, 6).requires_grad_()
    left = torch.zeros(1, 1, 6, 6)
    left[..., :3] = 1
    sides = (
        gram_loss(moments(f, left), moments(maps(1, C, 5, 5, seed=1))),
        gram_loss(moments(f, 1 - left), moments(maps(1, C, 5, 5, seed=2))),
    )
    for side, quiet in zip(sides, (slice(3, 6), slice(0, 3)), strict=True):
        (gradient,) = torch.autograd.grad(side, f, retain_graph=True)
        assert gradient[..., quiet].eq(0).all()
        assert gradient.ne(0).sum() == C * 18


def test_each_source_says_its_formula_and_its_weights():
    for source in SOURCES.values():
        assert source.whose
        assert source.formula.startswith(("sum", "mean"))
        assert source.weights


def test_what_cannot_be_is_said():
    one, other = moments(maps(1, C, H, W)), moments(maps(1, C + 1, H, W))
    with pytest.raises(ValueError, match="one layer of one network"):
        gram_loss(one, other)
    with pytest.raises(ValueError, match="choose one of relative, gatys-paper"):
        gram_loss(one, one, "gatsy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="choose one of relative"):
        factor("gatsy", C, M)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"image_positions = height \* width"):
        gram_loss(one, one, "keras")
    with pytest.raises(ValueError, match="image_positions"):
        factor("keras", C, M, image_positions=0)
    with pytest.raises(ValueError, match="all 0"):
        gram_loss(one, moments(torch.zeros(1, C, H, W)), "relative")
    with pytest.raises(ValueError, match="cannot be converted"):
        conversion("crowsonkb", "johnson", C, M)
    with pytest.raises(ValueError, match="target_size"):
        conversion("gatys-paper", "relative", C, M)
    with pytest.raises(ValueError, match="1 channel and 1 position"):
        factor("johnson", 0, M)
