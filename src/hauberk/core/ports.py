"""What the stages need of the outside world; ``adapters`` fulfil it, ``testing`` checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hauberk.core.record import Record

Mode = Literal["normal", "contained", "abstain"]
JobKind = Literal["harden", "judge", "twin"]
JobState = Literal["running", "done", "failed"]
EntryKind = Literal[
    "dataset", "model", "evidence", "decision", "signature", "deployment", "revocation", "incident"
]


class Routing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which digest answers which share of the traffic.

    ``normal``: the primary answers, but for ``canary_share`` of the requests. ``contained``: the
    twin answers all. ``abstain``: the primary answers, but a request flagged as suspect gets an
    explicit abstention. ``calibration`` is the digest of the calibration of the pair of primary
    and twin.
    """

    primary: str
    twin: str | None = None
    calibration: str | None = None
    canary: str | None = None
    canary_share: float = 0.0
    mode: Mode = "normal"
    incident: str | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Work for a process of its own; the ``id`` makes submitting it twice the same as once.

    ``inputs`` names digests in the store: ``primary`` for all; ``candidate`` and ``twin`` for a
    judgement; ``candidate`` for a twin.
    """

    id: str
    kind: JobKind
    incident: str
    inputs: dict[str, str]
    seed: int = 0


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job is; ``result`` holds digests and figures once it is done."""

    state: JobState
    result: dict[str, Any] = {}
    message: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger; ``digest`` covers all other fields and so the chain before it."""

    index: int
    at: float
    kind: EntryKind
    subject: str
    body: dict[str, Any]
    previous: str
    digest: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A DSSE envelope: base64 payload, its type, and signatures ``{"keyid", "sig"}``."""

    payloadType: str  # noqa: N815 - the name that the DSSE specification gives it
    payload: str
    signatures: list[dict[str, str]]


class Shard(msgspec.Struct, frozen=True, order=True, forbid_unknown_fields=True):
    """Samples ``start`` up to, not including, ``stop`` of the data that a piece of work is over."""

    start: int
    stop: int


class Work(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Work over many samples that can be done shard by shard, in any process on any machine.

    ``opener`` names ``module:function``. Called once in each process with ``spec``, plain JSON
    values, it loads what it needs and returns a function from a shard to its result as bytes. What
    it finds about a sample depends on ``spec`` and the sample alone: neither on the engine nor on
    how the samples were cut into shards.
    """

    opener: str
    spec: dict[str, Any]


class Cell(msgspec.Struct, frozen=True):
    """A value that replicas share; ``version`` counts its changes, and is 0 where there is none."""

    version: int = 0
    data: bytes = b""


class Store(Protocol):
    """Blobs by content; ``place`` says where, without credentials."""

    @property
    def place(self) -> str:
        """A folder, or a bucket."""

    def put(self, data: bytes) -> str:
        """Keep the bytes, whole or not at all; return their digest."""

    def put_file(self, path: Path) -> str:
        """Keep a copy of a file; return its digest."""

    def path(self, digest: str) -> Path:
        """A local file with the content, verified against the digest.

        Raises:
            Untrusted: if the content does not have the digest.
            UserError: if there is none.
        """

    def get(self, digest: str) -> bytes:
        """The content, verified; raises as :meth:`path` does."""

    def __contains__(self, digest: str) -> bool: ...


class Ledger(Protocol):
    """Append-only entries in a hash chain."""

    def append(
        self, kind: EntryKind, subject: str, body: dict[str, Any], *, at: float, key: str = ""
    ) -> Entry:
        """Append an entry; with a ``key`` that was used before, return that entry instead."""

    def entries(self, *, kind: EntryKind | None = None, subject: str | None = None) -> list[Entry]:
        """Entries in order, filtered."""

    def verify(self) -> int:
        """Check the whole chain; return its length.

        Raises:
            Untrusted: naming the first broken entry.
        """


class Journal(Protocol):
    """The loop's turns, written before they are acted on."""

    def write(self, service: str, turn: bytes, *, at: float) -> int:
        """Append a turn durably; return its number from 0."""

    def read(self, service: str) -> list[bytes]:
        """All turns of a service in order."""

    def save(self, service: str, snapshot: bytes) -> None:
        """Replace the service's snapshot of its monitors, whole or not at all."""

    def saved(self, service: str) -> bytes | None:
        """The last snapshot; None if there is none."""


class Signer(Protocol):
    """Signs and verifies statements."""

    @property
    def key_id(self) -> str:
        """Digest of the public key in its raw form."""

    def sign(self, statement: dict[str, Any]) -> Envelope:
        """Put a statement into a signed envelope."""

    def verify(self, envelope: Envelope) -> dict[str, Any]:
        """The statement of an envelope that a trusted key signed.

        Raises:
            Untrusted: if no trusted key signed it, or it was altered.
        """


class Deployer(Protocol):
    """Puts a routing into force."""

    def route(self, routing: Routing) -> None:
        """Route as told; the same routing again changes nothing.

        Raises:
            Untrusted: if a digest may not be served.
            EnvironmentFault: if the gateway does not answer.
        """

    def routing(self) -> Routing | None:
        """What is in force now; None before the first."""


class Trainer(Protocol):
    """Runs jobs in processes of their own."""

    def submit(self, job: Job) -> None:
        """Start the job, resume it, or leave it running or done as it is."""

    def status(self, job_id: str) -> JobStatus | None:
        """How far a job is; None if it was never submitted."""


class Executor(Protocol):
    """An engine that does shards of work: this process, a pool of processes, a cluster."""

    def run(self, work: Work, shards: Sequence[Shard]) -> Iterator[tuple[Shard, bytes]]:
        """Each shard once with its result, in the order in which they end.

        A shard whose process died is done again, a few times. Closing the iterator stops what is
        under way and leaves no process behind.

        Raises:
            HauberkError: what the work raised, of the same kind, or naming another exception.
            EnvironmentFault: if the process of the same shard died again and again.
        """


class RecordSource(Protocol):
    """The gateway's tap, read in order."""

    def read(self, after: int, limit: int) -> list[Record]:
        """At most ``limit`` records with ``seq`` greater than ``after``, ascending."""


class Pager(Protocol):
    """Tells a person."""

    def page(self, incident: str, message: str, *, at: float) -> None:
        """Deliver once per incident and message."""


class GuardState(Protocol):
    """What the gateways of one service, and those who watch it, know together.

    A bounded stream of records, told by several logs and read as one
    :class:`RecordSource`, and named cells: the routing ordered for all, who is throttled, what a
    watch has learned.

    Raises:
        EnvironmentFault: from any method, if the state cannot be had.
    """

    def tell(self, log: str, records: Sequence[Record]) -> int:
        """Append what is new of a log, by its own ascending ``seq``; the last one now known of it.

        The records are numbered anew, in the order in which they are told, and above what a state
        that lost its memory gave out. Beyond the capacity the oldest are dropped.
        """

    def known(self, log: str) -> int | None:
        """The last ``seq`` told of a log; None if nothing is known of it."""

    def read(self, after: int, limit: int) -> list[Record]:
        """As :meth:`RecordSource.read`."""

    def last_seq(self) -> int:
        """The number of the newest record; 0 if there never was one."""

    def cell(self, name: str) -> Cell:
        """A cell as it is now."""

    def put(self, name: str, data: bytes, *, over: int | None = None) -> int | None:
        """Replace a cell; with ``over``, only where that is its version. The new version, or None.

        Raises:
            UserError: if the data is too large.
        """
