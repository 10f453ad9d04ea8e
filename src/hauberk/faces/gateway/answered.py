"""One answered request on its way to the monitors: its models, its rows, its records."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp
from typing import TYPE_CHECKING

import numpy as np

from hauberk.adapters.upstream.trouble import Trouble
from hauberk.core.errors import HauberkError
from hauberk.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from hauberk.core.record import Outcome, Route
    from hauberk.faces.gateway.entrance import Visit
    from hauberk.faces.gateway.lineup import Lineup
    from hauberk.faces.gateway.screen import Suspicion
    from hauberk.faces.gateway.served import Served

_FEW = 64  # values up to which plain Python is quicker than arrays


@dataclass
class Round:
    """One request's models, each run at most once."""

    x: NDArray[np.float32]
    failed: Callable[[str], None]
    trouble: Trouble | None = None
    _logits: dict[str, NDArray[np.float32] | None] = field(default_factory=dict)

    def give(self, model: Served, logits: NDArray[np.float32]) -> None:
        """Take logits that the model gave elsewhere as its own."""
        self._logits[model.digest] = logits

    def logits(self, model: Served | None) -> NDArray[np.float32] | None:
        """The model's logits; None if there is no model or it failed."""
        if model is None:
            return None
        if model.digest not in self._logits:
            try:
                self._logits[model.digest] = model.logits(self.x)
            except HauberkError as error:
                self.failed(str(error))
                self._logits[model.digest] = None
                if isinstance(error, Trouble):
                    self.trouble = error
        return self._logits[model.digest]


@dataclass(frozen=True)
class Screened:
    """What screening found of some rows; nothing where they were not screened."""

    suspicion: Suspicion | None = None
    twin: NDArray[np.float32] | None = None


@dataclass
class Answered:
    """A request of ``visit`` that the model ``digest`` answered with ``logits`` by a route."""

    lineup: Lineup
    round: Round
    visit: Visit
    name: str
    route: Route
    digest: str
    logits: NDArray[np.float32]
    _labels: NDArray[np.int64] | None = None

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each row."""
        if self._labels is None:
            self._labels = self.logits.argmax(1).astype(np.int64, copy=False)
        return self._labels

    @property
    def confidence(self) -> list[float]:
        """The probability of each row's class, as the model sees it."""
        # The greatest term of a softmax is one over the sum of the others' shares of it.
        if self.logits.size <= _FEW:
            rows = ((row, max(row)) for row in self.logits.tolist())
            return [1.0 / sum([exp(one - most) for one in row]) for row, most in rows]
        shares = np.exp(self.logits - np.maximum.reduce(self.logits, axis=1, keepdims=True))
        found: list[float] = (1.0 / np.add.reduce(shares, axis=1)).tolist()
        return found

    def records(
        self, screened: Screened, outcomes: Sequence[Outcome], *, at: float, latency_ms: float
    ) -> list[Record]:
        """A record a row."""
        suspicion, name, rows = screened.suspicion, self.name, len(outcomes)
        blank: list[None] = [None] * rows
        labels = self.labels.tolist()
        twins = blank if screened.twin is None else screened.twin.argmax(1).tolist()
        scores, p, p_benign = (
            (blank, blank, blank)
            if suspicion is None
            else (suspicion.score.tolist(), suspicion.p.tolist(), suspicion.p_benign.tolist())
        )
        hedges: list[tuple[float, ...]] = [()] * rows
        if suspicion is not None:
            hedges = [tuple(one) for one in suspicion.p_hedges.tolist()]
        sure = self.confidence
        return [
            Record(
                id=name if rows == 1 else f"{name}/{row}",
                seq=0,
                at=at,
                principal=self.visit.principal.name,
                policy=self.visit.policy,
                digest=self.digest,
                route=self.route,
                outcome=outcomes[row],
                label=labels[row],
                twin_label=twins[row],
                score=scores[row],
                p_value=p[row],
                p_benign=p_benign[row],
                p_hedges=hedges[row],
                tenant=self.visit.principal.tenant,
                confidence=sure[row],
                latency_ms=latency_ms,
            )
            for row in range(rows)
        ]
