"""The shipped sensors pass the suite that every sensor must pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hauberk.core.registry import BUILT_IN, find
from hauberk.guard.energy import Energy
from hauberk.testing.sensor_checks import sensor_checks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hauberk.guard.sensor import View
    from hauberk.testing.sensor_checks import SensorCheck


@pytest.mark.parametrize("check", sensor_checks().values(), ids=sensor_checks())
@pytest.mark.parametrize("name", BUILT_IN["sensor"])
def test_sensor(name: str, check: SensorCheck) -> None:
    check(find("sensor", name))


class _Faulty(Energy):
    fault = ""

    def score(self, view: View) -> NDArray[np.float64]:
        scores = super().score(view)
        if self.fault == "a-row-does-not-matter-to-another":
            scores -= scores.mean()
        if self.fault == "one-finite-score-each":
            scores *= 0
        if self.fault == "leaves-the-input-alone":
            view.x[0] = 0
        return scores

    def surrogate(self, view: View) -> Any:
        out = super().surrogate(view)
        return out + 1 if self.fault == "surrogate-is-the-score" else out


@pytest.mark.parametrize(
    "fault",
    [
        "a-row-does-not-matter-to-another",
        "one-finite-score-each",
        "leaves-the-input-alone",
        "surrogate-is-the-score",
    ],
)
def test_the_suite_sees_a_fault(fault: str) -> None:
    kind = type("Faulty", (_Faulty,), {"fault": fault})
    with pytest.raises(AssertionError):
        sensor_checks()[fault](kind)
