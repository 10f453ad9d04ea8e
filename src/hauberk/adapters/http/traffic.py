"""Requests sent one after the other, and what came back: clean traffic and attacks alike."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from hauberk.core.errors import DataError, EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from hauberk.adapters.http.client import V2Client


class Shot(msgspec.Struct, frozen=True, kw_only=True):
    """One request of one row: the truth, the answer, and who gave it.

    ``kind`` is ``clean`` or the attack's name; ``at`` is in seconds since the epoch; ``label`` is
    -1 and ``error`` says why where there was no answer.
    """

    number: int
    at: float
    kind: str
    truth: int
    label: int
    outcome: str = ""
    digest: str = ""
    route: str = ""
    error: str = ""

    @property
    def right(self) -> bool:
        """Whether the answer was the truth."""
        return self.label == self.truth


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """One row to send, ``(1, ...)`` float32, with its true label."""

    x: NDArray[np.float32]
    truth: int
    kind: str = "clean"


def fire(
    client: V2Client,
    aims: Iterable[Aim],
    *,
    rate: float | None = None,
    stop: Callable[[], bool] = lambda: False,
    name: str = "shot",
) -> Iterator[Shot]:
    """Send each row as one ordinary request, at most ``rate`` a second, until ``stop()``.

    A request that fails is a shot with an error, never an exception: a campaign outlives a
    gateway's restart.
    """
    start = time.monotonic()
    for number, aim in enumerate(aims):
        if stop():
            return
        if rate:
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
        label, error, parameters = -1, "", {}
        try:
            answer = client.infer(aim.x, request_id=f"{name}-{number}")
            label, parameters = int(answer.labels[0]), answer.parameters
        except (EnvironmentFault, DataError) as fault:
            error = str(fault)
        yield Shot(
            number=number,
            at=time.time(),
            kind=aim.kind,
            truth=aim.truth,
            label=label,
            outcome=str(parameters.get("hauberk_outcome", "")),
            digest=str(parameters.get("hauberk_digest", "")),
            route=str(parameters.get("hauberk_route", "")),
            error=error,
        )


def kept(shots: Iterable[Shot], log: Path) -> Iterator[Shot]:
    """Append each shot to ``log`` as it comes, as a JSON line, and pass it on."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab", buffering=0) as file:
        for shot in shots:
            file.write(msgspec.json.encode(shot) + b"\n")
            yield shot


def read_shots(log: Path) -> list[Shot]:
    """The shots of a log; a torn last line is left out."""
    if not log.exists():
        return []
    lines = log.read_bytes().split(b"\n")[:-1]
    return [msgspec.json.decode(line, type=Shot) for line in lines]
