"""What a picture will take is what it takes, and tiles are as large as memory allows."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from cyclestyle.networks.extractors import Extractor, random_network
from cyclestyle.styling import memory
from cyclestyle.styling.gallery import Gallery
from cyclestyle.styling.memory import PASSING, SHARE, TILES, estimate, tiles_for, way_back
from cyclestyle.styling.recipes import Layers, StylingSettings
from cyclestyle.styling.tiles import grid
from cyclestyle.styling.workshop import Workshop

LAYERS = Layers(("relu1_1", "relu2_1"), ("relu2_1",))
SMALL = {"vgg19": "relu2_1", "vgg19-distilled": "relu2_1", "alexnet": "relu2"}
SMALL |= {"squeezenet": "fire4", "resnet18": "layer1.1"}


@pytest.fixture(scope="module")
def network() -> Extractor:
    return random_network("vgg19", deepest="relu2_1")


def workshop(network: Extractor, **asked: Any) -> Workshop:
    return Workshop(
        StylingSettings.model_validate(asked), network, LAYERS, Gallery([Path("a.png")], [1.0]), torch.device("cpu")
    )


# --- counting -----------------------------------------------------------------------------------------------------


def test_of_one_layer_it_is_what_can_be_counted_by_hand(network: Extractor) -> None:
    """The picture is kept for the convolution, its result for the ReLU; features are given out, and three pass."""
    pixels = 40 * 50
    for tap, kept, largest in (("relu1_1", 3 + 64, 64), ("relu1_2", 3 + 64 + 64, 64)):
        found = way_back(network, (tap,), (40, 50))
        assert found == 4 * pixels * (kept + 64 + PASSING * largest)


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_what_is_kept_is_what_torch_keeps(kind: Any, pooling: Any) -> None:
    """Counted with real pictures: every memory once, without the network's own."""
    network = random_network(kind, deepest=SMALL[kind], pooling=pooling)
    own = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    taps = (network.taps[0], network.taps[-1])
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        found = network(torch.rand(1, 3, 72, 90, requires_grad=True), taps)
    features = sum(4 * map_.numel() for map_ in found.values())
    predicted = way_back(network, taps, (72, 90)) - features - PASSING * max(kept.values())
    assert predicted == pytest.approx(sum(kept.values()), rel=0.02)


def test_nothing_is_computed(network: Extractor) -> None:
    """A picture of 64 gigapixels would not fit anywhere."""
    assert way_back(network, ("relu1_1",), (1 << 18, 1 << 18)) > 1 << 44


def test_what_grows_it(network: Extractor) -> None:
    size, picture = (400, 500), 4 * 3 * 400 * 500
    whole = estimate(workshop(network), 1, size, None)
    assert estimate(workshop(network), 3, size, None) == 3 * whole
    double = estimate(workshop(network), 1, (800, 500), None)
    assert double == pytest.approx(2 * whole, rel=0.01)
    few, many = (estimate(workshop(network, optimizer="lbfgs", history=count), 1, size, None) for count in (10, 30))
    assert many - few == 2 * 20 * picture  # two pictures for every step that is remembered
    assert whole < few
    without = estimate(workshop(network, content_weight=0), 1, size, None)
    assert whole - without == 4 * 128 * 200 * 250  # the photo's own features
    matched = estimate(workshop(network, method="histogram"), 1, size, None)
    assert matched - whole == (4 + 8 + 3 * 8) * 64 * 400 * 500  # of relu1_1


def test_tiles_take_as_much_as_their_border_lets_them(network: Extractor) -> None:
    size = (1200, 1600)
    found = [estimate(workshop(network), 1, size, side) for side in (None, 1024, 512, 256, 128)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0] / 10
    tile = grid(network, LAYERS.style, torch.empty(1, 3, *size, device="meta"), 256).tiles[8]
    extent = (tile.rows.cut_stop - tile.rows.cut_start, tile.columns.cut_stop - tile.columns.cut_start)
    pictures = estimate(workshop(network), 1, size, 256) - way_back(network, LAYERS.style, extent)
    assert pictures == 4 * (6 * 3 + 128 / 4) * 1200 * 1600  # of the whole: Adam's, and the photo's features


