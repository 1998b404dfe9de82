"""What exporting needs beside the package's own requirements."""

import os
from importlib import import_module
from types import ModuleType
from typing import Any

# ONNX Runtime, from 1.29 on, writes a device's number to its user's cache and tells Microsoft how it is used, unless it
# is told not to before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

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
