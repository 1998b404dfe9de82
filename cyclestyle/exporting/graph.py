"""A generator as an ONNX graph, layer by layer, any height and width included.

Written out by hand rather than traced: the networks have a dozen kinds of layers, and so the graph has only operators
that every runtime knows, the browser's on a GPU among them. That it computes the same is measured (`parity`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from cyclestyle.exporting.card import Portable
from cyclestyle.networks.generator import Finish, ResidualBlock, ResNetGenerator, UNetGenerator, UNetLevel
from cyclestyle.networks.layers import InstanceNorm, ReflectionPad

OPSET, IR = 17, 8
"""Of ONNX 1.12 (2022): what runtimes of the last years read. Nothing later is needed."""
SMALLEST = 16
"""Height and width to which smaller pictures are continued, as `Painter` does."""
INPUT, OUTPUT = "photos", "paintings"
SIZES = ("pictures", "height", "width")
"""Names of the sizes that are free."""


@dataclass
class Drawing:
    """A graph in the making."""

    precision: Portable
    names: dict[int, str]
    """Of modules, by identity: weights keep the names that they have in a painter's file."""
    nodes: list[NodeProto] = field(default_factory=list)
    stored: list[TensorProto] = field(default_factory=list)

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator; the name of its result."""
        made = f"{operator.lower()}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [made], name=made, **attributes))
        return made

    def constant(self, values: NDArray[Any], name: str = "") -> str:
        """Add numbers that are stored as they are."""
        name = name or f"constant.{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def integer(self, value: int) -> str:
        return self.constant(np.array(value, np.int64))

    def numbers(self, values: torch.Tensor, name: str = "") -> str:
        """Add numbers in the type that the maps have."""
        return self.constant(values.detach().cpu().numpy().astype(self.dtype), name)

    @property
    def dtype(self) -> type[np.floating[Any]]:
        return np.float16 if self.precision == "fp16" else np.float32

    def kernels(self, module: nn.Conv2d | nn.ConvTranspose2d) -> list[str]:
        """A convolution's weights and bias."""
        name = self.names[id(module)]
        bias = [] if module.bias is None else [self.numbers(module.bias, f"{name}.bias")]
        if self.precision != "int8":
            return [self.numbers(module.weight, f"{name}.weight"), *bias]
        of_outputs = 1 if isinstance(module, nn.ConvTranspose2d) else 0
        levels, steps = in_int8(module.weight.detach().cpu().numpy(), of_outputs)
        stored = [self.constant(levels, f"{name}.weight.int8"), self.constant(steps, f"{name}.weight.step")]
        return [self.node("DequantizeLinear", *stored, axis=of_outputs), *bias]


