"""`cyclestyle doctor`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def doctor(
    *,
    data: Path | None = None,
    weights: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Look the machine over: what is fine for training here, what is not, and what to type.

    Python, the libraries and whether they suit one another, PyTorch and the card, memory, disk, the Kaggle client and
    how it would sign in, weights, pictures. Nothing is changed, and nothing goes on the network. Exit code 0 if nothing
    stops a training (notes do not), 1 if something does. Works as `python -m cyclestyle doctor` without any library.

    Parameters
    ----------
    data
        Folder that holds both sets of pictures; by default data/monet, or what a Kaggle notebook has attached.
    weights
        Folder of network weights (also: CYCLESTYLE_WEIGHTS).
    json
        One JSON object in place of the table: ok, and findings with subject, state (fine, note or wrong), found, do.
    """
    from cyclestyle.doctor.table import as_json, is_ok, table
    from cyclestyle.doctor.visit import visit

    findings = visit(data, weights)
    print(as_json(findings) if json else table(findings))
    if not is_ok(findings):
        raise SystemExit(1)
