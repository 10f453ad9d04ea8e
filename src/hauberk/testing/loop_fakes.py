"""A small world for the loop: ports in memory, traffic, and a death at any port call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from hauberk.core.digest import digest_bytes, digest_json
from hauberk.core.errors import EnvironmentFault, Untrusted
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.ports import Entry, Job, JobStatus, Routing
from hauberk.core.record import Record
from hauberk.loop.hands import Ports
from hauberk.loop.lookout import Watchers
from hauberk.loop.run import Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hauberk.core.ports import EntryKind
    from hauberk.core.record import Route
    from hauberk.core.spec import LoopSpec
    from hauberk.loop.actions import Watch

T = TypeVar("T")


def digest(name: str) -> str:
    """A digest with a name: that of its text."""
    return digest_bytes(name.encode())


class Killed(BaseException):
    """The process died; no handler of ours may catch it."""


@dataclass
class Fuse:
    """Dies at the ``at``-th port call, counted from 1, before or ``after`` it took effect."""

    at: int | None = None
    after: bool = False
    calls: int = 0

    def __call__(self, effect: Callable[[], T]) -> T:
        """Let a port call take effect."""
        self.calls += 1
        if self.calls == self.at and not self.after:
            raise Killed
        result = effect()
        if self.calls == self.at:
            raise Killed
        return result


@dataclass(kw_only=True)
class Streak:
    """A monitor that alarms once, at ``length`` suspect records in a row."""

    length: int = 5
    run: int = 0
    fired: bool = False

    def update(self, record: Record, /) -> Evidence | None:
        """Count a suspect record, or start over."""
        suspect = record.p_benign is not None and record.p_benign < 0.01
        self.run = self.run + 1 if suspect else 0
        if self.fired or self.run < self.length:
            return None
        self.fired = True
        return Evidence(
            rule="HB-D001",
            subject=record.digest,
            verdict=Verdict.FAIL,
            message=f"{self.run} suspect requests in a row",
            value=float(self.run),
            limit=float(self.length),
        )

    def state(self) -> dict[str, Any]:
        """Both counts."""
        return {"run": self.run, "fired": self.fired}

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state."""
        self.run, self.fired = state["run"], state["fired"]


@dataclass(kw_only=True)
class Tally:
    """Counts how often a digest on a route agrees with the twin; evidence at ``requests``."""

    watch: Watch
    agreed: int = 0
    seen: int = 0

    def update(self, record: Record, /) -> Evidence | None:
        """Count a record of the watched digest and route."""
        if (record.digest, record.route) != (self.watch.digest, self.watch.route):
            return None
        self.seen += 1
        self.agreed += record.label == record.twin_label
        if self.seen != self.watch.requests:
            return None
        share = self.agreed / self.seen
        return Evidence(
            rule="HB-D004",
            subject=record.digest,
            verdict=Verdict.PASS if share >= self.watch.agreement else Verdict.FAIL,
            message=f"{self.agreed} of {self.seen} agree",
            value=share,
            limit=self.watch.agreement,
        )

    def state(self) -> dict[str, Any]:
        """Both counts."""
        return {"agreed": self.agreed, "seen": self.seen}

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state."""
        self.agreed, self.seen = state["agreed"], state["seen"]


@dataclass(kw_only=True)
class World:
    """What outlives the loop's process, behind its ports.

    ``down`` names ports (``deployer``, ``trainer``, ``ledger``, ``journal``, ``trust``, ``pager``,
    ``records``) that do not answer now; ``results`` says what a kind of job ends with.
    """

    routing: Routing | None
    now: float = 1000.0
    fuse: Fuse = field(default_factory=Fuse)
    down: set[str] = field(default_factory=set)
    results: dict[str, JobStatus] = field(default_factory=dict)
    routed: list[Routing] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    turns: list[bytes] = field(default_factory=list)
    snapshot: bytes | None = None
    signed: set[str] = field(default_factory=set)
    revoked: dict[str, str] = field(default_factory=dict)
    pages: list[tuple[str, str]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    disagree: set[str] = field(default_factory=set)

    def loop(self, service: str, rules: LoopSpec) -> Loop:
        """A new process over what is there."""
        return Loop(
            service,
            rules=rules,
            ports=self.ports(),
            watchers=Watchers(
                monitors=lambda _: (Streak(),), tally=lambda watch: Tally(watch=watch)
            ),
            clock=lambda: self.now,
        )

    def ports(self) -> Ports:
        """The world as ports."""
        return Ports(
            deployer=_Deployer(self),
            trainer=_Trainer(self),
            ledger=_Ledger(self),
            journal=_Journal(self),
            trust=_Trust(self),
            pager=_Pager(self),
            records=_Records(self),
        )

    def call(self, port: str, effect: Callable[[], T]) -> T:
        """Let a call of a port take effect, unless it is down or the process dies."""
        if port in self.down:
            raise EnvironmentFault("does not answer", where=port)
        return self.fuse(effect)

    def traffic(self, n: int, *, attack: bool = False) -> None:
        """Answer ``n`` requests as the routing in force says; every fifth may be the canary's."""
        routing = self.routing
        if routing is None:
            return
        for _ in range(n):
            seq = len(self.records) + 1
            contained = routing.mode == "contained"
            route: Route = "twin" if contained else "primary"
            answerer = routing.twin if contained else routing.primary
            if routing.canary and seq % 5 == 0:
                route, answerer = "canary", routing.canary
            self.records.append(
                Record(
                    id=f"r{seq}",
                    seq=seq,
                    at=self.now,
                    principal="p",
                    digest=answerer or "",
                    route=route,
                    outcome="pass",
                    label=1,
                    twin_label=0 if answerer in self.disagree else 1,
                    p_benign=0.001 if attack else 0.5,
                )
            )


