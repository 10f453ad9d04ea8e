"""AccuracyMonitor: labels that arrive late, joined to the answers they belong to."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Any

from hauberk.core.errors import DataError, UserError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.interval import wilson
from hauberk.core.rule import RULES
from hauberk.monitor.fold import State, read_counts, read_state
from hauberk.monitor.wealth import Wealth, check_share, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from hauberk.core.record import Record

_LONGEST_ID = 256
_STAKES = (0.02, 0.05, 0.15, 0.4)


@dataclass(kw_only=True, eq=False)
class AccuracyMonitor:
    """Sequential test of late labels against a stated error: evidence ``HB-D003`` on a drop.

    While the share of wrong answers is at most ``base_error`` (a fraction), the probability that
    it ever alarms is at most ``alpha``, however many labels come. :meth:`update` remembers the
    answers to the last ``pending`` records; :meth:`label` joins a label by the record's id.
    ``window`` labels, the newest, make the accuracy that is reported. After an alarm it only
    counts, until :meth:`reset`.

    Raises:
        UserError: if a number is out of range.
    """

    base_error: float
    alpha: float = 0.01
    window: int = 200
    pending: int = 4096
    _pays: NDArray[np.float64] = field(init=False, repr=False)
    _last: int = field(init=False, default=-1, repr=False)

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)
        check_share("base_error", self.base_error)
        if self.window < 1 or self.pending < 1:
            raise UserError("window and pending must be at least 1")
        self._pays = table((self.base_error,), [(0.0, 1.0, stake) for stake in _STAKES])
        self._answers: dict[str, tuple[int, str]] = {}
        self.reset()

    def reset(self) -> None:
        """Start a new run, with all of alpha; the answers that wait for labels are kept."""
        self._counts = {"labels": 0, "wrong": 0, "unmatched": 0, "after_alarm": 0}
        self._alarmed = False
        self._right: deque[bool] = deque(maxlen=self.window)
        self._wealth = Wealth((len(_STAKES),))

    @property
    def alarmed(self) -> bool:
        """Whether a drop was found since the last reset."""
        return self._alarmed

    def accuracy(self) -> tuple[float, tuple[float, float]] | None:
        """Accuracy over the window and its 95 % interval, as fractions; None without labels."""
        if not self._right:
            return None
        right, n = sum(self._right), len(self._right)
        return right / n, wilson(right, n)

    def update(self, record: Record, /) -> Evidence | None:
        """Remember an answer until its label comes; refusals and abstentions have none.

        An id of more than 256 characters is not remembered.
        """
        if record.seq <= self._last:
            return None
        self._last = record.seq
        if record.outcome in ("refuse", "abstain") or len(record.id) > _LONGEST_ID:
            return None
        self._answers.pop(record.id, None)
        self._answers[record.id] = (record.label, record.digest)
        if len(self._answers) > self.pending:
            del self._answers[next(iter(self._answers))]
        return None

    def label(self, record_id: str, truth: int, *, at: float) -> Evidence | None:
        """Judge the answer of that id; each is judged once, an unknown id only counted."""
        answer = self._answers.pop(record_id, None)
        if answer is None:
            self._counts["unmatched"] += 1
            return None
        label, digest = answer
        right = label == truth
        self._right.append(right)
        if self._alarmed:
            self._counts["after_alarm"] += 1
            return None
        self._counts["labels"] += 1
        self._counts["wrong"] += not right
        self._wealth.play(self._pays[1 if right else 0])
        evidence = float(self._wealth.evidence())
        if evidence < -log(self.alpha):
            return None
        return self._alarm(digest, evidence, at)

    def _alarm(self, digest: str, evidence: float, at: float) -> Evidence:
        self._alarmed = True
        rule = RULES["HB-D003"]
        right, n = sum(self._right), len(self._right)
        value, limit = right / n, 1.0 - self.base_error
        return Evidence(
            rule=rule.code,
            subject=digest,
            verdict=Verdict.FAIL,
            severity=rule.severity,
            value=value,
            limit=limit,
            interval=wilson(right, n),
            message=f"accuracy dropped below {limit:g}: {value:.3f} over the last {n} labels "
            f"(evidence {evidence:.1f} nats, limit {-log(self.alpha):.1f})",
            spec={
                "alpha": self.alpha,
                "base_error": self.base_error,
                "evidence": evidence,
                "at": at,
                **self._counts,
            },
        )

    def state(self) -> State:
        """Everything learned so far, as JSON."""
        return {
            "last": self._last,
            "counts": dict(self._counts),
            "alarmed": self._alarmed,
            "right": [int(right) for right in self._right],
            "answers": [[key, label, digest] for key, (label, digest) in self._answers.items()],
            "wealth": self._wealth.state(),
        }

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state of a monitor of the same settings.

        Raises:
            DataError: if the state is malformed; the monitor is then as it was before.
        """
        read_state(state, self._restore, "accuracy monitor")

    def _restore(self, state: Mapping[str, Any]) -> None:
        last, alarmed = state["last"], state["alarmed"]
        counts = read_counts(state, self._counts)
        if type(last) is not int or type(alarmed) is not bool:
            raise DataError("the place in the stream is malformed", where="accuracy monitor")
        answers = {str(key): (int(label), str(digest)) for key, label, digest in state["answers"]}
        right = state["right"]
        if len(answers) > self.pending or len(right) > self.window:
            raise DataError("more answers or labels than fit", where="accuracy monitor")
        if not isinstance(right, list) or any(value not in (0, 1) for value in right):
            raise DataError("a judged answer is neither 0 nor 1", where="accuracy monitor")
        wealth = Wealth.restored(state["wealth"], self._wealth.base.shape)
        self._last, self._alarmed, self._counts, self._wealth = last, alarmed, counts, wealth
        self._answers = answers
        self._right = deque(map(bool, right), maxlen=self.window)
