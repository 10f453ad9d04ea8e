"""The loop over the real journal, ledger, trust, pager, record log and monitors of one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from hauberk.adapters.local.journal import SqliteJournal
from hauberk.adapters.local.ledger import SqliteLedger
from hauberk.adapters.local.pager import FilePager
from hauberk.adapters.local.records import RecordLog
from hauberk.adapters.local.signer import Ed25519Signer
from hauberk.adapters.local.store import LocalStore
from hauberk.adapters.local.trust import Trust
from hauberk.core.errors import Untrusted
from hauberk.core.ports import Job, JobStatus, Routing
from hauberk.core.record import Record, Route
from hauberk.core.spec import LoopSpec
from hauberk.loop.events import Rollback
from hauberk.loop.hands import Ports
from hauberk.loop.lookout import Watchers
from hauberk.loop.run import Loop
from hauberk.loop.timeline import timeline
from hauberk.monitor.agreement import AgreementMonitor
from hauberk.monitor.suspicion import SuspicionMonitor
from hauberk.testing.loop_fakes import digest

if TYPE_CHECKING:
    from pathlib import Path

RULES = LoopSpec(cooldown=0.0, canary_requests=8, post_requests=12)


class Gateway:
    """A deployer that serves only what is trusted."""

    def __init__(self, trust: Trust, routing: Routing) -> None:
        self.trust, self.now = trust, routing

    def route(self, routing: Routing) -> None:
        for one in filter(None, (routing.primary, routing.twin, routing.canary)):
            self.trust.verified(one)
        self.now = routing

    def routing(self) -> Routing | None:
        return self.now


class Bench:
    """A trainer whose jobs are done at once."""

    def __init__(self, results: dict[str, JobStatus]) -> None:
        self.results, self.jobs = results, dict[str, Job]()

    def submit(self, job: Job) -> None:
        self.jobs.setdefault(job.id, job)

    def status(self, job_id: str) -> JobStatus | None:
        job = self.jobs.get(job_id)
        return self.results[job.kind] if job else None


class House:
    """A state directory, and new processes over it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.at, self.seq = folder, 1000.0, 0
        self.store = LocalStore(folder / "store")
        self.ledger = SqliteLedger(folder / "ledger.db")
        self.signer = Ed25519Signer.create(folder / "keys")
        self.trust = Trust(self.store, self.ledger, self.signer)
        self.a, self.twin_a, self.b, self.twin_b = (
            self.store.put(name.encode()) for name in ("a", "twin a", "b", "twin b")
        )
        for one in (self.a, self.twin_a):
            self.trust.sign(one, {"role": "initial", "by": "ann"}, self.at)
        pair = Routing(primary=self.a, twin=self.twin_a, calibration=digest("cal a"))
        self.gateway = Gateway(self.trust, pair)
        judged = {
            "candidate": self.b,
            "verdict": "pass",
            "policy": digest("policy"),
            "decision": digest("decision"),
            "calibration": digest("cal ab"),
        }
        twin = {"twin": self.twin_b, "calibration": digest("cal b")}
        self.bench = Bench(
            {
                "harden": JobStatus(state="done", result={"candidate": self.b}),
                "judge": JobStatus(state="done", result=judged),
                "twin": JobStatus(state="done", result=twin),
            }
        )
        self.tap = RecordLog(folder / "records")

    def loop(self) -> Loop:
        ports = Ports(
            deployer=self.gateway,
            trainer=self.bench,
            ledger=SqliteLedger(self.folder / "ledger.db"),
            journal=SqliteJournal(self.folder / "ledger.db"),
            trust=self.trust,
            pager=FilePager(self.folder / "pages.jsonl"),
            records=RecordLog(self.folder / "records"),
        )
        watchers = Watchers(
            monitors=lambda _: (SuspicionMonitor(alpha=0.01),),
            tally=lambda watch: AgreementMonitor(
                digest=watch.digest,
                routes=(watch.route,),
                requests=watch.requests,
                limit=watch.agreement,
            ),
        )
        loop = Loop("svc", rules=RULES, ports=ports, watchers=watchers, clock=lambda: self.at)
        loop.start()
        return loop

    def traffic(self, n: int, *, attack: bool = False) -> None:
        routing, records = self.gateway.now, []
        for _ in range(n):
            self.seq += 1
            contained = routing.mode == "contained"
            route: Route = "twin" if contained else "primary"
            answerer = routing.twin if contained else routing.primary
            if routing.canary and self.seq % 4 == 0:
                route, answerer = "canary", routing.canary
            record = Record(
                id=str(self.seq),
                seq=self.seq,
                at=self.at,
                principal="p",
                digest=answerer or "",
                route=route,
                outcome="pass",
                label=1,
                twin_label=1,
                p_value=0.002 if attack else 0.6,
                p_benign=0.002 if attack else 0.6,
            )
            records.append(record)
        self.tap.append(records)


@pytest.mark.parametrize("every", [0, 1, 3], ids=["one process", "one a round", "one a few"])
def test_an_incident_over_real_ports(tmp_path: Path, every: int) -> None:
    house = House(tmp_path)
    loop = house.loop()
    for number in range(24):
        house.traffic(20, attack=number in {3, 4})
        house.at += 1.0
        if every and number % every == 0:
            loop = house.loop()
        loop.tick()
        assert loop.fault == ""
    assert loop.state.phase == "serving"
    assert house.gateway.now == Routing(
        primary=house.b, twin=house.twin_b, calibration=digest("cal b")
    )
    assert len(house.bench.jobs) == 3
    assert house.trust.grounds(house.b).policy == digest("policy")
    assert house.trust.grounds(house.twin_b).role == "twin"
    assert house.ledger.verify() > 10
    [closed] = [
        entry
        for entry in house.ledger.entries(kind="incident")
        if entry.body.get("state") == "closed"
    ]
    assert closed.body["outcome"] == "recovered"
    assert len(house.ledger.entries(kind="deployment")) == 4
    lines = timeline(SqliteJournal(tmp_path / "ledger.db").read("svc"))
    assert [line.phase for line in lines][-1] == "serving"

    loop.take(Rollback(at=house.at, by="ann", reason="odd", key="k"))
    assert house.gateway.now.primary == house.a
    assert house.trust.revoked(house.b)
    with pytest.raises(Untrusted, match="HB-S003"):
        house.gateway.route(replace(house.gateway.now, primary=house.b))
