"""What is said of files: each thing once, and of several methods together."""

from pathlib import Path

from cyclestyle.comparison.notes import merged, unsaid
from cyclestyle.evaluation.pictures import PictureSet, Unread


def test_what_holds_of_several_methods_is_one_sentence() -> None:
    notes = [
        "8 of the 8 photos are not 64 x 64 pixels.",
        "8 of the 8 pictures of gatys are not 64 x 64 pixels.",
        "8 of the 8 paintings are greyscale.",
        "8 of the 8 pictures of gatys-mean are not 64 x 64 pixels.",
        "2 of the 8 pictures of run are greyscale.",
        "8 of the 8 pictures of run are not 64 x 64 pixels.",
    ]
    assert merged(notes, ["gatys", "gatys-mean", "run"]) == [
        "8 of the 8 photos are not 64 x 64 pixels.",
        "8 of the 8 pictures of each of gatys, gatys-mean and run are not 64 x 64 pixels.",
        "8 of the 8 paintings are greyscale.",
        "2 of the 8 pictures of run are greyscale.",
    ]
    assert merged(notes[:2], ["gatys"]) == notes[:2]


def test_what_several_methods_say_of_a_photo_is_said_once_and_not_where_the_photos_say_it() -> None:
    photos = PictureSet(Path("photos"), (), (Unread("a", "photos/a.jpg is truncated"),))
    notes = ["photos/a.jpg is truncated", "photos/b.jpg is too small", "photos/b.jpg is too small", "run: an old one"]
    assert unsaid(notes, photos) == ["photos/b.jpg is too small", "run: an old one"]
