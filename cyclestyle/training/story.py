"""The story of a run: step by step, what is told, shown, saved and judged on the way, and when it ends."""

import time
from collections.abc import Collection, Iterator
from pathlib import Path

from cyclestyle.data.folders import Sets
from cyclestyle.data.unpaired import Batch
from cyclestyle.evaluation.gauge import Gauge
from cyclestyle.files import reason, written_aside
from cyclestyle.progress import Progress
from cyclestyle.runs import RunFolder
from cyclestyle.stopping import Stopped, StopRequest
from cyclestyle.training.checkpoints import prune, save_checkpoint, steps
from cyclestyle.training.feed import Feed
from cyclestyle.training.journal import Journal, sample_sheet
from cyclestyle.training.judge import MEASURES, best_step
from cyclestyle.training.learner import Learner, Taken
from cyclestyle.training.panel import Panel
from cyclestyle.training.saved import facts, files, painters
from cyclestyle.training.schedule import Schedule
from cyclestyle.training.supply import Supply

NO_END = 1 << 40
"""Steps; loaders need a number, and a budget of time has none."""

WORTH_TELLING = 0.05
"""Share of the time spent waiting for pictures, from which on the progress line tells it."""

KIDS = {"kid": "with averaged weights", "kid_last": "with the last", "kid_untouched": "of the photos themselves"}


