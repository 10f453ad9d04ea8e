"""AgreementMonitor: does a served model agree with the twin over the next n requests?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hauberk.core.errors import DataError, UserError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.interval import wilson
from hauberk.core.rule import RULES
from hauberk.monitor.fold import State, read_counts, read_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hauberk.core.record import Record, Route


@dataclass(kw_only=True, eq=False)
class AgreementMonitor:
    """Counts ``requests`` answers of ``digest`` on ``routes``; one evidence ``HB-D004`` at the end.

    It passes where the share of answers on which the twin gives the same label is at least
    ``limit``, and fails as soon as that can no longer be reached, or when the refusals exceed
    ``max_refused`` of ``requests``. Where as many answers have no twin's label, nothing was
    measured: ``unknown``. Abstentions are counted and otherwise ignored.

    Raises:
        UserError: if a number is out of range, or there are no routes.
    """

    digest: str
    routes: tuple[Route, ...] = ("canary",)
    requests: int = 50
    limit: float = 0.7
    max_refused: float = 0.2
    _last: int = field(init=False, default=-1, repr=False)
    _done: bool = field(init=False, default=False, repr=False)

    def __post_init__(self) -> None:
        if self.requests < 1 or not self.routes:
            raise UserError("needs at least one request and one route")
        if not 0.0 <= self.limit <= 1.0 or not 0.0 <= self.max_refused <= 1.0:
            raise UserError("limit and max_refused are fractions in [0, 1]")
        self._counts = {"agreed": 0, "differed": 0, "unjudged": 0, "refused": 0, "abstained": 0}

    @property
    def counts(self) -> dict[str, int]:
        """How many answers agreed, differed, had no twin's label, were refused, abstained."""
        return dict(self._counts)

    def update(self, record: Record, /) -> Evidence | None:
        """Count one record, if it is of this digest and route and its ``seq`` is new."""
        if record.seq <= self._last:
            return None
        self._last = record.seq
        if self._done or record.digest != self.digest or record.route not in self.routes:
            return None
        self._counts[_kind(record)] += 1
        agreed, differed = self._counts["agreed"], self._counts["differed"]
        judged = agreed + differed
        hopeless = (self.requests - differed) / self.requests < self.limit
        if self._counts["refused"] > self.max_refused * self.requests:
            return self._end(record, Verdict.FAIL, f"{self._counts['refused']} requests refused")
        if hopeless or judged >= self.requests:
            verdict = Verdict.FAIL if hopeless else Verdict.PASS
            return self._end(record, verdict, f"{agreed} of {judged} answers agree with the twin")
        if self._counts["unjudged"] >= self.requests:
            return self._end(record, Verdict.UNKNOWN, "no twin's label to compare with")
        return None

    def _end(self, record: Record, verdict: Verdict, why: str) -> Evidence:
        self._done = True
        rule = RULES["HB-D004"]
        agreed, judged = self._counts["agreed"], self._counts["agreed"] + self._counts["differed"]
        return Evidence(
            rule=rule.code,
            subject=self.digest,
            verdict=verdict,
            severity=rule.severity,
            value=agreed / judged if judged else None,
            limit=self.limit,
            interval=wilson(agreed, judged) if judged else None,
            message=f"{why} on {' and '.join(self.routes)} (limit {self.limit:g})",
            spec={"n": judged, **self._counts, "routes": list(self.routes), "seq": record.seq},
        )

    def state(self) -> State:
        """Everything counted so far, as JSON."""
        return {"last": self._last, "done": self._done, "counts": dict(self._counts)}

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state of a monitor of the same settings.

        Raises:
            DataError: if the state is malformed; the monitor is then as it was before.
        """
        read_state(state, self._restore, "agreement monitor")

    def _restore(self, state: Mapping[str, Any]) -> None:
        last, done = state["last"], state["done"]
        counts = read_counts(state, self._counts)
        if type(last) is not int or type(done) is not bool:
            raise DataError("the place in the stream is malformed", where="agreement monitor")
        self._last, self._done, self._counts = last, done, counts


def _kind(record: Record) -> str:
    if record.outcome == "refuse":
        return "refused"
    if record.outcome == "abstain":
        return "abstained"
    if record.twin_label is None:
        return "unjudged"
    return "agreed" if record.label == record.twin_label else "differed"
