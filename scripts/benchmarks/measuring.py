"""What measuring and style transfer take, beside the plain way of doing each.

    python scripts/benchmarks/measuring.py --threads 2 --rounds 5
    python scripts/benchmarks/measuring.py --only descents --photo PHOTO --style PAINTING --weights DIR

Networks have random weights, which take as long as others, but for `descents`.
"""

import argparse
import copy
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torchvision.models.inception import BasicConv2d, Inception3
from turns import as_the_program_runs, hardware, settle, take_turns, waited

from cyclestyle.data.inspection import each
from cyclestyle.evaluation.eyes import Eyes, columns, exactly
from cyclestyle.evaluation.frechet import frechet
from cyclestyle.evaluation.looking import one_thread
from cyclestyle.images import Images, Picture, load, to_images, to_pictures
from cyclestyle.networks.extractors import random_network
from cyclestyle.networks.fewer_products import pays, quickest
from cyclestyle.networks.inception import BRANCHES, CLASSES, SIDE, Block, Inception
from cyclestyle.networks.lpips import random_lpips
from cyclestyle.networks.precision import computing_in, full_fp32
from cyclestyle.networks.vgg import Vgg, random_vgg
from cyclestyle.styling.descent import Step, adam, lbfgs
from cyclestyle.styling.gallery import Chosen, Gallery, scaled
from cyclestyle.styling.objective import Evaluation, Objective
from cyclestyle.styling.preparing import prepare
from cyclestyle.styling.recipes import VGG_LAYERS, StylingSettings
from cyclestyle.styling.workshop import Order, Workshop

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def off(found: Tensor, expected: Tensor) -> float:
    """Relative error in the norm."""
    return ((found - expected).norm() / expected.norm()).item()


