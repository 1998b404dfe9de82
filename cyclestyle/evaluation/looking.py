"""Every picture once through the networks: shared out among processes, kept on the disk, gone on with after a stop."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from cyclestyle.data.inspection import each
from cyclestyle.evaluation.eyes import Eyes, Seen
from cyclestyle.evaluation.pictures import View
from cyclestyle.evaluation.store import Store
from cyclestyle.images import Images
from cyclestyle.processes import Processes

READERS = 8
"""Threads that read for a GPU; each has up to four batches waiting."""


@dataclass(frozen=True)
class Scene:
    """A picture, and what was made of it by each method; nothing, for a painting that is only a reference."""

    first: View
    made: tuple[View, ...] = ()

    def __len__(self) -> int:
        return 1 + len(self.made)


@dataclass(frozen=True)
class Fetched:
    """Scenes, and what of them is to be seen: (n, 3, side, side) each."""

    scenes: Sequence[Scene]
    first: Images | None
    """None: all is known."""
    made: dict[int, Images]
    """By the number of the method."""


def pair_key(first: View, made: View) -> str:
    """What the distances between two pictures follow from."""
    return f"{first.key} | {made.key}"


class Look:
    """Looks at scenes, some at a time, and keeps what was seen."""

    def __init__(self, eyes: Eyes, store: Store) -> None:
        self.eyes, self.store = eyes, store
        self.length, self.pairs = sum(eyes.parts.values()), len(eyes.pair_parts)

    def at(self, scenes: Sequence[Scene]) -> int:
        """Look at scenes, all with as many methods, unless they are known. Returns how many pictures these are."""
        return self.see(self.fetch(scenes))

    def fetch(self, scenes: Sequence[Scene]) -> Fetched:
        """Read the pictures that are not known yet, and those that they are compared with."""
        if all(map(self._known, scenes)):
            return Fetched(scenes, None, {})
        made = {
            number: _side_by_side([scene.made[number] for scene in scenes])
            for number in range(len(scenes[0].made))
            if not all(self._known_made(scene, number) for scene in scenes)
        }
        return Fetched(scenes, _side_by_side([scene.first for scene in scenes]), made)

    def see(self, fetched: Fetched) -> int:
        """The networks see the scenes side by side, so these are one batch. Returns how many pictures these are."""
        scenes = fetched.scenes
        if fetched.first is not None:
            vectors, before = self.eyes.look(fetched.first)
            self._keep([scene.first.key for scene in scenes], vectors)
            for number, images in fetched.made.items():
                views = [scene.made[number] for scene in scenes]
                vectors, after = self.eyes.look(images)
                self._keep([view.key for view in views], vectors)
                self._compare(scenes, views, before, after)
        return sum(map(len, scenes))

    def _known(self, scene: Scene) -> bool:
        everything = all(self._known_made(scene, number) for number in range(len(scene.made)))
        return everything and self.store.has(scene.first.key, self.length)

    def _known_made(self, scene: Scene, number: int) -> bool:
        made = scene.made[number]
        return self.store.has(made.key, self.length) and self.store.has(pair_key(scene.first, made), self.pairs)

    def _compare(self, scenes: Sequence[Scene], views: Sequence[View], before: Seen, after: Seen) -> None:
        keys = [pair_key(scene.first, view) for scene, view in zip(scenes, views, strict=True)]
        self._keep(keys, self.eyes.compare(before, after))

    def _keep(self, keys: Sequence[str], vectors: torch.Tensor) -> None:
        for key, vector in zip(keys, vectors, strict=True):
            self.store.put(key, vector.numpy())


def look_at_all(
    scenes: Sequence[Scene],
    look: Look,
    processes: Processes,
    progress: Callable[[int], None],
    *,
    batch: int,
    threads: int,
) -> None:
    """Look at the scenes, all with as many methods, each process at its share; `progress` is told of its pictures.

    Batches are the same however many processes there are. On a CPU, as many as there are `threads` are looked at side
    by side (`one_thread`). A GPU sees one after the other, while the next ones are read.
    """
    batches = processes.share([scenes[first : first + batch] for first in range(0, len(scenes), batch)])
    if look.eyes.device.type == "cpu":
        for count in each(look.at, batches, threads=threads):
            progress(count)
    else:
        for fetched in each(look.fetch, batches, threads=min(threads, READERS)):
            progress(look.see(fetched))


@contextmanager
def one_thread() -> Iterator[int]:
    """Let torch compute everything with one thread; gives how many it had.

    Some operations differ in the last bit with the number of threads, and launchers give processes fewer of them.
    Pictures side by side are faster than a picture in several threads anyhow.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def _side_by_side(views: Sequence[View]) -> torch.Tensor:
    return torch.cat([view.images() for view in views])
