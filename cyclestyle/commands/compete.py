"""`cyclestyle compete`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import PositiveInt


def compete(
    *,
    input: Path = Path("/kaggle/input"),
    working: Path = Path("/kaggle/working"),
    budget: str = "4h45m",
    settings: Path = Path("configs/kaggle-5h.toml"),
    weights: Path | None = None,
    device: Literal["auto", "cpu"] = "auto",
    processes: PositiveInt | None = None,
    practice: Annotated[bool, Parameter(negative=())] = False,
    as_written: Annotated[bool, Parameter(negative=())] = False,
    restart_clock: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """From the competition's data to a valid images.zip within a budget of time: what its notebook runs.

    Finds the data, trains on all GPUs until what is left is needed for painting (measured first, on a few photos),
    paints every photo, zips them, reads the zip back, and makes a sheet to look at. With weights of VGG-19 (and of
    Inception, for FID and MiFID) also a card, if there is time. Nothing is asked of the network. Ctrl-C and SIGTERM
    save; the same command goes on, and the time that is gone counts.

    Parameters
    ----------
    input
        Folder below which data are mounted.
    working
        Folder for the run, images.zip, painted.jpg and the card.
    budget
        Time for everything, as in 4h45m.
    settings
        File of training settings (TOML). Its data, run and budget are replaced.
    weights
        Folder of network weights for the card, if they are not below --input.
    device
        auto: all GPUs; cpu: none.
    processes
        How many train and paint; by default one for each GPU.
    practice
        Accept fewer photos than the competition would, and say so.
    as_written
        Without a GPU, take the settings as they are; by default what is larger than 128 px or width 32 is made smaller.
    restart_clock
        Forget how much of the budget is gone.
    """
    from cyclestyle.competing.competition import Wish
    from cyclestyle.competing.competition import compete as run

    wish = Wish(
        mounted=input,
        working=working,
        budget=budget,
        settings=settings,
        weights=weights,
        device=device,
        processes=processes,
        practice=practice,
        as_written=as_written,
        restart_clock=restart_clock,
    )
    run(wish, lambda said: print(said, flush=True))
