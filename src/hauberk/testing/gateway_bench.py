"""A bench: one gateway in memory with a primary, a twin, a canary and a calibration of the pair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hauberk.core.digest import digest_bytes
from hauberk.core.ports import Routing
from hauberk.faces.gateway.sampling import Sampling
from hauberk.testing.asking import ask, fake_gateway, json_body
from hauberk.testing.gateway_fakes import FakeWorld, MemoryLog, calibration

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    import numpy as np
    from numpy.typing import NDArray

    from hauberk.core.record import Record
    from hauberk.faces.gateway.compose import Gateway

SHAPE = (1, 2, 3)
HIGHEST = 0.2  # nats; the toy calibration finds a larger divergence suspect


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A gateway, its world and its log; the digests of what it can serve.

    It keeps no input for review but the flagged ones.
    """

    gateway: Gateway
    world: FakeWorld
    log: MemoryLog
    primary: str
    twin: str
    canary: str
    calibration: str

    @classmethod
    def make(cls, folder: Path) -> Bench:
        """A bench that serves the pair in normal mode; the models are linear, of 3 classes."""
        blobs = folder / "blobs"
        blobs.mkdir()
        world, log = FakeWorld(blobs), MemoryLog()
        primary, twin, canary = (world.linear(SHAPE, seed=seed) for seed in range(3))
        made = calibration(HIGHEST)
        (blobs / digest_bytes(made)).write_bytes(made)
        bench = cls(
            gateway=fake_gateway(folder / "state", world, log),
            world=world,
            log=log,
            primary=primary,
            twin=twin,
            canary=canary,
            calibration=digest_bytes(made),
        )
        app = bench.gateway.app
        app.plane = replace(app.plane, sampling=Sampling(lambda: 1.0))
        bench.gateway.pool.arrange(bench.routing())
        return bench

    def routing(self, **changes: Any) -> Routing:
        """The routing of the pair, with changes."""
        base = {"primary": self.primary, "twin": self.twin, "calibration": self.calibration}
        return Routing(**{**base, **changes})

    def infer(self, x: NDArray[np.float32], **more: Any) -> httpx.Response:
        """Ask for rows as JSON."""
        return ask(self.gateway, "POST", "/v2/models/m/infer", json=json_body(x, **more))

    def records(self) -> list[Record]:
        """What the monitors were told; ends the tap."""
        self.gateway.tap.start()
        self.gateway.tap.close()
        return self.log.records