@dataclass
class _Port:
    world: World


class _Deployer(_Port):
    def route(self, routing: Routing) -> None:
        for one in (routing.primary, routing.twin, routing.canary):
            if one and (one not in self.world.signed or one in self.world.revoked):
                raise Untrusted(f"HB-S002: {one[:14]} is not signed")

        def effect() -> None:
            if self.world.routing != routing:
                self.world.routing = routing
                self.world.routed.append(routing)

        self.world.call("deployer", effect)

    def routing(self) -> Routing | None:
        return self.world.call("deployer", lambda: self.world.routing)


class _Trainer(_Port):
    def submit(self, job: Job) -> None:
        def effect() -> None:
            assert self.world.jobs.setdefault(job.id, job) == job

        self.world.call("trainer", effect)

    def status(self, job_id: str) -> JobStatus | None:
        def effect() -> JobStatus | None:
            job = self.world.jobs.get(job_id)
            return self.world.results.get(job.kind, JobStatus(state="running")) if job else None

        return self.world.call("trainer", effect)


class _Ledger(_Port):
    def append(
        self, kind: EntryKind, subject: str, body: dict[str, Any], *, at: float, key: str = ""
    ) -> Entry:
        def effect() -> Entry:
            number = len(self.world.entries)
            entry = Entry(
                index=number,
                at=at,
                kind=kind,
                subject=subject,
                body=body,
                previous="",
                digest=digest_json([kind, subject, body]),
            )
            return self.world.entries.setdefault(key or str(number), entry)

        return self.world.call("ledger", effect)

    def entries(self, *, kind: EntryKind | None = None, subject: str | None = None) -> list[Entry]:
        return [
            entry
            for entry in self.world.entries.values()
            if kind in {None, entry.kind} and subject in {None, entry.subject}
        ]

    def verify(self) -> int:
        return len(self.world.entries)


class _Journal(_Port):
    def write(self, service: str, turn: bytes, *, at: float) -> int:
        def effect() -> int:
            self.world.turns.append(turn)
            return len(self.world.turns) - 1

        return self.world.call("journal", effect)

    def read(self, service: str) -> list[bytes]:
        return self.world.call("journal", lambda: list(self.world.turns))

    def save(self, service: str, snapshot: bytes) -> None:
        def effect() -> None:
            self.world.snapshot = snapshot

        self.world.call("journal", effect)

    def saved(self, service: str) -> bytes | None:
        return self.world.call("journal", lambda: self.world.snapshot)


class _Trust(_Port):
    def sign(self, one: str, predicate: dict[str, Any], at: float, /) -> None:
        if one in self.world.revoked:
            raise Untrusted(f"HB-S003: {one[:14]} was revoked")
        self.world.call("trust", lambda: self.world.signed.add(one))

    def revoke(self, one: str, reason: str, at: float, /) -> None:
        self.world.call("trust", lambda: self.world.revoked.setdefault(one, reason))


class _Pager(_Port):
    def page(self, incident: str, message: str, *, at: float) -> None:
        def effect() -> None:
            if (incident, message) not in self.world.pages:
                self.world.pages.append((incident, message))

        self.world.call("pager", effect)


class _Records(_Port):
    def read(self, after: int, limit: int) -> list[Record]:
        return self.world.call("records", lambda: self.world.records[after : after + limit])
