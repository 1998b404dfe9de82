"""What a GPU does, without one: tensors that only claim to be there show what mixes devices, and what waits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Draw
from fake_gpu import CUDA, REFUSED, FakeGpu, FakeTensor, fake_gpu, there
from PIL import Image
from test_inception import whole
from torch import Tensor, nn

from cyclestyle.config import DataSettings, GeneratorSettings, Settings
from cyclestyle.data import gathering
from cyclestyle.data.caching import open_caches
from cyclestyle.data.folders import Sets
from cyclestyle.data.unpaired import Batch, Places, UnpairedPictures
from cyclestyle.evaluation import descriptors, truth
from cyclestyle.evaluation.content import relative_distance, self_similarity
from cyclestyle.evaluation.eyes import Eyes
from cyclestyle.evaluation.gauge import open_gauge
from cyclestyle.images import to_images, to_levels
from cyclestyle.networks.discriminator import bound_spectrally
from cyclestyle.networks.extractors import random_network
from cyclestyle.networks.generator import Enlarged, build_generator
from cyclestyle.networks.inception import Inception
from cyclestyle.networks.lpips import random_lpips
from cyclestyle.networks.painter import Painter, PainterCard, load_painter, save_painter
from cyclestyle.networks.precision import computing_in
from cyclestyle.networks.scratch import Scratch
from cyclestyle.networks.streaming import streamed
from cyclestyle.networks.vgg import Vgg
from cyclestyle.processes import Processes
from cyclestyle.progress import Progress
from cyclestyle.styling import colour, colour_control, descent, stylizing
from cyclestyle.styling.masks import Regions
from cyclestyle.styling.objective import Evaluation
from cyclestyle.styling.preparing import prepare
from cyclestyle.styling.recipes import StylingSettings
from cyclestyle.styling.stylizing import stylize
from cyclestyle.styling.workshop import Order
from cyclestyle.training.guard import Trouble
from cyclestyle.training.learner import Learner
from cyclestyle.training.recorded import Recorded, RecordedPass
from cyclestyle.translation.folder import Treatment, _Paintings
from cyclestyle.translation.whole import blended

pytestmark = pytest.mark.slow  # half a minute


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGpu]:
    with fake_gpu(monkeypatch) as mode:
        yield mode


def pictures(count: int, height: int = 32, width: int = 32) -> Tensor:
    return torch.rand(count, 3, height, width, device=CUDA) * 2 - 1


def test_what_must_not_be_done_on_a_gpu_is_refused_here(gpu: FakeGpu) -> None:
    own, other = torch.rand(3), torch.rand(3, device=CUDA)
    assert len(own.tolist()) == 3  # of the CPU everything is known
    assert there(own.to(CUDA) + other)
    with pytest.raises(RuntimeError, match="device"):
        own + other
    with pytest.raises(RuntimeError, match="device"):
        torch.zeros(())[None].add_(other.sum())
    reads: list[Callable[[], Any]] = [other.sum().item, other.tolist, other.cpu().tolist, other.nonzero]
    for read in (*reads, lambda: bool(other.isfinite().all()), lambda: other[other > 0], lambda: float(other[0].cpu())):
        with pytest.raises(REFUSED):
            read()
    assert gpu.moved == 3


# Training


def learner(discriminator: dict[str, Any], objective: dict[str, Any], joined: bool) -> Learner:
    """With what Accelerate does on one GPU. Gradients are zeros: autograd needs a GPU."""
    asked: dict[str, Any] = {"run": "nowhere", "schedule": {"steps": 40}, "compute": {"joined": joined}}
    asked |= {"data": {"crop": 32, "resize": 32, "batch": 2}, "generator": {"width": 4, "blocks": 1}}
    asked |= {"discriminator": {"width": 4, "layers": 1} | discriminator, "objective": {"replay": 3} | objective}

    def backward(loss: Tensor) -> None:
        assert there(loss)
        for parameter in (one for net in made.bare for one in net.parameters() if one.requires_grad):
            parameter.grad = torch.zeros_like(parameter)

    accelerator: Any = SimpleNamespace(device=CUDA, mixed_precision="no", num_processes=1, process_index=0, scaler=None)
    accelerator.backward, accelerator.prepare = backward, lambda network: network.to(CUDA)
    accelerator.accumulate = lambda *networks: nullcontext()
    made = Learner(Settings.model_validate(asked), accelerator, Processes.join())
    return made


STEPS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"kind": "patch", "spectral_norm": True}, {"adversarial": "lsgan", "identity": 5}, True),
    ({"kind": "pixel"}, {"adversarial": "hinge", "identity": 0}, False),
    ({"kind": "patch"}, {"adversarial": "vanilla", "identity": 5, "replay": 0}, False),
    ({"kind": "features", "network": "random"}, {"adversarial": "hinge", "identity": 0}, True),
]


@pytest.mark.parametrize("asked", STEPS)
def test_a_step_waits_for_nothing_and_what_is_recorded_moves_nothing(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, asked: tuple[dict[str, Any], dict[str, Any], bool]
) -> None:
    """Before the recording and while it is made, with steps that are skipped: but for the one look at all numbers."""
    made, objective = learner(*asked), asked[1]
    monkeypatch.setattr(made, "_look", lambda numbers: [Trouble("for a try", "unusual")] if made.step % 2 else [])
    monkeypatch.setattr(Recorded, "_aside", still(gpu))
    of_bytes = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    for recording in (False, True):
        if recording:
            for adam in made.optimizers.values():
                adam.param_groups[0]["capturable"] = True
            made.recorded, made.recorded_update = RecordedPass(made._gradients, made.memories), Recorded(made._update)
        for _ in range(2):
            taken = made.take_step(iter([Batch(of_bytes, of_bytes)]), 0.5)
            assert len(taken.losses) == (12 if objective["identity"] else 10)
            assert there(taken.losses, made.means.sums, [memory.pictures for memory in made.memories.values()])
    assert isinstance(made.optimizers["generators"].param_groups[0]["lr"], FakeTensor)
    assert there([list(net.parameters()) for net in (*made.bare, made.averages["paint"].network)])
    assert gpu.waits == 0


@contextmanager
def autocast() -> Iterator[None]:
    """As on a GPU; `torch.autocast` would find none."""
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", False)
        torch.clear_autocast_cache()


def test_autocast_keeps_large_maps_small_and_the_power_iteration_exact(gpu: FakeGpu) -> None:
    """Both differ on a GPU from what autocast does on a CPU."""
    halves, seen = Enlarged(scale_factor=2), list[Tensor]()
    bounded = nn.Sequential(nn.Conv2d(3, 4, 3))
    bound_spectrally(bounded)
    bounded.to(CUDA)
    power = bounded[0].parametrizations.weight[0]  # type: ignore[union-attr,index]
    method = power._power_method  # type: ignore[union-attr]
    power._power_method = lambda weight, times: (seen.append(torch.mv(weight, power._v)), method(weight, times))
    with autocast():
        assert bounded(pictures(1, 8, 8)).dtype == torch.bfloat16
        assert halves(pictures(1, 8, 8).bfloat16()).dtype == torch.bfloat16
        assert nn.functional.interpolate(pictures(1, 8, 8).bfloat16(), scale_factor=2).dtype == torch.float32
    assert [one.dtype for one in seen] == [torch.float32]


def still(gpu: FakeGpu) -> Callable[[Recorded, tuple[Tensor, ...]], Any]:
    """What a recording does the first time, on no stream of its own: it moves nothing from one device to the other."""

    def call(recorded: Recorded, given: tuple[Tensor, ...]) -> Any:
        before = gpu.moved
        made = recorded.function(*given)
        assert gpu.moved == before
        return made

    return call


def test_batches_are_cut_out_on_a_gpu(gpu: FakeGpu, tmp_path: Path, draw: Draw) -> None:
    sets = Sets(draw(tmp_path / "photos", 4), draw(tmp_path / "paintings", 3, seed=1), [], [])
    settings = DataSettings(crop=16, resize=20, batch=2)
    held = open_caches(sets, settings, pytest.fail, lambda: False)
    drawn = UnpairedPictures(sets, settings, 3, held)
    for batch in gathering.gathered(drawn, Places(0, 3, batch=2, rank=0, processes=1), CUDA):
        assert batch.photos.dtype == torch.uint8
        assert there(batch, batch.to(CUDA))
    assert gpu.waits == 0


# Painting


def painter(folder: Path, **asked: Any) -> Painter:
    """From a file that the CPU wrote."""
    generator = GeneratorSettings.model_validate({"width": 4, "blocks": 1, "depth": 5} | asked)
    card = PainterCard(direction="unknown", generator=generator, side=None, step=None)
    save_painter(build_generator(generator), card, folder / "painter.safetensors")
    return load_painter(folder / "painter.safetensors", CUDA)


GENERATORS: list[dict[str, Any]] = [
    {},
    {"upsampling": "resize", "residual": True},
    {"kind": "unet", "width": 2},
    {"kind": "unet", "width": 2, "upsampling": "resize"},
]
PAINTERS = [("fp32", GENERATORS[0]), ("fp16", GENERATORS[0]), *(("bf16", generator) for generator in GENERATORS)]


@pytest.mark.parametrize(("precision", "generator"), PAINTERS)
def test_pictures_of_odd_sizes_are_painted_in_every_precision(
    gpu: FakeGpu, tmp_path: Path, generator: dict[str, Any], precision: Any
) -> None:
    ready = painter(tmp_path, **generator).rounded(precision)
    moved, photos = gpu.moved, pictures(2, 37, 50)
    painted = ready(photos)
    assert (painted.shape, painted.dtype) == (photos.shape, torch.float32)
    for keep_colour in (True, False):
        levels = to_levels(blended(photos, painted, 0.7, keep_colour=keep_colour))
        assert there(painted, levels)
        assert levels.shape == (2, 37, 50, 3)
    assert (gpu.waits, gpu.moved) == (0, moved)


def test_a_batch_of_files_is_sent_painted_and_sent_back_without_waiting(gpu: FakeGpu, tmp_path: Path) -> None:
    """Else the GPU would stand still while paintings are written, and photos read."""
    ready, side = painter(tmp_path), (40, 24)
    batch = [SimpleNamespace(photo=SimpleNamespace(picture=Image.new("RGB", side))) for _ in range(3)]
    work = _Paintings(
        ready,
        CUDA,
        Treatment(strength=0.7, keep_colour=True),
        Progress("", 3, unit="pictures", show=False),
        None,
        None,
        pytest.fail,
    )
    gpu.blocked = gpu.moved = 0
    painted = work.together(batch, None)  # type: ignore[arg-type] - of which only the pictures matter here
    assert painted is not None
    assert (painted.levels.shape, painted.levels.device.type) == ((3, 24, 40, 3), "cpu")
    assert painted.there is not None
    assert (gpu.waits, gpu.blocked, gpu.moved) == (0, 0, 3)  # bytes there; bytes, and whether they are numbers, back
    gpu.blocked = 0
    to_images([Image.new("RGB", side)], CUDA).cpu()
    assert gpu.blocked == 1


@pytest.mark.parametrize("generator", GENERATORS[1:3])
def test_pictures_are_painted_in_tiles(gpu: FakeGpu, tmp_path: Path, generator: dict[str, Any]) -> None:
    """Maps that are kept lie in the CPU's memory: reading what a GPU made into a file waits for it."""
    ready = painter(tmp_path, **generator).rounded("bf16")
    parts = list(streamed(ready, Image.new("RGB", (36, 20)), Scratch(tmp_path, 1 << 30), 0))
    assert len(parts) > 1
    assert there([(part.photo, part.painting) for part in parts])
    assert gpu.waits == 0


