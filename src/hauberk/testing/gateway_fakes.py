"""A gateway's outside world in memory: models, what may be served of them, and a record log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hauberk.adapters.models.session import Session
from hauberk.core.digest import digest_bytes, short
from hauberk.core.errors import EnvironmentFault, Untrusted
from hauberk.core.model import Bounds
from hauberk.faces.gateway.served import World
from hauberk.guard.calibration import Calibration
from hauberk.guard.features import NAMES
from hauberk.testing.toy_onnx import linear_onnx

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hauberk.core.record import Record
    from hauberk.faces.gateway.served import Runner


@dataclass
class FakeWorld:
    """Blobs in a folder. ``revoked`` digests are refused; while ``silent`` no check answers."""

    folder: Path
    bounds: Bounds = field(default_factory=Bounds)
    revoked: set[str] = field(default_factory=set)
    runners: dict[str, Runner] = field(default_factory=dict)
    silent: bool = False
    verified: int = 0

    def add(self, data: bytes, runner: Runner | None = None) -> str:
        """Keep a model that may be served; ``runner`` stands in for it."""
        digest = digest_bytes(data)
        (self.folder / digest).write_bytes(data)
        if runner is not None:
            self.runners[digest] = runner
        return digest

    def linear(self, shape: tuple[int, ...], *, classes: int = 3, seed: int = 0) -> str:
        """Keep a linear model with random weights."""
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=(int(np.prod(shape)), classes)).astype(np.float32)
        return self.add(linear_onnx(weights, shape=shape))

    def verify(self, digest: str) -> Path:
        """The file of a digest that may be served."""
        self.verified += 1
        if self.silent:
            raise EnvironmentFault("the ledger does not answer")
        path = self.folder / digest
        if digest in self.revoked or not path.exists():
            raise Untrusted(f"HB-S003: {short(digest)} was revoked or is not known")
        return path

    def start(self, data: bytes) -> Runner:
        """What stands in for the model, or a session."""
        return self.runners.get(digest_bytes(data)) or Session(data)

    @property
    def world(self) -> World:
        """The world as the gateway takes it."""
        return World(
            verify=self.verify,
            fetch=lambda digest: (self.folder / digest).read_bytes(),
            bounds=lambda _: self.bounds,
            start=self.start,
        )


class MemoryLog:
    """A record sink in memory; ``fail`` lets the next appends fail."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.fail = False

    def append(self, records: Sequence[Record]) -> None:
        """Append, in ascending order of ``seq``."""
        if self.fail:
            raise EnvironmentFault("disk full")
        for record in records:
            assert record.seq == self.last_seq() + 1, "a gap or a repetition in seq"
            self.records.append(record)

    def last_seq(self) -> int:
        """The highest ``seq``."""
        return self.records[-1].seq if self.records else 0


def calibration(highest: float, *, n: int = 400) -> bytes:
    """A calibration by which a divergence above ``highest`` nats is suspect, and none below is."""
    rng = np.random.default_rng(0)
    clean = np.linspace(highest - 1e-9, highest, n)
    made = Calibration.fit(
        clean, {"noise": clean}, rng.normal(size=(n, len(NAMES))), agreeing=n, delta=0.05
    )
    return made.to_bytes()
