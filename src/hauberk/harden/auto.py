"""Successive halving over ways of hardening (Jamieson and Talwalkar 2016), within a time budget."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import UserError
from hauberk.harden.composition import compose
from hauberk.harden.judge import judge
from hauberk.harden.perturb import frozen
from hauberk.harden.race import Heat, Log
from hauberk.harden.run import Run, no_clock
from hauberk.harden.selection import Score, accuracy

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from hauberk.core.data import Dataset
    from hauberk.core.threat import ThreatModel

_PROBE = 256
_MOST_EPOCHS = 400


@dataclass(frozen=True, kw_only=True)
class Auto:
    """Race the ``candidates``, halve them, and spend what is left on the winner.

    ``budget`` is in seconds of the run's clock. A heat lasts a 24th of it; each later one twice as
    long for half as many. The last two differ by a factor of up to four: where that gained less
    than ``least`` robust accuracy, more training does not pay and the rest is not spent. Judged is
    by a PGD of ``judge_steps`` steps on validation data, more than any candidate trains against;
    what is lost beyond ``clean_drop`` of the given module's clean accuracy counts against it.

    The clock decides how long a heat is, so two runs may differ. What was decided is in the
    checkpoint: a resumed run does not decide it again.

    Raises:
        UserError: if a number is out of range or a candidate is unknown.
    """

    budget: float = 120.0
    candidates: tuple[str, ...] = ("ema,adversarial", "ema,atta", "ema,n-fgsm", "ema,trades")
    least: float = 0.005
    clean_drop: float = 0.02
    judge_steps: int = 20

    def __post_init__(self) -> None:
        if not 0 < self.budget < float("inf") or not self.candidates or self.judge_steps < 1:
            raise UserError("auto needs a budget, candidates and a judge of at least one step")
        for names in self.candidates:
            compose(names.split(","))

    def fit(
        self,
        module: nn.Module,
        train: Dataset,
        validation: Dataset,
        threat: ThreatModel,
        *,
        seed: int,
        run: Run | None = None,
    ) -> nn.Module:
        """The best module that the budget buys.

        Raises:
            UserError: if the run has no clock, or the checkpoint belongs to another run.
        """
        run = run or Run()
        if run.clock is no_clock:
            raise UserError("a race goes by the clock, and the run has none", where="harden")
        with frozen(module):
            floor = accuracy(module, validation) - self.clean_drop
        facts = {
            **asdict(self),
            "candidates": list(self.candidates),
            "data": train.digest,
            "validation": validation.digest,
            "threat": str(threat),
            "features": threat.features.digest if threat.features else None,
            "seed": seed,
        }
        log = Log.resumed(run.resume, facts, module)
        score = judge(validation, threat, steps=self.judge_steps)
        race = _Race(self, module, train, validation, threat, seed, run, log, score, floor)
        return race.won()


@dataclass(frozen=True)
class _Race:
    auto: Auto
    module: nn.Module
    train: Dataset
    validation: Dataset
    threat: ThreatModel
    seed: int
    run: Run
    log: Log
    score: Callable[[nn.Module], Score]
    floor: float

    def won(self) -> nn.Module:
        """Heats until one is left, then the winner for as long as it pays."""
        left = list(self.auto.candidates)
        slot = self.auto.budget / 24
        while len(left) > 1:
            scores = [(names, self._heat(names, slot)) for names in left]
            ranked = sorted(scores, key=lambda one: self._worth(one[1]), reverse=True)
            left = [names for names, _ in ranked[: (len(left) + 1) // 2]]
            last = ranked[0][1]
            slot *= 2
        if len(self.auto.candidates) == 1:
            last = self._heat(left[0], slot)
        while (rest := self.auto.budget - self._spent()) > slot:
            slot = rest if rest < 8 * slot else 4 * slot
            now = self._heat(left[0], slot)
            if self._worth(now) - self._worth(last) < self.auto.least:
                break
            last = now
        return self.log.best(self.module)

    def _spent(self) -> float:
        return sum(heat.seconds for heat in self.log.heats[: self.log.asked])

    def _worth(self, score: Score) -> float:
        """Robust accuracy less what clean accuracy lacks: early heats all lack some."""
        return (score.robust or 0.0) - max(0.0, self.floor - score.clean)

    def _heat(self, names: str, slot: float) -> Score:
        """Train one candidate for about ``slot`` seconds, or take the score from the log."""
        if (done := self.log.next()) is not None:
            return Score(clean=done.clean, robust=done.robust)
        plan = self.log.plan or self._plan(names, slot)
        self.log.plan = plan
        began = self.run.clock()
        rows = np.linspace(0, len(self.train) - 1, plan["rows"]).astype(np.int64)
        trained = compose(names.split(","), {**self._settings(), "epochs": plan["epochs"]}).fit(
            self.module,
            self.train if plan["rows"] == len(self.train) else self.train.take(rows),
            self.validation,
            self.threat,
            seed=self.seed,
            run=replace(self.run, resume=self.log.inner, checkpoint=self._keep),
        )
        score = self.score(trained)
        seconds = self.run.clock() - began + plan["before"]
        heat = Heat(
            names=names,
            rows=plan["rows"],
            epochs=plan["epochs"],
            seconds=seconds,
            clean=score.clean,
            robust=score.robust or 0.0,
        )
        self.log.add(heat, trained, score, self.floor)
        if self.run.checkpoint is not None:
            self.run.checkpoint(self.log.packed())
        return score

    def _keep(self, inner: bytes) -> None:
        self.log.inner = inner
        if self.run.checkpoint is not None:
            self.run.checkpoint(self.log.packed())

    def _settings(self) -> dict[str, Any]:
        few = len(self.train) < 10_000
        return {"batch_size": 64 if few else 128, "steps": 5 if few else 3}

    def _plan(self, names: str, slot: float) -> dict[str, Any]:
        """Rows and epochs that fit into the slot, by the pace of this candidate so far."""
        n, began, fixed = len(self.train), self.run.clock(), 0.0
        known = [heat for heat in self.log.heats if heat.names == names]
        if known:
            fixed, pace = cost([(heat.rows * heat.epochs, heat.seconds) for heat in known])
        else:
            few = self.train.take(np.arange(min(n, _PROBE)))
            one = self.validation.take(np.arange(1))
            recipe = compose(names.split(","), {**self._settings(), "epochs": 1})
            for _ in range(2):  # the first also pays for what is made once
                start = self.run.clock()
                recipe.fit(self.module, few, one, self.threat, seed=self.seed)
                pace = (self.run.clock() - start) / len(few)
        before = self.run.clock() - began
        samples = max(0.0, slot - before - fixed) / max(pace, 1e-9)
        rows = n if samples >= 3 * n else min(n, max(int(samples / 3), min(n, _PROBE)))
        epochs = int(min(max(samples // rows, 1), _MOST_EPOCHS))
        return {"rows": rows, "epochs": epochs, "before": before}


def cost(known: list[tuple[int, float]]) -> tuple[float, float]:
    """Seconds that a heat takes in any case, and those of each sample, by the last two heats.

    Measuring and judging cost the same however long the training was. Half of the mean pace is the
    least that is believed: two heats do not make a line.
    """
    samples, seconds = known[-1]
    pace = seconds / samples
    if len(known) > 1 and known[-2][0] < samples:
        slope = (seconds - known[-2][1]) / (samples - known[-2][0])
        pace = min(max(slope, pace / 2), pace)
    return seconds - pace * samples, pace
