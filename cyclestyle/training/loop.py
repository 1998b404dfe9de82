"""A run from its folder to its painter: opened, gone on with, told (story.py), handed over."""

import os
import time
import warnings
from contextlib import ExitStack, nullcontext, suppress

import torch
import torch.utils.deterministic
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from cyclestyle.config import ComputeSettings, EvaluationSettings, Settings, seconds
from cyclestyle.data.folders import Sets, find_roots, require_apart
from cyclestyle.data.loaders import require_workers
from cyclestyle.evaluation.gauge import Gauge, open_gauge
from cyclestyle.files import reason, write_text, writing_to
from cyclestyle.launch import must_be_together, restarts_may_hang, wants_cpu
from cyclestyle.networks.precision import knows
from cyclestyle.processes import Processes
from cyclestyle.runs import RunFolder, held_run, write_provenance
from cyclestyle.settings import contradictions, write_settings
from cyclestyle.stopping import StopRequest
from cyclestyle.training.checkpoints import Checkpoint, last_checkpoint
from cyclestyle.training.exam import time_to_sit
from cyclestyle.training.journal import read_lines
from cyclestyle.training.learner import Learner
from cyclestyle.training.pictures import Choice, choose, provenance_of, still_there
from cyclestyle.training.reserve import time_to_paint
from cyclestyle.training.saved import Facts, read_facts, restore
from cyclestyle.training.schedule import Budgeted, Planned, Schedule, Tried, plan
from cyclestyle.training.story import Story
from cyclestyle.training.trial import require_memory, settled, with_batch


def learn(
    settings: Settings, *, strict: bool = False, stop: StopRequest | None = None, tried: Tried | None = None
) -> RunFolder:
    """Train to the end of the schedule, from the last checkpoint if there is one. Returns the run's folder.

    Pictures that cannot be used are left out; `strict` refuses them. `tried` stands in for the settings' schedule.
    Raises Stopped if `stop` was asked, once all is saved; ValueError or OSError, in a sentence, for what people can
    mend.
    """
    began = time.monotonic()
    accelerator = _accelerator(settings.compute)
    processes = Processes.join()
    if warning := restarts_may_hang():
        accelerator.print(warning)
    require_apart(find_roots(settings.data))  # refused before anything is made
    require_workers(settings.data.workers)
    require_memory(settings, accelerator.device)
    gauge = _gauge(settings.evaluation, accelerator, processes)
    with nullcontext(stop) if stop else StopRequest() as asked, ExitStack() as until_the_end:
        checkpoint = _open(settings, accelerator, processes, until_the_end)
        settings = _with_batch(settings, checkpoint, accelerator, processes)
        choice = _pictures(settings, checkpoint, accelerator, processes, asked, strict=strict)
        run, sets = RunFolder(settings.run), choice.sets(find_roots(settings.data))
        learner = Learner(settings, accelerator, processes)
        for note in (_of_precision(accelerator), *learner.notes, gauge.note if gauge else None):
            if note:
                accelerator.print(note)
        facts = restore(learner, checkpoint) if checkpoint else None
        schedule, used = (tried, 0.0) if tried else _schedule(run, sets, learner, facts, gauge)
        if isinstance(schedule, Planned) and learner.step > schedule.steps:
            raise ValueError(
                f"{settings.run} holds {learner.step:,} steps, more than the {schedule.steps:,} of its schedule"
            )
        story = Story(run, sets, learner, schedule, asked, choice.fingerprints(), began - used, gauge)
        over = isinstance(schedule, Planned) and learner.step == schedule.steps
        accelerator.print("nothing is left to learn here" if over else _opening(settings, sets, story, facts))
        story.tell()
        accelerator.print(f"finished: {learner.step:,} steps; painter {run.painter()}, samples {run.sample(0).parent}")
        if processes.main and (better := story.better()) is not None:
            accelerator.print(f"nearer to the paintings came {better}; `cyclestyle translate` takes it as a run")
        processes.wait()
    accelerator.end_training()
    return run


