"""From mounted data to a zip on time: train, paint, show, score. Each part is a command of its own."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cyclestyle.competing import scoring
from cyclestyle.competing.children import Ended, run
from cyclestyle.competing.devices import Machine, find_machine
from cyclestyle.competing.fitting import budget_for, fitted, painting_time
from cyclestyle.competing.look import painted_by, show
from cyclestyle.competing.mounted import Mounted, find_pictures, list_jpegs
from cyclestyle.competing.timekeeping import Timekeeper
from cyclestyle.config import seconds
from cyclestyle.data.submission import FEWEST, MOST, submission_names
from cyclestyle.files import held, reason, sha256, write_text
from cyclestyle.progress import clock
from cyclestyle.runs import RunFolder
from cyclestyle.settings import read_settings
from cyclestyle.stopping import EXIT_CODE, StopRequest

HIDDEN = ".compete"
"""Folder for the clock and what else is remembered."""
LOOKING = 1.5
"""Seconds kept back for the picture and our own end."""
CARD_SHARE, LONGEST_CARD, SHORTEST_CARD = 0.05, 900.0, 60.0
"""Of the budget, and in seconds."""
UNKNOWN_SHARE = 0.25
"""Of the budget, kept back for painting as long as the training has not measured it."""
LATE = 5.0
"""Seconds that a training may be late before it is asked to end."""


@dataclass(frozen=True)
class Wish:
    """What is asked for; see `cyclestyle compete --help`."""

    mounted: Path
    working: Path
    budget: str
    settings: Path
    weights: Path | None
    device: Literal["auto", "cpu"]
    processes: int | None
    practice: bool
    as_written: bool
    restart_clock: bool


def compete(wish: Wish, say: Callable[[str], None]) -> None:
    """Everything that is left to do. What a person is to know goes to `say`; commands print by themselves.

    Raises ValueError or OSError, in a sentence, for what people can mend; Stopped if it was asked to stop.
    """
    try:
        budget = seconds(wish.budget)
    except ValueError as error:
        raise ValueError(f"--budget {wish.budget}: {error}") from None
    own = wish.working / HIDDEN
    own.mkdir(parents=True, exist_ok=True)
    with StopRequest() as stop, held(own / "lock") as ours:
        if not ours:
            raise ValueError(
                f"{wish.working} is being worked in by another `cyclestyle compete`; wait for it or stop it"
            )
        keeper = Timekeeper(own / "clock.json", budget, afresh=wish.restart_clock)
        Competition(wish, keeper, stop, say).tell()


class Competition:
    """The whole, and how far it has come."""

    def __init__(self, wish: Wish, keeper: Timekeeper, stop: StopRequest, say: Callable[[str], None]) -> None:
        self.wish, self.keeper, self.stop, self.say = wish, keeper, stop, say
        self.run = RunFolder(wish.working / "run")
        self.archive = wish.working / "images.zip"
        self.practice = ["--practice"] if wish.practice else []
        self.failure: str | None = None

    def tell(self) -> None:
        """One part after the other."""
        pictures = self._pictures()
        weights = scoring.find_weights(self.wish.weights, self.wish.mounted)
        machine = find_machine(self.wish.device, self.wish.processes)
        self.say(f"{machine.name}; {clock(max(0.0, self.keeper.left))} left of {self.wish.budget}")
        card = self._time_for_card(weights)
        if not self._is_trained():
            self._train(pictures, machine, kept_back=LOOKING + card)
        self._paint(pictures, machine)
        self._show(pictures)
        self._score(pictures, machine, weights, card)
        share = self.keeper.used / self.keeper.budget
        self.say(f"done: {self.archive}, after {clock(self.keeper.used)} of {self.wish.budget} ({share:.0%})")
        if self.failure:
            raise ValueError(f"{self.failure}; {self.archive} is by the painter of its last checkpoint")

    def _pictures(self) -> Mounted:
        found = find_pictures(self.wish.mounted)
        self.say(f"{found.painting_count:,} paintings and {found.photo_count:,} photos in {found.photos.parent}")
        if found.photo_count > MOST or (found.photo_count < FEWEST and not self.wish.practice):
            raise ValueError(
                f"{found.photos} holds {found.photo_count:,} photos; the competition takes {FEWEST:,} to {MOST:,}. "
                "To try with fewer, add --practice"
            )
        return found

    # --- training -------------------------------------------------------------------------------------------------

    @property
    def _mark(self) -> Path:
        return self.wish.working / HIDDEN / "trained.json"

    def _is_trained(self) -> bool:
        """Whether the painter that is there is that of a finished training."""
        with suppress(OSError, ValueError):
            return json.loads(self._mark.read_text(encoding="utf-8")) == {"painter": sha256(self.run.painter())}
        return False

    def _train(self, pictures: Mounted, machine: Machine, *, kept_back: float) -> None:
        """Train as long as there is time; a failure is remembered, since there may be a painter all the same."""
        settings = self.wish.settings
        changes = fitted(read_settings(settings), machine, as_written=self.wish.as_written)
        if changes:
            self.say(f"{settings} with {' '.join(changes)}")
        self._wait_for_others()
        if self.run.painter().exists() and self._is_over(kept_back):
            self.say("no time is left for training")
            return
        words = ["train", "--config", str(settings), "--run", str(self.run.path), *changes]
        words += ["--data.photos", str(pictures.photos), "--data.paintings", str(pictures.paintings)]
        words += ["--budget", budget_for(self.run, self.keeper.left - kept_back)]
        ended = self._start(machine.words(*words), machine, lambda: self._is_over(kept_back))
        if ended.code == 0:
            write_text(self._mark, json.dumps({"painter": sha256(self.run.painter())}) + "\n")
        elif ended.cut and (ended.code == EXIT_CODE or ended.code < 0):
            self.say("the time for training was over before its end; the painter is that of the last step")
        else:
            self.failure = f"training {ended.told()}" + ("; what it says is the reason" if ended.code > 0 else "")
        if not self.run.painter().exists():
            raise ValueError(f"{self.failure or 'the time was over'}, and there is no painter yet")

    def _is_over(self, kept_back: float) -> bool:
        """Whether painting has to begin, and a little later: a training ends by itself in time."""
        measured = painting_time(self.run)
        painting = UNKNOWN_SHARE * self.keeper.budget if measured is None else measured
        return self.keeper.left < kept_back + painting - LATE

    def _wait_for_others(self) -> None:
        """Until a training that a killed program left behind has saved: it was asked to end when that was killed."""
        self.run.path.mkdir(parents=True, exist_ok=True)
        while not self.stop.asked and self.keeper.left > 0:
            with held(self.run.lock) as ours:
                if ours:
                    return
            self.say("waiting for a training that is ending")
            time.sleep(2.0)

    # --- painting -------------------------------------------------------------------------------------------------

    def _paint(self, pictures: Mounted, machine: Machine) -> None:
        """Paint what is not painted, zip it, and say whether the zip is valid."""
        painter = sha256(self.run.painter())[:16]
        if f"painter {painter} " in f"{painted_by(self.archive)} ":
            words = ["submit", "--validate", str(self.archive), *self.practice]
            if self._start(Machine("one process").words(*words), machine).code == 0:
                return
        needed = painting_time(self.run)
        if needed is not None and needed > self.keeper.left:
            self.say(f"painting will take about {clock(needed)}, and {clock(max(0.0, self.keeper.left))} are left")
        words = ["submit", str(self.run.path), "--photos", str(pictures.photos), "--to", str(self.archive)]
        ended = self._start(machine.words(*words, *self.practice), machine)
        if ended.code != 0:
            raise ValueError(
                f"{self.failure + '; and ' if self.failure else ''}painting {ended.told()}; the same command goes on "
                "from what is painted"
            )

    def _show(self, pictures: Mounted) -> None:
        sheet = self.wish.working / "painted.jpg"
        names = {name: path for path, name in submission_names(list_jpegs(pictures.photos)).items()}
        try:
            show(self.archive, names, sheet)
            self.say(f"look: {sheet}")
        except (OSError, ValueError) as error:  # the zip is there, and that is what matters
            self.say(f"no picture to look at: {reason(error)}")

    # --- the card -------------------------------------------------------------------------------------------------

    def _time_for_card(self, weights: scoring.Weights | None) -> float:
        wanted = min(CARD_SHARE * self.keeper.budget, LONGEST_CARD)
        return wanted if weights is not None and wanted >= SHORTEST_CARD else 0.0

    def _score(self, pictures: Mounted, machine: Machine, weights: scoring.Weights | None, kept_back: float) -> None:
        """A card, if there are weights and time for it. Without the right weights there is no number."""
        if weights is None:
            self.say(
                "no card: no weights of VGG-19 (and Inception, for FID and MiFID) in what is mounted, nor --weights"
            )
            return
        left = min(self.keeper.left - LOOKING, max(kept_back, LONGEST_CARD))
        at_most = scoring.pictures_in(left, cpu=machine.cpu)
        if not at_most:
            self.say("no card: no time is left for it; `cyclestyle evaluate` makes one")
            return
        if "inception" in weights.left_out:
            self.say("a card without FID, KID and MiFID: there are no weights of Inception")
        to, sets = self.wish.working / "card", (pictures.photos, pictures.paintings)
        with scoring.unpacked(self.archive) as painted:
            words = machine.words(*scoring.command(Path(painted), sets, to, weights, at_most))
            ended = self._start(words, machine, lambda: self.keeper.left < LOOKING)
        if ended.cut:
            self.say("no card: it took longer than there was time")
        elif ended.code:
            self.say(f"no card: measuring {ended.told()}")

    # --- what all parts share -------------------------------------------------------------------------------------

    def _start(self, words: list[str], machine: Machine, over: Callable[[], bool] = lambda: False) -> Ended:
        return run(words, machine.environment(), self.stop, over=over, meanwhile=self.keeper.note)
