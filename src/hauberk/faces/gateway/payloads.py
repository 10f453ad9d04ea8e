"""Payloads: what KServe's payload logger posts of models that the gateway does not serve.

``POST /v2/hauberk/payloads/TOKEN`` takes CloudEvents in binary mode. The logger cannot wait and
cannot show a header of its own, so the answer is 202 at once and the token may be in the path; a
thread of its own reads, joins and tells what came. What finds no room is dropped and counted.
"""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from hauberk.core.digest import digest_bytes
from hauberk.core.errors import HauberkError
from hauberk.core.record import Record
from hauberk.faces.gateway.afterwards import Afterwards
from hauberk.faces.gateway.exchange import Answer
from hauberk.faces.gateway.faults import BadRequest, Unauthenticated
from hauberk.faces.gateway.payload_join import Event, Joiner, Pair
from hauberk.faces.gateway.payload_read import read
from hauberk.faces.gateway.sealing import Fact

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from hauberk.core.spec import PayloadSpec
    from hauberk.faces.gateway.dataplane import Sink
    from hauberk.faces.gateway.exchange import Call
    from hauberk.faces.gateway.screen import Suspicion
    from hauberk.faces.gateway.sealing import Sealing

PATH = ("v2", "hauberk", "payloads")
PRINCIPAL = "payload-logger"
_TYPES = {
    "org.kubeflow.serving.inference.request": "request",
    "org.kubeflow.serving.inference.response": "response",
}
_LONGEST_ID = 128


@dataclass(kw_only=True)
class Payloads:
    """A receiver. ``look`` says how suspect rows are, None where nothing can.

    ``told`` counts what became of each event: joined, repeated, lost, dropped or unreadable.
    """

    spec: PayloadSpec
    tell: Sink
    look: Callable[[NDArray[np.float32], NDArray[np.float32] | None], Suspicion | None]
    told: Callable[[str, int], None]
    sealing: Sealing | None = None
    keep: bool = False
    flag_p: float = 0.05
    limit: int = 16 * 2**20
    clock: Callable[[], float] = time.time
    _queue: Afterwards = field(init=False)
    _joiner: Joiner = field(init=False)

    def __post_init__(self) -> None:
        self._joiner = Joiner(patience=self.spec.wait_seconds)
        self._queue = Afterwards(
            name="payloads",
            most=self.spec.queue,
            heaviest=self.spec.queue_bytes,
            dropped=partial(self.told, "dropped", 1),
        )

    async def receive(self, call: Call) -> Answer:
        """Take one event.

        Raises:
            Unauthenticated: if the token is another.
            BadRequest: if it is no event of the logger.
            TooLarge, TooSlow: as :meth:`Call.body` does.
        """
        call.only("POST")
        given = "/".join(call.path[len(PATH) :]).encode("utf-8", "surrogateescape")
        if not given:
            header = call.headers.one(b"authorization") or b""
            given = header.partition(b" ")[2].strip()
        if not hmac.compare_digest(digest_bytes(given), self.spec.token_sha256):
            raise Unauthenticated("the token is not known")
        call.path = PATH  # the token must not get into a log
        event = partial(_event, call)
        body = await call.body(limit=self.limit, seconds=10.0)
        self.put(event(bytes(body)))
        return Answer(b"", status=HTTPStatus.ACCEPTED)

    def put(self, event: Event) -> None:
        """Queue an event, or drop it; never waits."""
        self._queue.put(partial(self._take, event), len(event.body))

    def close(self, seconds: float = 5.0) -> None:
        """Read what is queued and stop."""
        self._queue.close(seconds)

    def _take(self, event: Event) -> None:
        joiner = self._joiner
        before = (joiner.lost, joiner.repeated)
        pair = joiner.add(event, at=self.clock())
        for name, count in (
            ("lost", joiner.lost - before[0]),
            ("repeated", joiner.repeated - before[1]),
        ):
            if count:
                self.told(name, count)
        if pair is None:
            return
        try:
            self._tell(pair)
            self.told("joined", 2)
        except HauberkError:
            self.told("unreadable", 2)

    def _tell(self, pair: Pair) -> None:
        x, labels, scores = read(pair)
        suspicion = self.look(x, scores)
        at, name, digest = self.clock(), pair.request.id, self.spec.digest or pair.request.source
        records = []
        for row, label in enumerate(labels.tolist()):
            known: dict[str, Any] = {}
            if suspicion is not None:
                known["score"] = float(suspicion.score[row])
                known["p_value"] = float(suspicion.p[row])
                known["p_benign"] = float(suspicion.p_benign[row])
                known["p_hedges"] = tuple(suspicion.p_hedges[row].tolist())
            flagged = suspicion is not None and known["p_benign"] <= self.flag_p
            records.append(
                Record(
                    id=name if len(x) == 1 else f"{name}/{row}",
                    seq=0,
                    at=at,
                    principal=PRINCIPAL,
                    digest=digest,
                    route="primary",
                    outcome="flag" if flagged else "pass",
                    label=label,
                    **known,
                )
            )
        kept = {row: x[row].copy() for row, one in enumerate(records) if one.outcome == "flag"}
        self.tell(records, kept, x)
        if self.sealing is not None:
            self.sealing.put(
                Fact(
                    at=at,
                    tenant=self.spec.tenant,
                    principal=PRINCIPAL,
                    action="infer",
                    model=pair.request.source,
                    id=name,
                    outcome="flag" if kept else "pass",
                    digest=digest,
                    payload=(pair.request.body, pair.response.body) if self.keep else None,
                )
            )


def _event(call: Call, body: bytes) -> Event:
    """The event of a call.

    Raises:
        BadRequest: if it lacks an attribute, or is of another type.
    """

    def attribute(name: bytes) -> str:
        value = call.headers.one(name)
        text = (value or b"").decode("latin-1")
        if not text or len(text) > 4 * _LONGEST_ID or not text.isprintable():
            raise BadRequest("missing or too long", where=name.decode())
        return text

    part = _TYPES.get(attribute(b"ce-type"))
    if part is None:
        raise BadRequest("not a request or a response of the payload logger", where="ce-type")
    identity = attribute(b"ce-id")
    if len(identity) > _LONGEST_ID:
        raise BadRequest("too long", where="ce-id")
    mark = call.headers.one(b"inference-header-content-length")
    length = None
    if mark is not None:
        if not mark.isdigit() or not 0 < int(mark) <= len(body):
            raise BadRequest("not a length", where="Inference-Header-Content-Length")
        length = int(mark)
    service = call.headers.one(b"ce-inferenceservicename")
    source = service.decode("latin-1")[:256] if service else attribute(b"ce-source")
    return Event(identity, "request" if part == "request" else "response", source, length, body)