def in_int8(weights: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights as levels of -127 to 127 and the step between two, for each index along `axis`."""
    others = tuple(other for other in range(weights.ndim) if other != axis)
    steps = np.maximum(np.abs(weights).max(axis=others, keepdims=True) / 127, np.finfo(np.float32).tiny)
    return np.rint(weights / steps).astype(np.int8), steps.ravel().astype(np.float32)


def draw(network: nn.Module, precision: Portable) -> ModelProto:
    """A generator as an ONNX model: float32 (n, 3, h, w) in [-1, 1] to the same, any n, height and width.

    What `Painter` does around the network is inside: the picture is continued by reflection to the sizes that the
    network takes, and cut back afterwards.

    Raises ValueError for a network with layers that are not known here.
    """
    drawing = Drawing(precision, {id(module): name for name, module in network.named_modules()})
    sides = [_side(drawing, axis) for axis in (2, 3)]
    photos = INPUT
    for axis, side in zip((2, 3), sides, strict=True):
        photos = _mirrored(drawing, photos, side, axis, int(network.multiple))  # type: ignore[arg-type]
    paintings = _lay_generator(drawing, network, photos)
    first = drawing.integers(0, 0)
    drawing.node("Slice", paintings, first, drawing.node("Concat", *sides, axis=0), drawing.integers(2, 3))
    drawing.nodes[-1].output[0] = OUTPUT
    shape = [SIZES[0], 3, *SIZES[1:]]
    graph = helper.make_graph(
        drawing.nodes,
        "painter",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape)],
        drawing.stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    model.producer_name = "cyclestyle"
    return model


def describe(model: ModelProto, metadata: dict[str, str], sentence: str) -> None:
    """Write into a model what it is: entries by name, and a sentence that viewers show."""
    helper.set_model_props(model, metadata)
    model.doc_string = sentence


def _side(drawing: Drawing, axis: int) -> str:
    """A picture's height or width, as a vector of one."""
    return drawing.node("Shape", INPUT, start=axis, end=axis + 1)


def _mirrored(drawing: Drawing, photos: str, side: str, axis: int, multiple: int) -> str:
    """Continue pictures along one axis to the next multiple, `SMALLEST` at least: 0 1 2 3 2 1 0 1 ...

    For size s the place i shows (s - 1) - |i mod 2 (s - 1) - (s - 1)|.
    """
    size = drawing.node("Squeeze", side)
    one, by = drawing.integer(1), drawing.integer(multiple)
    last = drawing.node("Sub", size, one)
    up = drawing.node("Mul", drawing.node("Div", drawing.node("Add", last, by), by), by)
    wanted = drawing.node("Max", up, drawing.integer(SMALLEST))
    places = drawing.node("Range", drawing.integer(0), wanted, one)
    period = drawing.node("Max", drawing.node("Add", last, last), one)
    back = drawing.node("Abs", drawing.node("Sub", drawing.node("Mod", places, period), last))
    return drawing.node("Gather", photos, drawing.node("Sub", last, back), axis=axis)


def _lay_generator(drawing: Drawing, network: nn.Module, photos: str) -> str:
    """The network itself; what comes before and after it is float32 in any precision."""
    x = drawing.node("Cast", photos, to=TensorProto.FLOAT16) if drawing.precision == "fp16" else photos
    if isinstance(network, ResNetGenerator):
        parts: Sequence[nn.Module] = (network.encode, network.repaint, network.decode)
    elif isinstance(network, UNetGenerator):
        parts = (network.body,)
    else:
        raise ValueError(f"no graph can be drawn of a {type(network).__name__}; resnet and unet generators can")
    for part in parts:
        x = _lay(drawing, part, x)
    x = drawing.node("Cast", x, to=TensorProto.FLOAT) if drawing.precision == "fp16" else x
    return _lay_finish(drawing, network.finish, x, photos)


def _lay_finish(drawing: Drawing, finish: Finish, x: str, photos: str) -> str:
    if finish.residual:
        lowest, highest = (drawing.constant(np.array(sign * finish.LARGEST, np.float32)) for sign in (-1, 1))
        x = drawing.node("Add", x, drawing.node("Atanh", drawing.node("Clip", photos, lowest, highest)))
    return drawing.node("Tanh", x)


def _lay(drawing: Drawing, module: nn.Module, x: str) -> str:
    """Add whatever a module does to the map `x`; the name of its result."""
    for kind, lay in _LAYERS.items():
        if isinstance(module, kind):
            return lay(drawing, module, x)
    raise ValueError(f"no graph can be drawn of a {type(module).__name__}, which is a layer of this painter")


def _lay_sequence(drawing: Drawing, modules: nn.Sequential, x: str) -> str:
    for module in modules:
        x = _lay(drawing, module, x)
    return x


def _lay_convolution(drawing: Drawing, conv: nn.Conv2d, x: str) -> str:
    return drawing.node("Conv", x, *drawing.kernels(conv), **_geometry(conv))


def _lay_transposed(drawing: Drawing, conv: nn.ConvTranspose2d, x: str) -> str:
    return drawing.node(
        "ConvTranspose", x, *drawing.kernels(conv), **_geometry(conv), output_padding=list(conv.output_padding)
    )


def _geometry(conv: nn.Conv2d | nn.ConvTranspose2d) -> dict[str, Any]:
    assert isinstance(conv.padding, tuple)
    assert (conv.groups, conv.dilation, conv.padding_mode) == (1, (1, 1), "zeros")
    return {
        "kernel_shape": list(conv.kernel_size),
        "strides": list(conv.stride),
        "pads": [*conv.padding, *conv.padding],
    }


def _lay_norm(drawing: Drawing, norm: InstanceNorm, x: str) -> str:
    ones, zeros = (drawing.numbers(torch.full((norm.channels,), value)) for value in (1.0, 0.0))
    return drawing.node("InstanceNormalization", x, ones, zeros, epsilon=norm.eps)


def _lay_reflection(drawing: Drawing, pad: ReflectionPad, x: str) -> str:
    beside = (0, 0, pad.width, pad.width)
    return drawing.node("Pad", x, drawing.integers(*beside, *beside), mode="reflect")


def _lay_upsampling(drawing: Drawing, up: nn.Upsample, x: str) -> str:
    assert up.mode == "nearest"
    factor = float(up.scale_factor)  # type: ignore[arg-type]
    scales = drawing.constant(np.array([1, 1, factor, factor], np.float32))
    return drawing.node(
        "Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )


def _lay_leaky(drawing: Drawing, relu: nn.LeakyReLU, x: str) -> str:
    return drawing.node("LeakyRelu", x, alpha=relu.negative_slope)


def _lay_relu(drawing: Drawing, _relu: nn.ReLU, x: str) -> str:
    return drawing.node("Relu", x)


def _lay_residual(drawing: Drawing, block: ResidualBlock, x: str) -> str:
    return drawing.node("Add", x, _lay(drawing, block.body, x))


def _lay_level(drawing: Drawing, level: UNetLevel, x: str) -> str:
    return drawing.node("Concat", x, _lay(drawing, level.body, x), axis=1)


_LAYERS: dict[type[nn.Module], Callable[[Drawing, Any, str], str]] = {
    nn.Sequential: _lay_sequence,
    nn.Conv2d: _lay_convolution,
    nn.ConvTranspose2d: _lay_transposed,
    InstanceNorm: _lay_norm,
    ReflectionPad: _lay_reflection,
    nn.Upsample: _lay_upsampling,
    nn.LeakyReLU: _lay_leaky,
    nn.ReLU: _lay_relu,
    ResidualBlock: _lay_residual,
    UNetLevel: _lay_level,
}
