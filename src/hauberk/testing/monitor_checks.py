"""What every monitor must hold; for authors of monitors too.

Each suite maps a name to a check; a check takes a function that makes the monitor afresh, and
raises AssertionError where the monitor falls short::

    @pytest.mark.parametrize("check", monitor_checks().values(), ids=monitor_checks())
    def test_my_monitor(check):
        check(lambda: MyMonitor(alpha=0.01))
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.digest import canonical_json, digest_bytes
from hauberk.core.errors import DataError
from hauberk.core.record import Record
from hauberk.core.rule import RULES
from hauberk.guard.boosting import Trees
from hauberk.guard.calibration import Calibration
from hauberk.guard.features import NAMES
from hauberk.guard.gauge import Gauge
from hauberk.guard.signals import SIGNALS
from hauberk.monitor.block import Block, Reader
from hauberk.monitor.fold import Monitor

if TYPE_CHECKING:
    from hauberk.core.evidence import Evidence

MonitorCheck = Callable[[Callable[[], Monitor]], None]
DIGEST = digest_bytes(b"a served model")
_LARGEST_STATE = 2**20


def monitor_checks() -> dict[str, MonitorCheck]:
    """The checks of a :class:`hauberk.monitor.fold.Monitor`."""
    return {
        "replays": _replays,
        "resumes": _resumes,
        "state-is-json": _state_is_json,
        "bounded": _bounded,
        "tolerates-none": _tolerates_none,
        "seen-is-seen": _seen_is_seen,
        "blocks-are-the-same": _blocks_are_the_same,
        "refuses-a-damaged-state": _damaged_state,
        "evidence-is-whole": _evidence_is_whole,
    }


def toy_calibration(*, n: int = 300, seed: int = 0) -> Calibration:
    """Calibration of a toy pair: exponential scores, one benign family, normal features."""
    rng = np.random.default_rng(seed)
    return Calibration.fit(
        rng.exponential(1.0, n),
        {"turned": rng.exponential(1.5, n)},
        rng.normal(size=(n, len(NAMES))),
        agreeing=n - n // 20,
    )


def toy_gauge(*, window: int = 40) -> Gauge:
    """A gauge that takes the agreement of the two models for the accuracy."""
    stump = Trees(
        start=0.0,
        rate=1.0,
        roots=np.array([0]),
        feature=np.array([SIGNALS.index("agreement"), -2, -2]),
        threshold=np.array([0.8, 0.0, 0.0]),
        left=np.array([1, 0, 0]),
        right=np.array([2, 0, 0]),
        value=np.array([0.0, 0.4, 0.95]),
    )
    return Gauge(trees=stump, window=window, error=0.05, below=0.1, above=0.1, blind={})


def toy_records(
    count: int,
    *,
    calibration: Calibration,
    seed: int = 0,
    first: int = 0,
    attacked: float = 0.0,
    shifted: float = 0.0,
) -> list[Record]:
    """Records of the toy pair: a share of them attacked, the features moved by ``shifted``."""
    rng = np.random.default_rng(seed)
    scores = rng.exponential(1.0, count) + 8.0 * (rng.random(count) < attacked)
    features = rng.normal(size=(count, len(NAMES))) + shifted
    p, p_benign = calibration.p_values(scores)
    return [
        Record(
            id=f"r{first + i}",
            seq=first + i,
            at=1000.0 + first + i,
            principal=f"client {i % 7}",
            digest=DIGEST,
            route="primary",
            outcome="pass",
            label=int(scores[i] > 6),
            twin_label=0,
            score=float(scores[i]),
            p_value=float(p[i]),
            p_benign=float(p_benign[i]),
            features=tuple(features[i].tolist()),
            confidence=0.9,
        )
        for i in range(count)
    ]


def _mixed(count: int, *, seed: int = 1) -> list[Record]:
    """Quiet at first, then attacked and drifting, with gaps; then quiet again."""
    calibration, third = toy_calibration(), count // 3
    quiet = toy_records(third, calibration=calibration, seed=seed)
    loud = toy_records(
        third, calibration=calibration, seed=seed + 1, first=third, attacked=0.6, shifted=0.8
    )
    after = toy_records(third, calibration=calibration, seed=seed + 2, first=2 * third)
    return [_bare(r) if r.seq % 11 == 5 else r for r in (*quiet, *loud, *after)]


def _bare(record: Record) -> Record:
    """The record of a request of which nothing is known but that it came."""
    return Record(
        id=record.id,
        seq=record.seq,
        at=record.at,
        principal=record.principal,
        digest=record.digest,
        route=record.route,
        outcome="refuse",
        label=-1,
    )


def _fold(monitor: Monitor, records: list[Record]) -> list[Evidence | None]:
    return [monitor.update(record) for record in records]


def _expect(*, holds: bool, that: str) -> None:
    if not holds:
        raise AssertionError(that)


def _replays(make: Callable[[], Monitor]) -> None:
    records, one, two = _mixed(300), make(), make()
    _expect(holds=_fold(one, records) == _fold(two, records), that="a replay gives other evidence")
    _expect(
        holds=canonical_json(one.state()) == canonical_json(two.state()),
        that="a replay ends in another state",
    )


def _resumes(make: Callable[[], Monitor]) -> None:
    records, whole = _mixed(240), make()
    expected = _fold(whole, records)
    for cut in (0, 1, 79, 90, 120, 240):
        before, after = make(), make()
        found = _fold(before, records[:cut])
        after.restore(json.loads(json.dumps(before.state())))
        found += _fold(after, records[cut:])
        _expect(holds=found == expected, that=f"resumed at {cut}: other evidence")
        _expect(
            holds=canonical_json(after.state()) == canonical_json(whole.state()),
            that=f"resumed at {cut}: another state",
        )


def _state_is_json(make: Callable[[], Monitor]) -> None:
    monitor = make()
    for record in (None, *_mixed(30)):
        if record is not None:
            monitor.update(record)
        state = monitor.state()
        _expect(holds=json.loads(canonical_json(state)) == state, that="the state is not JSON")


def _bounded(make: Callable[[], Monitor]) -> None:
    monitor, calibration = make(), toy_calibration()
    for record in toy_records(6000, calibration=calibration):
        monitor.update(
            Record(
                id=record.id * 8,
                seq=record.seq,
                at=record.at,
                principal=f"{record.seq}{'x' * 5000}" if record.seq % 2 else str(record.seq),
                digest=record.digest,
                route=record.route,
                outcome=record.outcome,
                label=record.label,
                p_value=record.p_value,
                p_benign=record.p_benign,
                features=record.features,
            )
        )
    size = len(canonical_json(monitor.state()))
    _expect(holds=size <= _LARGEST_STATE, that=f"the state has grown to {size} bytes")


def _tolerates_none(make: Callable[[], Monitor]) -> None:
    monitor = make()
    found = _fold(monitor, [_bare(record) for record in _mixed(30)])
    _expect(
        # That the model failed is known of a refusal, and HB-D010 may say so.
        holds=all(e is None or e.value is None or e.rule == "HB-D010" for e in found),
        that="a value was claimed of records that hold none",
    )


def _seen_is_seen(make: Callable[[], Monitor]) -> None:
    records, once, again = _mixed(240), make(), make()
    expected = [e for e in _fold(once, records) if e]
    found = [e for i in range(240) for e in _fold(again, records[max(0, i - 9) : i + 1]) if e]
    _expect(holds=found == expected, that="records read again give other evidence")
    _expect(
        holds=canonical_json(again.state()) == canonical_json(once.state()),
        that="records read again change the state",
    )


def _blocks_are_the_same(make: Callable[[], Monitor]) -> None:
    records, one = _mixed(600), make()
    expected = [e for e in _fold(one, records) if e]
    for size in (1, 7, 64, 600):
        many = make()
        # Without resets, as `update` has none: the reader's own are for a station.
        reader, found = Reader(many, resets=False), []
        for at in range(0, 600, size):
            found += [e for _, e in reader.read(Block(records[at : at + size]))]
        _expect(holds=found == expected, that=f"blocks of {size} give other evidence")
        _expect(
            holds=canonical_json(many.state()) == canonical_json(one.state()),
            that=f"blocks of {size} leave another state",
        )


def _damaged_state(make: Callable[[], Monitor]) -> None:
    monitor = make()
    _fold(monitor, _mixed(60))
    good = monitor.state()
    damaged: list[Any] = [{}, {"last": 0}, {**good, "last": "seven"}, {**good, "last": None}]
    damaged += [{key: value for key, value in good.items() if key != lost} for lost in good]
    wrongs: tuple[Any, ...] = ("wrong", [[]], {"x": 1}, 0.5)
    damaged += [{**good, key: wrong} for key in good if good[key] is not None for wrong in wrongs]
    for state in damaged:
        try:
            monitor.restore(state)
        except DataError:
            pass
        else:
            raise AssertionError(f"a damaged state was taken: {str(state)[:80]}")
        _expect(holds=monitor.state() == good, that="a damaged state left its mark")


def _evidence_is_whole(make: Callable[[], Monitor]) -> None:
    for evidence in filter(None, _fold(make(), _mixed(600))):
        _expect(holds=evidence.rule in RULES, that=f"no such rule: {evidence.rule}")
        _expect(holds=evidence.subject == DIGEST, that="the subject is not the served digest")
        _expect(holds=bool(evidence.message.strip()), that="the message is empty")
        figures = (evidence.value, evidence.limit, *(evidence.interval or ()))
        _expect(
            holds=all(figure is None or isfinite(figure) for figure in figures),
            that="a figure is not finite",
        )
        _expect(
            holds=json.loads(canonical_json(dict(evidence.spec))) == dict(evidence.spec),
            that="the spec is not JSON",
        )
