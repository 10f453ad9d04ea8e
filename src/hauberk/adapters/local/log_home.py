"""Where a service keeps its sealed log and the keys of it, apart from those that sign models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.adapters.local.sealed import SealedLog
from hauberk.adapters.local.signer import Ed25519Signer
from hauberk.adapters.local.tenant_keys import TenantKeys
from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def log_keys(state: Path) -> TenantKeys:
    """The keys of a state directory's sealed log, made where there are none."""
    return TenantKeys.create(state / "keys" / "log")


def sealed_log(state: Path) -> SealedLog:
    """The sealed log of a state directory, its keys made where there are none."""
    signer = Ed25519Signer.create(state / "keys" / "log" / "signer")
    return SealedLog(state / "log", log_keys(state), signer)


def existing_log(state: Path) -> SealedLog:
    """The sealed log of a state directory, to be read.

    Raises:
        UserError: if there is none.
    """
    if not (state / "log").is_dir():
        raise UserError(
            "no sealed log here", where=str(state), hint="a gateway with seal.keep writes one"
        )
    keys = TenantKeys(state / "keys" / "log")
    return SealedLog(state / "log", keys, Ed25519Signer(state / "keys" / "log" / "signer"))
