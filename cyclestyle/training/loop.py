"""The story of a run."""

import time
import warnings
from collections.abc import Iterator

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list

from cyclestyle.config import ComputeSettings, Settings
from cyclestyle.data.folders import Sets, find_sets
from cyclestyle.data.unpaired import Batch, Places, UnpairedPictures, build_loader
from cyclestyle.images import Images, fit, load, to_images
from cyclestyle.launch import must_be_together, wants_cpu
from cyclestyle.networks.painter import PainterCard, save_painter
from cyclestyle.progress import Progress
from cyclestyle.runs import RunFolder, open_run
from cyclestyle.training.checkpoints import last_checkpoint, save_checkpoint
from cyclestyle.training.journal import Journal, sample_sheet
from cyclestyle.training.learner import Learner
from cyclestyle.training.schedule import Schedule, plan


def learn(settings: Settings) -> RunFolder:
    """Train to the end of the schedule, from the last checkpoint if there is one. Returns the run's folder."""
    accelerator = _accelerator(settings.compute)
    sets = find_sets(settings.data)
    run = _open(settings, sets, accelerator)
    learner = Learner(settings, accelerator)
    schedule = plan(settings.schedule, len(sets.photos), learner.pairs)
    checkpoint = last_checkpoint(run.checkpoints, accelerator.print)
    if checkpoint is not None:
        learner.restore(checkpoint)
        _hand_over(run, learner)  # a process that was killed may have saved the one and not the other
    accelerator.print(_opening(settings, sets, schedule, learner, accelerator))
    if learner.step < schedule.steps:
        _go_through(run, learner, sets, schedule)
    accelerator.print(f"finished: {schedule.steps:,} steps; painter {run.painter()}, samples {run.sample(0).parent}")
    accelerator.end_training()
    return run


