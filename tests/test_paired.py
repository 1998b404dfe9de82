"""Methods beside each other where the truth is known, and the sheet that shows them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Draw
from PIL import Image

from cyclestyle.evaluation.paired import Nearness, medians, nearness, share_nearer, summary, table
from cyclestyle.evaluation.sheet import SMALLEST, label_sheet


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


GOOD = Nearness(psnr=column(30, 20, 25, 10), ssim=column(0.9, 0.5, 0.7, 0.1), ciede2000=column(2, 5, 3, 9))
POOR = Nearness(psnr=column(20, 20, 20, 20), ssim=column(0.5, 0.5, 0.5, 0.5), ciede2000=column(4, 4, 4, 4))


def test_each_picture_is_measured_whatever_batches_they_come_in() -> None:
    generator = torch.Generator().manual_seed(0)
    true = [torch.rand(n, 3, 16, 20 + n, generator=generator) * 2 - 1 for n in (1, 3)]
    made = [(images + 0.1).clamp(-1, 1) for images in true]
    together = nearness(zip(made, true, strict=True))
    one_by_one = nearness(
        (picture[None], truth[None])
        for images, truths in zip(made, true, strict=True)
        for picture, truth in zip(images, truths, strict=True)
    )
    for batched, single in zip(together, one_by_one, strict=True):
        assert batched.shape == (4,)
        torch.testing.assert_close(batched, single)


def test_a_flat_shift_has_a_known_distance() -> None:
    true = torch.zeros(1, 3, 16, 16)
    found = nearness([(true + 0.2, true)])
    # a tenth of the range: 10 log10(1 / 0.1^2), up to rounding to 256 levels
    assert found.psnr.item() == pytest.approx(20.0, abs=0.2)
    assert nearness([(true, true)]).ciede2000.item() == 0.0
    assert nearness([(true, true)]).ssim.item() == pytest.approx(1.0)


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="no pictures to measure"):
        nearness([])


def test_the_share_counts_pictures_that_are_nearer_and_ties_for_neither() -> None:
    assert share_nearer(GOOD, POOR) == {"psnr": 0.5, "ssim": 0.5, "ciede2000": 0.5}
    assert share_nearer(POOR, GOOD) == {"psnr": 0.25, "ssim": 0.25, "ciede2000": 0.5}
    assert share_nearer(GOOD, GOOD) == {"psnr": 0.0, "ssim": 0.0, "ciede2000": 0.0}
    # higher is nearer but for CIEDE2000
    low, high = (Nearness(*(column(value),) * 3) for value in (1.0, 2.0))
    assert share_nearer(low, high) == {"psnr": 0.0, "ssim": 0.0, "ciede2000": 1.0}


def test_medians_are_the_middle() -> None:
    assert medians(GOOD) == pytest.approx({"psnr": 22.5, "ssim": 0.6, "ciede2000": 4.0})


def test_the_summary_says_what_the_table_says() -> None:
    found = {"photo, untouched": POOR, "painted": GOOD}
    assert summary(found, "painted") == {
        "pictures": 4,
        "median": {"photo, untouched": medians(POOR), "painted": medians(GOOD)},
        "painted nearer than": {"photo, untouched": share_nearer(GOOD, POOR)},
    }
    head, rule, untouched, painted = table(found, "painted").splitlines()
    assert "4 pictures" in head
    assert {line.count("|") for line in (head, rule, untouched, painted)} == {8}
    assert [cell.strip() for cell in untouched.split("|")[1:-1]] == [
        "photo, untouched", "20.00", "0.500", "4.00", "50%", "50%", "50%"
    ]  # fmt: skip
    assert [cell.strip() for cell in painted.split("|")[1:-1]] == ["painted", "22.50", "0.600", "4.00", "", "", ""]


HEAD, GAP = 24, 2


@pytest.mark.parametrize(
    ("count", "blocks", "rows", "across"), [(1, 3, 1, 1), (4, 3, 2, 2), (6, 3, 2, 3), (5, 1, 5, 1)]
)
def test_a_sheet_has_blocks_of_rows_and_no_picture_is_lost(
    count: int, blocks: int, rows: int, across: int, tmp_path: Path
) -> None:
    colours = {f"scene-{number}": (20 + 30 * number, 0, 0) for number in range(count)}
    columns: dict[str, dict[str, Path]] = {"photo": {}, "truth": {}}
    for place, column_of in enumerate(columns.values()):
        for scene, (red, _, _) in colours.items():
            column_of[scene] = tmp_path / f"{place}-{scene}.png"
            Image.new("RGB", (SMALLEST, 100), (red, place * 200, 0)).save(column_of[scene])
    sheet = label_sheet(columns, list(colours), blocks=blocks)
    block = 2 * SMALLEST + GAP
    assert sheet.size == (across * block + (across - 1) * (SMALLEST // 8), HEAD + rows * (100 + GAP) - GAP)
    pixels = np.asarray(sheet)
    for red, _, _ in colours.values():
        for green in (0, 200):
            assert (pixels == (red, green, 0)).all(axis=2).sum() == SMALLEST * 100
    assert (pixels[:HEAD] < 128).any()  # the titles


def test_small_pictures_are_enlarged_by_a_whole_factor(tmp_path: Path, draw: Draw) -> None:
    (path,) = draw(tmp_path, 1, size=(64, 48))
    sheet = label_sheet({"photo": {"a": path}}, ["a"])
    assert sheet.size == (192, 144 + HEAD)  # the first multiple of 64 from 160 on
