"""Automatic differentiation from the beginning, and then the derivatives of every loss that the package has.

Baydin, Pearlmutter, Radul, Siskind, "Automatic differentiation in machine learning: a survey", JMLR 18, 2018. There are
four ways to a derivative, and each is here with what it is good and bad at:

    numeric    two values and their distance: any function, few digits, one run for every input
    symbolic   a formula, by hand: exact, and as long as one has the patience
    forward    a slope carried along with every number (dual numbers): exact, one run for every input
    reverse    slopes carried back along what was computed: exact, one run for every output

A loss has one output and a million inputs, the pixels. That is why everything here is trained in reverse mode. The last
part compares it with numeric derivatives for every loss (gradcheck), of second order too where there is one.
"""

import importlib
import inspect
import math
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad, gradcheck, gradgradcheck

from cyclestyle import styling
from cyclestyle.networks.vgg import random_vgg
from cyclestyle.styling.gram import SOURCES, gram_loss
from cyclestyle.styling.histogram import histogram_loss
from cyclestyle.styling.kernel_mmd import gaussian_mmd, kernel_mmd
from cyclestyle.styling.mdan import Judge, discriminator_hinge, painter_hinge
from cyclestyle.styling.moments import Moments, covariance, moments
from cyclestyle.styling.mrf import mrf_loss
from cyclestyle.styling.smoothness import total_variation, value_range
from cyclestyle.styling.statistics import content_loss, linear_mmd, mean_std_loss, polynomial_mmd, wasserstein
from cyclestyle.styling.swag import smooth, swag_loss
from cyclestyle.training.adversarial import ADVERSARIAL

PRECISION = 2.0**-52
"""Of Python's numbers, float64: 1 + PRECISION is the next number after 1."""


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3


# 1. Numeric: what school says, (f(x + h) - f(x)) / h


def forward_difference(function: Callable[[float], float], x: float, h: float) -> float:
    return (function(x + h) - function(x)) / h


def central_difference(function: Callable[[float], float], x: float, h: float) -> float:
    return (function(x + h) - function(x - h)) / (2 * h)


def worst(difference: Callable[..., float], h: float) -> float:
    """The largest error for exp, which is its own derivative, at places between 0 and 1."""
    return max(abs(difference(math.exp, x, h) - math.exp(x)) for x in (0.05 * place for place in range(20)))


def test_large_steps_err_by_the_curve_between_them() -> None:
    # Taylor: f(x + h) = f + h f' + h^2 f'' / 2 + h^3 f''' / 6 ...
    for h in (1e-1, 1e-2, 1e-3):
        assert worst(forward_difference, h) == pytest.approx(h / 2 * math.exp(0.95), rel=h)
        assert worst(central_difference, h) == pytest.approx(h**2 / 6 * math.exp(0.95), rel=h)


def test_small_steps_err_by_the_rounding_of_two_almost_equal_numbers() -> None:
    for difference in (forward_difference, central_difference):
        for h in (1e-11, 1e-12, 1e-13, 1e-14):
            assert 0.01 * PRECISION / h < worst(difference, h) < 10 * PRECISION / h


def test_the_error_is_a_u_whose_bottom_costs_half_of_the_digits_or_a_third() -> None:
    steps = [10.0**-power for power in range(1, 15)]
    for difference, best, digits in ((forward_difference, 1e-8, 1e-7), (central_difference, 1e-5, 1e-9)):
        errors = [worst(difference, h) for h in steps]
        bottom = errors.index(min(errors))
        assert steps[bottom] / best == pytest.approx(1, rel=9)  # within one power of ten
        assert errors[bottom] < digits
        assert errors[bottom] > 10 * PRECISION  # never all digits
        assert errors[0] > 1e3 * errors[bottom] < errors[-1]
    assert worst(central_difference, 1e-5) < worst(forward_difference, 1e-8)


def test_single_precision_leaves_three_digits() -> None:
    def single(x: float) -> float:
        return torch.tensor(x, dtype=torch.float32).exp().item()

    # the reason why gradients are checked in float64
    errors = [abs(forward_difference(single, 0.5, 10.0**-power) - math.exp(0.5)) for power in range(1, 8)]
    assert 1e-5 < min(errors) < 1e-2


