"""Requests that show the same thing: frames of a video, retries, augmented copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from hauberk.core.errors import UserError
from hauberk.monitor.bets import Bets
from hauberk.monitor.run_length import RunLengthMonitor
from hauberk.monitor.station import monitors
from hauberk.monitor.suspicion import SuspicionMonitor
from hauberk.testing.monitor_checks import toy_calibration, toy_records

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.core.record import Record
    from hauberk.monitor.fold import Monitor

CALIBRATION = toy_calibration(n=600)
FRAMES = 20
MAKERS: dict[str, Callable[[float], Monitor]] = {
    "attack": lambda repeats: SuspicionMonitor(calibration=CALIBRATION, repeats=repeats),
    "model": lambda repeats: RunLengthMonitor(calibration=CALIBRATION, repeats=repeats),
}


def video(scenes: int, *, attacked: float = 0.0, seed: int = 0) -> list[Record]:
    """Each scene is one toy record, shown ``FRAMES`` times."""
    shown = toy_records(scenes, calibration=CALIBRATION, attacked=attacked, seed=seed)
    frames = [record for record in shown for _ in range(FRAMES)]
    return [msgspec.structs.replace(r, seq=n, tenant="film") for n, r in enumerate(frames)]


def alarms(watch: Monitor, records: list[Record]) -> list[int]:
    return [r.seq for r in records if watch.update(r)]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_video_is_no_attack_once_its_frames_count_as_one(
    make: Callable[[float], Monitor],
) -> None:
    assert alarms(make(1.0), video(300))
    assert alarms(make(FRAMES), video(300)) == []
    found = alarms(make(FRAMES), video(60, attacked=1.0))
    assert found
    assert found[0] <= 15 * FRAMES


def test_what_a_repeated_request_pays_is_a_root() -> None:
    record = toy_records(1, calibration=CALIBRATION, attacked=1.0)[0]
    plain, rooted = Bets(CALIBRATION), Bets(CALIBRATION, tenants={"film": 4.0})
    film = msgspec.structs.replace(record, tenant="film")
    pays, root = plain.paid(film), rooted.paid(film)
    assert pays is not None
    assert root is not None
    np.testing.assert_allclose(root**4, pays)
    other = rooted.paid(record)  # of another tenant
    assert other is not None
    np.testing.assert_array_equal(other, pays)
    with pytest.raises(UserError):
        Bets(CALIBRATION, repeats=0.5)


def test_a_tenant_that_was_measured_repeats_as_it_was_seen_to() -> None:
    usual = {"film": {"own": 0.95, "similar": 0.95, "unusual": 0.2}}
    made = monitors(CALIBRATION, usual=usual, only=("attack", "model", "tenant"))
    for watch in made.values():
        assert alarms(watch, video(200)) == []
