"""Certified accuracy: samples that no attack within the ball can fell, by proof.

A lower bound beside the upper bound that attacks give; the truth lies between the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch

from hauberk.attack.interval_bounds import intervals, steps_of
from hauberk.attack.victim import module_of, quiet
from hauberk.core.errors import UserError
from hauberk.core.evidence import Evidence, Severity
from hauberk.core.rule import find_rule
from hauberk.evaluate import crown
from hauberk.evaluate.result import rate
from hauberk.evaluate.run import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from hauberk.core.data import Dataset
    from hauberk.core.model import Model
    from hauberk.core.threat import ThreatModel

Method = Literal["interval", "crown"]
_BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Which samples ``(n,)`` are right wherever in the ball they are moved, and on what terms."""

    method: str
    threat: ThreatModel
    dataset: str
    certified: NDArray[np.bool_]
    terms: dict[str, Any]

    def evidence(self, subject: str, *, limit: float | None = None) -> Evidence:
        """HB-E008; without a ``limit`` the rule's own."""
        rule = find_rule("HB-E008")
        value, interval = rate(self.certified)
        bound = rule.limit if limit is None else limit
        return Evidence(
            rule=rule.code,
            subject=subject,
            verdict=rule.judge(value, bound),
            message=f"{self.certified.sum()} of {len(self.certified)} samples are proven right "
            f"within {self.threat} by {self.method}",
            value=value,
            limit=bound,
            interval=interval,
            severity=rule.severity if bound is not None else Severity.INFO,
            spec={
                "dataset": self.dataset,
                "n": len(self.certified),
                "norm": self.threat.norm,
                "eps": self.threat.eps,
                "method": self.method,
                **self.terms,
            },
        )


def certify(
    model: Model,
    data: Dataset,
    threat: ThreatModel,
    *,
    method: Method = "crown",
    run: Run | None = None,
) -> Certificate:
    """Prove what can be proven of a classifier that is a torch network, sample by sample.

    ``interval`` is quick and loose, ``crown`` slower and tighter. In ``l2`` and ``l1`` the box
    around the ball bounds the steps within, the ball itself the last one.

    Raises:
        UserError: if the model is no torch network, has a step for which no bounds are known, or
            the norm is ``l0``.
    """
    module = module_of(model)
    if module is None:
        raise UserError("only a torch network can be bounded", hint="certify by smoothing instead")
    if threat.norm == "l0":
        raise UserError("no bounds are known in l0", hint="linf, l2 or l1")
    if method not in get_args(Method):
        raise UserError(f"unknown method {method!r}", hint="interval or crown")
    lent, certified = run or Run(), np.zeros(len(data), dtype=np.bool_)
    with quiet(model):
        steps = steps_of(module)
        for start in range(0, len(data), _BATCH):
            rows = slice(start, min(start + _BATCH, len(data)))
            x, y = torch.from_numpy(data.x[rows]).double(), torch.from_numpy(data.y[rows])
            low, high = box(x, threat.eps, model)
            if method == "interval":
                margins = _worst_case(intervals(steps, low, high)[steps.output], y)
            else:
                bounds = crown.tightened(steps, x, low, high, norm=threat.norm, eps=threat.eps)
                apart = differences(y, data.classes)
                margins = crown.lower(steps, bounds, apart, x, threat.norm, threat.eps)
            margins = margins.scatter(1, y[:, None], float("inf"))
            certified[rows] = (margins > 0).all(1).numpy()
            if lent.progress is not None:
                lent.progress(rows.stop, len(data))
    return Certificate(
        method=method, threat=threat, dataset=data.digest, certified=certified, terms={}
    )


def box(x: Tensor, eps: float, model: Model) -> tuple[Tensor, Tensor]:
    """The corners of the box around a ball, within the model's bounds."""
    return (x - eps).clamp_min(model.bounds.low), (x + eps).clamp_max(model.bounds.high)


def differences(y: Tensor, classes: int) -> Tensor:
    """Rows ``(batch, classes, classes)``: the label's logit less each other's."""
    eye = torch.eye(classes, dtype=torch.float64)
    return eye[y][:, None] - eye[None]


def _worst_case(ends: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
    return ends[0].gather(1, y[:, None]) - ends[1]
