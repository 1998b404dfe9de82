"""The gradient from tiles is that of the whole picture, and matching each tile alone is something else."""

from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cyclestyle.networks.extractors import Extractor, random_network
from cyclestyle.styling.gram import gram_loss
from cyclestyle.styling.moments import Moments, covariance, moments, sums
from cyclestyle.styling.objective import ContentTerm, Evaluation, MapTerm, MomentTerm, Objective, PixelTerm
from cyclestyle.styling.recipes import Convention
from cyclestyle.styling.smoothness import total_variation, value_range
from cyclestyle.styling.statistics import linear_mmd, mean_std_loss, polynomial_mmd, square_root, wasserstein
from cyclestyle.styling.tiles import grid, in_tiles, map_size, streamed_maps, streamed_sums, whole_or_tiled

Loss = Callable[[Moments, Moments], Tensor]
LOSSES: dict[str, Loss] = {
    "statistics": mean_std_loss,
    "mmd linear": linear_mmd,
    "mmd polynomial": polynomial_mmd,
    "wasserstein": wasserstein,
}
for convention in get_args(Convention):
    LOSSES[f"gatys {convention}"] = partial(gram_loss, convention=convention, image_positions=45 * 61)
EVERY_LOSS = pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))
SMALL = {"vgg19-distilled": "relu3_1", "alexnet": "relu2", "squeezenet": "fire4", "resnet18": "layer1.1"}


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


