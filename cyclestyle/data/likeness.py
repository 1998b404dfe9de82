"""Which pictures are there more than once, and which are where they should not be.

Two files are alike when they show one picture: recompressed, resized, brighter, cropped a little, mirrored, framed,
scanned anew. Paintings of one motif are not alike. Pairs whose structure agrees roughly are found by a matrix product,
and each is then laid over the other, cropped a little, and measured.

Measured on 1,661 Monets, Van Goghs and landscape photos (parts of monet2photo and vangogh2photo; scans of 600 to 1,024
pixels): of their altered copies were found 100 % at JPEG quality 30 and 60, at half size, 10 % brighter, 10 % darker
and mirrored; 99.9 % cropped by 3 % in all and 99.8 % by 3 % at every side; 99.9 % mirrored, halved and at quality 30
together; 99 % laid on a white mat. Unaltered, 8 pairs were found, and each is one painting in two scans (0.79 to 1.0);
the next has 0.41, Monet's haystacks, poplars and bridges among the rest. Among 9,850 pictures made of their quarters
(48 million pairs) no two of different places had more than 0.71.
Not found: pictures turned, flipped upside down or cropped by much more, and such as are smooth or mere horizons.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cyclestyle.data.looks import MARGIN, SIDE, Looks, Values, blurring

ROUGHLY, SURELY = 0.5, 0.75
"""Correlations of the coarse structure and of the fine one, from which on two pictures are alike."""
GLANCE = 0.5
"""Correlation of colours at a glance, from which on. Altered copies of 300 pictures: 0.53 at the least, 0.83 for
all but one in a hundred; different smooth pictures are around 0."""
MOST_PARTNERS = 16
"""Pairs that are measured for each picture, so that a thousand frames of a film do not become half a million pairs."""


class Group(NamedTuple):
    """Files that show one picture, by their places in the list, with whether each is mirrored against the first."""

    members: tuple[int, ...]
    mirrored: tuple[bool, ...]
    exact: bool
    """All have the same pixels."""


def groups(looks: Sequence[Looks]) -> list[Group]:
    """What is there more than once. Each picture stands in one group at most; the order is that of the list."""
    first_of: dict[bytes, int] = {}
    forest = _Forest(len(looks))
    for index, seen in enumerate(looks):
        forest.join(first_of.setdefault(seen.digest, index), index, mirrored=False)
    compared = [index for index in first_of.values() if looks[index].structure.size]
    if len(compared) > 1:
        _join_alike([looks[index] for index in compared], compared, forest)
    return [
        Group(tuple(members), tuple(mirrored), len({looks[index].digest for index in members}) == 1)
        for members, mirrored in forest.trees()
    ]


def _join_alike(looks: list[Looks], names: list[int], forest: "_Forest") -> None:
    """Measure the pairs that agree roughly, the likeliest first, and join those that are alike."""
    structures = np.stack([seen.structure for seen in looks])
    pairs = [pair for pair in _rough_pairs(structures) if agreement(looks[pair[0]], looks[pair[1]], pair[2]) >= GLANCE]
    for start in range(0, len(pairs), 64):
        # What is known to be one picture already is not measured again.
        turn = [pair for pair in pairs[start : start + 64] if not forest.together(names[pair[0]], names[pair[1]])]
        if not turn:
            continue
        ones = structures[[first for first, _, _ in turn]]
        others = np.stack([structures[second][:, ::-1] if turned else structures[second] for _, second, turned in turn])
        for (first, second, mirrored), value in zip(turn, likeness(ones, others), strict=True):
            if value >= SURELY:
                forest.join(names[first], names[second], mirrored=mirrored)


def agreement(one: Looks, other: Looks, mirrored: bool) -> float:
    """The correlation of what is seen at a glance: very smooth pictures have edges alike and nothing else."""
    first, second = one.colours, other.colours[:, ::-1] if mirrored else other.colours
    if one.grey or other.grey:
        first, second = first.mean(-1), second.mean(-1)
    product = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / product if product > 0 else 0.0


def _rough_pairs(structures: NDArray[np.float16]) -> list[tuple[int, int, bool]]:
    """Pairs whose coarse structure agrees, the likeliest first: (smaller index, larger index, mirrored)."""
    coarse = np.concatenate([_coarse(structures[start : start + 512]) for start in range(0, len(structures), 512)])
    turned = coarse.reshape(len(coarse), _COARSE, _COARSE)[:, :, ::-1].reshape(coarse.shape)
    found: list[tuple[float, int, int, bool]] = []
    for start in range(0, len(coarse), 1024):
        rows = coarse[start : start + 1024]
        for mirrored, others in ((False, coarse), (True, turned)):
            agreement = rows @ others[start:].T
            agreement[np.tril_indices(len(rows), m=agreement.shape[1])] = -1.0  # each pair once, none with itself
            found += (
                (-value, start + row, start + column, mirrored) for value, row, column in _largest_by_row(agreement)
            )
    return [(first, second, mirrored) for _, first, second, mirrored in sorted(found)]


def _largest_by_row(agreement: Values) -> Iterator[tuple[float, int, int]]:
    few = min(MOST_PARTNERS, agreement.shape[1])
    columns = np.argpartition(agreement, -few, axis=1)[:, -few:]
    values = np.take_along_axis(agreement, columns, axis=1)
    for row, place in zip(*np.nonzero(values >= ROUGHLY), strict=True):
        yield round(float(values[row, place]), 4), int(row), int(columns[row, place])


_COARSE = 16
_AVERAGE = np.kron(np.eye(_COARSE), np.full((1, SIDE // _COARSE), _COARSE / SIDE)).astype(np.float32) @ blurring(2.5)
"""Blurred first, so that a small crop moves little."""


def _coarse(structures: NDArray[np.float16]) -> Values:
    """Unit vectors of the structures, blurred and averaged to (_COARSE, _COARSE)."""
    coarse = (_AVERAGE @ structures.astype(np.float32) @ _AVERAGE.T).reshape(len(structures), -1)
    coarse -= coarse.mean(1, keepdims=True)
    unit = coarse / np.maximum(np.linalg.norm(coarse, axis=1, keepdims=True), 1e-6)
    return unit.astype(np.float32, copy=False)  # which it is; newer NumPy's types do not know it


# --- two pictures -------------------------------------------------------------------------------------------------

_CROPS = (0.0, 0.015, 0.03, 0.045, 0.06)


def _window(before: float, after: float) -> Values:
    """The matrix that crops SIDE values at both ends, scales them to SIDE again and leaves out the margin."""
    places = np.clip(before * SIDE + (np.arange(SIDE) + 0.5) * (1 - before - after) - 0.5, 0, SIDE - 1)
    below = np.minimum(places.astype(int), SIDE - 2)
    matrix = np.zeros((SIDE, SIDE), np.float32)
    matrix[np.arange(SIDE), below] = 1 - (places - below)
    matrix[np.arange(SIDE), below + 1] = places - below
    return matrix[MARGIN:-MARGIN]


_WINDOWS = torch.from_numpy(np.stack([_window(before, after) for before in _CROPS for after in _CROPS]))
_FLAT_WINDOWS = _WINDOWS.flatten(1)
_SQUARES = (_WINDOWS.mT @ _WINDOWS).flatten(1)
_SUMS = _WINDOWS.sum(1)


def likeness(ones: NDArray[np.floating], others: NDArray[np.floating]) -> list[float]:
    """The correlation of structures pair by pair, with either cropped by up to 6 % at every side where that helps."""
    one, other = (torch.from_numpy(values.astype(np.float32)) for values in (ones, others))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the matrices are so small that threads wait longer for each other than they work
    try:
        return torch.maximum(_best_crop(one, other), _best_crop(other, one)).tolist()
    finally:
        torch.set_num_threads(threads)


def _best_crop(cropped: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """All windows in rows times all in columns at once, without making a single cropped picture."""
    target = whole[:, None, MARGIN:-MARGIN, MARGIN:-MARGIN]
    target = target - target.mean((-2, -1), keepdim=True)
    rows = _WINDOWS @ cropped[:, None]  # (pairs, windows in rows, SIDE without margin, SIDE)
    dots = (target.mT @ rows).flatten(2) @ _FLAT_WINDOWS.T
    squares = (rows.mT @ rows).flatten(2) @ _SQUARES.T
    sums = rows.sum(2) @ _SUMS.T
    variances = squares - sums**2 / target[0].numel()
    return (dots / (variances * target.square().sum((-2, -1))[..., None]).clamp_min(1e-6).sqrt()).amax((1, 2))


class _Forest:
    """Which pictures are one, and which way round: union-find that remembers mirroring."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))
        self.turned = [False] * count

    def root(self, index: int) -> tuple[int, bool]:
        turned = False
        while self.parent[index] != index:
            turned ^= self.turned[index]
            index = self.parent[index]
        return index, turned

    def together(self, first: int, second: int) -> bool:
        return self.root(first)[0] == self.root(second)[0]

    def join(self, first: int, second: int, *, mirrored: bool) -> None:
        (one, one_turned), (other, other_turned) = self.root(first), self.root(second)
        if one != other:
            low, high = sorted((one, other))
            self.parent[high], self.turned[high] = low, one_turned ^ other_turned ^ mirrored

    def trees(self) -> list[tuple[list[int], list[bool]]]:
        """Every tree of two or more, with each one's turn against the first, which is the root."""
        found: dict[int, tuple[list[int], list[bool]]] = {}
        for index in range(len(self.parent)):
            root, turned = self.root(index)
            members, turns = found.setdefault(root, ([], []))
            members.append(index)
            turns.append(turned)
        return [tree for tree in found.values() if len(tree[0]) > 1]


def leaks(found: Sequence[Group], sets: Sequence[str]) -> list[Group]:
    """Groups that should not be: in a training set and a test set, or among training photos and paintings both.

    `sets` names the set of each picture, as in `Sets.roots`. A test set may hold a scene as photo and as painting.
    """

    def leaking(group: Group) -> bool:
        inside = {sets[index] for index in group.members}
        training = {name for name in inside if not name.startswith("test")}
        return len(training) > 1 or (len(training) == 1 and training != inside)

    return [group for group in found if leaking(group)]