# 2. Symbolic: a formula


def test_the_gradient_of_the_gram_loss_by_hand() -> None:
    # E = |G - A|^2 with G = F F^T / M. A change dF makes dG = (dF F^T + F dF^T) / M, so
    # dE = 2 <G - A, dG> = <4 (G - A) F / M, dF>, as G - A is symmetric.
    features, style = maps(1, 4, 3, 5), moments(maps(1, 4, 6, 6, seed=1))

    def loss(rows: Tensor) -> Tensor:
        return (rows @ rows.mT / 15 - style.second[0]).square().sum()

    rows = features.flatten(2)[0]
    by_hand = 4 * (rows @ rows.mT / 15 - style.second[0]) @ rows / 15
    in_reverse = torch.autograd.grad(loss(rows.requires_grad_()), rows)[0]
    torch.testing.assert_close(in_reverse, by_hand.detach(), rtol=1e-13, atol=1e-15)
    one = torch.zeros(4, 15, dtype=torch.float64)
    one[2, 7] = 1
    numeric = central_difference(lambda step: loss(rows.detach() + step * one).item(), 0.0, 1e-5)
    assert numeric == pytest.approx(by_hand[2, 7].item(), rel=1e-8)


# 3. Dual numbers: a + b e with e^2 = 0. Whatever is computed with them, b is the derivative, exactly.


@dataclass(frozen=True)
class Dual:
    """A number and its slope; both may be Duals again, which gives second derivatives."""

    value: "float | Dual"
    slope: "float | Dual"

    def __add__(self, other: "float | Dual") -> "Dual":
        other = dual(other)
        return Dual(self.value + other.value, self.slope + other.slope)

    def __neg__(self) -> "Dual":
        return Dual(-self.value, -self.slope)

    def __sub__(self, other: "float | Dual") -> "Dual":
        return self + -dual(other)

    def __mul__(self, other: "float | Dual") -> "Dual":
        other = dual(other)
        # (a + b e) (c + d e) = a c + (a d + b c) e, for e^2 = 0
        return Dual(self.value * other.value, self.value * other.slope + self.slope * other.value)

    def __truediv__(self, other: "float | Dual") -> "Dual":
        other = dual(other)
        value = self.value / other.value
        return Dual(value, (self.slope - value * other.slope) / other.value)

    def __pow__(self, power: int) -> "Dual":
        return Dual(self.value**power, power * self.value ** (power - 1) * self.slope)

    def __rsub__(self, other: float) -> "Dual":
        return -self + other

    def __rtruediv__(self, other: float) -> "Dual":
        return dual(other) / self

    __radd__ = __add__
    __rmul__ = __mul__


def dual(number: "float | Dual") -> Dual:
    return number if isinstance(number, Dual) else Dual(number, 0.0)


def exp(x: "float | Dual") -> "float | Dual":
    return Dual(exp(x.value), exp(x.value) * x.slope) if isinstance(x, Dual) else math.exp(x)


def log(x: "float | Dual") -> "float | Dual":
    return Dual(log(x.value), x.slope / x.value) if isinstance(x, Dual) else math.log(x)


def sqrt(x: "float | Dual") -> "float | Dual":
    return Dual(sqrt(x.value), x.slope / (2 * sqrt(x.value))) if isinstance(x, Dual) else math.sqrt(x)


def sin(x: "float | Dual") -> "float | Dual":
    return Dual(sin(x.value), cos(x.value) * x.slope) if isinstance(x, Dual) else math.sin(x)


def cos(x: "float | Dual") -> "float | Dual":
    return Dual(cos(x.value), -sin(x.value) * x.slope) if isinstance(x, Dual) else math.cos(x)


def relu(x: "float | Dual") -> "float | Dual":
    # at 0 there is no derivative; 0 is taken, as PyTorch does
    return (x if x.value > 0 else 0 * x) if isinstance(x, Dual) else max(x, 0.0)


def derivative(function: Callable, x: "float | Dual") -> "float | Dual":
    return function(Dual(x, 1.0)).slope


