"""`cyclestyle page`."""

from pathlib import Path


def page(run: Path, /) -> None:
    """Write the page of a training run: its pictures over time, curves, alarms, settings, on one page.

    Training itself writes `page.html` into the run's folder at every checkpoint; this writes it anew, and for runs that
    were trained before there was one. One file that can be sent to somebody: nothing is loaded from elsewhere.

    Parameters
    ----------
    run
        Run folder, as runs/NAME.
    """
    from cyclestyle.training.page.writing import RunPage

    print(f"look: {RunPage(run).write()}")
