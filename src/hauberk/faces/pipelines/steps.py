"""The steps, from facts to facts: each calls what the local loop calls."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hauberk.adapters.local.files import make_folder
from hauberk.adapters.local.sharing import Reach, leave
from hauberk.core.digest import digest_json, short
from hauberk.core.errors import DataError, Denied, UserError
from hauberk.core.ports import Job, Routing

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.adapters.local.home import Home
    from hauberk.faces.pipelines.order import Facts, Order

GATE = "gate"


def prepare(order: Order, _: Facts) -> Facts:
    """Check the ledger, enter the dataset, and see which model is served."""
    from hauberk.adapters.local.setup import shop_of  # noqa: PLC0415 - brings torch

    home = order.home
    home.ledger.verify()
    routing = _in_force(home)
    shop = shop_of(home, order.spec)
    shop.enter_data()
    shop.model(routing.primary)  # of this data, and its weights are there
    return {"dataset": shop.data.digest, "primary": routing.primary, "twin": routing.twin}


def harden(order: Order, before: Facts) -> Facts:
    """Train the candidate against the threat."""
    inputs = {"primary": before["primary"]}
    result = _job(order, "harden", inputs)
    return {"candidate": result["candidate"]}


def evaluate(order: Order, before: Facts) -> Facts:
    """Attack both, decide by the policy, and enter evidence and decision."""
    inputs = {"primary": before["primary"], "candidate": before["candidate"]}
    if before["twin"]:
        inputs["twin"] = before["twin"]
    result = _job(order, "judge", inputs)
    kept = ("verdict", "policy", "decision", "evidence", "reason", "calibration")
    return {name: result[name] for name in kept}


def gate(order: Order, before: Facts) -> Facts:
    """What the ledger holds as the decision counts, not what was passed on."""
    candidate, home = before["candidate"], order.home
    bodies = [one.body for one in home.ledger.entries(kind="decision", subject=candidate)]
    body = next((one for one in bodies if digest_json(one) == before["decision"]), None)
    if body is None:
        return {"denied": f"the ledger holds no decision on {short(candidate)}"}
    if candidate in {before["primary"], before["twin"]}:
        return {"denied": f"the training gave {short(candidate)}, a known model"}
    if body["verdict"] != "pass":
        return {"denied": "; ".join([before["reason"] or f"judged {body['verdict']}", *_why(body)])}
    if before["twin"] and not before["calibration"]:
        return {"denied": "judged without a calibration, so that nothing could watch it"}
    return {"denied": ""}


def sign(order: Order, before: Facts) -> Facts:
    """Sign the candidate's release on the grounds of the decision."""
    grounds = {name: before[name] for name in ("verdict", "policy", "decision", "evidence")}
    release = {"role": "primary", **grounds, "incident": order.incident}
    entry = order.home.trust.sign(before["candidate"], release, time.time())
    return {"signature": entry.digest}


def register(order: Order, before: Facts) -> Facts:
    """See that the candidate may be served: known, unaltered, signed, not revoked."""
    home, candidate = order.home, before["candidate"]
    home.trust.verified(candidate)
    return {"registered": home.ledger.entries(kind="model", subject=candidate)[-1].digest}


def deploy(order: Order, before: Facts) -> Facts:
    """Let the candidate answer its share of the traffic, beside what answers now.

    Without a gateway that runs here, the routing is in force once one starts.
    """
    home = order.home
    routing = msgspec.structs.replace(
        _in_force(home),
        canary=before["candidate"],
        canary_share=order.spec.loop.canary_share,
        incident=order.incident,
    )
    reach = Reach(home, order.spec)
    if reach.state is not None or (home.folder / "gateway.json").exists():
        reach.deployer.route(routing)
    else:
        leave(home, order.spec, routing)
    body = msgspec.to_builtins(routing)
    key = f"{order.incident}:deployment:canary"
    entry = home.ledger.append("deployment", routing.primary, body, at=time.time(), key=key)
    return {"deployment": entry.digest}


STEPS: dict[str, Callable[[Order, Facts], Facts]] = {
    "prepare": prepare,
    "harden": harden,
    "evaluate": evaluate,
    GATE: gate,
    "sign": sign,
    "register": register,
    "deploy": deploy,
}
"""In their order."""


def carried_out(step: str, order: Order, before: Facts) -> Facts:
    """Do a step once; a denial is journalled too, and raised whenever it is asked for.

    Raises:
        Denied: if the gate denied, with its reasons.
        HauberkError: what stood in the way.
    """
    facts = order.once(step, before, lambda: STEPS[step](order, before))
    if step == GATE and facts["denied"]:
        raise Denied(facts["denied"], where=short(facts["candidate"]))
    return facts


def _job(order: Order, kind: str, inputs: dict[str, str]) -> Facts:
    """One of the loop's jobs, under the id and the seed that the loop gives it."""
    from hauberk.adapters.local.jobs import do_job, forget  # noqa: PLC0415 - brings torch

    job = msgspec.convert(
        {
            "id": f"{order.incident}-{kind}",
            "kind": kind,
            "incident": order.incident,
            "inputs": inputs,
            "seed": 2 * order.number,
        },
        Job,
    )
    folder = Path(order.state) / "jobs" / job.id
    make_folder(folder)
    result = do_job(job, folder, order.spec, order.home)
    forget(folder)
    return result


def _why(body: Facts) -> list[str]:
    """The rows of a decision that did not pass, in words."""
    rows = [row for row in body.get("rows", ()) if row["binding"] and not row.get("waiver")]
    return [
        f"{row['rule']} {row['verdict']}: {row['claim']}, measured {row['measured']}, "
        f"limit {row['limit']}"
        for row in rows
        if row["verdict"] != "pass"
    ]


def _in_force(home: Home) -> Routing:
    """The routing that was put into force last."""
    entries = home.ledger.entries(kind="deployment")
    if not entries:
        raise UserError("no model is served yet", hint="`hauberk models register` lets one in")
    try:
        return msgspec.convert(entries[-1].body, Routing)
    except msgspec.ValidationError as error:
        raise DataError(f"not a routing: {error}", where="ledger") from None
