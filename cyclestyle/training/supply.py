"""Where a run's batches come from: cached pictures, gathered here, or their files, read by processes of their own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from cyclestyle.config import Settings
from cyclestyle.data.cache import Cache
from cyclestyle.data.caching import open_caches
from cyclestyle.data.folders import Sets
from cyclestyle.data.gathering import gathered
from cyclestyle.data.loaders import build_loader
from cyclestyle.data.unpaired import Batch, Places, UnpairedPictures
from cyclestyle.processes import Processes


class Supply:
    """This process's share of a run's batches, the same ones wherever they come from."""

    def __init__(self, sets: Sets, settings: Settings, processes: Processes, device: torch.device) -> None:
        self.sets, self.data, self.seed = sets, settings.data, settings.seed
        self.processes, self.device = processes, device
        self.cached: tuple[Cache, Cache] | None = None
        self.pictures = UnpairedPictures(sets, self.data, self.seed)

    def cache(self, say: Callable[[str], None], hurried: Callable[[], bool]) -> None:
        """Cache the pictures, if they are to be and can be; what is in the way is told with `say`."""
        self.cached = open_caches(self.sets, self.data, say, hurried)
        self.pictures = UnpairedPictures(self.sets, self.data, self.seed, self.cached)

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """From a pass on, to before another."""
        places = Places(first, last, batch=self.data.pairs, rank=self.processes.rank, processes=self.processes.count)
        if self.cached is not None:
            return gathered(self.pictures, places, self.device)
        return iter(build_loader(self.pictures, places, self.data, pin=self.device.type == "cuda"))

    def names(self, place: int) -> tuple[Path, Path]:
        """The photo and the painting whose turn it is at a place in the row."""
        return self.pictures.names(place)
