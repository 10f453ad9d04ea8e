"""The loop's runner: records in, turns journalled, actions carried out; kill it anywhere."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from hauberk.core.errors import ConfigError, HauberkError
from hauberk.core.evidence import Verdict
from hauberk.loop.events import Alarm, CanaryOver, Checked, Event, Finding, Registered, Tick
from hauberk.loop.hands import Ports, carry_out, merge, submit
from hauberk.loop.lookout import Lookout, Watchers, key_of, read_snapshot
from hauberk.loop.machine import step
from hauberk.loop.results import event_of
from hauberk.loop.state import State, begin
from hauberk.loop.turns import Rival, Turn, last_turn, write_turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record
    from hauberk.core.spec import LoopSpec
    from hauberk.loop.actions import Action

ALARM = "HB-D001"
BATCH = 512
BATCHES = 64
"""Most records a round: 32768, so that jobs and clocks get their turn."""
MAX_TOLD = 256


class Loop:
    """Drives one service; one process at a time.

    ``clock`` gives seconds since the epoch; ``on_turn`` is told of each turn once it is journalled.
    ``fault`` is what last stood in the way, empty when the last round had none.
    """

    def __init__(
        self,
        service: str,
        *,
        rules: LoopSpec,
        ports: Ports,
        watchers: Watchers,
        clock: Callable[[], float],
        on_turn: Callable[[Turn], None] = lambda _: None,
    ) -> None:
        self.service, self.rules, self.ports = service, rules, ports
        self.watchers, self.clock, self.on_turn = watchers, clock, on_turn
        self.fault = ""
        self._state: State | None = None
        self._number = -1  # of the last turn
        self._carried = -1  # the last turn that was fully acted on
        self._since = 0
        self._left: tuple[Action, ...] = ()
        self._owed: deque[Event] = deque()
        self._lookout: Lookout | None = None
        self._resumes = True  # whether the next lookout may go on from the snapshot
        self._saved: tuple[str, int, int] | None = None
        self._told: set[str] = set()

    @property
    def state(self) -> State:
        """The state after the last turn."""
        if self._state is None:
            raise ConfigError("the loop was not started", where=f"loop of {self.service}")
        return self._state

    def start(self) -> None:
        """Go on where the journal ends, or begin with the routing that the gateway has.

        Raises:
            ConfigError: if there is neither a journal nor a routing.
            DataError: if the journal cannot be read.
            EnvironmentFault: if the gateway or the disk does not answer.
        """
        last = last_turn(self.ports.journal, self.service)
        if last is None:
            self._begin()
            return
        self._number, turn = last
        self._state, self._since = replace(turn.state, rules=self.rules), turn.since
        snapshot = read_snapshot(self.ports.journal.saved(self.service))
        self._carried = snapshot.carried if snapshot else -1
        self._left = () if self._carried == self._number else turn.actions
        self._guard(self._go_on)
        self._guard(self._adopt)

    def tick(self) -> None:
        """One round: what is left, the clock, the running job, the new records.

        Raises:
            Rival: if another process drives this service; nothing else ends the loop.
        """
        self.fault = ""
        self._guard(self._go_on)
        self._guard(lambda: self._happen(Tick(at=self.clock())))
        self._guard(self._poll)
        if not self._guard(self._look):
            # As after a crash: read again from the last snapshot.
            self._lookout, self._resumes = None, True
        self._guard(self._save)

    def take(self, event: Event) -> bool:
        """Take an operator's event, durably; whether it changed anything.

        Raises:
            EnvironmentFault: if it could not be journalled, and so was not taken.
        """
        before = self._number
        self._turn(event)
        self._guard(self._settle)
        return self._number > before

    def run(self, stop: Callable[[], bool]) -> None:
        """Tick until ``stop()``, which also waits between the rounds, as ``Event.wait`` does."""
        while not stop():
            self.tick()

    def _begin(self) -> None:
        routing = self.ports.deployer.routing()
        if routing is None:
            raise ConfigError(
                "the gateway serves no model yet",
                where=f"loop of {self.service}",
                hint="`hauberk models register FILE`, then `hauberk serve`",
            )
        first = begin(self.service, self.rules, routing)
        event = Registered(at=self.clock(), routing=routing)
        self._commit(event, *step(first, event))

    def _go_on(self) -> None:
        """Try again what is left, and take the events that are owed."""
        if self._left:
            self._carry(self.clock())
        self._settle()

    def _happen(self, event: Event) -> None:
        """One turn, and those that follow from carrying it out."""
        self._turn(event)
        self._settle()

    def _settle(self) -> None:
        while self._owed:
            self._turn(self._owed[0])
            self._owed.popleft()

    def _turn(self, event: Event) -> None:
        state, actions = step(self.state, event)
        if actions or state != self.state:
            self._commit(event, state, actions)

    def _commit(self, event: Event, state: State, actions: tuple[Action, ...]) -> None:
        """Journal, and only then act."""
        fresh = self._state is None or key_of(state) != key_of(self.state)
        since = self._lookout.seq if fresh and self._lookout else self._since
        turn = Turn(
            at=event.at,
            event=event,
            state=state,
            actions=merge(self._left, actions, state),
            since=since,
        )
        write_turn(self.ports.journal, self.service, turn, number=self._number + 1)
        self._number += 1
        self._state, self._since, self._left = state, since, turn.actions
        if fresh:
            self._lookout, self._resumes = None, False
        self.on_turn(turn)
        self._carry(event.at)

    def _carry(self, at: float) -> None:
        carried = carry_out(self._left, self.ports, at=at)
        self._left = tuple(carried.left)
        self._owed.extend(carried.events)
        for fault in carried.faults:
            self._tell(fault)

    def _poll(self) -> None:
        """Ask after the job that the phase waits for; one that died is resumed."""
        state = self.state
        job = state.incident.job if state.incident else None
        if job is None or state.phase not in {"hardening", "judging", "pairing"}:
            return
        status, at = self.ports.trainer.status(job.id), self.clock()
        if status is None or status.state == "running":
            event: Event | None = submit(job, self.ports, at)
        else:
            event = event_of(job, status, at=at)
        if event:
            self._happen(event)

    def _look(self) -> None:
        """Fold what was answered since the last round."""
        for _ in range(BATCHES):
            lookout = self._watching()
            batch = self.ports.records.read(lookout.seq, BATCH)
            for record in batch:
                self._see(record)
            if batch:
                self._save()
            if self._watching().stranger:
                self._watching().stranger = False
                self._adopt()
            if len(batch) < BATCH:
                break

    def _watching(self) -> Lookout:
        """The lookout of the present state, resumed from the snapshot where that is of it."""
        if self._lookout is None:
            lookout = Lookout(self.state, self.watchers, seq=self._since)
            snapshot = None
            if self._resumes:
                snapshot = read_snapshot(self.ports.journal.saved(self.service))
            if snapshot and snapshot.key == lookout.key:
                try:
                    lookout.restore(snapshot)
                except HauberkError:  # of an earlier version: its records are read anew
                    lookout = Lookout(self.state, self.watchers, seq=self._since)
            if lookout.blind:
                message = "nothing watches this model: it has no twin, or no calibration of the two"
                self.ports.pager.page(self.state.name, message, at=self.clock())
            self._lookout = lookout
        return self._lookout

    def _see(self, record: Record) -> None:
        lookout = self._watching()
        found, result = lookout.fold(record)
        for evidence in found:
            if evidence.rule == ALARM and evidence.verdict is Verdict.FAIL:
                key = f"{lookout.pair.primary}:{record.seq}"
                finding = Finding.of(evidence)
                alarm = Alarm(
                    at=self.clock(), key=key, digest=lookout.pair.primary, finding=finding
                )
                self._happen(alarm)
            elif evidence.verdict is not Verdict.PASS:
                self._report(evidence, record)
        if result:
            self._conclude(result)

    def _conclude(self, result: Evidence) -> None:
        """The count is complete: the canary is over, or the promoted model was checked."""
        candidate = self.state.incident.candidate if self.state.incident else None
        if candidate:
            ended = CanaryOver if self.state.phase == "canary" else Checked
            self._happen(ended(at=self.clock(), candidate=candidate, finding=Finding.of(result)))

    def _report(self, evidence: Evidence, record: Record) -> None:
        """Enter and page what is no attack, as drift; it opens no incident."""
        state, at, finding = self.state, self.clock(), Finding.of(evidence)
        scope = state.incident.id if state.incident else state.name
        key = f"{state.name}:{record.seq}:evidence:{finding.rule}"
        body = msgspec.to_builtins(finding)
        self.ports.ledger.append("evidence", finding.subject, body, at=at, key=key)
        self.ports.pager.page(scope, f"{finding.rule}: {finding.message}", at=at)

    def _adopt(self) -> None:
        """See whether an operator put another model into service."""
        if self.state.phase != "serving" or self._left or self._owed:
            return
        routing = self.ports.deployer.routing()
        if routing and routing != self.state.routing:
            self._happen(Registered(at=self.clock(), routing=routing))

    def _save(self) -> None:
        """Save the monitors, and which turn was fully acted on."""
        lookout = self._lookout
        if lookout is None:
            return
        if not self._left and not self._owed:
            self._carried = self._number
        mark = (lookout.key, lookout.seq, self._carried)
        if mark != self._saved:
            self.ports.journal.save(self.service, lookout.snapshot(self._carried))
            self._saved = mark

    def _guard(self, act: Callable[[], None]) -> bool:
        """Do something; a fault is told of and waits for the next round."""
        try:
            act()
        except Rival:
            raise
        except (HauberkError, OSError) as error:
            self._tell(str(error))
            return False
        return True

    def _tell(self, fault: str) -> None:
        """Page each fault once."""
        self.fault = fault
        if fault in self._told or self._state is None:
            return
        scope = self._state.incident.id if self._state.incident else self._state.name
        try:
            self.ports.pager.page(scope, f"the loop tries again: {fault}", at=self.clock())
        except (HauberkError, OSError):
            return
        self._told = {*self._told, fault} if len(self._told) < MAX_TOLD else {fault}
