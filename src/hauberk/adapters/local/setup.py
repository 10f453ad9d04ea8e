"""A service's first models: the one to guard, its twin, and the routing that names both."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from hauberk.adapters.local import work
from hauberk.adapters.local.files import write_file
from hauberk.adapters.local.sharing import leave
from hauberk.adapters.local.shop import Shop
from hauberk.core.errors import UserError
from hauberk.core.ports import Job, Routing
from hauberk.govern.attest import Release
from hauberk.harden.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.adapters.local.home import Home
    from hauberk.adapters.models.torch_model import TorchModel
    from hauberk.core.spec import Spec
    from hauberk.harden.progress import Progress

_JOB = "setup"


def shop_of(home: Home, spec: Spec) -> Shop:
    """The shop of a state directory, on the wall clock."""
    return Shop(
        spec=spec, store=home.store, ledger=home.ledger, clock=time.time, signer=home.signer
    )


def set_up(
    home: Home,
    spec: Spec,
    model: TorchModel,
    *,
    by: str,
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> Routing:
    """Register a model that ``by`` answers for, make its twin, sign both, and route to them.

    Killed at any time, the same call goes on from the twin's last checkpoint.

    Raises:
        UserError: if the model does not fit the data.
    """
    shop = shop_of(home, spec)
    if model.architecture != shop.architecture:
        raise UserError(
            f"the model is {model.architecture}, the data needs {shop.architecture}",
            hint="set model.architecture and data.source",
        )
    primary = shop.register(model.module, role="primary", parent=None, origin={"by": by})
    home.trust.sign(primary, Release(role="initial", by=by), shop.clock())
    kept = home.folder / "jobs" / _JOB
    kept.mkdir(parents=True, exist_ok=True)
    checkpoint = kept / f"{primary[-12:]}.npz"

    def tell(now: Progress) -> None:
        progress(now.epoch, now.epochs)

    run = Run(
        checkpoint=lambda data: write_file(checkpoint, data),
        resume=checkpoint.read_bytes() if checkpoint.exists() else None,
        progress=tell,
        clock=time.monotonic,
    )
    job = Job(id=_JOB, kind="twin", incident=_JOB, inputs={"candidate": primary}, seed=1)
    result = work.pair(shop, job, run=run)
    home.trust.sign(result["twin"], Release(role="twin"), shop.clock())
    routing = Routing(primary=primary, twin=result["twin"], calibration=result["calibration"])
    body = msgspec.to_builtins(routing)
    home.ledger.append("deployment", primary, body, at=shop.clock(), key=f"setup:{primary}")
    leave(home, spec, routing)
    checkpoint.unlink(missing_ok=True)
    return routing
