"""An MLflow registry brought in line with the ledger: who serves, who is tried, and the proof."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.adapters.mlflow.registry import CHALLENGER, CHAMPION
from hauberk.core.errors import DataError, UserError
from hauberk.core.ports import Routing

if TYPE_CHECKING:
    from hauberk.adapters.mlflow.registry import MlflowRegistry
    from hauberk.core.ports import Ledger, Store

_KINDS = ("evidence", "decision", "signature")


def mirror(
    registry: MlflowRegistry, name: str, *, ledger: Ledger, store: Store, trust: Any
) -> dict[str, str | None]:
    """Enter what serves and what is tried, with its evidence; point the aliases there.

    ``champion`` is the primary of the last routing, ``challenger`` its canary, or nothing. Only
    what may be served is entered; twins are private and never are. Again, it changes nothing.

    Raises:
        UserError: if no model is served yet.
        Untrusted: if the ledger or a model was altered, or a model may not be served.
        EnvironmentFault: if the registry does not answer.
    """
    ledger.verify()
    entries = ledger.entries(kind="deployment")
    if not entries:
        raise UserError("no model is served yet", hint="`hauberk models register` lets one in")
    try:
        routing = msgspec.convert(entries[-1].body, Routing)
    except msgspec.ValidationError as error:
        raise DataError(f"not a routing: {error}", where="ledger") from None
    versions: dict[str, str | None] = {}
    for alias, digest in ((CHAMPION, routing.primary), (CHALLENGER, routing.canary)):
        versions[alias] = None
        if digest is not None:
            trust.verified(digest)
            facts = _facts(ledger, digest)
            versions[alias] = registry.enter(name, store.get(digest), facts=facts)
    for alias, digest in ((CHALLENGER, routing.canary), (CHAMPION, routing.primary)):
        registry.point(name, alias, digest)
    return versions


def _facts(ledger: Ledger, digest: str) -> dict[str, Any]:
    """What the ledger holds on a model, each entry with the digest that the ledger proves."""
    model = ledger.entries(kind="model", subject=digest)
    return {
        "digest": digest,
        "model": [{"entry": one.digest, "index": one.index, **one.body} for one in model],
        **{
            kind: [
                {"entry": one.digest, "index": one.index, "at": one.at, "body": one.body}
                for one in ledger.entries(kind=kind, subject=digest)  # type: ignore[arg-type]
            ]
            for kind in _KINDS
        },
    }