# Measuring


def test_an_evaluation_looks_at_pictures_where_its_networks_are(gpu: FakeGpu) -> None:
    shallow = {name: one for name, one in whole().items() if name.startswith("Conv2d")}
    vgg, inception, lpips = random_network("vgg19-distilled", deepest="relu3_1"), Inception(shallow, {}), random_lpips()
    assert isinstance(vgg, Vgg)
    eyes = Eyes(vgg.to(CUDA), inception.to(CUDA), lpips.to(CUDA), CUDA)
    rows, seen = eyes.look(torch.rand(2, 3, 64, 48))
    assert rows.shape == (2, sum(eyes.parts.values()))
    assert there(seen.images, seen.features, seen.perceived)
    assert eyes.compare(seen, seen).shape == (2, len(eyes.pair_parts))
    assert open_gauge("random", None, CUDA, "bf16").look(pictures(2, 64)).shape[0] == 2
    assert gpu.waits == 0


@pytest.mark.parametrize("kind", ["squeezenet", "resnet18"])
def test_networks_see_in_bf16_and_tell_in_fp32(gpu: FakeGpu, kind: Any) -> None:
    network = computing_in("bf16", random_network(kind, pooling="average", padding="reflect")).to(CUDA)
    moved, found = gpu.moved, network(pictures(2, 67, 64), network.taps)
    assert there(found)
    assert {one.dtype for one in found.values()} == {torch.float32}
    assert (gpu.waits, gpu.moved) == (0, moved)


