"""Integrity: does the endpoint still answer golden inputs as the signed model does?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.digest import short
from hauberk.core.errors import DataError, UserError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.rule import RULES

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class GoldenInputs:
    """Inputs ``x`` ``(n, ...)`` whose logits ``expected`` ``(n, classes)`` are known of ``digest``.

    Worked out from the bytes that were signed, and kept away from whoever can write the served
    model. ``tolerance`` is the largest difference that another machine may make.

    Raises:
        UserError: if there are none, or the answers do not fit.
    """

    digest: str
    x: NDArray[np.float32]
    expected: NDArray[np.float32]
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        if len(self.x) == 0 or self.expected.ndim != 2 or len(self.x) != len(self.expected):
            raise UserError("golden inputs need an expected answer each")

    def compare(self, digest: str, answered: NDArray[np.floating], *, at: float) -> Evidence:
        """Evidence HB-D008 from what the endpoint says it is, and what it answers.

        Raises:
            DataError: if it answers another number of rows.
        """
        rule = RULES["HB-D008"]
        if answered.ndim != 2 or len(answered) != len(self.x):
            raise DataError(f"answers of shape {answered.shape}", where="golden inputs")
        reasons = []
        if digest != self.digest:
            reasons.append(f"the endpoint serves {short(digest)}, not {short(self.digest)}")
        if answered.shape != self.expected.shape:
            reasons.append(f"it answers {answered.shape[1]} classes")
            worst = float("inf")
        else:
            gap = np.abs(answered - self.expected)
            worst = float(gap.max()) if np.isfinite(gap).all() else float("inf")
            wrong = int((~(gap <= self.tolerance)).any(axis=1).sum())
            if wrong:
                reasons.append(f"{wrong} of {len(self.x)} golden inputs are answered otherwise")
        return Evidence(
            rule=rule.code,
            subject=self.digest,
            verdict=Verdict.FAIL if reasons else Verdict.PASS,
            severity=rule.severity,
            atlas=rule.atlas,
            value=worst if np.isfinite(worst) else None,
            limit=self.tolerance,
            message="; ".join(reasons) or f"{len(self.x)} golden inputs answered as signed",
            spec={"n": len(self.x), "served": digest, "at": at},
        )