def _accelerator(compute: ComputeSettings) -> Accelerator:
    # The successor of `broadcast_buffers` does something else; Accelerate does not know it yet.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated", category=FutureWarning)
    accelerator = Accelerator(
        cpu=wants_cpu(),
        mixed_precision=compute.mixed_precision,
        gradient_accumulation_steps=compute.accumulate,
        # No network has statistics to share; spectral norm's vectors follow from the weights.
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    must_be_together(accelerator.num_processes)
    if compute.mixed_precision == "fp16" and accelerator.scaler is None:
        raise ValueError("fp16 needs a GPU; give --compute.mixed-precision bf16 or no")
    return accelerator


def _open(settings: Settings, sets: Sets, accelerator: Accelerator) -> RunFolder:
    """The main process opens the folder; what it refuses, all refuse."""
    refusal: list[str | None] = [None]
    if accelerator.is_main_process:
        try:
            open_run(settings, sets)
        except (ValueError, OSError) as error:
            refusal = [str(error)]
    broadcast_object_list(refusal)
    if refusal[0] is not None:
        raise ValueError(refusal[0])
    return RunFolder(settings.run)


def _opening(settings: Settings, sets: Sets, schedule: Schedule, learner: Learner, accelerator: Accelerator) -> str:
    """The first line that people see."""
    begin = f"going on at step {learner.step:,} of" if learner.step else "training for"
    return (
        f"{begin} {schedule.steps:,} steps on {len(sets.photos):,} photos and {len(sets.paintings):,} paintings "
        f"at {settings.data.crop} px, {accelerator.num_processes} x {accelerator.device.type}, "
        f"precision {'fp32' if settings.compute.mixed_precision == 'no' else settings.compute.mixed_precision}; "
        f"everything goes to {settings.run}"
    )


def _go_through(run: RunFolder, learner: Learner, sets: Sets, schedule: Schedule) -> None:
    """Every step that is left."""
    settings, accelerator, report = learner.settings, learner.accelerator, learner.settings.report
    main = accelerator.is_main_process
    samples = _sample_pictures(sets, settings, accelerator) if main else None
    journal = Journal(run, start=learner.step, complain=accelerator.print) if main else None
    began, begun_at = time.monotonic(), learner.step
    pairs = learner.pairs
    batches = _batches(learner, sets, schedule)

    with Progress("training", schedule.steps, unit="steps", done=learner.step, show=main) as progress:
        while learner.step < schedule.steps:
            factor = schedule.factor(learner.step)
            learner.take_step(batches, factor)
            step, last = learner.step, learner.step == schedule.steps

            if step % report.log_every == 0 or last:
                rate = (step - begun_at) * pairs / (time.monotonic() - began)
                began, begun_at = time.monotonic(), step
                losses = learner.means.take(lambda values: accelerator.reduce(values, reduction="mean"))
                if journal is not None:
                    facts = {
                        "epoch": step * pairs / len(sets.photos),
                        "learning_rate": settings.optimizer.learning_rate * factor,
                        "pairs_per_second": rate,
                    }
                    journal.write(step, losses | facts)
                progress.advance(0, note=_summary(losses))
            if journal is not None and samples is not None and (step % report.sample_every == 0 or last):
                paint, unpaint = (learner.averages[name].network for name in ("paint", "unpaint"))
                journal.show(step, sample_sheet(paint, unpaint, *samples))
            if step % report.checkpoint_every == 0 or last:
                _save(run, learner)
            progress.advance()
    if journal is not None:
        journal.close()


def _summary(losses: dict[str, float]) -> str:
    """Three numbers for the progress line: how well the fakes do, and how well round trips end."""
    fool = losses["fool/painting"] + losses["fool/photo"]
    judged = sum(value for name, value in losses.items() if name.startswith(("real/", "fake/")))
    return f"fool {fool:.2f} judge {judged:.2f} cycle {losses['cycle/photo'] + losses['cycle/painting']:.2f}"


def _batches(learner: Learner, sets: Sets, schedule: Schedule) -> Iterator[Batch]:
    """This process's batches from the learner's step to the end."""
    settings, accelerator = learner.settings, learner.accelerator
    passes = settings.compute.accumulate
    places = Places(
        learner.step * passes,
        schedule.steps * passes,
        batch=settings.data.batch,
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
    )
    pictures = UnpairedPictures(sets, settings.data, settings.seed)
    return iter(build_loader(pictures, places, settings.data, pin=accelerator.device.type == "cuda"))


def _sample_pictures(sets: Sets, settings: Settings, accelerator: Accelerator) -> tuple[Images, Images] | None:
    """The same photos and paintings every time: spread over the test set, or over the training set if there is none.

    None if one of them cannot be read: samples are for looking, and can never stop a run.
    """
    both = sets.test_photos or sets.photos, sets.test_paintings or sets.paintings
    count = min(settings.report.samples, *map(len, both))
    try:
        chosen = [
            to_images(
                [fit(load(pictures[index * len(pictures) // count]), settings.data.crop) for index in range(count)]
            )
            for pictures in both
        ]
    except (ValueError, OSError) as error:
        accelerator.print(f"no samples will be shown: {error}")
        return None
    return chosen[0].to(accelerator.device), chosen[1].to(accelerator.device)


def _save(run: RunFolder, learner: Learner) -> None:
    """A checkpoint for us, and the two painters for users. Raises ValueError if there is nothing worth saving."""
    accelerator, settings = learner.accelerator, learner.settings
    if not learner.is_finite():  # all processes hold the same weights, so all come to the same
        raise ValueError(
            f"the weights are no longer finite numbers at step {learner.step:,}; the checkpoints before it are kept; "
            "lower --optimizer.learning-rate, or give --compute.mixed-precision no, and choose another --run"
        )
    save_checkpoint(
        run.checkpoints,
        learner.step,
        learner.tensors(),
        learner.facts(),
        keep=settings.report.keep,
        main=accelerator.is_main_process,
        barrier=accelerator.wait_for_everyone,
    )
    _hand_over(run, learner)


def _hand_over(run: RunFolder, learner: Learner) -> None:
    """The two painters, with averaged weights."""
    settings = learner.settings
    if learner.accelerator.is_main_process:
        for name, direction in (("paint", "photo to painting"), ("unpaint", "painting to photo")):
            card = PainterCard(
                direction=direction, generator=settings.generator, side=settings.data.crop, step=learner.step
            )
            save_painter(learner.averages[name].network, card, run.painter(back=name == "unpaint"))


def parameters_agree(learner: Learner) -> bool:
    """Whether all processes hold the same weights, to the bit."""
    sums = torch.stack([_checksum(p) for net in learner.bare for p in net.parameters()])
    gathered = learner.accelerator.gather(sums[None])
    return bool((gathered == gathered[0]).all())


def _checksum(parameter: torch.Tensor) -> torch.Tensor:
    """A whole number that depends on every bit and its place."""
    bits = parameter.detach().contiguous().view(torch.int32).flatten().long()
    return (bits * torch.arange(1, len(bits) + 1, device=bits.device)).sum()
