"""PyTorch's loader of batches, whose processes may die at any moment and leave none behind."""

import atexit
import ctypes
import multiprocessing
import os
import signal
import sys
from copy import copy
from multiprocessing.context import BaseContext
from multiprocessing.sharedctypes import RawValue
from typing import Any, cast

from torch.utils.data import DataLoader

from cyclestyle.config import DataSettings
from cyclestyle.data.unpaired import Batch, Places, UnpairedPictures
from cyclestyle.stopping import end_with_parent, ignore_signals

PER_CORE, LEAST_ALLOWED = 4, 16
"""Loading processes that are taken: so many for each core of the machine, or so many on a small one."""


def require_workers(workers: int) -> None:
    """Raises ValueError for more processes than a machine can have any use of: thousands would take all its memory."""
    cores = os.cpu_count() or 1
    most = max(LEAST_ALLOWED, PER_CORE * cores)
    if workers > most:
        raise ValueError(
            f"data.workers = {workers}: each is a process with memory of its own, and this machine has {cores} "
            f"processor cores; give at most {most}"
        )


def build_loader(pictures: UnpairedPictures, places: Places, settings: DataSettings, *, pin: bool) -> DataLoader[Batch]:
    """Batches in the order of `places`, loaded ahead by `workers` processes."""
    loader = DataLoader(
        pictures,
        batch_sampler=places,
        num_workers=settings.workers,
        collate_fn=_as_it_is,
        pin_memory=pin,
        worker_init_fn=_begin_worker,
        multiprocessing_context=_context() if settings.workers else None,
    )
    return cast(DataLoader[Batch], loader)  # DataLoader's type does not know what collate_fn makes of its items


class Flag:
    """What PyTorch uses of a `multiprocessing.Event`, without its lock.

    Loaders look at the event by which they are told to end before each batch. One that is killed while it looks (about
    one death in 3,000) keeps the lock for ever, and then whoever notices its death waits for that lock for ever.
    """

    def __init__(self) -> None:
        self.byte = RawValue(ctypes.c_bool, False)

    def is_set(self) -> bool:
        return self.byte.value

    def set(self) -> None:
        self.byte.value = True


def _context() -> BaseContext:
    """As Python starts processes, but on Linux not through a fork server, its choice from 3.14 on.

    That lives as long as what it started, and the server is all that PyTorch and Linux watch: if we are killed, both
    stay for ever. It takes signals to the whole group for its own, and each worker would import PyTorch anew.
    """
    method = multiprocessing.get_start_method()
    if sys.platform == "linux" and method == "forkserver":
        method = "fork"
    context: Any = copy(multiprocessing.get_context(method))
    context.Event = Flag
    return context


def _begin_worker(number: int) -> None:
    """Leave signals to the parent, and end with it.

    PyTorch watches the parent too, but asks for its number later: if it is killed before that, the worker stays.
    """
    ignore_signals()
    end_with_parent(signal.SIGKILL)
    parent = multiprocessing.parent_process()  # not os.getppid(): a fork server may stand between
    if parent is None or not parent.is_alive():
        os._exit(1)


@atexit.register
def _end_workers() -> None:
    """Python asks children that are left to end, and waits; these ignore it."""
    for child in multiprocessing.active_children():
        child.kill()


def _as_it_is(batch: Any) -> Any:  # PyTorch types it as made of a list
    return batch