RULES = {
    "sum": (lambda x: 3 + x - 1, lambda x: 1),
    "difference": (lambda x: 3 - x, lambda x: -1),
    "product": (lambda x: x * sin(x) * 2, lambda x: 2 * (math.sin(x) + x * math.cos(x))),
    "quotient": (lambda x: sin(x) / x, lambda x: (x * math.cos(x) - math.sin(x)) / x**2),
    "reciprocal": (lambda x: 1 / x, lambda x: -1 / x**2),
    "power": (lambda x: x**5, lambda x: 5 * x**4),
    "exp": (lambda x: exp(-x * x), lambda x: -2 * x * math.exp(-x * x)),
    "log": (lambda x: log(3 * x), lambda x: 1 / x),
    "sqrt": (lambda x: sqrt(x), lambda x: 0.5 / math.sqrt(x)),
    "sin": (lambda x: sin(x), math.cos),
    "cos": (lambda x: cos(x), lambda x: -math.sin(x)),
    "relu": (lambda x: relu(x) + relu(-x), lambda x: 1),
    "chain": (lambda x: exp(sin(x) ** 2), lambda x: math.exp(math.sin(x) ** 2) * math.sin(2 * x)),
}


@pytest.mark.parametrize("rule", RULES)
def test_dual_numbers_follow_the_rules_to_the_last_digits(rule: str) -> None:
    function, by_hand = RULES[rule]
    for x in (0.3, 1.0, 2.7):
        assert derivative(function, x) == pytest.approx(by_hand(x), rel=1e-14)
        assert function(Dual(x, 1.0)).value == function(x)  # the value itself is not touched
        assert derivative(function, x) == pytest.approx(central_difference(function, x, 1e-6), abs=1e-7)


def test_the_square_of_e_is_0() -> None:
    e = Dual(0.0, 1.0)
    assert e * e == Dual(0.0, 0.0)
    assert (3 + 2 * e) * (5 - e) == Dual(15.0, 7.0)


def test_duals_of_duals_are_second_derivatives() -> None:
    def second(x: float) -> float:
        return derivative(lambda y: derivative(lambda z: sin(z) * exp(2 * z), y), x)

    # (sin e^2x)'' = (3 sin + 4 cos) e^2x
    assert second(0.7) == pytest.approx((3 * math.sin(0.7) + 4 * math.cos(0.7)) * math.exp(1.4), rel=1e-14)


def test_a_loop_with_a_branch_has_a_derivative_though_it_has_no_formula() -> None:
    def collatz(x: "float | Dual") -> "float | Dual":
        for _ in range(7):
            x = x / 2 if (x.value if isinstance(x, Dual) else x) > 3 else 3 * x + 1
        return x

    # 1.1, 4.3, 2.15, 7.45, 3.725, 1.8625, 6.5875, 3.29375: tripled three times, halved four times
    assert collatz(1.1) == pytest.approx(3.29375)
    assert derivative(collatz, 1.1) == 27 / 16


# 4. Forward mode: duals of tensors, one direction at a time. J v, the Jacobian times a vector: JVP.


def test_forward_mode_is_dual_numbers() -> None:
    x = torch.tensor(0.7, dtype=torch.float64)
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(forward_ad.make_dual(x, torch.ones_like(x)).square().exp().sin())
    ours = sin(exp(Dual(0.7, 1.0) ** 2))
    assert found.primal.item() == pytest.approx(ours.value, rel=1e-15)
    assert found.tangent.item() == pytest.approx(ours.slope, rel=1e-14)
    value, slope = torch.func.jvp(lambda x: x.square().exp().sin(), (x,), (torch.ones_like(x),))
    assert (value, slope) == (found.primal, found.tangent)


