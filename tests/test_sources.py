"""Where each style's pictures are, and how many are usual. Covers cyclestyle.data.fetching.sources."""

from typing import get_args

import pytest

from cyclestyle.data.fetching.sources import SOURCES, USUAL, Style, not_on_kaggle, unusual
from cyclestyle.data.folders import LAYOUTS


def test_every_style_has_a_source_and_one_is_on_kaggle() -> None:
    assert set(get_args(Style)) == set(SOURCES)
    assert [style for style, source in SOURCES.items() if source.on_kaggle] == ["monet"]
    assert set(USUAL) == set(LAYOUTS["Kaggle"][:2])


@pytest.mark.parametrize("style", ["vangogh", "cezanne", "ukiyoe"])
def test_for_the_others_one_is_told_where_they_are_and_what_to_type(style: Style) -> None:
    said = not_on_kaggle(style)
    assert f"/cyclegan/datasets/{style}2photo.zip " in said
    assert f"`cyclestyle download {style} --from-zip {style}2photo.zip`" in said


@pytest.mark.parametrize(
    ("paintings", "photos", "found"),
    [
        (300, 7_028, []),
        (300, 7_038, []),
        (300, 7_100, []),
        (299, 7_038, ["299 in monet_jpg/ (usual: 300)"]),
        (300, 7_027, ["7,027 in photo_jpg/ (usual: 7,028 to 7,100)"]),
        (301, 7_101, ["301 in monet_jpg/ (usual: 300)", "7,101 in photo_jpg/ (usual: 7,028 to 7,100)"]),
    ],
)
def test_counts_beyond_what_people_find_are_told(paintings: int, photos: int, found: list[str]) -> None:
    assert unusual({"monet_jpg": paintings, "photo_jpg": photos}) == found


def test_other_folders_have_no_usual_counts() -> None:
    assert unusual({"trainA": 1, "trainB": 1}) == []
