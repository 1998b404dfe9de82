"""`cyclestyle train`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cyclestyle.config import Settings
from cyclestyle.stopping import StopRequest


def train(
    *,
    settings: Annotated[Settings, Parameter(name="*")],
    config: Path | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
    plan: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Train a painter, and the way back, from two sets of pictures.

    The same on any number of devices and machines: `accelerate launch -m cyclestyle train --config ...`.
    The same command again goes on from the last checkpoint. Ctrl-C, SIGTERM and SIGUSR1 save first (exit code 75).

    Parameters
    ----------
    config
        Settings file (TOML); what else is given here wins over it.
    strict
        Refuse pictures that cannot be used, instead of going on without them.
    plan
        Say what it would take (memory, speed, time to the end) after a quarter minute of steps, and keep nothing of
        them.
    """
    with StopRequest() as stop:  # before what takes seconds to import
        if plan:
            from cyclestyle.training.rehearsal import rehearse

            forecast = rehearse(settings, strict=strict, stop=stop)
            if forecast is not None:
                print(forecast.told())
            return
        from cyclestyle.training.loop import learn

        learn(settings, strict=strict, stop=stop)