class Story:
    """What happens from the learner's step to the end of the schedule."""

    def __init__(
        self,
        run: RunFolder,
        sets: Sets,
        learner: Learner,
        schedule: Schedule,
        stop: StopRequest,
        pictures: dict[str, str],
        began: float,
        gauge: Gauge | None = None,
    ) -> None:
        """`pictures`: the fingerprints of both sets. `began`: when the run would have begun (in monotonic seconds), had
        it never been interrupted. `gauge`: what the main process measures painters with, if they are measured."""
        self.run, self.sets, self.learner, self.schedule, self.stop = run, sets, learner, schedule, stop
        self.pictures, self.began, self.gauge = pictures, began, gauge
        self.settings, self.report = learner.settings, learner.settings.report
        self.processes, self.accelerator = learner.processes, learner.accelerator
        self.journal: Journal | None = None
        self.panel: Panel | None = None
        self.supply = Supply(sets, self.settings, self.processes, self.accelerator.device)
        self.spoken = time.monotonic(), learner.step  # when, and at which step, the pace was last told
        self.known_as_lost: set[str] = set()
        self.rung: set[str] = set()  # kinds of alarms that were said
        self.saved = learner.step  # the step of the last checkpoint
        self.factor = 1.0  # of the last step's learning rate

    @property
    def step(self) -> int:
        return self.learner.step

    @property
    def over(self) -> bool:
        return self.step >= self.schedule.last(self.step)

    def tell(self) -> None:
        """Every step that is left."""
        end = self.schedule.last(self.step)
        with Progress("training", end, unit="steps", done=self.step, show=self.processes.main) as self.progress:
            self._prepare()
            if not self.over:
                self.supply.cache(self.progress.say, self._hurried)
                self.spoken = time.monotonic(), self.step
            feed = Feed(self._batches, self.step * self.settings.compute.accumulate, self.progress.say)
            try:
                self._go_on()
                while not self.over:
                    self._advance(feed)
            finally:
                feed.close()
                if self.journal is not None:
                    self.journal.close()

    def _advance(self, feed: Feed) -> None:
        """One step, and what is due after it."""
        self.factor = self.schedule.factor(self.step)
        taken = self.learner.take_step(feed, self.factor)
        asked = self._agree()
        self._tell(taken, feed)
        if asked:
            self._end_early()
        self._show()
        if self._due():
            self._save()
            self._judge()
            if self.journal is not None:
                self.journal.publish()
            if self.processes.most(self._hurried())[0]:  # it may not have been judged for that
                self._end_early()
        self.progress.total = self.schedule.last(self.step)
        self.progress.advance()

    def _due(self) -> bool:
        """Whether this step is saved, and what it can do is looked at."""
        return self.step % self.report.checkpoint_every == 0 or self.over or self._examined()

    def _examined(self) -> bool:
        """Whether painters are measured at this step: the first of every so many epochs, and the last."""
        every = self.settings.evaluation.every
        if not every or not self.step:
            return False
        # A little more than nothing: 0.3 epochs are three times 0.1, though not in binary fractions.
        before, now = (
            (step * self.learner.pairs / len(self.sets.photos) / every + 1e-9) // 1
            for step in (self.step - 1, self.step)
        )
        return now > before or self.over

    def _hurried(self) -> bool:
        return self.stop.asked is not None

    def _prepare(self) -> None:
        """What only the main process does: writing and judging."""
        if not self.processes.main:
            return
        self.journal = Journal(self.run, start=self.step, complain=self.progress.say)
        self.panel = Panel(
            self.sets, self.settings, self.gauge, self.accelerator.device, self.progress.say, self._hurried
        )

    def _go_on(self) -> None:
        """Hand over and judge what an interrupted run may have saved and no more."""
        if self.step:
            self._hand_over()
            self._show()
            self._judge()
        if self.processes.most(self._hurried())[0]:
            self._end_early()

    def _batches(self, first: int) -> Iterator[Batch]:
        """This process's batches from a pass on."""
        steps = NO_END if self.schedule.by_the_clock else self.schedule.last(self.step)
        return self.supply.batches(first, steps * self.settings.compute.accumulate)

    def _agree(self) -> bool:
        """Whether any process was asked to stop; and what time it is, for the schedule, on the slowest clock."""
        asked, used = self.processes.most(self._hurried(), time.monotonic() - self.began)
        self.schedule.note(used)
        return bool(asked)

    def _tell(self, taken: Taken, feed: Feed) -> None:
        """Lines on what happened, on what was lost, on the losses and on the pace."""
        if taken.troubles:
            self._skipped(taken)
        if self.step % self.report.log_every and not self.over:
            return
        lost = sorted({*self.processes.collect(feed.lost)} - self.known_as_lost)
        feed.lost.clear()
        self.known_as_lost |= {*lost}
        losses = self.learner.means.take(lambda values: self.accelerator.reduce(values, reduction="mean"))
        if self.journal is None:
            return
        for sentence in lost:
            self._say("lost", f"{sentence}; another picture stands in for it")
        self._write(losses, feed)
        if self.panel is not None and self.panel.judge is not None:
            self._alarm(self.panel.judge.listen(losses, self.settings.objective.adversarial))

    def _write(self, losses: dict[str, float], feed: Feed) -> None:
        assert self.journal is not None
        now, (then, at) = time.monotonic(), self.spoken
        self.spoken = now, self.step
        told = {
            "epoch": self.step * self.learner.pairs / len(self.sets.photos),
            "learning_rate": self.settings.optimizer.learning_rate * self.factor,
            "skipped": self.learner.guard.skipped,
        }
        self.journal.write(self.step, losses | told)
        spent = max(now - then, 1e-9)
        pace = (self.step - at) * self.learner.pairs / spent
        waiting, feed.waited = feed.waited / spent, 0.0
        self.journal.pace(self.step, {"pairs_per_second": pace, "seconds": now - self.began, "waiting": waiting})
        aside = f" waiting for pictures {waiting:.0%}" if waiting > WORTH_TELLING else ""
        self.progress.advance(0, note=_summary(losses) + aside)

    def _skipped(self, taken: Taken) -> None:
        """Say why a step was not taken, and from which pictures; stop where there is no hope."""
        learner, reasons = self.learner, "; ".join(trouble.text for trouble in taken.troubles)
        named = ", ".join(self._names(self.step - 1))
        if any(trouble.kind != "overflow" for trouble in taken.troubles):
            self._say("skipped", f"step {self.step:,} was skipped: {reasons}; its pictures: {named}")
        broken = sorted({*self.processes.collect(learner.not_finite() if learner.guard.broken_in_a_row else [])})
        if broken or learner.guard.hopeless:
            first = f"{', '.join(broken)} hold numbers that are not finite" if broken else f"{reasons}, again and again"
            raise ValueError(
                f"stopped at step {self.step:,}: {first}. {self._kept()}; to get past this, choose another --run with "
                "a lower --optimizer.learning-rate, or --compute.mixed-precision no"
            )

    def _names(self, number: int) -> list[str]:
        """The pictures of a step, of all processes: they follow from its number. At most the first eight pairs."""
        first = number * self.learner.pairs
        pairs = [self.supply.names(place) for place in range(first, first + min(self.learner.pairs, 8))]
        more = [f"and {self.learner.pairs - 8} more pairs"] if self.learner.pairs > 8 else []
        return [f"{photo} with {painting}" for photo, painting in pairs] + more

    def _kept(self) -> str:
        if not self.run.checkpoints.is_dir():
            return f"{self.run.path} is gone"
        kept = steps(self.run.checkpoints)
        return f"The checkpoint {kept[-1].name} is whole" if kept else "There is no checkpoint yet"

    def _say(self, event: str, sentence: str) -> None:
        self.progress.say(sentence)
        if self.journal is not None:
            self.journal.tell(self.step, event, said=sentence)

    def _end_early(self) -> None:
        """Save, and leave."""
        why, told = self.stop.asked or "another process was asked to stop", "nothing was learnt yet"
        if self.step:
            if self.step != self.saved:
                self._save()
            told = f"all is saved at step {self.step:,} of {self.schedule.last(self.step):,}"
        raise Stopped(f"stopped ({why}): {told}; the same command goes on from there")

    def _save(self) -> None:
        """A checkpoint for us, and the two painters for users. Raises ValueError if there is nothing worth saving."""
        broken = sorted({*self.processes.collect(self.learner.not_finite())})
        if broken:
            raise ValueError(
                f"{', '.join(broken)} hold numbers that are no longer finite at step {self.step:,}. {self._kept()}; "
                "lower --optimizer.learning-rate, or give --compute.mixed-precision no, and choose another --run"
            )
        told = facts(self.learner) | {"pictures": self.pictures, "budget": self.schedule.state()}
        try:
            save_checkpoint(self.run.checkpoints, self.step, files(self.learner), told, self.processes)
            self.saved = self.step
            self._hand_over()
        except (OSError, ValueError) as error:
            raise ValueError(
                f"step {self.step:,} cannot be saved: {reason(error)}. {self._kept()}; "
                "once that is mended, the same command goes on from there"
            ) from None

    def _hand_over(self) -> None:
        """The two painters, with averaged weights."""
        with self.processes.all_or_none():
            if self.processes.main:
                for name, content in painters(self.learner).items():
                    with written_aside(self.run.path / name) as aside:
                        aside.write_bytes(content())

    def _prune(self) -> None:
        """Remove what need not be kept. If that fails, too many are kept, which is no reason to stop."""
        if not self.processes.main:
            return
        try:
            prune(self.run.checkpoints / f"step-{self.step:07d}", keep=self.report.keep, best=self._best())
        except OSError as error:
            self.progress.say(f"an old checkpoint cannot be removed: {reason(error)}")

    def _best(self, by: Collection[str] = tuple(MEASURES)) -> int | None:
        """The step whose checkpoint is there and came nearest to the paintings."""
        there = {int(path.name.removeprefix("step-")) for path in steps(self.run.checkpoints)}
        return best_step(self.journal.scores() if self.journal is not None else {}, there, by)

    def better(self) -> Path | None:
        """The checkpoint that came nearer to the paintings than the last one, by what is known of both, if there is
        one."""
        last = self.journal.scores().get(self.step, {}) if self.journal is not None else {}
        best = self._best([name for name in MEASURES if name in last])
        return None if best in {None, self.step} else self.run.checkpoints / f"step-{best:07d}"

    def _show(self) -> None:
        """Samples, if it is time and they are not there yet."""
        due = self.step % self.report.sample_every == 0 or self.over
        samples = self.panel.samples if self.panel is not None else None
        if self.journal is None or samples is None or not due or self.run.sample(self.step).exists():
            return
        paint, unpaint = (self.learner.averages[name].network for name in ("paint", "unpaint"))
        self.journal.show(self.step, sample_sheet(paint, unpaint, *samples))

    def _judge(self) -> None:
        """How near the paintings it comes, if it is time and not known yet; then only the best and last are kept."""
        if (
            self.journal is not None
            and self.panel is not None
            and self._due()
            and self.step not in self.journal.scores()
        ):
            painters = self.learner.averages["paint"].network, self.learner.bare.paint
            found = self.panel.look(*painters, examined=self._examined(), hurried=self._hurried)
            if found is not None and found.score:
                self.journal.score(self.step, found.score)
                self._measured(found.score)
                if 4 * self.step >= self.schedule.last(self.step):  # at the beginning, much is odd and nothing wrong
                    self._alarm(found.alarms)
        self._prune()

    def _measured(self, score: dict[str, float]) -> None:
        """Say the KIDs, and keep with whose features they were computed: those of others cannot be compared."""
        if "kid" not in score or self.gauge is None:
            return
        told = [f"{score[name]:.4g} {what}" for name, what in KIDS.items()]
        self._say("measured", f"step {self.step:,}: KID x 1000 of {self.gauge.name}: {', '.join(told)}")

    def _alarm(self, alarms: dict[str, str]) -> None:
        """Keep each alarm, and say it the first time."""
        for kind, sentence in alarms.items():
            if kind not in self.rung and self.journal is not None:
                self.progress.say(f"alarm at step {self.step:,}: {sentence}")
            if self.journal is not None:
                self.journal.tell(self.step, "alarm", kind=kind, said=sentence)
        self.rung |= alarms.keys()


def _summary(losses: dict[str, float]) -> str:
    """Three numbers for the progress line: how well the fakes do, and how well round trips end."""
    if not losses:
        return "no step was taken"
    fool = losses["fool/painting"] + losses["fool/photo"]
    judged = sum(value for name, value in losses.items() if name.startswith(("real/", "fake/")))
    return f"fool {fool:.2f} judge {judged:.2f} cycle {losses['cycle/photo'] + losses['cycle/painting']:.2f}"
