from __future__ import annotations

import numpy as np
import pytest

from hauberk.core.errors import DataError
from hauberk.guard.signals import SIGNALS, Window, signals
from hauberk.testing.monitor_checks import toy_calibration, toy_records

CALIBRATION = toy_calibration()


@pytest.mark.parametrize("n", [1, 2, 7, 200])
def test_middles_and_quantiles_are_what_they_are_called(n: int) -> None:
    records = toy_records(n, calibration=CALIBRATION, seed=n, attacked=0.3)
    window = Window.of(records)
    found = dict(zip(SIGNALS, signals(window, CALIBRATION), strict=True))
    assert found["score"] == pytest.approx(np.median(window.score))
    assert found["score, top"] == pytest.approx(np.quantile(window.score, 0.9))
    assert found["doubt"] == pytest.approx(np.quantile(window.confidence, 0.1))
    high, low = CALIBRATION.feature_high, CALIBRATION.feature_low
    half = high.shape[1] // 2
    width = high[:, half] - low[:, half]
    moved = (np.median(window.features, axis=0) - CALIBRATION.feature_median) / width
    np.testing.assert_allclose(
        [found[name] for name in SIGNALS if name.endswith("moved")], np.clip(moved, -20, 20)
    )
    assert len(found) == 32


def test_an_empty_window_is_refused() -> None:
    window = Window.of(toy_records(2, calibration=CALIBRATION)).take(np.array([], dtype=np.int64))
    with pytest.raises(DataError):
        signals(window, CALIBRATION)