def test_duals_and_reverse_mode_agree_on_the_gram_loss() -> None:
    features, target = maps(1, 2, 1, 3), moments(maps(1, 2, 2, 2, seed=1))
    leaf = features.clone().requires_grad_()
    expected = torch.autograd.grad(gram_loss(moments(leaf), target, "gatys-paper"), leaf)[0].flatten()
    wanted = target.second[0].tolist()

    def loss(values: list) -> "float | Dual":
        rows, total = (values[:3], values[3:]), 0.0
        for i, one in enumerate(rows):
            for j, other in enumerate(rows):
                entry = sum((a * b for a, b in zip(one, other, strict=True)), 0.0) / 3
                total = total + (entry - wanted[i][j]) ** 2
        return total / (4 * 2**2)

    plain = features.flatten().tolist()
    for place in range(6):  # one run for every input: this is what is wrong with forward mode
        seeded = [Dual(value, float(index == place)) for index, value in enumerate(plain)]
        assert loss(seeded).slope == pytest.approx(expected[place].item(), rel=1e-12)


# 5. Reverse mode: what was computed is remembered (a tape), and gone through from the end. u^T J: VJP.


@dataclass(eq=False)
class Traced:
    """A number that remembers what it was made of, and how much of each change of that it passes on."""

    value: float
    made_of: tuple[tuple["Traced", float], ...] = ()
    slope: float = field(default=0.0)

    def __add__(self, other: "Traced") -> "Traced":
        return Traced(self.value + other.value, ((self, 1.0), (other, 1.0)))

    def __mul__(self, other: "Traced") -> "Traced":
        return Traced(self.value * other.value, ((self, other.value), (other, self.value)))

    def sin(self) -> "Traced":
        return Traced(math.sin(self.value), ((self, math.cos(self.value)),))

    def backward(self) -> int:
        """Gives everything before its slope; each is gone through once, after all that was made of it."""
        order: list[Traced] = []

        def note(one: Traced) -> None:
            if all(one is not other for other in order):
                for before, _ in one.made_of:
                    note(before)
                order.append(one)

        note(self)
        self.slope = 1.0
        for one in reversed(order):
            for before, share in one.made_of:
                before.slope += share * one.slope
        return len(order)


def test_one_way_back_gives_the_slope_of_every_input() -> None:
    numbers = [0.3, -1.2, 2.0, 0.7]
    inputs = [Traced(number) for number in numbers]
    total = inputs[0]
    for one in inputs[1:]:
        total = (total * one).sin() + one
    visited = total.backward()
    assert visited == 4 + 3 * 3  # the inputs, and what was made of them: each once
    leaves = torch.tensor(numbers, dtype=torch.float64, requires_grad=True)
    expected = leaves[0]
    for one in leaves[1:]:
        expected = (expected * one).sin() + one
    expected.backward()
    assert total.value == pytest.approx(expected.item(), rel=1e-15)
    assert [one.slope for one in inputs] == pytest.approx(leaves.grad.tolist(), rel=1e-14)


def test_slopes_of_one_number_used_twice_add_up() -> None:
    x = Traced(0.6)
    y = x * x
    (y * y).backward()
    assert x.slope == pytest.approx(4 * 0.6**3)


def test_forward_and_reverse_mode_are_each_others_transpose() -> None:
    # <u, J v> = <J^T u, v> for any u and v, also through a network
    network, pictures = random_vgg(deepest="relu2_1").double(), maps(1, 3, 8, 8).clamp(-1, 1)

    def through_the_network(images: Tensor) -> Tensor:
        return network(images, ["relu2_1"])["relu2_1"]

    def second_moments(images: Tensor) -> Tensor:
        return moments(through_the_network(images)).second

    for function in (through_the_network, second_moments, moments_of_all, smooth):
        value, pull_back = torch.func.vjp(function, pictures)
        for seed in range(3):
            v, u = maps(*pictures.shape, seed=10 + seed), maps(*value.shape, seed=20 + seed)
            forward = torch.func.jvp(function, (pictures,), (v,))[1]
            assert (u * forward).sum().item() == pytest.approx((pull_back(u)[0] * v).sum().item(), rel=1e-10)


def moments_of_all(images: Tensor) -> Tensor:
    found = moments(images)
    return torch.cat((found.mean.flatten(), covariance(found).flatten()))