def _accelerator(compute: ComputeSettings) -> Accelerator:
    # The successor of `broadcast_buffers` does something else; Accelerate does not know it yet.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated", category=FutureWarning)
    if compute.exact and not wants_cpu():  # the processor's operations are exact as they are
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA begins
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[missing-attribute] - slow
    precision = _best_precision() if compute.mixed_precision == "auto" else compute.mixed_precision
    if precision == "fp16" and (wants_cpu() or not torch.cuda.is_available()):
        raise ValueError("fp16 needs a GPU; give --compute.mixed-precision bf16 or no")
    torch.backends.cudnn.benchmark = not compute.exact  # sizes stay, so that trying cuDNN's ways out pays
    accelerator = Accelerator(
        cpu=wants_cpu(),
        mixed_precision=precision,
        gradient_accumulation_steps=compute.accumulate,
        # No network has statistics to share; spectral norm's vectors follow from the weights.
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    must_be_together(accelerator.num_processes)
    return accelerator


def _of_precision(accelerator: Accelerator) -> str | None:
    """A sentence where a precision was asked for that the device only imitates."""
    wanted = accelerator.mixed_precision
    if wanted == "bf16" and not knows(wanted, accelerator.device):
        return f"this {accelerator.device.type.upper()} imitates bf16, slower than fp32: --compute.mixed-precision no"
    return None


def _gauge(settings: EvaluationSettings, accelerator: Accelerator, processes: Processes) -> Gauge | None:
    """What the main process measures painters with; None where they are not measured."""
    with processes.all_or_none():
        if settings.every and processes.main:
            try:
                return open_gauge(settings.network, settings.weights, accelerator.device, settings.precision)
            except (ValueError, OSError) as error:  # it names the options of `cyclestyle evaluate`
                ways = reason(error).replace("--random-weights", "--evaluation.network random")
                ways = ways.replace("--weights", "--evaluation.weights")
                raise ValueError(f"{ways}; --evaluation.every 0 trains without measuring") from None
    return None


def _best_precision() -> str:
    """bf16 where the device computes it itself; older cards only imitate it."""
    if wants_cpu() or not torch.cuda.is_available():
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"


def _open(
    settings: Settings, accelerator: Accelerator, processes: Processes, until_the_end: ExitStack
) -> Checkpoint | None:
    """Hold the run's folder, and find what to go on from; what the main process refuses, all refuse."""
    found: Checkpoint | None = None
    with processes.all_or_none():
        if processes.main:
            with writing_to(settings.run):
                run = until_the_end.enter_context(held_run(settings.run))
            found = last_checkpoint(run.checkpoints, accelerator.print)
            if found is not None:
                _must_agree(found, settings)
    return processes.told(found)


def _with_batch(
    settings: Settings, checkpoint: Checkpoint | None, accelerator: Accelerator, processes: Processes
) -> Settings:
    """The settings with a number for `batch = "auto"`: that of the checkpoint, or what is found by trying."""
    if settings.data.batch == "auto" and checkpoint is not None:
        return with_batch(settings, int(read_facts(checkpoint).settings["data.batch"]))
    return settled(settings, accelerator, processes, accelerator.print)


def _must_agree(checkpoint: Checkpoint, settings: Settings) -> None:
    before = read_facts(checkpoint).settings
    if settings.data.batch == "auto":
        settings = with_batch(settings, int(before["data.batch"]))
    different = contradictions(before, settings)
    if different:
        raise ValueError(
            f"{settings.run} holds a run with other settings ({'; '.join(different)}); "
            "go on with those, or choose another folder with --run"
        )


def _pictures(
    settings: Settings,
    checkpoint: Checkpoint | None,
    accelerator: Accelerator,
    processes: Processes,
    stop: StopRequest,
    *,
    strict: bool,
) -> Choice:
    """The pictures that the run was begun with, or now begins with, written down in its folder."""
    run = RunFolder(settings.run)
    expected = read_facts(checkpoint).pictures if checkpoint else None
    choice = recorded = processes.told(_recorded(run)) if expected else None
    if choice is not None and choice.fingerprints() == expected:
        with processes.all_or_none():
            lost = still_there(choice, settings.data)
        for sentence in lost[:10]:
            accelerator.print(f"{sentence}; its cached copy goes on being used, or another picture in its place")
        if len(lost) > 10:
            accelerator.print(f"... and {len(lost) - 10} more")
    else:
        choice, recorded = choose(settings.data, processes, stop), None
        _must_be_those(expected, choice, settings)
    with processes.all_or_none():
        if strict and any(choice.unusable.values()):
            raise ValueError(f"{choice.told(run.pictures)}\nand --strict refuses that")
        if processes.main:
            with writing_to(settings.run):
                if recorded is None:
                    write_text(run.pictures, choice.as_json())
                if checkpoint is None:
                    write_provenance(run, settings, provenance_of(choice))
                write_text(run.config, write_settings(settings))
    if told := choice.told(run.pictures):
        accelerator.print(told)
    return choice


def _recorded(run: RunFolder) -> Choice | None:
    try:
        return Choice.from_json(run.pictures.read_text(encoding="utf-8"))
    except (ValueError, OSError):  # then they are looked through again
        return None


def _must_be_those(expected: dict[str, str] | None, choice: Choice, settings: Settings) -> None:
    found = choice.fingerprints()
    other = [name for name in found if expected and expected.get(name) != found[name]]
    if other:
        raise ValueError(
            f"{settings.run} holds a run on other pictures ({', '.join(other)}: not the pictures that it was begun "
            "with); go on with those, or choose another folder with --run"
        )


def _schedule(
    run: RunFolder, sets: Sets, learner: Learner, facts: Facts | None, gauge: Gauge | None
) -> tuple[Schedule, float]:
    """How long the run is, and for how many seconds it was trained before."""
    settings, processes = learner.settings, learner.processes
    saved = facts.budget if facts else {}
    used = processes.told(max(saved.get("used", 0.0), _told_pace(run) if facts else 0.0))
    if settings.schedule.budget is None:
        return plan(settings.schedule, len(sets.photos), learner.pairs), used
    total = seconds(settings.schedule.budget)
    painting = time_to_paint(learner, sets.photos, total)
    reserve = processes.most(painting + _time_to_measure(sets, learner, gauge))[0]
    if total <= reserve:
        raise ValueError(
            f"a budget of {settings.schedule.budget} leaves no time to train: painting and zipping "
            f"{len(sets.photos):,} photos{', and measuring,' if gauge else ''} takes about {reserve / 60:.0f} minutes "
            "here"
        )
    return Budgeted(total - reserve, used, saved.get("rate", 1.0), over=bool(saved.get("over"))), used


def _time_to_measure(sets: Sets, learner: Learner, gauge: Gauge | None) -> float:
    """Seconds of two measurements: the time may run out during one, and there is one at the end."""
    if gauge is None:
        return 0.0
    pictures = min(learner.settings.evaluation.pictures, len(sets.test_photos or sets.photos))
    paint, device = learner.averages["paint"].network, learner.accelerator.device
    return 2 * time_to_sit(gauge, paint, pictures=pictures, side=learner.settings.data.crop, device=device)


def _told_pace(run: RunFolder) -> float:
    """Seconds up to the last line on the pace, which reaches further than the last checkpoint; 0 if there is none."""
    with suppress(OSError):
        told = [line.get("seconds") for line in read_lines(run.pace)]
        return max((float(value) for value in told if isinstance(value, (int, float))), default=0.0)
    return 0.0


def _opening(settings: Settings, sets: Sets, story: Story, facts: Facts | None) -> str:
    """The first line that people see."""
    learner, budget = story.learner, settings.schedule.budget
    accelerator = learner.accelerator
    begin = f"going on at step {learner.step:,}, " if learner.step else ""
    length = f"for {budget}" if budget is not None else f"for {story.schedule.last(learner.step):,} steps"
    precision = _named(accelerator.mixed_precision)
    changed = (
        f" (begun in {_named(facts.precision)})" if facts and facts.precision != accelerator.mixed_precision else ""
    )
    return (
        f"{begin}training {length} on {len(sets.photos):,} photos and {len(sets.paintings):,} paintings "
        f"at {settings.data.crop} px, {accelerator.num_processes} x {accelerator.device.type}, "
        f"precision {precision}{changed}; everything goes to {settings.run}"
    )


def _named(precision: str) -> str:
    return "fp32" if precision == "no" else precision


def parameters_agree(learner: Learner) -> bool:
    """Whether all processes hold the same weights, to the bit."""
    sums = torch.stack([_checksum(p) for net in learner.bare for p in net.parameters()])
    gathered = learner.accelerator.gather(sums[None])
    return bool((gathered == gathered[0]).all())


def _checksum(parameter: torch.Tensor) -> torch.Tensor:
    """A whole number that depends on every bit and its place."""
    bits = parameter.detach().contiguous().view(torch.int32).flatten().long()
    return (bits * torch.arange(1, len(bits) + 1, device=bits.device)).sum()