MAPS: tuple[colour_control.ColourMap, ...] = ("cholesky", "eigen", "transport")


def test_distances_descriptors_and_colours_are_found_where_pictures_are(gpu: FakeGpu) -> None:
    """The rows of descriptors are then on the CPU; the colours that are matched may have been measured there."""
    photos, others, maps = pictures(2), pictures(2), torch.rand(2, 70, 20, 30, device=CUDA)
    assert there([measure(photos, others) for measure in (truth.psnr, truth.ssim, truth.ciede2000)])
    assert descriptors.gram_matrix(descriptors.gram(maps, descriptors.directions(70)).to(CUDA)).shape == (2, 64, 64)
    moved = gpu.moved
    assert relative_distance(maps, maps).shape == self_similarity(maps, maps).shape == (2,)
    assert gpu.moved == moved + 2  # the numbers alone
    assert there(colour.reinhard(photos, colour.lab_statistics(torch.rand(1, 3, 8, 8))), colour.lab_statistics(photos))
    assert there([colour_control.match_colours(photos, others, how) for how in MAPS])
    assert gpu.waits == 0


# Styling


@pytest.fixture
def no_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autograd computes them on the GPU itself: here they are zeros."""

    def grad(outputs: Tensor, inputs: Any, **asked: Any) -> tuple[Tensor, ...]:
        assert there(outputs)
        return tuple(torch.zeros_like(one) for one in ([inputs] if isinstance(inputs, Tensor) else inputs))

    monkeypatch.setattr(torch.autograd, "grad", grad)
    monkeypatch.setattr(Tensor, "backward", lambda loss: there(loss) or pytest.fail("a loss is on the CPU"))


ORDERS: dict[str, dict[str, Any]] = {
    "gatys": {"optimizer": "lbfgs", "start": "style", "range_weight": 1.0, "resumed": True},
    "gatys in tiles": {"side": 48, "mask": True, "precision": "bf16", "resumed": True},
    "gatys with regions": {"regions": True, "colour": "matched"},
    "statistics": {"target": "nearest", "start": "noise", "variation": "isotropic", "scales": 2},
    "wasserstein": {"target": "mean", "variation": "nine-point"},
    "mmd": {"kernel": "polynomial", "colour": "luminance"},
    "mmd, gaussian": {"kernel": "gaussian"},
    "histogram": {},
    "mrf": {"style_taps": ("relu2_1",)},
    "mdan": {"resumed": True},
    "swag": {"network": "resnet18", "style_taps": ("relu1", "layer2.0"), "content_taps": ("layer1.1",)},
}
SHALLOW = {"style_taps": ("relu1_1", "relu2_1"), "content_taps": ("relu2_1",)}


@pytest.mark.parametrize("named", ORDERS)
@pytest.mark.usefixtures("no_gradients")
def test_every_method_stays_on_the_gpu_and_goes_on_there(
    gpu: FakeGpu, tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """From a photo on the CPU; what is kept of it lies on the CPU when it is gone on with."""
    monkeypatch.setattr(stylizing, "SMALLEST", 32)
    monkeypatch.setattr(gpu, "answers", True)  # losses are relative to sizes above 0, and finite
    monkeypatch.setattr(FakeTensor, "numpy", lambda tensor: np.ones(tuple(tensor.shape)))
    asked: dict[str, Any] = {"network": "vgg19-distilled", "target": "random"} | SHALLOW | ORDERS[named]
    side, masked, in_regions, _ = (asked.pop(name, None) for name in ("side", "mask", "regions", "resumed"))
    wanted = StylingSettings.model_validate(asked | {"method": named.split()[0].strip(","), "steps": 2})
    workshop = prepare(wanted, [draw(tmp_path, 2, size=(56, 50))[0].parent], CUDA, random=True, show=False).workshop
    photo = torch.rand(1, 3, 48, 64) * 2 - 1
    chosen = workshop.gallery.choose(workshop.wanted.target or "one", 1, lambda: workshop.describe(photo))
    half = torch.arange(64)[None].expand(48, 64) // 32
    regions = tuple(Regions(((0, 0, 0), (9, 9, 9)), labels) for labels in (half, half[:42, 4:60]))
    mask = half[None, None].float() if masked else None
    order = Order(photo, chosen, 1, mask, (regions[0], regions[1]) if in_regions else None)
    orders = [order] if masked or in_regions or wanted.optimizer == "lbfgs" else [order, order]
    kept: list[dict[str, Tensor]] = []
    made = stylize(workshop, orders, side, lambda moment: kept.append(moment.remembered()))
    assert made.images.shape == (len(orders), 3, 48, 64)
    assert there(made.images)
    if "resumed" in ORDERS[named]:
        state = {name: torch.zeros(one.shape, dtype=one.dtype) for name, one in kept[0].items()}
        assert there(stylize(workshop, orders, side, lambda moment: None, state).images)


@pytest.mark.parametrize("named", [name for name in ORDERS if name not in {"gatys in tiles", "gatys with regions"}])
@pytest.mark.usefixtures("no_gradients")
def test_an_objective_is_not_waited_for(
    gpu: FakeGpu, tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setattr(gpu, "answers", True)
    asked: dict[str, Any] = {"network": "vgg19-distilled"} | SHALLOW | ORDERS[named]
    asked = {name: one for name, one in asked.items() if name != "resumed"} | {"target": None}
    wanted = StylingSettings.model_validate(asked | {"method": named.split()[0].strip(",")})
    workshop = prepare(wanted, draw(tmp_path, 1, size=(56, 50)), CUDA, random=True, show=False).workshop
    photo = pictures(1, 48, 64)
    chosen = workshop.gallery.choose("one", 1, lambda: workshop.describe(photo))
    order = Order(photo, chosen, 1)
    objective = workshop.objective([order], photo, [workshop.companions(order)], None)
    objective(photo)
    waits, moved = gpu.waits, gpu.moved
    assert there(objective(photo).total)
    drawn = 2 if named == "mmd, gaussian" else 0  # positions, by the processor: of two maps
    assert (gpu.waits, gpu.moved) == (waits, moved + drawn)


def test_lbfgs_waits_once_for_every_evaluation_and_for_every_step(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers that it asks for are those of the same way on the CPU, and the pictures do not go there."""
    numbers: list[Any] = []
    asked = {name: getattr(Tensor, name) for name in ("item", "tolist", "__bool__")}
    begin = torch.rand(1, 3, 8, 8)
    steps: list[int] = []

    def bowl(images: Tensor) -> Evaluation:
        slopes = torch.linspace(1, 50, 64, device=images.device).view(8, 8)
        return Evaluation({"bowl": (slopes * images.square() / 2).flatten(1).sum(1)}, slopes * images)

    def answer(name: str) -> Callable[[Tensor], Any]:
        def read(tensor: Tensor) -> Any:
            if isinstance(tensor, FakeTensor):
                gpu.waits += 1
                return numbers.pop(0)
            numbers.append(asked[name](tensor))
            return numbers[-1]

        return read

    for name in asked:
        monkeypatch.setattr(Tensor, name, answer(name))
    monkeypatch.setattr(FakeTensor, "tolist", answer("tolist"))
    for device in ("cpu", "cuda"):
        steps.clear()
        found, _ = descent.lbfgs(
            begin.to(device), bowl, 30, lambda step: steps.append(step.number), history=5, state=None
        )
    assert there(found)
    assert not numbers
    assert 3 < len(steps) <= steps[-1]
    assert gpu.waits <= steps[-1] + len(steps) + 2
