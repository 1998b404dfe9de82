"""What people take for pictures: `cyclestyle.data.formats`."""

from cyclestyle.data.formats import MEANT, READ
from cyclestyle.images import SUFFIXES


def test_each_ending_is_read_or_is_not() -> None:
    assert {ending for endings in READ.values() for ending in endings} == SUFFIXES
    assert not SUFFIXES & MEANT.keys()
