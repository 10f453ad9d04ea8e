"""What a report says in words: the headline, and the figures beneath it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hauberk.govern.report import WORST

if TYPE_CHECKING:
    from hauberk.govern.report import AttackRow, Figure, LoopReport

MISSING = "not measured"
NOT_RUN = "not run"
_ENDS = {
    "recovered": "A hardened model was judged, promoted and confirmed.",
    "halted": "The loop halted and asked for a person; no unjudged model was served.",
    "open": "The incident is still open.",
}


def headline(report: LoopReport) -> str:
    """What the attack cost, how it was met, and what holds now, in a few sentences."""
    told = report.headline
    row = _told_row(report)
    parts = []
    if row is not None and row.before and row.under:
        parts.append(
            f"Under {row.attack} at ε = {row.eps:g} accuracy fell from "
            f"{percent(row.before.value)} to {percent(row.under.value)}."
        )
    if told.detection_requests is not None:
        parts.append(
            f"The attack was noticed after {told.detection_requests} requests, without a label."
        )
    parts.append(_ENDS[told.outcome])
    if told.outcome == "recovered" and row is not None:
        held = f"is {percent(row.after.value)}" if row.after else f"was {MISSING}"
        parts.append(f"Under the same attack, made anew against it, accuracy {held}.")
    return " ".join(parts)


def figures(report: LoopReport) -> list[tuple[str, str]]:
    """Label and value of the headline figures; what is missing is said to be missing."""
    told = report.headline
    alarms = MISSING
    if told.false_alarms is not None and told.clean_requests is not None:
        alarms = f"{told.false_alarms} in {told.clean_requests:,} clean requests"
    delay = MISSING
    if told.detection_requests is not None:
        delay = f"{told.detection_requests} requests"
        delay += f", {seconds(told.detection_seconds)}" if told.detection_seconds else ""
    return [
        ("Detection delay", delay),
        ("False alarms", alarms),
        ("Time to containment", seconds(told.containment_seconds)),
        ("Time to recovery", seconds(told.recovery_seconds)),
        ("Training", seconds(told.training_seconds)),
        ("Clean accuracy before", figure(told.clean_before, MISSING)),
        ("Clean accuracy after", figure(told.clean_after, MISSING)),
    ]


def attack_cells(row: AttackRow) -> tuple[str, str, str, str, str, str]:
    """The cells of the table: attack, eps, n, before, under and after."""
    before, under, after = (figure(one, NOT_RUN) for one in (row.before, row.under, row.after))
    return row.attack, f"{row.eps:g}", f"{row.n:,}", before, under, after


ATTACK_HEAD = ("attack", "ε", "n", "before attack", "under attack", "after hardening")


def curve(report: LoopReport, which: str) -> list[tuple[float, Figure]]:
    """Accuracy against eps of the model ``"under"`` attack or ``"after"`` hardening.

    The worst case where it was measured, otherwise the least of the single attacks.
    """
    chosen = [row for row in report.rows if row.attack == WORST] or list(report.rows)
    clean = report.headline.clean_before if which == "under" else report.headline.clean_after
    points: dict[float, Figure] = {} if clean is None else {0.0: clean}
    for row in chosen:
        found: Figure | None = getattr(row, which)
        if found is None:
            continue
        if row.eps not in points or found.value < points[row.eps].value:
            points[row.eps] = found
    return sorted(points.items(), key=lambda item: item[0])


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


def figure(one: Figure | None, missing: str) -> str:
    """``57.3 % [51.2, 63.2]``, or what is said where there is none."""
    if one is None:
        return missing
    if one.low is None or one.high is None:
        return percent(one.value)
    return f"{percent(one.value)} [{100 * one.low:.1f}, {100 * one.high:.1f}]"


def seconds(span: float | None) -> str:
    """A span in words, to three digits."""
    if span is None:
        return MISSING
    if span >= 120:
        return f"{int(span // 60)} min {span % 60:.0f} s"
    return f"{span:.3g} s"


def moment(at: float) -> str:
    """A time in UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock(at: float) -> str:
    """A time of day in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]


def _told_row(report: LoopReport) -> AttackRow | None:
    """The row that the headline is about: the named attack's, at the named eps or the worst."""
    told = report.headline
    named = [row for row in report.rows if row.attack == told.attack]
    named = [row for row in named if told.eps in {None, row.eps}] or named
    measured = [row for row in named or report.rows if row.under is not None]
    return min(measured, key=lambda row: row.under.value if row.under else 1.0, default=None)
