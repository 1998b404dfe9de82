"""Losses between the statistics of feature maps: content, and the relatives of the Gram loss.

Li, Wang, Liu, Hou, "Demystifying neural style transfer", IJCAI 2017: a style loss is a distance between two clouds of
positions. `linear_mmd` sees their means; `mean_std_loss` also the spread of every channel; `polynomial_mmd`, of which
the Gram loss is the case without offset, and `wasserstein` see all means and covariances. What sees more is in
`kernel_mmd`. All take Moments and give one number per picture. With `relative` (the default) that is a plain number:
the loss over what a map of zeros would lose (`in_units_of`); without, it is the formula of its source.
"""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cyclestyle.networks.precision import exact_device
from cyclestyle.styling.moments import RESOLVED, Moments, covariance, in_units_of, require_alike, variance

ContentConvention = Literal["relative", "gatys-paper", "mean"]


def content_loss(features: Tensor, target: Tensor, convention: ContentConvention = "relative") -> Tensor:
    """How far features are from those of the photo, position by position.

    Args:
        features: (n, c, h, w), F.
        target: (n or 1, c, h, w), P.
        convention: "relative" |F - P|^2 / |P|^2; "gatys-paper" |F - P|^2 / 2 (Gatys et al. 2016, eq. 1); "mean" its
            mean over channels and positions, which nearly all code has.

    Returns:
        (n,).

    Raises:
        ValueError: maps of different sizes, an unknown convention, or "relative" with a target that is all 0.
    """
    if features.ndim != 4 or target.shape[1:] != features.shape[1:] or len(target) not in (1, len(features)):
        raise ValueError(
            f"the output's features are {tuple(features.shape)}, the photo's {tuple(target.shape)}; content is "
            "compared position by position, so give both the same size"
        )
    squares = (features - target).square()
    if convention == "mean":
        return squares.mean((1, 2, 3))
    if convention == "gatys-paper":
        return squares.sum((1, 2, 3)) / 2
    if convention == "relative":
        # Means, as the sum of a large half-precision map is beyond its range
        return in_units_of(target.square().mean((1, 2, 3)), squares.mean((1, 2, 3)))
    raise ValueError(f"there is no convention {convention!r}; choose one of relative, gatys-paper, mean")


def mean_std_loss(output: Moments, target: Moments, relative: bool = True) -> Tensor:
    """Squared differences of every channel's mean and standard deviation, (1 / C) sum (mu - mu')^2 + (s - s')^2: (n,).

    Li et al. 2017, section 4.2, "batch normalization statistics"; the style loss of AdaIN (Huang, Belongie 2017,
    eq. 13) is of their kind. A channel without variance has no gradient by its deviation.
    """
    require_alike(output, target)
    apart = (output.mean - target.mean).square() + (_deviation(output) - _deviation(target)).square()
    if relative:
        return in_units_of((target.mean.square() + variance(target)).mean(1), apart.mean(1))
    return apart.mean(1)


def linear_mmd(output: Moments, target: Moments, relative: bool = True) -> Tensor:
    """Squared MMD of the kernel x.y, |mu - mu'|^2: it is blind to all but the means (Li et al. 2017): (n,)."""
    require_alike(output, target)
    apart = (output.mean - target.mean).square().sum(1)
    return in_units_of(target.mean.square().sum(1), apart) if relative else apart


def polynomial_mmd(output: Moments, target: Moments, offset: float = 1.0, relative: bool = True) -> Tensor:
    """Squared MMD of the kernel (x.y + offset)^2, |G/M - A/N|^2 + 2 offset |mu - mu'|^2: (n,).

    Li et al. 2017; multiplied out, the kernel has the product of second moments, that of the means 2 offset
    times, and a constant, which cancels. Offset 0 is the Gram loss. An offset has the unit of squared features: of a
    network whose features are ten times as large it must be a hundred times as large to weigh the means alike.

    Raises:
        ValueError: an offset below 0, which would make it no kernel.
    """
    if offset < 0:
        raise ValueError(f"expected an offset of 0 or more, got {offset}; 0 is the Gram loss")
    require_alike(output, target)
    apart = (output.second - target.second).square().sum((1, 2))
    apart = apart + 2 * offset * (output.mean - target.mean).square().sum(1)
    if relative:
        size = target.second.square().sum((1, 2)) + 2 * offset * target.mean.square().sum(1)
        return in_units_of(size, apart)
    return apart


