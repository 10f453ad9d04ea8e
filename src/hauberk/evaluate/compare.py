"""Two models on the same samples: what was lost untouched, what was gained under attack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.core.errors import DataError
from hauberk.core.evidence import Evidence
from hauberk.core.interval import paired_gain
from hauberk.core.rule import find_rule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hauberk.evaluate.result import Robustness


def compare(
    before: Robustness,
    after: Robustness,
    *,
    subject: str,
    clean_drop: float | None = None,
    robust_gain: float | None = None,
) -> tuple[Evidence, Evidence]:
    """HB-E003 and HB-E004 of the model ``after`` against the one ``before``.

    The clean drop is held against ``clean_drop`` as it was measured; of the robust gain, at the
    threat's own eps, the lower end of the paired 95 % interval is held against ``robust_gain``.
    The limits default to the rules' own.

    Raises:
        DataError: if the two were not measured on the same samples, threat and attacks.
        UserError: if the threat's own eps was not evaluated.
    """
    _check(before, after)
    return (
        _drop(before, after, subject=subject, limit=clean_drop),
        _gain(before, after, subject=subject, limit=robust_gain),
    )


def _drop(before: Robustness, after: Robustness, *, subject: str, limit: float | None) -> Evidence:
    rule = find_rule("HB-E003")
    bound = rule.limit if limit is None else limit
    lost, won = _discordant(before.clean, after.clean)
    low, high = paired_gain(lost, won, after.n)
    value = (lost - won) / after.n
    return Evidence(
        rule=rule.code,
        subject=subject,
        verdict=rule.judge(value, bound),
        message=f"clean accuracy went from {before.clean.mean():.4f} to {after.clean.mean():.4f}: "
        f"{lost} samples lost, {won} won, of {after.n}",
        value=value,
        limit=bound,
        interval=(-high, -low),
        severity=rule.severity,
        spec={**after.conditions(), "lost": lost, "won": won},
    )


def _gain(before: Robustness, after: Robustness, *, subject: str, limit: float | None) -> Evidence:
    rule = find_rule("HB-E004")
    bound = rule.limit if limit is None else limit
    eps = after.threat.eps
    was, now = before.worst(eps), after.worst(eps)
    lost, won = _discordant(was, now)
    low, high = paired_gain(lost, won, after.n)
    return Evidence(
        rule=rule.code,
        subject=subject,
        verdict=rule.judge(low, bound),
        message=f"robust accuracy at {after.threat} went from {was.mean():.4f} to "
        f"{now.mean():.4f}: the gain is at least {low:.4f}",
        value=low,
        limit=bound,
        interval=(low, high),
        severity=rule.severity,
        spec={
            **after.conditions(eps),
            "lost": lost,
            "won": won,
            "attacks": {attack.name: dict(attack.parameters) for attack in after.attacks},
        },
    )


def _discordant(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> tuple[int, int]:
    """How many samples are right only before, and only after."""
    return int((before & ~after).sum()), int((~before & after).sum())


def _check(before: Robustness, after: Robustness) -> None:
    if before.dataset != after.dataset or before.n != after.n:
        raise DataError("the two models were not measured on the same samples")
    if before.threat != after.threat:
        raise DataError(f"one model was measured under {before.threat}, one under {after.threat}")
    was, now = (
        {attack.name: attack.parameters for attack in one.attacks} for one in (before, after)
    )
    if was != now:
        raise DataError(
            "the two models were not attacked alike", hint="use the same attacks and parameters"
        )