def smooth(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Pictures that differ from place to place, as photos do."""
    coarse = noise(*shape[:2], 5, 6, seed=seed, dtype=dtype)
    return F.interpolate(coarse, shape[2:], mode="bicubic") * 0.7 + 0.1 * noise(*shape, seed=seed + 100, dtype=dtype)


def vgg(deepest: str = "relu2_1", **options: Any) -> Extractor:
    return random_network("vgg19-distilled", deepest=deepest, **options).double()


def shares(images: Tensor, seed: int) -> Tensor:
    """A picture of weights in [0, 1], 0 on the left, for each picture."""
    return (F.interpolate(noise(len(images), 1, 4, 4, seed=seed), images.shape[2:], mode="bilinear") + 0.2).clamp(0, 1)


def objective(
    network: Extractor,
    images: Tensor,
    loss: Loss = gram_loss,
    *,
    style: tuple[str, ...] | None = None,
    masked: bool = False,
    styles: int = 1,
) -> Objective:
    """Content at the deepest tap, style at all; both kinds of pixel terms."""
    deepest = network.taps[-1]
    photos, paintings = smooth(*images.shape, seed=5), smooth(styles, 3, 70, 65, seed=6)
    target = network(photos.to(images), (deepest,))[deepest]
    terms = []
    for tap, features in network(paintings.to(images), style or network.taps).items():
        own = moments(features)
        term = partial(wasserstein, root=square_root(covariance(own))) if loss is wasserstein else loss
        guidance = F.adaptive_avg_pool2d(shares(images, 7), map_size(network, tap, images)) if masked else None
        terms.append(MomentTerm(tap, 3.0, term, own, None if guidance is None else guidance.to(images)))
    return Objective(
        network,
        [ContentTerm(deepest, target, images.new_full((len(images),), 1e-3))],
        terms,
        (),
        [PixelTerm("variation", 0.1, total_variation), PixelTerm("range", 0.1, value_range)],
        (shares(images, 8) > 0).to(images) if masked else None,
    )


def require_alike(found: Evaluation, expected: Evaluation, tolerance: float) -> None:
    assert found.parts.keys() == expected.parts.keys()
    for name, part in expected.parts.items():
        torch.testing.assert_close(found.parts[name], part, rtol=tolerance, atol=0)
    for own, other in zip(found.gradient, expected.gradient, strict=True):
        assert (own - other).norm() <= tolerance * other.norm()
        assert other.norm() > 0


# --- one gradient -------------------------------------------------------------------------------------------------


@EVERY_LOSS
@pytest.mark.parametrize("masked", [False, True])
def test_tiles_give_the_gradient_of_the_whole(loss: Loss, masked: bool) -> None:
    images = 1.1 * smooth(2, 3, 45, 61)
    whole = objective(vgg(), images, loss, masked=masked, styles=2)
    expected = whole(images)
    assert set(expected.parts) == {"content", "style", "variation", "range"}
    # Wasserstein's distance is a small difference of large numbers
    require_alike(in_tiles(whole, images, 24), expected, 1e-11 if loss is wasserstein else 1e-12)
    if masked:
        assert whole.free is not None
        assert (whole.free == 0).any()
        assert not (expected.gradient * (1 - whole.free)).any()


@pytest.mark.parametrize("name", ["statistics", "mmd polynomial", "wasserstein", "gatys relative", "gatys gatys-code"])
def test_also_in_single_precision(name: str) -> None:
    images, loss = smooth(2, 3, 61, 77, dtype=torch.float32), LOSSES[name]
    whole = objective(vgg().float(), images, loss)
    require_alike(in_tiles(whole, images, 24), whole(images), 1e-5)


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate"])
def test_tiles_fit_every_network_pooling_and_padding(kind: Any, pooling: Any, padding: Any) -> None:
    network = random_network(kind, deepest=SMALL[kind], pooling=pooling, padding=padding).double()
    taps = (network.taps[0], network.taps[-1])
    images = smooth(1, 3, 37, 151)
    whole = objective(network, images, style=taps)
    tiles = grid(network, whole.taps, images, 32).tiles
    assert any(tile.columns.cut_start > 0 and tile.columns.cut_stop < 151 for tile in tiles)
    require_alike(in_tiles(whole, images, 32), whole(images), 1e-12)


@pytest.mark.parametrize("size", [(40, 41), (47, 33), (48, 64), (50, 97), (16, 130), (65, 35)])
@pytest.mark.parametrize("side", [4, 15, 30, 64, 500])
def test_tiles_of_any_size_cover_pictures_of_any_size(size: tuple[int, int], side: int) -> None:
    """Here every position counts, in one tile and no other."""
    network, images = vgg("relu3_1"), smooth(1, 3, *size)
    whole = objective(network, images, mean_std_loss)
    if size[0] * size[1] / side**2 < 30:  # the others take long
        require_alike(in_tiles(whole, images, side), whole(images), 1e-12)
    cover = grid(network, network.taps, images, side)
    for tap, found in network(images, network.taps).items():
        counted = torch.zeros(1, 1, *found.shape[2:])
        for tile in cover.tiles:
            cover.part(counted, tap, tile).add_(1)
        assert (counted == 1).all()


@pytest.mark.parametrize("kind", SMALL)
def test_every_position_is_in_one_tile_at_every_size(kind: Any) -> None:
    """Whose border reaches as far as the features see; no tile is without positions of the deepest layer."""
    network = random_network(kind, deepest=SMALL[kind])
    reach = max(network.geometry(tap).reach for tap in network.taps)
    least = network.least(network.taps)
    for size in range(least, least + 90):
        images = torch.empty(1, 3, size, 2 * size, device="meta")
        cover = grid(network, network.taps, images, 32)
        for tap in network.taps:
            height, width = map_size(network, tap, images)
            counted = torch.zeros(1, 1, height, width)
            for tile in cover.tiles:
                part = cover.part(counted, tap, tile)
                part.add_(1)
                assert part.numel() > 0
                whole = cover.own({tap: torch.empty(1, 1, *map_size(network, tap, tile.cut(images)))}, tile)[tap]
                assert whole.shape == part.shape, (size, tap, tile)
            assert (counted == 1).all(), (size, tap)
        for tile in cover.tiles:
            for span, end in ((tile.rows, size), (tile.columns, 2 * size)):
                assert span.cut_start == 0 or span.start - span.cut_start >= reach
                assert span.cut_stop == end or span.cut_stop - span.stop >= reach


@pytest.mark.parametrize("kind", ["alexnet", "squeezenet"])
def test_a_rest_in_which_no_position_lies_joins_the_last_tile(kind: Any) -> None:
    """Without borders of their own, maps end before their pictures do."""
    network = random_network(kind, deepest=SMALL[kind]).double()
    deepest = network.taps[-1]
    stride = network.geometry(deepest).stride
    bare = [
        size
        for size in range(96, 128)
        if size - 96 >= stride and map_size(network, deepest, torch.empty(1, 3, size, size))[0] * stride <= 96
    ]
    assert bare
    images = smooth(1, 3, 64, bare[-1])
    whole = objective(network, images, style=(deepest,))
    require_alike(in_tiles(whole, images, 32), whole(images), 1e-12)


@pytest.mark.parametrize(
    "parts", [("content",), ("style",), ("pixels",), ("content", "pixels"), ("style", "pixels"), ()], ids=str
)
def test_any_part_of_an_objective_may_be_missing(parts: tuple[str, ...]) -> None:
    images = 1.1 * smooth(2, 3, 40, 43)
    full = objective(vgg(), images)
    some = Objective(full.network, **{name: getattr(full, name) for name in parts})
    whole, tiled = some(images), in_tiles(some, images, 16)
    assert whole.parts.keys() == tiled.parts.keys()
    if parts:
        require_alike(tiled, whole, 1e-12)
    else:
        assert whole.total.tolist() == tiled.total.tolist() == [0, 0]
        assert not whole.gradient.any()
        assert not tiled.gradient.any()


def test_matching_each_tile_alone_is_another_gradient() -> None:
    images = smooth(1, 3, 64, 64)
    network = vgg()
    found = objective(network, images)
    style = Objective(network, style=found.style)
    expected = style(images).gradient
    naive = torch.zeros_like(images)
    for tile in grid(network, network.taps, images, 16).tiles:
        rows, columns = slice(tile.rows.start, tile.rows.stop), slice(tile.columns.start, tile.columns.stop)
        naive[..., rows, columns] = style(images[..., rows, columns].contiguous()).gradient

    def cosine(one: Tensor, other: Tensor) -> float:
        return F.cosine_similarity(one.flatten(), other.flatten(), dim=0).item()

    assert cosine(naive, expected) < 0.99
    assert cosine(in_tiles(style, images, 16).gradient, expected) == pytest.approx(1, abs=1e-12)


def test_without_its_border_a_tile_would_see_something_else() -> None:
    """So the border is what makes the gradient exact."""
    images, network = smooth(1, 3, 64, 64), vgg("relu3_1")
    whole = network(images, ("relu3_1",))["relu3_1"]
    cover = grid(network, ("relu3_1",), images, 32)
    tile = cover.tiles[0]
    bare = network(images[..., :32, :32].contiguous(), ("relu3_1",))["relu3_1"]
    own = cover.own(network(tile.cut(images), ("relu3_1",)), tile)["relu3_1"]
    torch.testing.assert_close(own, whole[..., :8, :8], rtol=1e-12, atol=1e-12)
    assert (bare - whole[..., :8, :8]).abs().max() > 0.01


# --- what is streamed ---------------------------------------------------------------------------------------------


def test_streamed_sums_are_those_of_the_whole() -> None:
    images, network = smooth(2, 3, 61, 77), vgg()
    plan = []
    for tap in network.taps:
        guidance = F.adaptive_avg_pool2d(shares(images, 7), map_size(network, tap, images))
        plan += [(tap, None), (tap, guidance), (tap, guidance[:1])]
    features = network(images, network.taps)
    for found, (tap, guidance) in zip(streamed_sums(network, images, plan, 16), plan, strict=True):
        for part, expected in zip(found, sums(features[tap], guidance), strict=True):
            torch.testing.assert_close(part, expected, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("kind", SMALL)
def test_streamed_maps_are_the_maps(kind: Any) -> None:
    network, images = random_network(kind, deepest=SMALL[kind]).double(), smooth(2, 3, 91, 77)
    for tap, found in streamed_maps(network, images, network.taps, 32).items():
        torch.testing.assert_close(found, network(images, (tap,))[tap], rtol=1e-12, atol=1e-12)


def test_no_more_than_a_tile_goes_through_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice in all, however large the picture; and with its gradient once."""
    network, seen = vgg(), list[tuple[int, bool]]()
    images = smooth(1, 3, 96, 160)
    whole = objective(network, images)
    forward = network.forward

    def watched(images: Tensor, taps: Any) -> dict[str, Tensor]:
        seen.append((images.shape[-2] * images.shape[-1], images.requires_grad))
        return forward(images, taps)

    monkeypatch.setattr(network, "forward", watched)
    in_tiles(whole, images, 32)
    reach = max(network.geometry(tap).reach for tap in network.taps)
    assert len(seen) == 2 * 15
    assert [kept for _, kept in seen] == [False] * 15 + [True] * 15
    assert max(pixels for pixels, _ in seen) <= (32 + 2 * (reach + 2)) ** 2


# --- what cannot be -----------------------------------------------------------------------------------------------


def test_what_looks_at_whole_maps_is_refused() -> None:
    images = smooth(1, 3, 40, 40)
    network = vgg()
    term = MapTerm("histogram", "relu1_1", 1.0, lambda features: features.flatten(1).sum(1))
    with pytest.raises(ValueError, match="histogram looks at whole pictures and cannot be computed in tiles"):
        in_tiles(Objective(network, maps=[term]), images, 16)

    class Blurred:
        taps = network.taps

        def __call__(self, images: Tensor, taps: Any) -> dict[str, Tensor]:
            return network(images, taps)

    with pytest.raises(ValueError, match="softmax sees the whole picture"):
        in_tiles(Objective(Blurred()), images, 16)


def test_tiles_smaller_than_a_position_are_refused() -> None:
    images, network = smooth(1, 3, 40, 40), vgg("relu3_1")
    with pytest.raises(ValueError, match="tiles of 3 pixels are smaller than a position of relu3_1; give at least 4"):
        in_tiles(objective(network, images), images, 3)


def test_a_mask_that_leaves_nothing_is_told() -> None:
    images, network = smooth(1, 3, 40, 40), vgg("relu1_1")
    whole = objective(network, images)
    empty = MomentTerm("relu1_1", 1.0, gram_loss, whole.style[0].target, torch.zeros(1, 1, 40, 40).double())
    for evaluate in (Objective(network, style=[empty]), lambda x: in_tiles(Objective(network, style=[empty]), x, 16)):
        with pytest.raises(ValueError, match="no position with a weight above 0"):
            evaluate(images)


def test_without_a_side_it_is_the_whole() -> None:
    images = smooth(1, 3, 40, 40)
    whole = objective(vgg(), images)
    assert torch.equal(whole_or_tiled(whole, None, images).gradient, whole(images).gradient)
    assert torch.equal(whole_or_tiled(whole, 16, images).gradient, in_tiles(whole, images, 16).gradient)
