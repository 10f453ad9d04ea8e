"""What happened to one service, from its journal, ledger, records and logs, as a report."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hauberk.core.errors import DataError
from hauberk.govern.decision import Decision
from hauberk.govern.report import (
    AttackRow,
    DecisionRow,
    Example,
    Figure,
    Headline,
    LoopReport,
    Mark,
    Point,
    Turn,
    decision_rows,
)
from hauberk.loop.events import Alarm, CanaryOver
from hauberk.loop.timeline import line_of
from hauberk.loop.turns import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.adapters.http.traffic import Shot
    from hauberk.adapters.local.home import Home
    from hauberk.core.spec import Spec
    from hauberk.loop.turns import Turn as LoopTurn

_WINDOW = 40
_CLEAN = "clean"


@dataclass(frozen=True, kw_only=True)
class Account:
    """The newest incident of a service; ``shots`` are what clients saw, in any order."""

    home: Home
    spec: Spec
    shots: Sequence[Shot] = ()

    def turns(self) -> list[LoopTurn]:
        """Every turn of the journal."""
        lines = self.home.journal.read(self.spec.model.name)
        return [decode(text, number) for number, text in enumerate(lines)]

    def incident(self) -> list[LoopTurn]:
        """The turns from the newest incident's alarm on; empty if there was none.

        An alarm that only joined an open incident does not begin one.
        """
        turns = self.turns()
        opened = [
            number
            for number, (before, after) in enumerate(pairwise(turns), 1)
            if after.state.incidents > before.state.incidents
        ]
        return turns[opened[-1] :] if opened else []

    def decision(self) -> dict[str, Any] | None:
        """The newest decision of the gate, row by row, as the ledger holds it."""
        entries = self.home.ledger.entries(kind="decision")
        return next((e.body for e in reversed(entries) if "rows" in e.body), None)

    def detection(self) -> int | None:
        """Hostile requests that were answered until the alarm was raised."""
        turns = self.incident()
        event = turns[0].event if turns else None
        if not isinstance(event, Alarm) or "at" not in event.finding.spec:
            return None
        raised = float(event.finding.spec["at"])
        hostile = [shot for shot in self.shots if shot.kind != _CLEAN and not shot.error]
        return sum(shot.at <= raised + 1e-3 for shot in hostile) or None

    def headline(self) -> Headline:
        """Delays, times and outcome of the newest incident."""
        turns = self.incident()
        if not turns:
            return Headline()
        opened, last = turns[0], turns[-1].state
        incident = opened.state.incident
        began = opened.at
        promoted = _first(turns, CanaryOver, phase="checking")
        contained = self._contained(began)
        status = self.home.trainer.status(f"{incident.id}-harden") if incident else None
        hostile = [shot for shot in self._ordered() if shot.kind != _CLEAN]
        rows = self.figures()
        halted = last.phase == "halted"
        closed = last.incident is None and not halted
        return Headline(
            outcome="halted" if halted else "recovered" if closed and promoted else "open",
            attack=hostile[0].kind if hostile else "",
            eps=self.spec.threat.eps,
            detection_requests=self.detection(),
            detection_seconds=began - hostile[0].at if hostile else None,
            containment_seconds=contained,
            recovery_seconds=promoted.at - began if promoted else None,
            training_seconds=status.result.get("seconds") if status else None,
            clean_before=_figure(rows, _CLEAN, "before"),
            clean_after=_figure(rows, _CLEAN, "after"),
        )

    def judged(self) -> dict[str, Any]:
        """What the newest judgement measured: ``figures``, and the digest of ``examples``."""
        entries = self.home.ledger.entries(kind="evidence")
        return next((e.body for e in reversed(entries) if "figures" in e.body), {})

    def _contained(self, began: float) -> float | None:
        """Seconds from the alarm to the first answer of the twin, as a client saw it."""
        answers = (s.at for s in self._ordered() if s.route == "twin" and s.at >= began)
        first = next(answers, None)
        return None if first is None else first - began

    def figures(self) -> list[dict[str, Any]]:
        """Per attack and eps the right answers before and after, of ``n``."""
        return list(self.judged().get("figures", ()))

    def drop(self) -> list[float] | None:
        """Interval of the clean accuracy lost, from the gate's evidence."""
        for row in (self.decision() or {}).get("rows", ()):
            if row["rule"] == "HB-E003" and row["interval"]:
                return [float(end) for end in row["interval"]]
        return None

    def report(self, *, title: str, at: float, conditions: dict[str, str]) -> LoopReport:
        """All of it; ``at`` is when the report is made, in seconds since the epoch."""
        decision = self.decision() or {}
        rows, turns = self.figures(), self.turns()
        return LoopReport(
            title=title,
            generated_at=at,
            headline=self.headline(),
            rows=tuple(_row(row, rows) for row in rows if row["attack"] != _CLEAN),
            stream=self._stream(turns),
            marks=self._marks(turns),
            verdict=str(decision.get("verdict", "unknown")),
            decision=_decision_rows(decision) if decision else (),
            turns=tuple(_turn(turn) for turn in turns),
            examples=self._examples(self.judged().get("examples")),
            conditions=conditions,
            provenance=self._provenance(turns, decision),
        )

    def _provenance(self, turns: list[LoopTurn], decision: dict[str, Any]) -> dict[str, str]:
        known = {
            "before": turns[0].state.routing.primary if turns else "",
            "after": turns[-1].state.routing.primary if turns else "",
            "twin": (turns[-1].state.routing.twin or "") if turns else "",
            "policy": str(decision.get("policy", "")),
            "signer": self.home.signer.key_id,
            "ledger entries": str(self.home.ledger.verify()),
        }
        return {name: value for name, value in known.items() if value}

    def _ordered(self) -> list[Shot]:
        return sorted((shot for shot in self.shots if not shot.error), key=lambda shot: shot.at)

    def _stream(self, turns: list[LoopTurn]) -> tuple[Point, ...]:
        shots = self._ordered()
        right = np.array([shot.right for shot in shots], dtype=float)
        step = max(1, len(shots) // 400)
        points = []
        for end in range(_WINDOW, len(shots) + 1, step):
            at = shots[end - 1].at
            phase = next((turn.state.phase for turn in reversed(turns) if turn.at <= at), "serving")
            share = float(right[end - _WINDOW : end].mean())
            points.append(Point(request=end, accuracy=share, phase=phase))
        return tuple(points)

    def _marks(self, turns: list[LoopTurn]) -> tuple[Mark, ...]:
        shots = self._ordered()
        times = [shot.at for shot in shots]
        marks = [
            Mark(request=number, text="attack starts")
            for number, shot in enumerate(shots, 1)
            if shot.kind != _CLEAN
        ][:1]
        for turn in self.incident() if turns else ():
            number = int(np.searchsorted(times, turn.at))
            if isinstance(turn.event, Alarm) and not any(m.text == "alarm" for m in marks):
                marks.append(Mark(request=number, text="alarm"))
            elif isinstance(turn.event, CanaryOver) and turn.state.phase == "checking":
                marks.append(Mark(request=number, text="promoted"))
        return tuple(marks)

    def _examples(self, digest: str | None) -> tuple[Example, ...]:
        if not digest:
            return ()
        with np.load(io.BytesIO(self.home.store.get(digest)), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        if found["clean"].ndim != 4:
            return ()
        parts = (found["clean"], found["adversarial"], found["label"], found["answer"])
        return tuple(
            Example.of(
                clean,
                adversarial,
                label=str(label),
                clean_answer=str(label),
                adversarial_answer=str(answer),
            )
            for clean, adversarial, label, answer in zip(*parts, strict=True)
        )


def _first(turns: list[LoopTurn], kind: type, *, phase: str | None = None) -> LoopTurn | None:
    for turn in turns:
        if isinstance(turn.event, kind) and phase in {None, turn.state.phase}:
            return turn
    return None


def _figure(rows: list[dict[str, Any]], attack: str, which: str) -> Figure | None:
    for row in rows:
        if row["attack"] == attack:
            return Figure.of(row[which], row["n"])
    return None


def _row(row: dict[str, Any], rows: list[dict[str, Any]]) -> AttackRow:
    return AttackRow(
        attack=row["attack"],
        eps=row["eps"],
        n=row["n"],
        before=_figure(rows, _CLEAN, "before"),
        under=Figure.of(row["before"], row["n"]),
        after=Figure.of(row["after"], row["n"]),
    )


def _decision_rows(body: dict[str, Any]) -> tuple[DecisionRow, ...]:
    try:
        return decision_rows(msgspec.convert(body, Decision))
    except msgspec.ValidationError as error:
        raise DataError(f"not a decision: {error}", where="ledger") from None


def _turn(turn: LoopTurn) -> Turn:
    line = line_of(turn)
    return Turn(at=line.at, phase=line.phase, event=line.event, actions=line.actions)
