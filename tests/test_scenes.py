"""The embedded data set: the same bytes everywhere, and a painting that is a lawful but clear change of its photo."""

import ast
import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import cyclestyle.data.scenes
from cyclestyle.data.scenes.description import describe
from cyclestyle.data.scenes.painting import paint_truth
from cyclestyle.data.scenes.palette import painted
from cyclestyle.data.scenes.photograph import photograph

PACKAGE = Path(cyclestyle.data.scenes.__file__).parent

# SHA-256 over photo and painting of scenes 0 to 5 of seed 0 and scene 12345 of seed 7.
GOLDEN = {
    64: "6442cd5a4b560b0d87ae88b47b877f8edc002eeb69950a9908b76f7866439848",
    97: "197a1c2931bce08672aa3cc235100c5dc924f9e2bd32d1c6a784c1a12ca15bbc",
}

# Each is one exactly rounded operation per element, a comparison, integer work, or only moves numbers about.
EXACT = {
    "PCG64", "SeedSequence", "abs", "add", "any", "arange", "argsort", "array", "ascontiguousarray", "bool_",
    "concatenate", "cumsum", "float64", "floor", "full", "int64", "maximum", "minimum", "moveaxis", "multiply",
    "ones", "ones_like", "random", "sqrt", "stack", "subtract", "take", "uint32", "uint8", "where", "zeros",
    "zeros_like",
}  # fmt: skip
# Methods that add up floats in an order of the machine's choosing, or multiply and add in one rounding.
INEXACT_METHODS = {"sum", "mean", "std", "var", "dot", "prod", "cumprod", "trace"}


def psnr(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two pictures in dB."""
    difference = first.astype(np.float64) - second.astype(np.float64)
    return float(10.0 * np.log10(255.0**2 / np.mean(difference * difference)))


@pytest.mark.parametrize("size", sorted(GOLDEN))
def test_pixels_are_the_golden_ones(size: int) -> None:
    digest = hashlib.sha256()
    for seed, index in [*((0, index) for index in range(6)), (7, 12345)]:
        scene = describe(seed, index)
        digest.update(photograph(scene, size).tobytes())
        digest.update(paint_truth(scene, size).tobytes())
    assert digest.hexdigest() == GOLDEN[size]


def test_the_order_of_calls_does_not_matter() -> None:
    first, second = describe(3, 1), describe(3, 2)
    painting = paint_truth(first, 32)
    photograph(second, 32)
    photograph(second, 33)
    photograph(second, 34)
    assert np.array_equal(painting, paint_truth(describe(3, 1), 32))
    assert not np.array_equal(photograph(first, 32), photograph(second, 32))


def sources() -> list[Path]:
    """Modules of the package that compute with numpy."""
    return [path for path in sorted(PACKAGE.glob("*.py")) if "import numpy as np" in path.read_text("utf-8")]


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_only_exactly_rounded_operations(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.BinOp):
            assert not isinstance(node.op, ast.Pow | ast.MatMult), f"{path.name}:{node.lineno} uses ** or @"
        if isinstance(node, ast.Attribute):
            assert node.attr not in INEXACT_METHODS, f"{path.name}:{node.lineno} uses .{node.attr}"
            if isinstance(node.value, ast.Name) and node.value.id == "np":
                assert node.attr in EXACT, f"{path.name}:{node.lineno} uses np.{node.attr}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"sum", "pow"}, f"{path.name}:{node.lineno} uses {node.func.id}()"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names} | {
                (getattr(node, "module", "") or "").split(".")[0]
            }
            assert not names & {"math", "random", "cv2", "scipy", "torch", "PIL"}, f"{path.name}:{node.lineno}"


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 17, 50, 131, 160, 161])
def test_any_size_from_16(size: int) -> None:
    for index in range(6):
        scene = describe(1, index)
        for picture in (photograph(scene, size), paint_truth(scene, size)):
            assert picture.shape == (size, size, 3)
            assert picture.dtype == np.uint8
            assert picture.std() > 3.0


@pytest.mark.parametrize("render", [photograph, paint_truth])
def test_too_small_is_refused(render) -> None:
    with pytest.raises(ValueError, match=r"16 pixels or more, but 15 was given"):
        render(describe(0, 0), 15)


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="0 or more, but they are -1 and 3"):
        describe(-1, 3)


def test_a_scene_is_the_same_at_every_size() -> None:
    for index in range(8):
        scene = describe(2, index)
        small, large = photograph(scene, 64), photograph(scene, 256).astype(np.float64)
        shrunk = large.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3)).astype(np.uint8)
        assert psnr(small, shrunk) > 24.0


def test_every_painting_differs_clearly_from_its_photo_but_keeps_its_light() -> None:
    pairs = [(photograph(describe(5, index), 64), paint_truth(describe(5, index), 64)) for index in range(48)]
    distances = np.array([psnr(photo, truth) for photo, truth in pairs])
    assert distances.max() < 20.5
    assert 15.0 < np.median(distances) < 17.8
    kept = [np.corrcoef(photo.mean(axis=2).ravel(), truth.mean(axis=2).ravel())[0, 1] for photo, truth in pairs]
    assert np.median(kept) > 0.9
    assert min(kept) > 0.4


def test_the_palette_keeps_light_light_and_dark_dark() -> None:
    grey = np.linspace(0.0, 1.0, 101)
    red, green, blue = painted(np.stack([grey, grey, grey]))
    assert np.all(np.diff(0.299 * red + 0.587 * green + 0.114 * blue) > 0.0)


def test_the_palette_can_be_undone() -> None:
    """Neighbouring colours stay apart: the map of colours of real scenes turns no small step into nothing."""
    seen = np.concatenate([photograph(describe(6, index), 32).reshape(-1, 3) for index in range(24)]).T / 255.0
    seen = seen[:, ::7]
    steps = [(painted(seen + 0.01 * np.eye(3)[:, [axis]]) - painted(seen)) / 0.01 for axis in range(3)]
    smallest = np.linalg.svd(np.stack(steps).transpose(2, 1, 0), compute_uv=False)[:, 2]
    assert np.percentile(smallest, 1) > 0.25


def test_scenes_vary() -> None:
    scenes = [describe(0, index) for index in range(200)]
    assert {scene.season.kind for scene in scenes} == {"spring", "summer", "autumn", "winter"}
    assert {scene.water.kind for scene in scenes} == {"none", "lake", "river", "sea"}
    assert len({scene.light.kind for scene in scenes}) == 8
    assert {tree.kind for scene in scenes for tree in scene.trees} == {"broadleaf", "conifer", "poplar", "bush", "bare"}
