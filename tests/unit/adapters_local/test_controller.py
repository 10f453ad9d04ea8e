from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.adapters.local.controller import make_loop
from hauberk.adapters.local.home import Home
from hauberk.adapters.local.setup import shop_of
from hauberk.adapters.local.work import calibration
from hauberk.core.spec import DetectSpec, ModelSpec, Spec
from hauberk.guard.calibration import Calibration
from hauberk.loop.state import Served
from hauberk.monitor.drift import DriftMonitor
from hauberk.monitor.faults import FaultMonitor
from hauberk.monitor.labels import LabelShiftMonitor
from hauberk.monitor.suspicion import SuspicionMonitor
from hauberk.testing.monitor_checks import toy_calibration

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.monitor.fold import Monitor


def watched(folder: Path, detect: DetectSpec) -> list[Monitor]:
    home = Home.create(folder)
    digest = home.store.put(toy_calibration().to_bytes())
    loop = make_loop(home, Spec(detect=detect))
    return list(loop.watchers.monitors(Served(primary="a", twin="b", calibration=digest)))


def test_the_loop_watches_for_attack_and_drift_and_for_what_the_spec_adds(tmp_path: Path) -> None:
    usual = watched(tmp_path / "a", DetectSpec(alpha=0.02))
    assert [type(one) for one in usual] == [SuspicionMonitor, DriftMonitor]
    assert isinstance(usual[0], SuspicionMonitor)
    assert usual[0].alpha == 0.02
    more = watched(tmp_path / "b", DetectSpec(also=("faults",)))
    assert [type(one) for one in more] == [SuspicionMonitor, DriftMonitor, FaultMonitor]
    # The toy has no count of answers, so nothing can be said of a shift of labels.
    some = watched(tmp_path / "c", DetectSpec(also=("labels", "gauge")))
    assert not any(isinstance(one, LabelShiftMonitor) for one in some)


def test_a_pair_is_calibrated_with_the_sensors_of_the_spec(tmp_path: Path) -> None:
    spec = Spec(
        model=ModelSpec(architecture="mlp"), detect=DetectSpec(sensors=("energy", "margin"))
    )
    home = Home.create(tmp_path / "home")
    shop = shop_of(home, spec)
    one = shop.register(shop.fresh(seed=0), role="primary", parent=None, origin={})
    two = shop.register(shop.fresh(seed=1), role="twin", parent=None, origin={})
    fitted = Calibration.from_bytes(home.store.get(calibration(shop, one, two)))
    assert fitted.panel is not None
    assert list(fitted.panel.sensors) == ["energy", "margin"]
    assert fitted.hedges == ()  # the twin's divergence is not among them