def extractor(arguments: argparse.Namespace) -> list[str]:
    """Inception, 299 x 299, 8 pictures: torchvision's modules in NCHW, and ours"""
    ours, plain = inceptions()
    ours = quickest(ours, DEVICE)
    laid = "plain layout" if DEVICE.type == "cuda" else "channels_last"
    images = torch.rand(8, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(DEVICE) * 2 - 1
    networks = {"plain: convolution, batch norm, ReLU; NCHW": plain, f"ours: folded, {laid}": ours}
    if arguments.bf16:
        half = computing_in("bf16", copy.deepcopy(ours))
        networks["ours in bf16"] = half.to(memory_format=torch.channels_last)

    def see(network: Callable[..., dict[int, Tensor]]) -> Tensor:
        with exactly():
            return network(images, (2048,))[2048]

    ways = {name: waited(lambda network=network: see(network)) for name, network in networks.items()}
    if DEVICE.type == "cpu":
        ways["ours, as `evaluate` looks: side by side"] = lambda: beside(
            lambda image: ours(image, (2048,)), images, arguments.threads
        )
    if arguments.compile:
        fast = torch.compile(lambda images: ours(images, (2048,))[2048], options={"freezing": True})

        def see_fast() -> Tensor:
            with torch.no_grad(), full_fp32():
                return fast(images)

        ways["ours, compiled and frozen"] = waited(see_fast)
        networks["ours, compiled and frozen"] = lambda images, levels: {2048: see_fast()}  # type: ignore[assignment]
    found = take_turns(ways, arguments.rounds)
    apart = [f"{name}: features off by {off(see(one), see(plain)):.1e}" for name, one in networks.items()]
    return [*found.table(next(iter(ways))), "", "; ".join(apart[1:]) + "."]


def beside(see: Callable[[Images], object], images: Images, threads: int) -> None:
    """Each picture in one thread, as many side by side as there are threads."""

    def look(image: Images) -> None:
        with exactly():
            see(image)

    with one_thread():
        for _ in each(look, images.split(1), threads=threads):
            pass


def looks(arguments: argparse.Namespace) -> list[str]:
    """All that `evaluate` computes of a picture, 256 x 256: VGG-19, Inception, LPIPS; 8 pictures side by side"""
    inception, simple = inceptions()
    vgg, lpips = random_vgg().to(DEVICE), random_lpips().to(DEVICE)
    ours = Eyes(
        quickest(copy.deepcopy(vgg), DEVICE),
        quickest(copy.deepcopy(inception), DEVICE),
        quickest(copy.deepcopy(lpips), DEVICE),
        DEVICE,
    )
    for network in (vgg, lpips):
        network.to(memory_format=torch.contiguous_format)
    plain = Eyes(vgg, simple, lpips, DEVICE)
    images = torch.rand(8, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ways = {
        name: (lambda eyes=eyes: beside(eyes.look, images, arguments.threads))
        if DEVICE.type == "cpu"
        else waited(lambda eyes=eyes: eyes.look(images))
        for name, eyes in (("plain: NCHW", plain), ("ours", ours))
    }
    vectors = [eyes.look(images[:1])[0] for eyes in (plain, ours)]
    table = take_turns(ways, arguments.rounds).table("plain: NCHW")
    exact = copy.deepcopy(vgg).double()
    rounded = [f"{name} {roundings(eyes.vgg, exact, images[:1])}" for name, eyes in (("plain", plain), ("ours", ours))]
    told = f"Vectors are {off(vectors[1], vectors[0]):.1e} apart. Parts of VGG-19's off float64: {'; '.join(rounded)}."
    return [*table, "", told]


def roundings(vgg: Vgg, exact: Vgg, images: Images) -> str:
    """How far the parts of what is seen are from those of a network in float64: the farthest, and the deepest means."""
    eyes = Eyes(vgg, None, None, DEVICE)
    found, true = eyes.look(images)[0], Eyes(exact, None, None, DEVICE).look(images.double())[0]
    parts = {name: off(found[:, where], true[:, where]) for name in eyes.parts for where in [columns(eyes.parts, name)]}
    farthest, level = max(parts, key=lambda name: parts[name]), f"level/{eyes.levels[-1]}"
    return f"{parts[farthest]:.1e} at most ({farthest}), {level} {parts[level]:.1e}"


def inceptions() -> tuple[Inception, Inception]:
    """Ours, and the same network with torchvision's modules where ours has folded ones."""
    torch.manual_seed(0)
    like = Inception3(num_classes=CLASSES, aux_logits=False, init_weights=False).eval().requires_grad_(False)
    for module in like.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None
            assert module.running_mean is not None
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
    ours = Inception(like.state_dict(), {})
    plain = copy.deepcopy(ours).to(memory_format=torch.contiguous_format)
    plain.at_once = 1 << 30
    for name in plain.blocks:
        units = {
            key.rpartition(".")[2]: unit
            for key, unit in like.named_modules()
            if isinstance(unit, BasicConv2d) and key.partition(".")[0] == name
        }
        plain.blocks[name] = Block(BRANCHES.get(name, ((name,),)), units)
    return ours.to(DEVICE), plain.to(DEVICE)


def distances(arguments: argparse.Namespace) -> list[str]:
    """Frechet distance of 300 against 7,038 rows of 2,048: covariances and SciPy's root of their product, and ours"""
    chances = np.random.default_rng(0)
    mixing = (
        chances.standard_normal((2048, 2048)) * np.arange(1, 2049) ** -0.5 / 45
    )  # few directions hold most, as real ones
    one, two = ((chances.standard_normal((count, 2048)) @ mixing.T).astype(np.float32) for count in (300, 7038))
    two += 0.1
    found: dict[str, float] = {}
    roots: dict[str, list[float]] = {"SciPy's, of the product of covariances": [], "ours, of the product of rows": []}
    theirs, own = roots.values()

    def plain() -> None:
        first, second = (np.cov(rows.astype(np.float64), rowvar=False) for rows in (one, two))
        product = first @ second
        begun = time.perf_counter()
        root = np.asarray(sqrtm(product)).real
        theirs.append(time.perf_counter() - begun)
        shift = one.mean(0, dtype=np.float64) - two.mean(0, dtype=np.float64)
        found["plain"] = shift @ shift + np.trace(first) + np.trace(second) - 2 * np.trace(root)

    def ours() -> None:
        found["ours"] = frechet(one, two)

    def rooted() -> None:
        few, many = (torch.from_numpy(rows).double() for rows in (one, two))
        products = (many - many.mean(0)) @ (few - few.mean(0)).mT
        begun = time.perf_counter()
        torch.linalg.svdvals(torch.linalg.qr(products, mode="r").R).sum()
        own.append(time.perf_counter() - begun)

    timed = take_turns(
        {"covariances, sqrtm": plain, "ours: singular values of 300 rows": ours}, min(arguments.rounds, 3)
    )
    for _ in theirs:
        rooted()
    apart = abs(found["ours"] / found["plain"] - 1)
    alone = ", ".join(f"{name}: {1e3 * median(seconds):.4g} ms" for name, seconds in roots.items())
    return [
        *timed.table("covariances, sqrtm"),
        "",
        f"The root alone, {alone}: {median(theirs) / median(own):.0f} times as fast.",
        f"Distances {found['plain']:.9g} and {found['ours']:.9g}: {apart:.1e}.",
    ]


def deep(side: int, *, plain: bool = False, **asked: object) -> tuple[Objective, Images]:
    """Gatys' objective: VGG-19 to relu5_1, five Gram matrices, content at relu4_2."""
    wanted = StylingSettings.model_validate({"network": "vgg19", "size": None} | asked)
    network = random_network("vgg19", deepest="relu5_1", padding="zeros").to(DEVICE)
    if plain:
        network = network.to(memory_format=torch.contiguous_format)
    network = computing_in(wanted.precision, network)
    network = network if plain else quickest(network, DEVICE)
    generator = torch.Generator().manual_seed(1)
    photo, style = (torch.rand(1, 3, 8, 8, generator=generator) * 2 - 1 for _ in range(2))
    photo, style = (nn.functional.interpolate(one, (side, side), mode="bicubic").clamp(-1, 1) for one in (photo, style))
    workshop = Workshop(wanted, network, VGG_LAYERS, _Drawn([Path("drawn")], [1.0], style), DEVICE)
    photo = photo.to(DEVICE)
    return workshop.objective([Order(photo, Chosen((0,), (1.0,)), 0)], photo, [{}], None), photo


class _Drawn(Gallery):
    """One painting that is no file."""

    def __init__(self, paths: list[Path], shares: list[float], drawn: Images) -> None:
        super().__init__(paths, shares)
        self.drawn = drawn

    def picture(self, place: int, longest: int) -> Picture:
        return to_pictures(self.drawn)[0]


def gatys(arguments: argparse.Namespace) -> list[str]:
    """An evaluation of Gatys et al.'s objective and its gradient, VGG-19 to relu5_1, 256 x 256"""
    laid = "channels_last, winograd" if pays(DEVICE) else "channels_last"
    ours = "ours: all bits of fp32" if DEVICE.type == "cuda" else f"ours: {laid}"
    objectives = {"plain: NCHW": deep(256, plain=True), ours: deep(256)}
    if arguments.bf16:
        objectives["ours in bf16"] = deep(256, precision="bf16")
    starts = {name: images + 0.1 * torch.randn_like(images) for name, (_, images) in objectives.items()}
    start = starts["plain: NCHW"]
    ways = {name: waited(lambda one=one: one(start)) for name, (one, _) in objectives.items()}
    timed = take_turns(ways, arguments.rounds)
    first = objectives["plain: NCHW"][0](start)
    apart = []
    for name, (objective, _) in list(objectives.items())[1:]:
        found = objective(start)
        loss = abs(found.total.item() / first.total.item() - 1)
        apart.append(f"{name}: loss off by {loss:.1e}, gradient by {off(found.gradient, first.gradient):.1e}")
    return [*timed.table("plain: NCHW"), "", "; ".join(apart) + "."]


def bowl(side: int) -> Callable[[Images], Evaluation]:
    """A cheap objective with many curvatures, and no quadratic."""
    curvature = torch.logspace(0, 3, 3 * side * side, device=DEVICE).view(1, 3, side, side)

    def evaluate(images: Images) -> Evaluation:
        slope = curvature * images
        return Evaluation({"bowl": (slope * images).sum()[None] / 2 + images.pow(4).sum()}, slope + 4 * images.pow(3))

    return evaluate


def with_torch(images: Images, evaluate: Callable[[Images], Evaluation], steps: int, history: int) -> None:
    """torch's L-BFGS, with the same line search's conditions; its gradient scaled as its bounds ask for."""
    leaf = images.clone()
    scale = 1 / evaluate(leaf).gradient.abs().mean().item()
    optimizer = torch.optim.LBFGS(
        [leaf],
        max_iter=steps,
        max_eval=steps,
        history_size=history,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        found = evaluate(leaf)
        leaf.grad = found.gradient * scale
        return found.total.item() * scale

    optimizer.step(closure)


def optimisers(arguments: argparse.Namespace) -> list[str]:
    """What optimisers take beside the objective, 256 x 256: milliseconds for each evaluation"""
    steps, images, cheap = 60, torch.full((1, 3, 256, 256), 0.5, device=DEVICE), bowl(256)
    objective, photo = deep(256)
    evaluate = waited(lambda: objective(photo))
    evaluate()
    begun = time.perf_counter()
    for _ in range(4):
        evaluate()
    whole = (time.perf_counter() - begun) / 4
    lines = [
        "| optimiser | torch's | ours | times as fast | share of a step of Gatys |",
        "|---|---:|---:|---:|---:|",
    ]

    def own(descend: Callable[[Callable[[Images], Evaluation]], object]) -> float:
        """Seconds for each evaluation, less the evaluations."""
        spent, count = 0.0, 0

        def timed(at: Images) -> Evaluation:
            nonlocal spent, count
            settle()  # for what the optimiser has begun
            begun = time.perf_counter()
            found = cheap(at)
            settle()
            spent, count = spent + time.perf_counter() - begun, count + 1
            return found

        begun = time.perf_counter()
        descend(timed)
        return (time.perf_counter() - begun - spent) / count

    def unheard(step: Step) -> None:
        """Nobody listens."""

    for history in (10, 20, 100):
        pairs = []
        for _ in range(arguments.rounds):
            theirs = own(lambda evaluate: with_torch(images, evaluate, steps, history))  # noqa: B023
            ours = own(lambda evaluate: lbfgs(images, evaluate, steps, unheard, history=history, state=None))  # noqa: B023
            pairs.append((theirs, ours))
        theirs, ours = (1e3 * median(column) for column in zip(*pairs, strict=True))
        ratio = median(one / other for one, other in pairs)
        share = ours / (ours + 1e3 * whole)
        lines.append(f"| L-BFGS, {history} steps remembered | {theirs:.2f} | {ours:.2f} | {ratio:.2f} | {share:.2%} |")
    found = [own(lambda evaluate: adam(images, evaluate, steps, unheard, rate=0.04, state=None)) for _ in range(3)]
    ours = 1e3 * median(found)
    lines.append(f"| Adam | | {ours:.2f} | | {ours / (ours + 1e3 * whole):.2%} |")
    return [*lines, "", f"An evaluation of Gatys et al.'s objective took {1e3 * whole:.0f} ms."]


def descents(arguments: argparse.Namespace) -> list[str]:
    """How far L-BFGS comes: what is left of the objective at the photo"""
    if None in {arguments.photo, arguments.style, arguments.weights}:
        return ["Left out: give --photo, --style and --weights."]
    lines = [
        "| objective | L-BFGS | after 10 | 25 | 50 | 100 evaluations |",
        "|---|---|---:|---:|---:|---:|",
    ]
    kinds = {
        "Gram matrices, content, variation": {},
        "Gram matrices alone": {"content_weight": 0.0, "variation_weight": 0.0},
        "Wasserstein": {"method": "wasserstein"},
    }
    for name, asked in kinds.items():
        wanted = StylingSettings.model_validate({"network": "vgg19", "size": None} | asked)
        workshop = prepare(wanted, [arguments.style], DEVICE, weights=arguments.weights, show=False).workshop
        photo = to_images([scaled(load(arguments.photo), 192)]).to(DEVICE)
        objective = workshop.objective([Order(photo, Chosen((0,), (1.0,)), 0)], photo, [{}], None)
        for whose in ("torch's", "ours"):
            values: list[float] = []

            def heard(at: Images, values: list[float] = values, objective: Objective = objective) -> Evaluation:
                found = objective(at)
                values.append(found.total.item())
                return found

            if whose == "ours":
                lbfgs(photo, heard, 100, lambda step: None, history=20, state=None)
            else:
                with_torch(photo, heard, 101, 20)
                del values[0]  # the first is asked for twice
            left = " | ".join(f"{min(values[:count]) / values[0]:.4%}" for count in (10, 25, 50, 100))
            lines.append(f"| {name} | {whose} | {left} |")
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    as_the_program_runs()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="also compiled, which takes a minute before")
    parser.add_argument("--bf16", action="store_true", help="also where the processor only imitates it")
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--style", type=Path)
    parser.add_argument("--weights", type=Path)
    parts = {part.__name__: part for part in (extractor, looks, distances, gatys, optimisers, descents)}
    parser.add_argument("--only", choices=tuple(parts))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{hardware()}, {os.cpu_count()} cores")
    for name, part in parts.items():
        if arguments.only in {None, name}:
            print(f"\n## {(part.__doc__ or '').strip()}\n\n" + "\n".join(part(arguments)), flush=True)


if __name__ == "__main__":
    main()
