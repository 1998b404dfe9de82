"""What was begun is found again to the bit; what is damaged or of others is begun anew."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save as to_bytes

from cyclestyle.images import list_pictures
from cyclestyle.styling.descent import State
from cyclestyle.styling.unfinished import FOLDER, Unfinished

CPU = torch.device("cpu")
NAMES = ['{"photo":"a"}', '{"photo":"b"}']


def state(seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {
        "images": torch.randn(2, 3, 8, 9, generator=generator),
        "channels last": torch.randn(2, 3, 8, 9, generator=generator).to(memory_format=torch.channels_last),
        "memory.step": torch.tensor(7.0),
        "memory.scale": torch.tensor(1 / 3, dtype=torch.float64),
        "scale": torch.tensor(3),
        "ended": torch.tensor(True),
        "none": torch.tensor([float("nan"), float("inf")]),
    }


def same(found: State | None, expected: State) -> bool:
    return (
        found is not None
        and found.keys() == expected.keys()
        and all(
            found[name].dtype == one.dtype and torch.equal(found[name].nan_to_num(5), one.nan_to_num(5))
            for name, one in expected.items()
        )
    )


def the_file(folder: Path) -> Path:
    (path,) = (folder / FOLDER).iterdir()
    return path


def test_what_was_kept_is_found_to_the_bit(tmp_path: Path) -> None:
    unfinished = Unfinished(tmp_path)
    assert unfinished.find(NAMES, CPU) is None
    unfinished.keep(NAMES, state())
    assert same(unfinished.find(NAMES, CPU), state())
    assert same(Unfinished(tmp_path).find(NAMES, CPU), state())


def test_what_is_found_does_not_change_with_what_is_kept_next(tmp_path: Path) -> None:
    unfinished = Unfinished(tmp_path)
    unfinished.keep(NAMES, state())
    found = unfinished.find(NAMES, CPU)
    unfinished.keep(NAMES, state(1))
    assert same(found, state())
    assert same(unfinished.find(NAMES, CPU), state(1))
    assert len(list((tmp_path / FOLDER).iterdir())) == 1


def test_a_batch_is_known_by_all_of_its_pictures_in_order(tmp_path: Path) -> None:
    unfinished = Unfinished(tmp_path)
    unfinished.keep(NAMES, state())
    unfinished.keep(NAMES[:1], state(1))
    assert same(unfinished.find(NAMES, CPU), state())
    assert same(unfinished.find(NAMES[:1], CPU), state(1))
    for others in (NAMES[1:], NAMES[::-1], [*NAMES, NAMES[0]], ["".join(NAMES)]):
        assert unfinished.find(others, CPU) is None


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_begun_anew(tmp_path: Path, share: float) -> None:
    unfinished = Unfinished(tmp_path)
    unfinished.keep(NAMES, state())
    path = the_file(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert unfinished.find(NAMES, CPU) is None
    unfinished.keep(NAMES, state(1))
    assert same(unfinished.find(NAMES, CPU), state(1))


def test_a_single_bit_that_changed_is_seen(tmp_path: Path) -> None:
    unfinished = Unfinished(tmp_path)
    unfinished.keep(NAMES, state())
    path = the_file(tmp_path)
    content = path.read_bytes()
    for place in range(0, len(content), 37):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        assert unfinished.find(NAMES, CPU) is None, place
    path.write_bytes(content)
    assert same(unfinished.find(NAMES, CPU), state())


@pytest.mark.parametrize(
    "content",
    [b"", b"no tensors at all", to_bytes({"images": torch.zeros(3)}), bytes(100), b"<html>" * 100],
    ids=["empty", "text", "safetensors", "zeros", "html"],
)
def test_files_of_others_are_begun_anew(tmp_path: Path, content: bytes) -> None:
    unfinished = Unfinished(tmp_path)
    unfinished.keep(NAMES, state())
    the_file(tmp_path).write_bytes(content)
    assert unfinished.find(NAMES, CPU) is None


def test_a_folder_in_its_place_is_no_file(tmp_path: Path) -> None:
    unfinished = Unfinished(tmp_path)
    unfinished.keep(NAMES, state())
    path = the_file(tmp_path)
    path.unlink()
    path.mkdir()
    assert unfinished.find(NAMES, CPU) is None


def test_what_is_finished_is_gone_and_others_stay(tmp_path: Path) -> None:
    unfinished = Unfinished(tmp_path)
    unfinished.drop(NAMES)  # nothing was begun
    unfinished.keep(NAMES, state())
    unfinished.keep(NAMES[:1], state(1))
    unfinished.drop(NAMES)
    assert unfinished.find(NAMES, CPU) is None
    assert same(unfinished.find(NAMES[:1], CPU), state(1))
    unfinished.drop(NAMES[:1])
    assert not (tmp_path / FOLDER).exists()


def test_listings_of_pictures_do_not_see_it(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "made.png")
    Unfinished(tmp_path).keep(NAMES, state())
    assert list_pictures(tmp_path) == [tmp_path / "made.png"]
