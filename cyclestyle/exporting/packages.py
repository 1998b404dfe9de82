"""What exporting needs beside the package's own requirements."""

from importlib import import_module
from types import ModuleType
from typing import Any

INSTALL = "pip install 'cyclestyle[onnx]'"


def require(*names: str, why: str) -> list[Any]:
    """Optional packages, imported. Raises ValueError with what to type where one is missing."""
    found: list[ModuleType] = []
    for name in names:
        try:
            found.append(import_module(name))
        except ImportError as error:
            raise ValueError(f"{why} needs {name}, which cannot be imported ({error}); type {INSTALL}") from None
    return found
