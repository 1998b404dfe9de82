"""A generator and its ONNX graph (cyclestyle.exporting.graph) paint the same, at any size, with plain operators."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cyclestyle.config import GeneratorSettings
from cyclestyle.images import Images
from cyclestyle.networks.fewer_products import WinogradConv, with_fewer_products
from cyclestyle.networks.generator import ResNetGenerator, build_generator
from cyclestyle.networks.layers import InstanceNorm, ReflectionPad, initialise
from cyclestyle.networks.painter import Painter, PainterCard, load_painter

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from cyclestyle.exporting.card import Portable  # noqa: E402 - onnx is optional
from cyclestyle.exporting.graph import INPUT, OUTPUT, draw, in_int8  # noqa: E402
from cyclestyle.exporting.portable import open_session, run  # noqa: E402

KINDS = {
    "resnet": GeneratorSettings(width=4, blocks=2),
    "resnet with resize": GeneratorSettings(width=4, blocks=2, upsampling="resize"),
    "residual resnet": GeneratorSettings(width=4, blocks=1, residual=True),
    "unet": GeneratorSettings(kind="unet", width=4, depth=5),
    "unet with resize": GeneratorSettings(kind="unet", width=4, depth=6, upsampling="resize"),
    "residual unet": GeneratorSettings(kind="unet", width=4, depth=5, upsampling="resize", residual=True),
}
SIZES = [(2, 3), (3, 5), (1, 50), (9, 1), (16, 16), (31, 33), (32, 64), (40, 57), (65, 97), (64, 20)]

BY_RUNTIMES_AND_BROWSERS = {
    *("Conv", "ConvTranspose", "InstanceNormalization", "Pad", "Relu", "LeakyRelu", "Resize", "Concat", "Tanh"),
    *("Add", "Clip", "Atanh", "Cast", "DequantizeLinear", "Gather", "Slice"),  # all in the browser's GPU as well
    *("Shape", "Squeeze", "Sub", "Mul", "Div", "Mod", "Max", "Abs", "Range"),  # of sizes, on the processor
}


def network(settings: GeneratorSettings, seed: int = 0) -> ResNetGenerator:
    generator = build_generator(settings)
    chances = torch.Generator().manual_seed(seed)
    initialise(generator, chances, deviation=0.2)
    for module in generator.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module.bias is not None:
            module.bias.data.normal_(0, 0.1, generator=chances)
    return generator.requires_grad_(False).eval()


def painter(generator: nn.Module) -> Painter:
    card = PainterCard(direction="unknown", generator=GeneratorSettings(), side=None, step=None)
    return Painter(generator, card, "")


def exported(generator: nn.Module, precision: Portable = "fp32") -> Any:
    model = draw(generator, precision)
    onnx.checker.check_model(model, full_check=True)
    return partial(run, open_session(model.SerializeToString(), Path("painter.onnx")))


def smooth(height: int, width: int, n: int = 1, seed: int = 0) -> Images:
    """Coarse random colours, enlarged: something everywhere, as in photos."""
    coarse = torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)


def apart(one: Images, other: Images) -> float:
    assert one.shape == other.shape
    return (one - other).abs().max().item()


@pytest.mark.parametrize("kind", KINDS)
def test_at_ten_sizes_the_graph_paints_what_pytorch_paints(kind: str) -> None:
    generator = network(KINDS[kind])
    here, there = painter(generator), exported(generator)
    for size in SIZES:
        images = smooth(*size)
        painted = here(images)
        assert apart(there(images), painted) < 1e-3, size
        assert painted.std() > 0.01  # there is something to see


def test_the_reference_implementations_painter_can_be_exported(tmp_path: Path) -> None:
    state, count = {}, 4
    for place, shape in {
        "1": (count, 3, 7, 7), "4": (2 * count, count, 3, 3), "7": (4 * count, 2 * count, 3, 3),
        "10.conv_block.1": (4 * count, 4 * count, 3, 3), "10.conv_block.5": (4 * count, 4 * count, 3, 3),
        "11": (4 * count, 2 * count, 3, 3), "14": (2 * count, count, 3, 3), "18": (3, count, 7, 7),
    }.items():  # fmt: skip
        state[f"model.{place}.weight"] = torch.randn(shape, generator=torch.Generator().manual_seed(len(state))) * 0.2
        state[f"model.{place}.bias"] = torch.zeros(shape[1 if place in {"11", "14"} else 0])
    torch.save(state, tmp_path / "latest_net_G.pth")
    here = load_painter(tmp_path / "latest_net_G.pth")
    images = smooth(37, 50)
    assert apart(exported(here.network)(images), here(images)) < 1e-3


def test_convolutions_with_fewer_products_are_exported_as_what_they_are() -> None:
    generator = network(GeneratorSettings(width=32, blocks=1, upsampling="resize"))
    plain = exported(generator)
    quick = with_fewer_products(generator)
    assert any(isinstance(module, WinogradConv) for module in quick.modules())
    images = smooth(24, 40)
    assert torch.equal(exported(quick)(images), plain(images))
    assert apart(plain(images), painter(quick)(images)) < 1e-3


def without_layers() -> ResNetGenerator:
    """What is left of a generator is tanh."""
    generator = network(KINDS["resnet"])
    generator.encode = generator.repaint = generator.decode = nn.Sequential()
    return generator


def test_of_a_network_that_does_nothing_every_pixel_comes_back() -> None:
    there = exported(without_layers())
    for height, width in [(1, 1), (1, 2), (2, 1), (3, 5), (15, 16), (17, 33), (1, 5000), (255, 257)]:
        images = smooth(height, width)
        assert apart(there(images), images.tanh()) < 1e-6


def test_what_lies_beyond_the_edge_is_the_picture_mirrored() -> None:
    """A convolution of one tap shows the pixel eleven to the right and below; without a norm, 1 x 1 pixel too."""
    generator = without_layers()
    far = nn.Conv2d(3, 3, 12, groups=1, bias=False)
    far.weight.data = torch.zeros(3, 3, 12, 12)
    far.weight.data[range(3), range(3), -1, -1] = 1
    generator.encode = nn.Sequential(far)
    there = exported(generator.requires_grad_(False))
    for height, width in [(1, 1), (1, 3), (4, 7), (6, 16)]:
        images = smooth(height, width)
        shown = np.pad(images.numpy(), ((0, 0), (0, 0), (0, 16 - height), (0, 16 - width)), mode="reflect")[
            ..., 11:, 11:
        ]
        found = there(images)
        rows, columns = min(height, 5), min(width, 5)
        assert np.allclose(found.numpy(), np.tanh(shown)[..., :rows, :columns], atol=1e-6)


def test_a_picture_of_one_pixel_is_painted_as_pytorch_does_where_no_norm_blows_up_rounding() -> None:
    generator = network(KINDS["resnet with resize"])
    for module in list(generator.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, InstanceNorm):
                setattr(module, name, nn.Sequential())
    images = smooth(1, 1)
    assert apart(exported(generator)(images), painter(generator)(images)) < 1e-5


def test_pictures_of_a_batch_are_painted_as_if_alone() -> None:
    there, images = exported(network(KINDS["resnet"])), smooth(21, 34, n=3)
    assert apart(there(images), torch.cat([there(one) for one in images.split(1)])) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_graph_is_made_of_plain_operators(kind: str, precision: Portable) -> None:
    model = draw(network(KINDS[kind]), precision)
    assert {node.op_type for node in model.graph.node} <= BY_RUNTIMES_AND_BROWSERS
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    (photos,), (paintings,) = model.graph.input, model.graph.output
    assert (photos.name, paintings.name) == (INPUT, OUTPUT)
    for value in (photos, paintings):
        kind_of = value.type.tensor_type
        assert kind_of.elem_type == onnx.TensorProto.FLOAT
        assert [size.dim_param or size.dim_value for size in kind_of.shape.dim] == ["pictures", 3, "height", "width"]


def test_weights_keep_their_names_and_are_what_the_painter_has() -> None:
    generator = network(KINDS["residual unet"])
    stored = {one.name: onnx.numpy_helper.to_array(one) for one in draw(generator, "fp32").graph.initializer}
    for name, value in generator.state_dict().items():
        assert np.array_equal(stored[name], value.numpy())


def test_in_fp16_weights_take_half_and_paintings_hardly_change() -> None:
    generator = network(replace_width(KINDS["resnet with resize"], 16))
    full, half = (len(draw(generator, precision).SerializeToString()) for precision in ("fp32", "fp16"))
    assert half < 0.6 * full
    images = smooth(40, 57)
    assert 0 < apart(exported(generator, "fp16")(images), painter(generator)(images)) < 0.1


def test_in_int8_weights_take_a_quarter_and_paintings_change_a_little() -> None:
    generator = network(replace_width(KINDS["resnet"], 16))
    full, small = (len(draw(generator, precision).SerializeToString()) for precision in ("fp32", "int8"))
    assert small < 0.35 * full
    images = smooth(40, 57)
    difference = (exported(generator, "int8")(images) - painter(generator)(images)).abs().mean()
    assert 0 < difference < 0.03


def replace_width(settings: GeneratorSettings, width: int) -> GeneratorSettings:
    return settings.model_copy(update={"width": width})


@pytest.mark.parametrize("axis", [0, 1])
def test_eight_bits_are_off_by_half_a_step_at_most_and_each_output_has_its_own_step(axis: int) -> None:
    weights = np.random.default_rng(0).normal(size=(5, 5, 3, 3)).astype(np.float32)
    weights[2], weights[:, 2] = 0, 0
    weights = np.moveaxis(np.moveaxis(weights, axis, 0) * np.array([1, 10, 0, 1e-3, 7])[:, None, None, None], 0, axis)
    levels, steps = in_int8(weights.astype(np.float32), axis)
    assert levels.dtype == np.int8
    assert steps.shape == (5,)
    wide = np.expand_dims(steps, [other for other in range(4) if other != axis])
    assert (np.abs(levels * wide - weights) <= 0.5001 * wide).all()
    assert np.abs(levels).max() == 127
    assert steps[1] / steps[3] > 1000


def test_what_no_graph_can_be_drawn_of_is_named() -> None:
    with pytest.raises(ValueError, match="no graph can be drawn of a Conv2d;"):
        draw(with_multiple(nn.Conv2d(3, 3, 1)), "fp32")
    generator = network(KINDS["resnet"])
    generator.repaint = nn.Sequential(ReflectionPad(1), nn.GELU())
    with pytest.raises(ValueError, match="no graph can be drawn of a GELU"):
        draw(generator, "fp32")


def with_multiple(module: nn.Module) -> nn.Module:
    module.multiple = 4  # type: ignore[assignment]
    return module
