"""What was seen is kept whole or not at all, is found by what it follows from, and becomes a matrix again."""

import threading
from pathlib import Path

import numpy as np
import pytest

from cyclestyle.evaluation.store import Rows, Store, assemble


def numbers(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=count).astype(np.float32)


def test_what_is_kept_comes_back_to_the_bit(tmp_path: Path) -> None:
    store, vector = Store(tmp_path, "network"), numbers(7)
    vector[0], vector[1] = 0.0, 1e-42  # a number that is not normal
    assert store.get("a", 7) is None
    store.put("a", vector)
    found = store.get("a", 7)
    assert found is not None
    assert found.tobytes() == vector.tobytes()
    assert store.has("a", 7)
    assert not store.has("b", 7)
    assert not Store(tmp_path, "another network").has("a", 7)


def test_numbers_of_other_precision_and_order_are_kept_as_float32(tmp_path: Path) -> None:
    store, matrix = Store(tmp_path, "network"), np.arange(12, dtype=np.float64).reshape(3, 4)
    store.put("column", matrix[:, 1])
    found = store.get("column", 3)
    assert found is not None
    assert found.dtype == np.float32
    assert found.tolist() == [1, 5, 9]


@pytest.mark.parametrize("damage", ["empty", "cut", "longer", "flipped", "crc", "zeros", "folder"])
def test_a_file_that_is_not_whole_counts_as_missing_and_is_replaced(tmp_path: Path, damage: str) -> None:
    store, vector = Store(tmp_path, "network"), numbers(9)
    store.put("a", vector)
    path = store.path("a")
    content = bytearray(path.read_bytes())
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        content[20] ^= 1 if damage == "flipped" else 0
        content[0] ^= 1 if damage == "crc" else 0
        kept = {"empty": b"", "cut": bytes(content[:-1]), "longer": bytes(content) + b"\0" * 4}
        path.write_bytes(kept.get(damage, bytes(len(content)) if damage == "zeros" else bytes(content)))
    assert not store.has("a", 9)
    with pytest.raises(ValueError, match="type the same command again"):
        store.known("a", 9)
    if damage != "folder":
        store.put("a", vector)
        assert store.known("a", 9).tobytes() == vector.tobytes()


def test_a_vector_of_another_length_counts_as_missing(tmp_path: Path) -> None:
    store = Store(tmp_path, "network")
    store.put("a", numbers(9))
    assert not store.has("a", 8)
    assert not store.has("a", 10)


def test_keys_of_any_form_have_files_of_their_own(tmp_path: Path) -> None:
    store = Store(tmp_path, "network")
    keys = ["", "a", "A", "a/../b", "a | b", "b | a", "x" * 5000, "Größe", "a\0b"]
    for number, key in enumerate(keys):
        store.put(key, np.full(3, number))
    assert [store.known(key, 3)[0] for key in keys] == list(range(len(keys)))


def test_many_writers_of_one_key_leave_a_whole_vector_and_no_remains(tmp_path: Path) -> None:
    stores = [Store(tmp_path, "network") for _ in range(4)]
    written = [np.full(2000, number, dtype=np.float32) for number in range(4)]
    stores[0].put("a", written[0])
    seen = []

    def write(number: int) -> None:
        for _ in range(20):
            stores[number].put("a", written[number])
            found = stores[number].get("a", 2000)
            seen.append(None if found is None else set(found.tolist()))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 80
    assert all(found is not None and len(found) == 1 for found in seen)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file", "network")
    assert not store.has("a", 3)
    with pytest.raises(ValueError, match="cannot be written: Not a directory") as refused:
        store.put("a", numbers(3))
    assert str(tmp_path / "file") in str(refused.value)


def test_vectors_become_a_matrix_for_each_part_in_the_order_of_the_keys(tmp_path: Path) -> None:
    store, parts = Store(tmp_path / "store", "network"), {"means": 2, "grams": 3, "last": 1}
    vectors = {key: numbers(6, seed) for seed, key in enumerate("abc")}
    for key, vector in vectors.items():
        store.put(key, vector)
    found = assemble(store, ["c", "a", "c"], parts, tmp_path / "matrices")
    expected = np.stack([vectors["c"], vectors["a"], vectors["c"]])
    assert list(found) == list(parts)
    assert {name: rows.shape for name, rows in found.items()} == {"means": (3, 2), "grams": (3, 3), "last": (3, 1)}
    everything = np.hstack([rows[0:3] for rows in found.values()])
    assert everything.tobytes() == expected.tobytes()


def test_a_vector_that_is_gone_is_told_and_not_made_up(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", "network")
    store.put("a", numbers(3))
    with pytest.raises(ValueError, match="share one folder"):
        assemble(store, ["a", "b"], {"all": 3}, tmp_path / "matrices")


def test_rows_are_read_in_any_blocks_and_places(tmp_path: Path) -> None:
    matrix = numbers(50).reshape(10, 5)
    (tmp_path / "m.f32").write_bytes(matrix.tobytes())
    rows = Rows(tmp_path / "m.f32", 10, 5)
    assert len(rows) == 10
    for part in (slice(0, 10), slice(3, 7), slice(7, 99), slice(4, 4), slice(8, 2), slice(-2, None), slice(None)):
        assert rows[part].tolist() == matrix[part].tolist()
        assert rows[part].shape[1] == 5
    places = np.array([9, 0, 0, 4])
    assert rows.take(places).tolist() == matrix[places].tolist()
    assert rows.take(np.array([], dtype=np.int64)).shape == (0, 5)
