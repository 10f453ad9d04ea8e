"""What a component runs: a step, its facts as JSON, its artifact as a reference by digest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hauberk.core.digest import canonical_json
from hauberk.core.errors import DataError
from hauberk.faces.pipelines.order import Order
from hauberk.faces.pipelines.steps import carried_out

if TYPE_CHECKING:
    from hauberk.faces.pipelines.order import Facts

_MAX_FACTS = 1 << 20
# The fact that is the digest of a step's artifact.
_DIGEST = {
    "prepare": "dataset",
    "harden": "candidate",
    "evaluate": "decision",
    "sign": "signature",
}


def task(
    step: str,
    incident: str,
    number: int,
    config: str,
    state: str,
    *,
    before: str,
    artifact: Any = None,
) -> str:
    """Do a step, whatever runs the component; return the facts after it as JSON.

    Raises:
        Denied: if the gate denied, with its reasons.
        HauberkError: what stood in the way.
    """
    order = Order(incident=incident, number=number, config=config, state=state)
    facts = carried_out(step, order, _facts(before))
    if artifact is not None:
        reference = {"digest": facts[_DIGEST[step]], "incident": incident}
        artifact.metadata.update(reference)
        Path(artifact.path).write_bytes(canonical_json(reference))
    return canonical_json(facts).decode()


def _facts(text: str) -> Facts:
    if len(text) > _MAX_FACTS:
        raise DataError("too much of it", where="facts")
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise DataError("not the facts of a step", where="facts")
    return facts