def wasserstein(output: Moments, target: Moments, relative: bool = True, root: Tensor | None = None) -> Tensor:
    """Squared 2-Wasserstein distance of the two Gaussians that have these means and covariances: (n,).

    |mu - mu'|^2 + tr(S + S' - 2 (S'^1/2 S S'^1/2)^1/2): Dowson, Landau, "The Frechet distance between multivariate
    normal distributions", J. Multivariate Analysis 12, 1982. It is the mean squared distance by which features must
    move to have the style's mean and covariance. Computed in float64, as a small difference of large numbers.

    Its gradient by S is I - S'^1/2 (S'^1/2 S S'^1/2)^-1/2 S'^1/2. Where the output has no more variance than rounding
    (dead channels, fewer positions than channels) the root has a kink, and the part of those directions is left out:
    the gradient is finite everywhere, and 0 at the style itself. It can be differentiated once more, and not by the
    style.

    Args:
        output: of n pictures.
        target: of the style, one for all or one each.
        relative: whether over |mu'|^2 + tr S'.
        root: `square_root(covariance(target))`, if it was kept: half of the work.
    """
    require_alike(output, target)
    dtype, device = output.second.dtype, output.second.device
    output = Moments(*(_exact(part) for part in output))
    target = Moments(*(_exact(part.detach()) for part in target))
    root = square_root(covariance(target)) if root is None else _exact(root.detach())
    own, raw = covariance(output), output.second.detach().diagonal(dim1=1, dim2=2).mean(1)
    overlap = _Overlap.apply(own, *_rays(own, root, RESOLVED * torch.finfo(dtype).eps * raw))
    apart = (output.mean - target.mean).square().sum(1) + own.diagonal(dim1=1, dim2=2).sum(1)
    # tr S' as the root has it, without what lay below 0: so that all cancels at the style itself
    apart = apart + root.square().sum((1, 2)) - 2 * overlap
    if relative:
        apart = in_units_of(target.second.diagonal(dim1=1, dim2=2).sum(1), apart)
    return apart.to(device, dtype)


def square_root(matrices: Tensor) -> Tensor:
    """The positive semi-definite roots (n, c, c) of covariances, in float64; what rounding left below 0 is made 0."""
    values, vectors = torch.linalg.eigh(_exact(matrices.detach()))
    return (vectors * values.clamp_min(0).sqrt()[:, None]) @ vectors.mT


@torch.no_grad()
def _rays(own: Tensor, root: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The eigenvectors of R S R, times R (n, c, c); and the roots of its eigenvalues (n, c), 0 where all is rounding.

    An eigenvalue is the output's variance along its ray: no more is known of it than `noise` of the ray's square.
    """
    values, vectors = torch.linalg.eigh(root @ own @ root)
    rays = root @ vectors
    floor = noise[:, None] * rays.square().sum(1)
    floor = floor + values.shape[1] * torch.finfo(values.dtype).eps * values[:, -1:].clamp_min(0)
    return rays, torch.where(values > floor, values, 0).sqrt()


class _Overlap(torch.autograd.Function):
    """tr (R S R)^1/2 of covariances S and roots R, from the rays of R S R: (n,).

    Autograd's gradient of an eigendecomposition divides by differences of eigenvalues, which may be equal; those of
    this trace have none of them.
    """

    @staticmethod
    def forward(own: Tensor, rays: Tensor, roots: Tensor) -> Tensor:
        return roots.sum(1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        return grad_outputs[0][:, None, None] * _Slope.apply(*ctx.saved_tensors), None, None

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Tensor) -> Tensor:
        return (_Slope.apply(*ctx.saved_tensors) * grad_inputs[0]).sum((1, 2))


class _Slope(torch.autograd.Function):
    """The gradient of `_Overlap` by S, R (R S R)^-1/2 R / 2: (n, c, c); itself differentiable, once."""

    @staticmethod
    def forward(own: Tensor, rays: Tensor, roots: Tensor) -> Tensor:
        return (rays * (_inverse(roots) / 2)[:, None]) @ rays.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[bad-override]
        return _bend(grad_outputs[0], *ctx.saved_tensors), None, None

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Tensor) -> Tensor:
        return _bend(grad_inputs[0], *ctx.saved_tensors)


def _bend(direction: Tensor, rays: Tensor, roots: Tensor) -> Tensor:
    """How `_Slope` changes as S moves in a direction.

    Of roots a and b: (1 / a - 1 / b) / (a^2 - b^2) = -1 / (a b (a + b)), which needs no difference of eigenvalues.
    """
    inverse = _inverse(roots)
    sums = roots[:, :, None] + roots[:, None, :]
    quotients = inverse[:, :, None] * inverse[:, None, :] * _inverse(sums)
    return rays @ (rays.mT @ direction @ rays * (quotients / -2)) @ rays.mT


def _inverse(roots: Tensor) -> Tensor:
    """1 / roots, and 0 for those that are 0."""
    return torch.where(roots > 0, 1 / torch.where(roots > 0, roots, 1), 0)


def _deviation(found: Moments) -> Tensor:
    """Standard deviations (n, c), with gradient 0 where they are 0: that of the root would be infinite."""
    value = variance(found)
    return torch.where(value > 0, torch.where(value > 0, value, 1).sqrt(), 0)


def _exact(tensor: Tensor) -> Tensor:
    """The tensor in float64, on the CPU where its device has none."""
    return tensor.to(exact_device(tensor.device), torch.float64)
