"""A small service whose whole incident takes seconds: made once, copied for each test."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import msgspec
import numpy as np

from hauberk.adapters.http.traffic import Aim, fire, kept
from hauberk.adapters.local.home import Home
from hauberk.adapters.local.inbox import Inbox
from hauberk.adapters.local.rehearsal import CLIENTS, Rehearsal
from hauberk.adapters.local.trainer import Starts, process_began
from hauberk.core.digest import short
from hauberk.core.errors import EnvironmentFault, Untrusted
from hauberk.core.evidence import Severity, Verdict
from hauberk.core.ports import Envelope
from hauberk.core.spec import GateSpec, HardenSpec, LoopSpec, ModelSpec, Spec
from hauberk.govern.attest import check_release
from hauberk.loop.events import Alarm, Finding
from hauberk.loop.lookout import read_snapshot
from hauberk.loop.turns import decode

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from hauberk.adapters.http.traffic import Shot
    from hauberk.core.ports import Entry, Routing, Signer
    from hauberk.core.record import Record
    from hauberk.loop.turns import Turn

HONEST, HOSTILE = CLIENTS
# A perceptron learns the digits in a second; the limits are those that it can meet.
SMALL = Spec(
    model=ModelSpec(architecture="mlp"),
    harden=HardenSpec(epochs=16, steps=3),
    loop=LoopSpec(
        cooldown=0.0,
        canary_share=0.3,
        canary_requests=20,
        post_requests=30,
        min_agreement=0.5,  # of few answers, half of them to attacks
        traffic_timeout=600.0,
    ),
    gate=GateSpec(
        clean_accuracy=0.8,
        clean_drop=0.1,
        robust_accuracy=0.15,
        eps_factors=(0.5, 1.0),
        restarts=1,
        samples=120,
    ),
)


def prepare(folder: Path, spec: Spec = SMALL) -> None:
    """Train, register and sign a model and its twin in a state directory; start nothing."""
    with Service(home=Home.create(folder, spec.state), spec=spec) as service:
        service.prepare(lambda *_: None)


def replica(of: Path, folder: Path, spec: Spec = SMALL) -> Service:
    """A service of its own from a copy of a state directory that nothing runs in; keys included."""
    shutil.copytree(of, folder)
    return Service(home=Home(folder), spec=spec)


class Service(Rehearsal):
    """A rehearsal that can be broken, and whose every answer is checked afterwards."""

    def ask(
        self, method: str, path: str, *, token: str = "", body: object = None
    ) -> httpx.Response:
        """One request to the gateway; ``body`` is JSON, or bytes as they are."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        content = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        headers["Content-Type"] = "application/json"
        with httpx.Client(base_url=self.url, trust_env=False, timeout=60.0) as client:
            return client.request(method, path, content=content, headers=headers)

    def put(self, routing: Routing) -> httpx.Response:
        """Order a routing as the operator."""
        token = self.home.operator_token
        return self.ask("PUT", "/v2/hauberk/routing", token=token, body=routing)

    def is_ready(self) -> bool:
        """Whether the gateway says that it is ready."""
        try:
            return self.ask("GET", "/v2/health/ready").is_success
        except (OSError, ValueError, httpx.HTTPError):
            return False

    def wake_gateway(self) -> None:
        """Start the gateway and wait until it lives, whether or not it has a model to serve."""
        (self.home.folder / "gateway.json").unlink(missing_ok=True)
        self.gateway = self._start("serve", "--port", "0")

        def lives() -> bool:
            try:
                return self.ask("GET", "/v2/health/live").is_success
            except (OSError, ValueError, httpx.HTTPError):
                return False

        self.gateway.wait_until(lives, seconds=120)

    def send(self, x: NDArray[np.float32], name: str = "clean", client: str = HONEST) -> list[Shot]:
        """Send rows ``(n, ...)`` one by one; the truth is left out, for no detector needs it."""
        aims = (Aim(x=x[i : i + 1], truth=-1, kind=name) for i in range(len(x)))
        with self.client(client) as sender:
            return list(kept(fire(sender, aims, name=name), self.log(name)))

    def rows(self, count: int, *, seed: int = 7) -> NDArray[np.float32]:
        """Untouched test samples ``(count, ...)``, drawn anew."""
        rng, data = np.random.default_rng(seed), self._test()
        return data.x[rng.integers(len(data), size=count)]

    def alarm(self, key: str) -> Path:
        """Leave an alarm in the inbox, as another monitor would."""
        turn = self.turn()
        subject = turn.state.served.primary if turn else ""
        finding = Finding(
            rule="HB-D001",
            subject=subject,
            verdict=Verdict.FAIL,
            severity=Severity.CRITICAL,
            message=f"raised by a test: {key}",
        )
        event = Alarm(at=time.time(), key=key, digest=subject, finding=finding)
        return Inbox(self.home.folder / "inbox").leave(event)

    def turns(self) -> list[Turn]:
        """Every turn of the journal."""
        lines = self.home.journal.read(self.spec.model.name)
        return [decode(text, number) for number, text in enumerate(lines)]

    def reach(self, *phases: str, seconds: float = 300.0) -> Turn:
        """Wait until the journal shows one of the phases."""
        return self.wait_for(lambda turn: turn.state.phase in phases, seconds=seconds)

    def is_over(self, turn: Turn) -> bool:
        """Whether there was an incident and it is closed or halted."""
        state = turn.state
        closed = state.phase == "serving" and state.incident is None and state.incidents > 0
        return closed or state.phase == "halted"

    def settle(self) -> Turn:
        """Wait until the controller has done all that its last turn ordered; that turn."""

        def done(_: Turn) -> bool:
            saved = read_snapshot(self.home.journal.saved(self.spec.model.name))
            return saved is not None and saved.carried == len(self.turns()) - 1

        return self.wait_for(done, seconds=60)

    def starts(self, job: str) -> Starts:
        """How often a job was started, and its last process."""
        text = (self.home.folder / "jobs" / job / "starts.json").read_bytes()
        return msgspec.json.decode(text, type=Starts)

    def kill_job(self, job: str) -> None:
        """End a job's process at once, as a power cut does, if it still runs."""
        with suppress(FileNotFoundError, ProcessLookupError):
            last = self.starts(job)
            # A number alone may be another process by now.
            if last.pid is not None and last.began == process_began(last.pid):
                os.kill(last.pid, signal.SIGKILL)

    def close(self) -> None:
        """Stop everything that was started, the jobs too, which would outlive us."""
        super().close()
        for folder in (self.home.folder / "jobs").glob("*/"):
            self.kill_job(folder.name)

    def jobs(self, kind: str) -> list[str]:
        """Ids of the jobs of a kind that were ever submitted."""
        return sorted(path.name for path in (self.home.folder / "jobs").glob(f"*-{kind}"))

    def records(self) -> list[Record]:
        """All that the gateway told the monitors."""
        return self.home.records.read(0, 10**6)

    def wait_for_records(self, count: int, *, seconds: float = 30.0) -> None:
        """Wait until the gateway has told of ``count`` answers."""
        deadline = time.monotonic() + seconds
        while self.home.records.last_seq() < count:
            if time.monotonic() > deadline:
                told = self.home.records.last_seq()
                raise EnvironmentFault(f"{told} records, not {count}", where=str(self.home.folder))
            time.sleep(0.02)

    def unlawful(self, shots: list[Shot]) -> list[str]:
        """Answers by a digest that was not registered, signed and judged, or not yet; in words."""
        found = [(shot.digest, shot.at, shot.route) for shot in shots if shot.digest]
        found += [(record.digest, record.at, record.route) for record in self.records()]
        since = {digest: self._lawful_since(digest) for digest, _, _ in found}
        return sorted(
            {f"{short(digest)} on {route}" for digest, at, route in found if at < since[digest]}
        )

    def _lawful_since(self, digest: str) -> float:
        """When the last of what a digest needs was entered; infinity if something is missing."""
        ledger = self.home.ledger
        models, signatures = (
            ledger.entries(kind=kind, subject=digest) for kind in ("model", "signature")
        )
        roles = _roles(signatures, self.home.signer)
        judged = roles & {"initial", "twin"} or any(
            entry.body.get("verdict") == "pass"
            for entry in ledger.entries(kind="decision", subject=digest)
        )
        if not (models and roles and judged):
            return float("inf")
        return max(models[0].at, signatures[0].at)


def _roles(entries: list[Entry], signer: Signer) -> set[str]:
    """The roles of signed releases; they count even where the digest was revoked later."""
    found = set()
    for entry in entries:
        envelope = msgspec.convert(entry.body["envelope"], Envelope)
        with suppress(Untrusted):  # a statement of another kind
            found.add(str(check_release(signer.verify(envelope), entry.subject).role))
    return found