# --- choosing -----------------------------------------------------------------------------------------------------


def test_the_largest_tiles_that_fit_are_taken(network: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    made, size = workshop(network), (1200, 1600)
    sides = [None, *(side for side in TILES if side < 1600)]
    needed = {side: estimate(made, 1, size, side) for side in sides}
    for place, side in enumerate(sides):
        monkeypatch.setattr(memory, "free_memory", lambda device: needed[side] / SHARE + 2)  # noqa: B023
        assert tiles_for(made, 1, size, "auto") == side
        if place + 1 < len(sides):
            monkeypatch.setattr(memory, "free_memory", lambda device: needed[side] / SHARE - 2)  # noqa: B023
            assert tiles_for(made, 1, size, "auto") == sides[place + 1]


def test_where_nothing_fits_it_is_said(network: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 10_000_000)
    with pytest.raises(ValueError, match=r"2 x 1600 x 1200 pixels .* about \d+\.\d GB, and 0.0 GB can be used; lower"):
        tiles_for(workshop(network), 2, (1200, 1600), "auto")


def test_what_looks_at_whole_maps_is_never_in_tiles(network: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (1200, 1600)
    for asked in ({"method": "mrf"}, {"method": "swag"}, {"method": "mmd", "kernel": "gaussian"}, {"method": "gatys"}):
        made = workshop(network, **asked)
        whole = estimate(made, 1, size, None)
        monkeypatch.setattr(memory, "free_memory", lambda device: 2 * whole)  # noqa: B023
        assert tiles_for(made, 1, size, "auto") is None
        monkeypatch.setattr(memory, "free_memory", lambda device: whole)  # noqa: B023
        if made.wanted.streams:
            assert tiles_for(made, 1, size, "auto") is not None
        else:
            with pytest.raises(ValueError, match="lower --size or --batch"):
                tiles_for(made, 1, size, "auto")


def test_what_is_asked_for_is_taken(network: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 0)
    assert tiles_for(workshop(network), 1, (1200, 1600), "off") is None
    assert tiles_for(workshop(network), 1, (1200, 1600), 200) == 200


# --- measuring ----------------------------------------------------------------------------------------------------

MEASURED = """
import sys, torch
from pathlib import Path
from PIL import Image
from cyclestyle.comparison.cost import peak_memory as peak
from cyclestyle.networks.extractors import random_network
from cyclestyle.styling.gallery import Chosen, Gallery
from cyclestyle.styling.memory import estimate
from cyclestyle.styling.recipes import Layers, StylingSettings
from cyclestyle.styling.stylizing import stylize
from cyclestyle.styling.workshop import Order, Workshop

folder, optimizer, side = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) or None
torch.set_num_threads(1)
Image.effect_noise((300, 200), 50).convert("RGB").save(folder / "a.png")
network = random_network("vgg19", deepest="relu2_1")
layers = Layers(("relu1_1", "relu2_1"), ("relu2_1",))

def made(height, width, side):
    wanted = StylingSettings(optimizer=optimizer, steps=3, history=3, style_scale=64 / max(height, width))
    workshop = Workshop(wanted, network, layers, Gallery([folder / "a.png"], [1.0]), torch.device("cpu"))
    order = Order(torch.rand(1, 3, height, width), Chosen((0,), (1.0,)), 1)
    stylize(workshop, [order], side, lambda moment: None)
    return workshop

made(64, 64, None)
before = peak()
workshop = made(448, 512, side)
print(peak() - before, estimate(workshop, 1, (448, 512), side))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a process's peak is in kilobytes there")
@pytest.mark.parametrize(("optimizer", "side"), [("adam", 0), ("adam", 128), ("lbfgs", 128), ("lbfgsb", 0)])
def test_the_estimate_is_near_what_a_process_takes(optimizer: str, side: int, tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path), optimizer, str(side)],
        capture_output=True,
        text=True,
        check=True,
    )
    measured, predicted = map(int, found.stdout.split())
    assert 0.5 * predicted < measured < 1.5 * predicted + (100 << 20)  # what does not grow with the picture
