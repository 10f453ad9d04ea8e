from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from hauberk.monitor.alike import alike
from hauberk.testing.monitor_checks import toy_calibration, toy_records

if TYPE_CHECKING:
    from hauberk.core.record import Record

BASE = toy_records(1, calibration=toy_calibration())[0]


def stream(count: int, *, run: int, tenant: str, clients: int = 3) -> list[Record]:
    rng = np.random.default_rng(0)
    out = []
    for at in range(count // run):
        mark = rng.bytes(16).hex()
        out += [
            msgspec.structs.replace(
                BASE, tenant=tenant, principal=f"c{at % clients}", fingerprint=mark
            )
        ] * run
    return out


@pytest.mark.parametrize("run", [5, 20])
def test_a_video_is_told_with_its_length(run: int) -> None:
    found = alike([*stream(1000, run=run, tenant="video"), *stream(1000, run=1, tenant="plain")])
    assert set(found) == {"video"}
    assert found["video"].repeats == pytest.approx(run, rel=0.05)
    assert found["video"].requests == 1000


def test_a_few_that_resemble_each_other_are_not() -> None:
    assert alike(stream(8, run=2, tenant="few")) == {}
    assert (
        alike(msgspec.structs.replace(r, fingerprint="") for r in stream(99, run=9, tenant="a"))
        == {}
    )


def test_many_names_take_no_more_memory() -> None:
    many = [
        msgspec.structs.replace(r, tenant=f"t{i}", principal=f"p{i}")
        for i, r in enumerate(stream(9000, run=10, tenant=""))
    ]
    assert alike(many) == {}
