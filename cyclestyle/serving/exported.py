"""Whatever `PAINTER` on a command line means, as the ONNX file that browsers can use."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cyclestyle.exporting.packages import require
from cyclestyle.runs import find_painter


@contextmanager
def exported(painter: Path, *, back: bool = False) -> Iterator[Path]:
    """An ONNX file as it is; a run or another painter exported, which takes some seconds and is kept nowhere.

    Raises FileNotFoundError or ValueError for what is no painter, or if packages are missing for exporting.
    """
    weights = find_painter(painter, back=back)
    if weights.suffix.lower() == ".onnx":
        yield weights
        return
    require("onnx", "onnxruntime", why=f"exporting {weights.name} for the browser")  # before PyTorch is waited for
    from cyclestyle.exporting.exporting import export_painter

    with TemporaryDirectory(prefix="cyclestyle-") as folder:
        to = Path(folder) / "painter.onnx"
        print(f"exporting {weights}", file=sys.stderr)  # noqa: T201 - it is waited for
        export_painter(weights, to)
        yield to
