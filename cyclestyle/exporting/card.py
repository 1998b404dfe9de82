"""What an exported painter says of itself, inside its file, for whoever finds it without this package."""

from typing import Literal, TypeAlias

from pydantic import JsonValue

from cyclestyle.config import GeneratorSettings, Section

Portable: TypeAlias = Literal["fp32", "fp16", "int8"]
"""Of an exported painter. fp16: weights and maps. int8: weights alone, with a step size for each output channel."""

KEY = "model_card"
"""Of the metadata in the ONNX file."""


class Parity(Section):
    """How far its paintings are from PyTorch's, of values in [-1, 1]."""

    sizes: list[str]
    """Height x width."""
    largest: float
    mean: float
    """Over the pictures."""
    allowed: float
    """Of the largest; more than usual only where PyTorch's own rounding is."""


class ExportCard(Section):
    """The model card in an ONNX file."""

    format: Literal[1] = 1
    direction: Literal["photo to painting", "painting to photo", "unknown"]
    use: str
    """What goes in and what comes out."""
    example: str
    """The same in Python, without PyTorch."""
    precision: Portable
    preview: bool
    """Whether it is for a first look only: visibly other paintings than the painter's own."""
    generator: GeneratorSettings
    side: int | None
    """Side of the squares it was trained on; None where nobody knows."""
    step: int | None
    """Steps it was trained for."""
    data: JsonValue
    """On which pictures."""
    licence: str
    source: dict[str, str]
    """Name and SHA-256 of the file that was exported."""
    parity: Parity
    versions: dict[str, str]
