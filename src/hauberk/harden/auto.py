"""Successive halving over ways of hardening (Jamieson and Talwalkar 2016), within a time budget."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import UserError
from hauberk.harden.composition import compose, suited
from hauberk.harden.judge import judge
from hauberk.harden.pace import Pace
from hauberk.harden.perturb import frozen
from hauberk.harden.race import Heat, Log
from hauberk.harden.recipe import Given
from hauberk.harden.run import Run, no_clock
from hauberk.harden.selection import Score

if TYPE_CHECKING:
    from torch import nn

    from hauberk.core.data import Dataset
    from hauberk.core.threat import ThreatModel
    from hauberk.harden.recipe import Recipe

_PROBE = 256
_MOST_EPOCHS = 400


@dataclass(frozen=True, kw_only=True)
class Auto:
    """Race the ``candidates``, halve them, and spend what is left on the winner.

    ``budget`` is in seconds of the run's clock. A heat lasts a 24th of it; each later one twice as
    long for half as many. The winner gets the rest at once if that is less than eight times its
    last heat, else four times its last: where that gained less than ``least`` robust accuracy, more
    training does not pay and the rest is not spent. Judged is by a PGD of ``judge_steps`` steps on
    validation data, more than any candidate trains against; what is lost beyond ``clean_drop`` of
    the given module's clean accuracy counts against it.

    How many epochs a heat has follows from what its epochs take while it runs, with what measuring
    and judging take set aside, and none begins that is not expected to end within the budget. Only
    the first heat of all is run in any case.

    The clock decides how long a heat is, so two runs may differ. What was decided is in the
    checkpoint: a resumed run does not decide it again, and goes on with what it had left.

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
        began = run.clock()
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
        given = Given(module=module, train=train, validation=validation, threat=threat)
        return _Race(self, given, seed, run, log, began - log.spent).won()


class _Race:
    """Heats, one after the other. Its time is what the race has spent, over all its processes."""

    def __init__(
        self, auto: Auto, given: Given, seed: int, run: Run, log: Log, zero: float
    ) -> None:
        self.auto, self.given, self.seed, self.run, self.log = auto, given, seed, run, log
        self.zero = zero
        self.score = judge(given.validation, given.threat, steps=auto.judge_steps)
        with frozen(given.module):
            score, self.judging = self._judged(given.module)
        self.floor = score.clean - auto.clean_drop

    def won(self) -> nn.Module:
        """Heats until one is left, then the winner for as long as it pays."""
        left = list(self.auto.candidates)
        slot = self.auto.budget / 24
        last = None
        while len(left) > 1:
            scores = {names: self._heat(names, slot) for names in left if self._fits(names)}
            ranked = sorted(scores, key=lambda one: self._worth(scores[one]), reverse=True)
            if len(scores) < len(left):
                break
            left, last = ranked[: (len(left) + 1) // 2], scores[ranked[0]]
            slot *= 2
        else:
            self._on(left[0], slot, last)
        return self.log.best(self.given.module)

    def _on(self, names: str, slot: float, last: Score | None) -> None:
        """The winner, each time for up to eight times as long, until it no longer pays."""
        if last is None and self._fits(names):
            last = self._heat(names, slot)
        while last is not None and (rest := self.auto.budget - self._ended()) > slot:
            slot = rest if rest < 8 * slot else 4 * slot
            now = self._heat(names, slot)
            if self._worth(now) - self._worth(last) < self.auto.least:
                break
            last = now

    def _now(self) -> float:
        return self.run.clock() - self.zero

    def _ended(self) -> float:
        """When the last heat ended that was asked for; a resumed race decides by the same time."""
        return sum(heat.seconds for heat in self.log.heats[: self.log.asked])

    def _fits(self, names: str) -> bool:
        """Whether another heat, as short as the shortest, is expected to end within the budget."""
        heats = self.log.heats[: self.log.asked]
        own = [heat.seconds for heat in heats if heat.names == names]
        shortest = min(own or [heat.seconds for heat in heats], default=0.0)
        return self._ended() + shortest <= self.auto.budget

    def _worth(self, score: Score) -> float:
        """Robust accuracy less what clean accuracy lacks: early heats all lack some."""
        return (score.robust or 0.0) - max(0.0, self.floor - score.clean)

    def _heat(self, names: str, slot: float) -> Score:
        """Train one candidate for about ``slot`` seconds, or take the score from the log."""
        if (done := self.log.next()) is not None:
            self.judging = max(self.judging, done.judging)
            return Score(clean=done.clean, robust=done.robust)
        began = self._ended()
        plan = self.log.plan or self._plan(names, min(began + slot, self.auto.budget))
        self.log.plan = plan
        given, n = self.given, len(self.given.train)
        pace = Pace(
            clock=self.run.clock,
            until=self.zero + plan["until"] - self.judging,
            epoch=plan["rows"] * plan["sample"],
            measuring=plan["measuring"],
        )
        rows = np.linspace(0, n - 1, plan["rows"]).astype(np.int64)
        trained = self._recipe(names, _MOST_EPOCHS).fit(
            given.module,
            given.train if plan["rows"] == n else given.train.take(rows),
            given.validation,
            given.threat,
            seed=self.seed,
            run=replace(
                self.run,
                resume=self.log.inner,
                checkpoint=self.run.checkpoint and self._keep,
                pace=pace,
            ),
        )
        score, judging = self._judged(trained)
        self.judging = max(self.judging, judging)
        heat = Heat(
            names=names,
            rows=plan["rows"],
            epochs=pace.fitting,
            seconds=self._now() - began,
            sample=pace.epoch / plan["rows"],
            measuring=pace.measuring,
            judging=judging,
            clean=score.clean,
            robust=score.robust or 0.0,
        )
        self.log.add(heat, trained, score, self.floor)
        self._keep(None)
        return score

    def _judged(self, module: nn.Module) -> tuple[Score, float]:
        start = self.run.clock()
        score = self.score(module)
        return score, self.run.clock() - start

    def _keep(self, inner: bytes | None) -> None:
        self.log.inner, self.log.spent = inner, self._now()
        if self.run.checkpoint is not None:
            self.run.checkpoint(self.log.packed())

    def _recipe(self, names: str, epochs: int) -> Recipe:
        usual = suited(names.split(","), len(self.given.train))
        return compose(names.split(","), {**usual, "epochs": epochs})

    def _plan(self, names: str, until: float) -> dict[str, Any]:
        """Rows and epochs that fit until then, by the pace of this candidate so far."""
        given, n = self.given, len(self.given.train)
        known = [heat for heat in self.log.heats if heat.names == names]
        if known:
            sample, measuring = known[-1].sample, known[-1].measuring
        else:
            few = given.train.take(np.arange(min(n, _PROBE)))
            one = given.validation.take(np.arange(1))
            recipe = self._recipe(names, 1)
            for _ in range(2):  # the first also pays for what is made once
                start = self.run.clock()
                recipe.fit(given.module, few, one, given.threat, seed=self.seed)
                sample = (self.run.clock() - start) / len(few)
            measuring = self.judging
        # So many rows that three epochs fit, the last of them measured.
        left = until - self._now() - self.judging - measuring
        rows = min(n, max(int(left / 3 / max(sample, 1e-9)), min(n, _PROBE)))
        return {"rows": rows, "until": until, "sample": sample, "measuring": measuring}
