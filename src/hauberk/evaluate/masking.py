"""Signs that a robust figure measures the attack's failure and not the model's strength.

Athalye, Carlini and Wagner (2018), section 3.1, name the signs. Those that a result shows are
looked at; one that it cannot show leaves the claim unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.interval import paired_gain
from hauberk.core.model import Access
from hauberk.core.rule import find_rule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.evaluate.result import AttackResult, Robustness

# A gradient may vanish in float32 at a few samples of which a sound model is very sure.
_MIN_NONZERO = 0.9
# Random signs beat a sound gradient now and then, where the loss bends within the ball.
_MIN_LEADING = 0.75


@dataclass(frozen=True)
class Sign:
    """One test for masking: its name, whether it speaks for a sound gradient, and why."""

    name: str
    verdict: Verdict
    reason: str


def masking(result: Robustness, subject: str) -> Evidence:
    """HB-E005: whether the robust figure is to be believed.

    ``value`` is 1 if every sign is good, 0 if one is bad, None if one is missing and none bad.
    """
    rule = find_rule("HB-E005")
    found = signs(result)
    verdicts = {sign.verdict for sign in found}
    if Verdict.FAIL in verdicts:
        verdict, value = Verdict.FAIL, 0.0
    elif Verdict.UNKNOWN in verdicts:
        verdict, value = Verdict.UNKNOWN, None
    else:
        verdict, value = Verdict.PASS, 1.0
    telling = [sign.reason for sign in found if sign.verdict is verdict]
    return Evidence(
        rule=rule.code,
        subject=subject,
        verdict=verdict,
        message="; ".join(telling),
        value=value,
        severity=rule.severity,
        spec={
            **result.conditions(),
            "signs": {sign.name: str(sign.verdict) for sign in found},
            "attacks": {attack.name: dict(attack.parameters) for attack in result.attacks},
        },
    )


def signs(result: Robustness) -> tuple[Sign, ...]:
    """Every sign that a result can show."""
    return (*_slope(result), *_free(result), _curve(result), *_probed(result))


def _slope(result: Robustness) -> tuple[Sign, ...]:
    name, health = "gradient", result.gradient
    if health is None:
        return (Sign(name, Verdict.UNKNOWN, "the model gives no gradient to look at"),)
    if health.n == 0:
        return (Sign(name, Verdict.UNKNOWN, "no sample is right untouched"),)
    n, enough = health.n, _MIN_NONZERO * health.n
    return (
        _sign(
            "finite",
            health.finite == n,
            f"the loss is not finite at {n - health.finite} of {n} samples",
        ),
        _sign(
            name,
            health.nonzero >= enough,
            f"the gradient is 0 at {n - health.nonzero} of {n} samples",
        ),
        _sign(
            "saturation",
            health.strong >= enough,
            f"the gradient rounds to 0, or is about to, at {n - health.strong} of {n} samples",
        ),
        _sign(
            "leading",
            health.leading >= _MIN_LEADING * n,
            f"a step along the gradient does no more than a random one at {n - health.leading} "
            f"of {n} samples",
        ),
        # A random model can be sound, but one draw of it is not what was claimed.
        _sign(
            "steady",
            health.steady == n,
            f"asked twice, the model answers differently at {n - health.steady} of {n} samples",
            otherwise=Verdict.UNKNOWN,
        ),
    )


def _probed(result: Robustness) -> tuple[Sign, ...]:
    """An attack without a bound must win; random points must not."""
    probes = result.probes
    if probes is None or probes.n == 0:
        text = "no sample was attacked without a bound, nor at random"
        return (Sign("unbounded", Verdict.UNKNOWN, text),)
    low, _ = paired_gain(probes.only_climbing, probes.only_random, probes.n)
    return (
        _sign(
            "unbounded",
            probes.standing == 0,
            f"{probes.standing} of {probes.n} samples withstand an attack without a bound",
        ),
        _sign(
            "random",
            low <= 0,
            f"of {probes.n} samples {probes.only_random} fell only at random points, "
            f"{probes.only_climbing} only to gradients",
        ),
    )


def _sign(name: str, good: bool, reason: str, *, otherwise: Verdict = Verdict.FAIL) -> Sign:  # noqa: FBT001
    return Sign(name, Verdict.PASS if good else otherwise, reason)


def _free(result: Robustness) -> tuple[Sign, ...]:
    """At each eps: attacks without gradients must not win where those with gradients lose."""
    climbing = [one for one in result.attacks if one.needs == Access.GRADIENTS]
    free = [one for one in result.attacks if one.needs < Access.GRADIENTS]
    if not climbing or not free:
        missing = "with" if not climbing else "without"
        text = f"no attack {missing} gradients was run to compare"
        return (Sign("gradient-free", Verdict.UNKNOWN, text),)
    found = []
    for position, eps in enumerate(result.eps):
        only_free, only_climbing = (
            int((one & ~other).sum())
            for one, other in (
                (_fallen(free, position), _fallen(climbing, position)),
                (_fallen(climbing, position), _fallen(free, position)),
            )
        )
        low, _ = paired_gain(only_climbing, only_free, result.n)
        text = (
            f"at eps {eps:g} {only_free} samples fell only without gradients, "
            f"{only_climbing} only with them"
        )
        verdict = Verdict.FAIL if low > 0 else Verdict.PASS
        found.append(Sign(f"gradient-free at {eps:g}", verdict, text))
    return tuple(found)


def _curve(result: Robustness) -> Sign:
    """More room must not save samples: all attacks together, from each eps to the next."""
    name = "curve"
    if len(result.eps) < 2:
        return Sign(name, Verdict.UNKNOWN, "a single eps shows no curve")
    standing = np.logical_and.reduce([attack.alone for attack in result.attacks])
    for position in range(len(result.eps) - 1):
        small, large = standing[position], standing[position + 1]
        saved, lost = int((large & ~small).sum()), int((small & ~large).sum())
        low, _ = paired_gain(lost, saved, result.n)
        if low > 0:
            text = (
                f"{saved} samples fell at eps {result.eps[position]:g} and stand at "
                f"{result.eps[position + 1]:g}, {lost} the other way"
            )
            return Sign(name, Verdict.FAIL, text)
    return Sign(name, Verdict.PASS, "accuracy falls with eps")


def _fallen(attacks: list[AttackResult], position: int) -> NDArray[np.bool_]:
    standing: NDArray[np.bool_] = np.logical_and.reduce([one.correct[position] for one in attacks])
    return ~standing
