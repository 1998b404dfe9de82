"""What there is to choose from, by name: for command lines, which need not wait for PyTorch to be imported."""

from typing import Literal, TypeAlias

VggKind = Literal["vgg19", "vgg16", "vgg19-distilled"]
BackboneKind = Literal["alexnet", "squeezenet", "resnet18", "resnet50"]
NetworkKind = Literal[VggKind, BackboneKind]
"""Networks that see (extractors.py)."""
Pooling = Literal["max", "average"]
Padding = Literal["zeros", "reflect", "replicate"]

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
"""Of the numbers inside a network. Pictures that go in and features or pictures that come out are float32 always."""
