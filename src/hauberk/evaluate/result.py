"""What an evaluation found, sample by sample, and the claims that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import isclose
from typing import TYPE_CHECKING, Any

from hauberk.core.errors import UserError
from hauberk.core.evidence import Evidence, Severity, Verdict
from hauberk.core.interval import wilson
from hauberk.core.model import Access
from hauberk.core.rule import find_rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from hauberk.core.threat import ThreatModel
    from hauberk.evaluate.gradient import GradientHealth
    from hauberk.evaluate.probes import Probes

_ATLAS = {
    Access.LABELS: "AML.T0043.001",
    Access.SCORES: "AML.T0043.001",
    Access.GRADIENTS: "AML.T0043.000",
}


@dataclass(frozen=True, kw_only=True)
class Example:
    """A sample that fell: its index, its points ``(...)`` before and after, and the answers.

    ``answer`` is the class the model gave to the adversarial point, None where outputs are not
    one row of scores a sample.
    """

    index: int
    attack: str
    eps: float
    clean: NDArray[np.float32]
    adversarial: NDArray[np.float32]
    label: int | None
    answer: int | None


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a detector found in every image, untouched (``attack`` empty) or attacked.

    ``image`` ``(finds,)`` is the row of the image, ``rows`` ``(finds, 6)`` float32 a class, a box
    as left, top, width and height in pixels, and a score. What overlapped is suppressed already.
    """

    attack: str
    eps: float
    image: NDArray[np.int64]
    rows: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class AttackResult:
    """One attack at every eps: who stayed right, ``(eps, n)`` bool.

    In ``correct`` a sample that fell at a smaller eps stays fallen, for its point lies in the
    larger balls too. ``alone`` holds what the attack found at each eps by itself. ``seconds`` is 0
    where no clock was lent.
    """

    name: str
    needs: Access
    parameters: Mapping[str, Any]
    correct: NDArray[np.bool_]
    alone: NDArray[np.bool_]
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """Which samples of a dataset stay right, untouched (``clean``, ``(n,)`` bool) and attacked.

    ``eps`` ascends; ``gradient`` and ``probes`` are None where the model gives no gradient.
    ``found`` holds a detector's finds, untouched and under each attack at the threat's own eps.
    """

    name: str
    dataset: str
    threat: ThreatModel
    seed: int
    clean: NDArray[np.bool_]
    eps: tuple[float, ...]
    attacks: tuple[AttackResult, ...]
    gradient: GradientHealth | None = None
    probes: Probes | None = None
    examples: tuple[Example, ...] = ()
    found: tuple[Found, ...] = ()

    @cached_property
    def n(self) -> int:
        """Number of samples."""
        return len(self.clean)

    def at(self, eps: float) -> int:
        """Position of a radius in :attr:`eps`.

        Raises:
            UserError: if it was not evaluated.
        """
        for position, known in enumerate(self.eps):
            if isclose(known, eps, rel_tol=1e-6, abs_tol=1e-12):
                return position
        known_text = ", ".join(f"{one:g}" for one in self.eps)
        raise UserError(f"nothing was evaluated at eps {eps:g}", hint=f"known: {known_text}")

    def correct(self, attack: str, eps: float) -> NDArray[np.bool_]:
        """Who stays right under one attack, ``(n,)``.

        Raises:
            UserError: if the attack or the radius was not evaluated.
        """
        for result in self.attacks:
            if result.name == attack:
                correct: NDArray[np.bool_] = result.correct[self.at(eps)]
                return correct
        raise UserError(f"attack {attack!r} was not evaluated")

    def worst(self, eps: float) -> NDArray[np.bool_]:
        """Who stays right under every attack, ``(n,)``.

        Raises:
            UserError: if the radius was not evaluated.
        """
        position = self.at(eps)
        standing = self.clean.copy()
        for result in self.attacks:
            standing &= result.correct[position]
        return standing

    def conditions(self, eps: float | None = None) -> dict[str, Any]:
        """What a claim must carry to be repeated: data, n, seed and, with ``eps``, the threat."""
        known: dict[str, Any] = {
            "dataset": self.dataset,
            "data": self.name,
            "n": self.n,
            "seed": self.seed,
        }
        if eps is None:
            return known
        own = self.threat.eps
        factor = eps / own if own > 0 else (1.0 if eps == own else None)
        if self.threat.features is not None:
            known["features"] = self.threat.features.digest
        return {
            **known,
            "norm": self.threat.norm,
            "eps": eps,
            "eps_factor": factor,
            "queries": self.threat.queries,
        }

    def evidence(
        self,
        subject: str,
        *,
        clean_accuracy: float | None = None,
        robust_accuracy: float | None = None,
    ) -> tuple[Evidence, ...]:
        """HB-E002, then HB-E006 for each attack and eps, then HB-E001 for each eps.

        The limits default to the rules' own. Only the worst case at the threat's own eps is held
        against a limit; the other radii and single attacks are figures without one.
        """
        claims = [self._clean(subject, clean_accuracy)]
        claims += [self._single(subject, one, eps) for one in self.attacks for eps in self.eps]
        claims += [self._worst(subject, eps, robust_accuracy) for eps in self.eps]
        return tuple(claims)

    def _clean(self, subject: str, limit: float | None) -> Evidence:
        rule = find_rule("HB-E002")
        value, interval = rate(self.clean)
        bound = rule.limit if limit is None else limit
        return Evidence(
            rule=rule.code,
            subject=subject,
            verdict=rule.judge(value, bound),
            message=f"{self.clean.sum()} of {self.n} untouched samples are right",
            value=value,
            limit=bound,
            interval=interval,
            severity=rule.severity,
            spec=self.conditions(),
        )

    def _single(self, subject: str, attack: AttackResult, eps: float) -> Evidence:
        correct = attack.correct[self.at(eps)]
        value, interval = rate(correct)
        return Evidence(
            rule="HB-E006",
            subject=subject,
            verdict=Verdict.UNKNOWN,  # a figure for its own sake: no limit, no pass
            message=f"{correct.sum()} of {self.n} samples stay right under {attack.name} "
            f"at {self.threat.norm} eps {eps:g}",
            value=value,
            interval=interval,
            severity=Severity.INFO,
            atlas=(_ATLAS[attack.needs],),
            spec={
                **self.conditions(eps),
                "attack": attack.name,
                "parameters": dict(attack.parameters),
            },
        )

    def _worst(self, subject: str, eps: float, limit: float | None) -> Evidence:
        rule = find_rule("HB-E001")
        correct = self.worst(eps)
        value, interval = rate(correct)
        binding = self.at(eps) == self._own()
        bound = (rule.limit if limit is None else limit) if binding else None
        names = ", ".join(attack.name for attack in self.attacks)
        return Evidence(
            rule=rule.code,
            subject=subject,
            verdict=rule.judge(value, bound) if binding else Verdict.UNKNOWN,
            message=f"{correct.sum()} of {self.n} samples stay right under the worst of {names} "
            f"at {self.threat.norm} eps {eps:g}",
            value=value,
            limit=bound,
            interval=interval,
            severity=rule.severity if binding else Severity.INFO,
            atlas=rule.atlas,
            spec={
                **self.conditions(eps),
                "attacks": {attack.name: dict(attack.parameters) for attack in self.attacks},
            },
        )

    def _own(self) -> int | None:
        """Position of the threat's own radius, if it was evaluated."""
        try:
            return self.at(self.threat.eps)
        except UserError:
            return None


def rate(correct: NDArray[np.bool_]) -> tuple[float, tuple[float, float]]:
    """Share of samples that are right, with its 95 % interval."""
    right, n = int(correct.sum()), len(correct)
    return right / n, wilson(right, n)
