"""Every picture once through the networks, the same numbers however the work is shared out, and gone on with."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Draw, as_processes

from cyclestyle.evaluation.eyes import Eyes
from cyclestyle.evaluation.looking import Look, Scene, look_at_all, one_thread, pair_key
from cyclestyle.evaluation.pictures import View, read_set
from cyclestyle.evaluation.store import Store
from cyclestyle.networks.lpips import random_lpips
from cyclestyle.networks.vgg import random_vgg
from cyclestyle.processes import Processes

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


class Counting(Eyes):
    """Notes how many pictures it looks at."""

    def look(self, images):  # type: ignore[no-untyped-def]
        looked.extend([tuple(images.shape)] * len(images))
        return super().look(images)


looked: list[tuple[int, ...]] = []


@pytest.fixture(scope="module")
def eyes() -> Eyes:
    return Counting(random_vgg(0, "relu3_1"), None, random_lpips(0), torch.device("cpu"))


@pytest.fixture(autouse=True)
def _nothing_looked_at() -> None:
    looked.clear()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> list[Scene]:
    place, count = tmp_path_factory.mktemp("scenes"), 5
    views = []
    for seed, name in enumerate(("photos", "painted", "older")):
        draw(place / name, count, seed=seed, size=(32, 32))
        views.append([View(item, 32) for item in read_set(place / name).items])
    return [Scene(photo, made) for photo, *made in zip(*views, strict=True)]  # type: ignore[arg-type]


def looked_at(
    scenes: list[Scene], eyes: Eyes, folder: Path, *, batch: int = 1, threads: int = 1, processes: int = 1
) -> dict[str, bytes]:
    """The files that are left, by name; several processes as threads."""
    if processes == 1:
        with one_thread():
            look_at_all(
                scenes, Look(eyes, Store(folder, "x")), Processes.join(), lambda _: None, batch=batch, threads=threads
            )
    else:

        def one(process: Processes) -> None:
            store = Store(folder, "x")
            look_at_all(scenes, Look(eyes, store), process, lambda _: None, batch=batch, threads=threads)

        with one_thread():
            assert as_processes(processes, one) == [None] * processes
    return {path.name: path.read_bytes() for path in folder.rglob("*.f32")}


def test_everything_is_kept_and_nothing_looked_at_twice(scenes: list[Scene], eyes: Eyes, tmp_path: Path) -> None:
    told: list[int] = []
    for _ in range(2):
        look = Look(eyes, Store(tmp_path, "x"))
        look_at_all(scenes, look, Processes.join(), told.append, batch=2, threads=1)
    assert looked == [(2, 3, 32, 32)] * 12 + [(1, 3, 32, 32)] * 3
    assert told == [6, 6, 3, 6, 6, 3]  # what was there counts as well
    store, width = Store(tmp_path, "x"), sum(eyes.parts.values())
    for scene in scenes:
        assert all(store.has(view.key, width) for view in (scene.first, *scene.made))
        assert all(store.has(pair_key(scene.first, made), len(eyes.pair_parts)) for made in scene.made)


def test_vectors_are_those_of_the_networks_and_distances_are_to_the_own_photo(
    scenes: list[Scene], eyes: Eyes, tmp_path: Path
) -> None:
    looked_at(scenes, eyes, tmp_path, batch=3)
    store = Store(tmp_path, "x")
    for scene in scenes[::2]:
        with one_thread():
            vector, before = eyes.look(scene.first.images())
            kept = torch.tensor(store.known(scene.first.key, sum(eyes.parts.values())))
            assert torch.allclose(kept, vector[0], rtol=1e-4, atol=1e-5)
            for made in scene.made:
                _, after = eyes.look(made.images())
                kept = torch.tensor(store.known(pair_key(scene.first, made), len(eyes.pair_parts)))
                assert torch.allclose(kept, eyes.compare(before, after)[0], rtol=1e-4, atol=1e-5)


def test_an_interrupted_one_goes_on_where_it_stopped(
    scenes: list[Scene], eyes: Eyes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = looked_at(scenes, eyes, tmp_path / "whole")
    put, kept = Store.put, []

    def stop(self: Store, key: str, vector: np.ndarray) -> None:
        if len(kept) == 7:
            raise KeyboardInterrupt
        kept.append(key)
        put(self, key, vector)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", stop)
        with pytest.raises(KeyboardInterrupt):
            looked_at(scenes, eyes, tmp_path / "stopped")
        for thread in threading.enumerate():  # an interrupt waits for none of them
            if thread.name.startswith("pictures"):
                thread.join()
    assert len(list((tmp_path / "stopped").rglob("*.f32"))) == 7  # one scene has 5, the next 2
    looked.clear()
    assert looked_at(scenes, eyes, tmp_path / "stopped") == whole
    assert len(looked) == 12  # the four scenes that were not finished


def test_a_damaged_file_is_looked_at_again(scenes: list[Scene], eyes: Eyes, tmp_path: Path) -> None:
    whole = looked_at(scenes, eyes, tmp_path)
    Store(tmp_path, "x").path(scenes[2].made[1].key).write_bytes(b"damaged")
    looked.clear()
    assert looked_at(scenes, eyes, tmp_path) == whole
    assert len(looked) == 2  # the photo, and what was made of it by that method alone


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_change_no_bit(scenes: list[Scene], eyes: Eyes, tmp_path: Path, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = looked_at(scenes, eyes, tmp_path / "many", threads=threads)
        assert torch.get_num_threads() == threads
        torch.set_num_threads(1)
        assert looked_at(scenes, eyes, tmp_path / "one") == found
    finally:
        torch.set_num_threads(before)
    assert len(found) == 5 * 5


class Elsewhere(Eyes):
    """Told to be on a GPU; looks on the CPU, and notes who asked."""

    def look(self, images):  # type: ignore[no-untyped-def]
        asked.add(threading.current_thread().name)
        return Eyes(self.vgg, None, self.lpips, torch.device("cpu")).look(images)


asked: set[str] = set()


def test_a_gpu_is_asked_by_one_thread_while_others_read_and_sees_the_same(
    scenes: list[Scene], eyes: Eyes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading: set[str] = set()
    read = View.images

    def noted(view: View) -> torch.Tensor:
        reading.add(threading.current_thread().name)
        return read(view)

    monkeypatch.setattr(View, "images", noted)
    there = Elsewhere(eyes.vgg, None, eyes.lpips, torch.device("cuda"))
    for _ in range(2):  # and then all is known
        found = looked_at(scenes, there, tmp_path / "there", batch=2, threads=3)
    assert asked == {threading.current_thread().name}
    assert reading
    assert not asked & reading
    assert looked_at(scenes, eyes, tmp_path / "here", batch=2) == found


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_change_no_bit_and_share_the_work(
    scenes: list[Scene], eyes: Eyes, tmp_path: Path, processes: int
) -> None:
    alone = looked_at(scenes, eyes, tmp_path / "alone", batch=2)
    looked.clear()
    assert looked_at(scenes, eyes, tmp_path / "shared", batch=2, processes=processes) == alone
    assert len(looked) == 15


def test_batches_change_nothing_that_counts(scenes: list[Scene], eyes: Eyes, tmp_path: Path) -> None:
    one, three = (looked_at(scenes, eyes, tmp_path / str(batch), batch=batch) for batch in (1, 3))
    assert one.keys() == three.keys()
    for name in one:
        first, second = (np.frombuffer(files[name][4:], "<f4") for files in (one, three))
        assert np.allclose(first, second, rtol=1e-5, atol=1e-6 * np.abs(first).max())


def test_pictures_alone_have_vectors_and_no_distances(scenes: list[Scene], eyes: Eyes, tmp_path: Path) -> None:
    alone = [Scene(scene.first) for scene in scenes]
    assert len(looked_at(alone, eyes, tmp_path)) == 5


def test_an_error_in_one_picture_ends_it(scenes: list[Scene], eyes: Eyes, tmp_path: Path, draw: Draw) -> None:
    (path,) = draw(tmp_path / "gone", 1)
    view = View(read_set(tmp_path / "gone").items[0], 32)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="no such picture"):
        looked_at([*(Scene(scene.first) for scene in scenes), Scene(view)], eyes, tmp_path / "features")
    assert threading.active_count() < 20


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()

    def interrupted() -> None:
        with one_thread() as had:
            assert (had, torch.get_num_threads()) == (before, 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert torch.get_num_threads() == before
