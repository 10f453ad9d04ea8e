"""The steps as components; kfp sends the text of these functions, so each stands by itself.

They take and give the facts as JSON; each artifact carries a digest, and is a reference: the bytes
lie in the store, where they are verified whenever they are used.
"""

# No `from __future__ import annotations`: kfp reads the annotations themselves.
# ruff: noqa: PLC0415 - the same reason
from typing import Any

from kfp import dsl


def prepare(
    incident: str, number: int, config: str, state: str, data: dsl.Output[dsl.Dataset]
) -> str:
    """Check the ledger, enter the dataset, see which model is served."""
    from hauberk.faces.pipelines.task import task

    return task("prepare", incident, number, config, state, before="{}", artifact=data)


def harden(
    incident: str, number: int, config: str, state: str, before: str, model: dsl.Output[dsl.Model]
) -> str:
    """Train the candidate against the threat."""
    from hauberk.faces.pipelines.task import task

    return task("harden", incident, number, config, state, before=before, artifact=model)


def evaluate(
    incident: str,
    number: int,
    config: str,
    state: str,
    before: str,
    decision: dsl.Output[dsl.Artifact],
) -> str:
    """Attack both models and decide by the policy."""
    from hauberk.faces.pipelines.task import task

    return task("evaluate", incident, number, config, state, before=before, artifact=decision)


def gate(incident: str, number: int, config: str, state: str, before: str) -> str:
    """Fail unless the decision is to pass."""
    from hauberk.faces.pipelines.task import task

    return task("gate", incident, number, config, state, before=before)


def sign(
    incident: str,
    number: int,
    config: str,
    state: str,
    before: str,
    signature: dsl.Output[dsl.Artifact],
) -> str:
    """Sign the candidate's release."""
    from hauberk.faces.pipelines.task import task

    return task("sign", incident, number, config, state, before=before, artifact=signature)


def register(incident: str, number: int, config: str, state: str, before: str) -> str:
    """See that the candidate may be served, and register it."""
    from hauberk.faces.pipelines.task import task

    return task("register", incident, number, config, state, before=before)


def deploy(incident: str, number: int, config: str, state: str, before: str) -> str:
    """Let the candidate answer its share of the traffic."""
    from hauberk.faces.pipelines.task import task

    return task("deploy", incident, number, config, state, before=before)


COMPONENTS: dict[str, Any] = {
    one.__name__: one for one in (prepare, harden, evaluate, gate, sign, register, deploy)
}
"""In their order; the names are those of :data:`hauberk.faces.pipelines.steps.STEPS`."""
