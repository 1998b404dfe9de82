"""Whole maps go with the style they belong to, and sums of squares are over what their convention says."""

import pytest
import torch

from cyclestyle.styling.maps import in_convention, pairs

ONE = torch.tensor(6.0, dtype=torch.float64)


def test_one_style_goes_with_all_pictures_and_as_many_go_one_by_one() -> None:
    features, styles = torch.rand(3, 2, 4, 5), torch.rand(3, 2, 6, 7)
    for style, expected in ((styles[:1], (0, 0, 0)), (styles, (0, 1, 2))):
        for index, (own, other) in enumerate(pairs(features, style)):
            assert torch.equal(own, features[index].double())
            assert torch.equal(other, styles[expected[index]].double())


def test_the_gradient_goes_into_the_features_alone() -> None:
    features, style = torch.rand(1, 2, 4, 5, requires_grad=True), torch.rand(1, 2, 4, 5, requires_grad=True)
    ((own, other),) = pairs(features, style)
    assert own.requires_grad
    assert not other.requires_grad


@pytest.mark.parametrize(
    ("features", "style", "told"),
    [
        (torch.rand(2, 3, 4), torch.rand(1, 3, 4, 4), r"\(2, 3, 4\)"),
        (torch.rand(2, 3, 4, 4), torch.ones(1, 3, 4, 4, dtype=torch.long), "int64"),
        (torch.rand(2, 3, 4, 4), torch.rand(1, 5, 4, 4), "3 channels, the style's 5"),
        (torch.rand(2, 3, 4, 4), torch.rand(3, 3, 4, 4), "3 styles for 2 pictures"),
        (torch.rand(2, 3, 0, 4), torch.rand(1, 3, 4, 4), r"\(2, 3, 0, 4\)"),
    ],
)
def test_maps_that_do_not_go_together_are_refused(features, style, told) -> None:
    with pytest.raises(ValueError, match=told):
        pairs(features, style)


def test_the_conventions_are_their_formulas() -> None:
    style = [torch.full((2, 1, 3), 2.0, dtype=torch.float64), torch.full((2, 3, 3), 2.0, dtype=torch.float64)]
    assert in_convention(ONE, 3, style, "sum") == 6
    assert in_convention(ONE, 3, style, "mean") == 2
    assert in_convention(ONE, 3, style, "relative") == 0.5


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(ValueError, match="all 0"):
        in_convention(ONE, 3, [torch.zeros(2, 2, 2)], "relative")
    with pytest.raises(ValueError, match="no convention 'median'"):
        in_convention(ONE, 3, [torch.ones(2, 2, 2)], "median")  # type: ignore[arg-type]
