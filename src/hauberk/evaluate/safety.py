"""A stated property of a model over a box of inputs: proven, refuted by an input, or open.

Branch and bound (Bunel et al. 2018): a box whose linear bound does not prove the property is halved
along its longest side, until all parts are proven, one holds a counterexample, or too many are
open. For tables and other inputs of few values; boxes of images stay open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from hauberk.attack.interval_bounds import Steps, steps_of
from hauberk.attack.victim import module_of, quiet
from hauberk.core.errors import UserError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.rule import find_rule
from hauberk.evaluate import crown

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from hauberk.core.model import Model

_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Property:
    """For every input between ``low`` and ``high``, each of ``rows`` times the output is above 0.

    ``rows`` ``(k, classes)``; :func:`always` and :func:`above` write the usual ones.

    Raises:
        UserError: if the box is empty or the shapes do not fit.
    """

    name: str
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    rows: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.low.shape != self.high.shape or not bool((self.low <= self.high).all()):
            raise UserError(f"the box of {self.name!r} is empty or of two shapes")
        if self.rows.ndim != 2 or not len(self.rows):
            raise UserError(f"{self.name!r} claims nothing")


def always(label: int, classes: int) -> NDArray[np.float32]:
    """Rows that say: the answer is this class."""
    eye = np.eye(classes, dtype=np.float32)
    rows: NDArray[np.float32] = np.delete(eye[label] - eye, label, axis=0)
    return rows


def above(label: int, other: int, classes: int) -> NDArray[np.float32]:
    """One row that says: this class outscores that one."""
    eye = np.eye(classes, dtype=np.float32)
    row: NDArray[np.float32] = eye[label] - eye[other]
    return row[None]


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was found: a verdict, how many boxes it took, and an input that breaks the property."""

    claim: Property
    verdict: Verdict
    boxes: int
    counterexample: NDArray[np.float32] | None = None

    def evidence(self, subject: str) -> Evidence:
        """HB-E009."""
        rule = find_rule("HB-E009")
        said = {
            Verdict.PASS: f"holds in the whole box, proven in {self.boxes} parts",
            Verdict.FAIL: "is broken by an input of the box",
            Verdict.UNKNOWN: f"is neither proven nor refuted after {self.boxes} parts",
        }
        broken = self.counterexample
        return Evidence(
            rule=rule.code,
            subject=subject,
            verdict=self.verdict,
            message=f"{self.claim.name}: {said[self.verdict]}",
            value={Verdict.PASS: 1.0, Verdict.FAIL: 0.0}.get(self.verdict),
            severity=rule.severity,
            spec={
                "property": self.claim.name,
                "low": self.claim.low.ravel().tolist(),
                "high": self.claim.high.ravel().tolist(),
                "rows": self.claim.rows.tolist(),
                "boxes": self.boxes,
                "counterexample": None if broken is None else broken.ravel().tolist(),
            },
        )


def prove(model: Model, claim: Property, *, most: int = 10_000) -> Proof:
    """Prove or refute a property, looking at ``most`` boxes at most.

    Raises:
        UserError: if the model is no torch network or has a step for which no bounds are known.
    """
    module = module_of(model)
    if module is None:
        raise UserError("only a torch network can be bounded")
    rows = torch.from_numpy(claim.rows)
    waiting = [(torch.from_numpy(claim.low), torch.from_numpy(claim.high))]
    looked = 0
    with quiet(model), torch.no_grad():
        steps = steps_of(module)
        exact = rows.double()
        while waiting and looked < most:
            now, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
            looked += len(now)
            low, high = (torch.stack([one[side] for one in now]) for side in (0, 1))
            middle = (low + high) / 2
            for points in (middle, low, high):
                # A counterexample is one by the model itself, not by a bound.
                wrong = (model(points.clone()) @ rows.T <= 0).any(1)
                if bool(wrong.any()):
                    found = points[int(wrong.nonzero()[0])].numpy()
                    return Proof(
                        claim=claim, verdict=Verdict.FAIL, boxes=looked, counterexample=found
                    )
            open_ = ~_proven(steps, exact, low.double(), high.double())
            for one in open_.nonzero().squeeze(1).tolist():
                waiting += _halves(low[one], high[one])
    verdict = Verdict.UNKNOWN if waiting else Verdict.PASS
    return Proof(claim=claim, verdict=verdict, boxes=looked)


def _proven(steps: Steps, rows: Tensor, low: Tensor, high: Tensor) -> Tensor:
    middle = (low + high) / 2
    bounds = crown.tightened(steps, middle, low, high, norm="linf", eps=0.0)
    every = rows[None].expand(len(low), *rows.shape)
    return (crown.lower(steps, bounds, every, middle, "linf", 0.0) > 0).all(1)


def _halves(low: Tensor, high: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The two halves of a box along its longest side."""
    side = int((high - low).flatten().argmax())
    middle = (low.flatten()[side] + high.flatten()[side]) / 2
    left, right = high.flatten().clone(), low.flatten().clone()
    left[side], right[side] = middle, middle
    return [(low, left.view_as(high)), (right.view_as(low), high)]
