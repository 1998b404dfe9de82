"""What stylizing takes: how far each optimiser gets in 300 evaluations, memory with and without tiles, batches.

    python scripts/benchmarks/stylize.py --photo tubingen.jpg --style starry_night.jpg --weights DIR

Times are told as ratios of runs that took turns (A B A B); memory is the peak of a process of its own, with the program
and the weights, and without what the same process takes before it begins.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import torch
from turns import as_the_program_runs, settle

from cyclestyle.footprint import peak_memory
from cyclestyle.images import Images, load, to_images
from cyclestyle.styling.descent import Step, adam
from cyclestyle.styling.gallery import Chosen, scaled
from cyclestyle.styling.memory import estimate
from cyclestyle.styling.objective import Evaluation
from cyclestyle.styling.preparing import prepare
from cyclestyle.styling.recipes import StylingSettings
from cyclestyle.styling.stylizing import Moment, stylize
from cyclestyle.styling.tiles import whole_or_tiled
from cyclestyle.styling.workshop import Order, Workshop

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def workshop_for(arguments: argparse.Namespace, **asked: object) -> Workshop:
    """With the one style that was given."""
    wanted = StylingSettings.model_validate({"network": arguments.network, "size": None} | asked)
    return prepare(wanted, [arguments.style], DEVICE, weights=arguments.weights, show=False).workshop


def photo(arguments: argparse.Namespace, longest: int, *, square: bool = False) -> Images:
    """The photo, its longer side so many pixels; enlarged if it must be."""
    picture = load(arguments.photo)
    if square:
        return to_images([picture.resize((longest, longest))])
    if max(picture.size) < longest:
        ratio = longest / max(picture.size)
        picture = picture.resize((round(picture.width * ratio), round(picture.height * ratio)))
    return to_images([scaled(picture, longest)])


def order(images: Images, key: int = 0) -> Order:
    return Order(images, Chosen((0,), (1.0,)), key)


def descents(arguments: argparse.Namespace) -> list[str]:
    """Style loss alone, from the photo, 256 pixels, 300 evaluations."""
    lines = [
        "| optimizer | evaluations | style loss left after 100 | after 300 | seconds |",
        "|---|---:|---:|---:|---:|",
    ]
    for optimizer in ("lbfgs", "lbfgsb", "adam"):
        workshop = workshop_for(arguments, optimizer=optimizer, content_weight=0.0, variation_weight=0.0, steps=300)
        curve: dict[int, float] = {}

        def told(moment: Moment, curve: dict[int, float] = curve) -> None:
            curve[moment.done] = moment.step.evaluation.total.item()

        begun = time.perf_counter()
        made = stylize(workshop, [order(photo(arguments, 256))], None, told)
        seconds = time.perf_counter() - begun
        first = sum(part.item() for part in made.first.values())
        left = [min(value for done, value in curve.items() if done <= until) / first for until in (100, 300)]
        lines.append(f"| {optimizer} | {made.evaluations} | {left[0]:.3%} | {left[1]:.3%} | {seconds:.0f} |")
        print(lines[-1], flush=True)
    return lines


def peak(arguments: argparse.Namespace, tile: int) -> dict[str, float]:
    """In this process: the memory that an objective and its gradient took; the gradient is kept."""
    workshop = workshop_for(arguments)
    images = photo(arguments, 1536, square=True).to(DEVICE)
    told = estimate(workshop, 1, (1536, 1536), tile or None)
    before = peak_memory()
    objective = workshop.objective([order(images)], images, [{}], tile or None)
    found = whole_or_tiled(objective, tile or None, images)
    after = peak_memory()
    torch.save(found.gradient, arguments.keep / f"{tile}.pt")
    if DEVICE.type == "cuda":
        before, after = 0, torch.cuda.max_memory_allocated()
    return {"before": before, "after": after, "loss": found.total.item(), "told": told}


def tiles(arguments: argparse.Namespace) -> list[str]:
    """1536 x 1536, whole and in tiles, each in a process of its own."""
    lines = [
        "| 1536 x 1536, one evaluation | peak GB | without the program | as estimated | loss | gradient off by |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for tile in (0, 512, 256):
        words = [sys.executable, __file__, *sys.argv[1:], "--peak", str(tile)]
        found = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
        whole, here = (torch.load(arguments.keep / f"{side}.pt", weights_only=True) for side in (0, tile))
        apart = ((whole - here).abs().max() / whole.abs().max()).item()
        name = f"tiles of {tile}" if tile else "whole"
        grown = (found["after"] - found["before"]) / 1e9
        lines.append(
            f"| {name} | {found['after'] / 1e9:.2f} | {grown:.2f} | {found['told'] / 1e9:.2f} | {found['loss']:.7g} "
            f"| {apart:.1e} of the largest |"
        )
        print(lines[-1], flush=True)
    return lines


def batches(arguments: argparse.Namespace) -> list[str]:
    """Photos together and one by one, in turns."""
    longest, count, turns = 128, 8, 4
    workshop = workshop_for(arguments, steps=10)
    images = [photo(arguments, longest).roll(17 * shift, dims=-1) for shift in range(count)]
    orders = [order(one, key) for key, one in enumerate(images)]
    times: dict[str, list[float]] = {"together": [], "alone": []}
    found: dict[str, Images] = {}
    for _ in range(turns):
        for way, groups in (("together", [orders]), ("alone", [[one] for one in orders])):
            begun = time.perf_counter()
            made = [stylize(workshop, group, None, lambda moment: None).images for group in groups]
            settle()
            times[way].append(time.perf_counter() - begun)
            found[way] = torch.cat(made)
    apart = (found["together"] - found["alone"]).abs().max().item()
    ratio = median(alone / one for alone, one in zip(times["alone"], times["together"], strict=True))
    return [
        f"{count} photos of {longest} pixels, 10 steps of adam, {turns} turns: alone takes {ratio:.2f} times as long "
        f"as together; largest difference of a value in [-1, 1]: {apart:.1e}."
    ]


def loops(arguments: argparse.Namespace) -> list[str]:
    """What the optimiser itself costs beside the objective."""
    workshop = workshop_for(arguments, steps=10)
    images = photo(arguments, 256).to(DEVICE)
    objective = workshop.objective([order(images)], images, [{}], None)
    spent = [0.0]

    def timed(at: Images) -> Evaluation:
        settle()
        begun = time.perf_counter()
        found = objective(at)
        settle()
        spent[0] += time.perf_counter() - begun
        return found

    def seen(step: Step) -> None:
        pass

    adam(images, objective, 1, seen, rate=0.04, state=None)  # its first step imports what it needs
    begun = time.perf_counter()
    adam(images, timed, 10, seen, rate=0.04, state=None)
    whole = time.perf_counter() - begun
    return [f"Of a step of adam at 256 pixels, {1 - spent[0] / whole:.1%} is not the objective."]


def main() -> None:
    as_the_program_runs()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--style", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--network", default="vgg19")
    parser.add_argument("--only", choices=("descents", "tiles", "batches", "loops"))
    parser.add_argument("--keep", type=Path, default=Path("runs/benchmark-stylize"))
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.keep.mkdir(parents=True, exist_ok=True)
    if arguments.peak is not None:
        print(json.dumps(peak(arguments, arguments.peak)))
        return
    machine = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"{platform.machine()} processor"
    print(f"{machine}, {torch.get_num_threads()} threads of {os.cpu_count()} cores, torch {torch.__version__}\n")
    for part in (descents, tiles, batches, loops):
        if arguments.only in {None, part.__name__}:
            print(f"\n## {(part.__doc__ or '').strip()}\n\n" + "\n".join(part(arguments)), flush=True)


if __name__ == "__main__":
    main()
