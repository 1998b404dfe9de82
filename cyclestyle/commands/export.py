"""`cyclestyle export`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def export(
    run: Path,
    *,
    to: Path,
    back: Annotated[bool, Parameter(negative=())] = False,
    precision: Literal["fp32", "fp16", "int8"] = "fp32",
    licence: str | None = None,
) -> None:
    """A painter as one ONNX file, for ONNX Runtime and for browsers, without PyTorch. Checked against PyTorch.

    It takes pictures of any height and width, any number at once. On ten sizes its paintings are compared with
    PyTorch's; if they differ by more than 0.001 (fp32; values lie in [-1, 1]), nothing is written. (More is allowed
    where PyTorch itself is as far from the same sums in 64 bits; a single pixel, which instance norms make nothing of
    but noise, has to give numbers only.) A card inside says where it comes from and how it is used.

    Parameters
    ----------
    run
        A run folder, a `paint.safetensors`, or the reference implementation's `latest_net_G.pth`.
    to
        File name, ending in .onnx.
    back
        Go the other way: paintings to photos.
    precision
        fp16: half as large, computed in half of the bits where the runtime can, hardly another painting. int8: a
        quarter, for a first look: weights are rounded to 8 bits, by how much paintings differ is measured and said.
    licence
        Under which terms the painter may be passed on, for the card inside. By default it says that nobody has said.
    """
    from cyclestyle.exporting.exporting import export_painter
    from cyclestyle.exporting.wording import told
    from cyclestyle.runs import find_painter

    print(told(export_painter(find_painter(run, back=back), to, precision, licence=licence)))