def test_what_a_jacobian_costs_depends_on_the_side_from_which_it_is_made() -> None:
    def few(x: Tensor) -> Tensor:  # 12 inputs, 2 outputs
        return torch.stack((x.square().sum(), x.sin().sum()))

    x = maps(12)
    by_rows = torch.stack([torch.func.vjp(few, x)[1](row)[0] for row in torch.eye(2).double()])
    by_columns = torch.stack([torch.func.jvp(few, (x,), (column,))[1] for column in torch.eye(12).double()], dim=1)
    torch.testing.assert_close(by_rows, by_columns)  # 2 runs against 12
    torch.testing.assert_close(by_rows, torch.stack((2 * x, x.cos())))


@pytest.mark.parametrize(
    "loss",
    [
        lambda f: gram_loss(moments(f), moments(maps(1, 3, 4, 4, seed=1))).sum(),
        lambda f: wasserstein(moments(f), moments(maps(1, 3, 4, 4, seed=1))).sum(),
        lambda f: gaussian_mmd(f, maps(1, 3, 4, 4, seed=1), bandwidth=2.0).sum(),
    ],
    ids=["gram", "wasserstein", "mmd"],
)
def test_a_hessian_times_a_vector_needs_no_hessian(loss: Callable[[Tensor], Tensor]) -> None:
    # H v is the change of the gradient along v
    f, v = maps(1, 3, 3, 5), maps(1, 3, 3, 5, seed=2)
    gradient = torch.func.grad(loss)
    forward_over_reverse = torch.func.jvp(gradient, (f,), (v,))[1]
    reverse_over_reverse = torch.func.vjp(gradient, f)[1](v)[0]  # H is symmetric
    numeric = (gradient(f + 1e-5 * v) - gradient(f - 1e-5 * v)) / 2e-5
    torch.testing.assert_close(forward_over_reverse, reverse_over_reverse, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(forward_over_reverse, numeric, rtol=1e-5, atol=1e-9)
    assert forward_over_reverse.abs().max() > 1e-4


# 6. Every loss of the package, against numeric derivatives in float64


class Checked(NamedTuple):
    """A loss of the package, as a function of one tensor away from where |x|, max(0, x) or a root has its kink."""

    function: Callable
    """Which one."""
    loss: Callable[[Tensor], Tensor]


OTHER = maps(1, 2, 2, 4, seed=1)
"""Of the style: fewer positions than the output."""
PHOTO = maps(1, 2, 3, 3, seed=1)
STYLE = moments(OTHER)
JUDGE = Judge(2, 2)
for _discriminator in JUDGE.discriminators:
    _discriminator.double()


def of_moments(loss: Callable[[Moments], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda features: loss(moments(features))


CHECKED: dict[str, Checked] = {
    **{
        f"gram, {name}": Checked(
            gram_loss, of_moments(lambda seen, name=name: gram_loss(seen, STYLE, name, image_positions=40))
        )
        for name in SOURCES
    },
    "gram, guided": Checked(
        gram_loss, lambda f: gram_loss(moments(f, torch.tensor([0.0, 1, 0.5]).expand(1, 1, 3, 3)), STYLE)
    ),
    **{
        f"content, {name}": Checked(content_loss, lambda f, name=name: content_loss(f, PHOTO, name))
        for name in ("relative", "gatys-paper", "mean")
    },
    "mean and deviation": Checked(mean_std_loss, of_moments(lambda seen: mean_std_loss(seen, STYLE))),
    "linear": Checked(linear_mmd, of_moments(lambda seen: linear_mmd(seen, STYLE))),
    "polynomial": Checked(polynomial_mmd, of_moments(lambda seen: polynomial_mmd(seen, STYLE, 0.7))),
    "wasserstein": Checked(wasserstein, of_moments(lambda seen: wasserstein(seen, STYLE))),
    "wasserstein, not relative": Checked(wasserstein, of_moments(lambda seen: wasserstein(seen, STYLE, False))),
    "gaussian": Checked(gaussian_mmd, lambda f: gaussian_mmd(f, OTHER, bandwidth=1.5)),
    "gaussian, unbiased": Checked(gaussian_mmd, lambda f: gaussian_mmd(f, OTHER, bandwidth=1.5, unbiased=True)),
    "gaussian, sampled": Checked(gaussian_mmd, lambda f: gaussian_mmd(f, OTHER, bandwidth=1.5, positions=5)),
    "kernel, linear": Checked(kernel_mmd, lambda f: kernel_mmd(f, OTHER, "linear")),
    "kernel, polynomial": Checked(kernel_mmd, lambda f: kernel_mmd(f, OTHER, "polynomial", unbiased=True)),
    **{
        f"histogram, {name}": Checked(histogram_loss, lambda f, name=name: histogram_loss(f, OTHER, convention=name))
        for name in ("relative", "mean", "sum")
    },
    "patches": Checked(mrf_loss, lambda f: mrf_loss(f, OTHER, size=2)),
    "patches, averaged": Checked(mrf_loss, lambda f: mrf_loss(f, OTHER, size=2, averaged=True, convention="sum")),
    "smoothed": Checked(smooth, smooth),
    "smoothed, T = 5": Checked(smooth, lambda f: smooth(f, 5.0, mean_one=True)),
    "swag": Checked(swag_loss, lambda f: swag_loss(f, OTHER, temperature=2.0)),
    "hinge of the discriminator": Checked(discriminator_hinge, lambda f: discriminator_hinge(f, -0.7 * f)),
    "hinge of the painter": Checked(painter_hinge, painter_hinge),
    "judge": Checked(Judge.loss, lambda f: JUDGE.loss(f.repeat(1, 1, 3, 3))),
    **{
        f"variation, {name}": Checked(total_variation, lambda f, name=name: total_variation(f, name))
        for name in ("squared", "isotropic", "keras", "nine-point")
    },
    "variation, absolute": Checked(total_variation, lambda f: total_variation(f, "absolute")),
    "variation, mahendran": Checked(total_variation, lambda f: total_variation(f, "mahendran", beta=3.0)),
    "range": Checked(value_range, value_range),
}


@pytest.mark.parametrize("name", CHECKED)
def test_each_loss_has_the_derivatives_that_its_values_have(name: str) -> None:
    checked, features = CHECKED[name], maps(2, 2, 3, 3).requires_grad_()
    assert len(checked.loss(features)) == 2  # one number, or map, for each picture
    assert gradcheck(checked.loss, features, check_forward_ad=True)
    # along random directions instead of all pairs of inputs; those of hinges and of |x| are 0
    assert gradgradcheck(checked.loss, features, fast_mode=True)


def test_the_check_would_find_a_wrong_derivative() -> None:
    def part_is_hidden(x: Tensor) -> Tensor:
        return x.square().sum() + x.detach().sin().sum()

    class HalfHidden(torch.autograd.Function):
        """x^3, whose gradient is right, but takes itself for constant."""

        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:
            ctx.slope = 3 * x.detach() ** 2
            return x**3

        @staticmethod
        def backward(ctx, *grad_outputs: Tensor) -> Tensor:
            return grad_outputs[0] * ctx.slope

    x = maps(3).requires_grad_()
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradcheck(part_is_hidden, x)
    assert gradcheck(HalfHidden.apply, x)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradgradcheck(HalfHidden.apply, x, fast_mode=True)


@pytest.mark.parametrize("name", sorted(ADVERSARIAL))
def test_the_adversarial_losses_have_derivatives_as_far_as_float32_shows_them(name: str) -> None:
    scores = maps(2, 1, 3, 4).requires_grad_()
    for loss in (ADVERSARIAL[name].fool, ADVERSARIAL[name].real, ADVERSARIAL[name].fake):
        assert gradcheck(loss, scores, eps=1e-2, atol=1e-4)


LOSS = re.compile(r"(_loss|_mmd|_hinge|^wasserstein|^total_variation|^value_range|^smooth)$")


def test_no_loss_is_missing() -> None:
    there = set()
    for found in pkgutil.iter_modules(styling.__path__, f"{styling.__name__}."):
        module = importlib.import_module(found.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if LOSS.search(name) and not name.startswith("_") and function.__module__ == found.name:
                there.add(function)
    # of points, and behind the others
    there = {function for function in there if function.__name__ != "squared_mmd"}
    assert len(there) > 10
    assert there <= {checked.function for checked in CHECKED.values()}
