"""`cyclestyle train`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cyclestyle.config import Settings


def train(*, settings: Annotated[Settings, Parameter(name="*")], config: Path | None = None) -> None:
    """Train a painter, and the way back, from two sets of pictures.

    The same on any number of devices and machines: `accelerate launch -m cyclestyle train --config ...`.
    The same command again goes on from the last checkpoint.

    Parameters
    ----------
    config
        Settings file (TOML); what else is given here wins over it.
    """
    from cyclestyle.training.loop import learn

    learn(settings)
