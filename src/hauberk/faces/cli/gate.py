"""``hauberk gate``: hold a model's evidence against a frozen policy, and sign the decision."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.faces.cli import options

if TYPE_CHECKING:
    from hauberk.adapters.local.home import Home
    from hauberk.core.evidence import Evidence
    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output
    from hauberk.govern.decision import Decision
    from hauberk.govern.policy import Policy
    from hauberk.govern.roles import Governance

_TOML = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("model")
@click.option("--policy", type=_TOML, help="The rules that must hold. [default: from the settings]")
@click.option("--waivers", type=_TOML, help="What may be let go, by whom, until when.")
@click.option("--governance", type=_TOML, help="Whose keys are whose; needed by HB-G001.")
@click.option("--sign/--no-sign", default=True, help="Sign the decision and enter it.")
@options.spec("threat")
@options.state
@options.output("table", "json", "sarif", "junit", "md", "html")
def command(
    *,
    model: str,
    spec: Spec,
    state: Path,
    output: Output,
    sign: bool,
    **files: Path | None,
) -> int:
    """Decide whether MODEL (a file, a digest or a name) may be served. Missing means no.

    The newest evidence of each rule counts. Exit 0 only if every rule passes or has a waiver.
    """
    from hauberk.adapters.local.home import Home
    from hauberk.core.digest import short
    from hauberk.govern.waivers import expired, read_waivers

    home = Home.open(state)
    home.ledger.verify()
    digest, name = subject_of(model, home)
    now = time.time()
    policy = _policy(files["policy"], spec)
    waivers = read_waivers(_read(files["waivers"]), where=str(files["waivers"]))
    for one in expired(waivers, now):
        output.say(f"the waiver of {one.rule} ran out on {one.expires}")
    live = _live(home, digest, governance_of(files["governance"]), approves=sign, at=now)
    if sign:
        for item in live:
            home.ledger.append("evidence", digest, _plain(item), at=now)
    pool = [*_kept(home, digest), *((item, now) for item in live)]
    decision = policy.decide(
        [item for item, _ in pool],
        times=[at for _, at in pool],
        at=time.time(),
        subject=digest,
        waivers=waivers,
    )
    if sign:
        _enter(home, policy, decision)
    threat = f"threat {spec.threat.norm}:{spec.threat.eps:g}"
    return output.decision(decision, heading=f"{name}  {short(digest)}  {threat}")


def subject_of(model: str, home: Home) -> tuple[str, str]:
    """The digest of a file, a digest or its first digits, or of the newest model of a name.

    Raises:
        UnknownNameError: if the ledger knows no such model.
        UserError: if several models have a digest that begins so.
    """
    from hauberk.core.digest import digest_file
    from hauberk.core.errors import UnknownNameError, UserError

    path = Path(model)
    known = {e.subject: str(e.body.get("name", "")) for e in home.ledger.entries(kind="model")}
    if path.is_file():
        return digest_file(path), path.name
    wanted = model if model.startswith("sha256:") else f"sha256:{model}"
    found = [digest for digest in known if len(model) >= 6 and digest.startswith(wanted)]
    if len(found) > 1:
        raise UserError(f"{len(found)} models begin with {model!r}", hint="give more digits")
    if found:
        return found[0], known[found[0]]
    primary = [e for e in home.ledger.entries(kind="model") if e.body.get("role") == "primary"]
    named = [e.subject for e in primary if e.body.get("name") == model]
    if not named:
        raise UnknownNameError(model, {*known.values()}, kind="model")
    return named[-1], model


def _policy(file: Path | None, spec: Spec) -> Policy:
    from hauberk.govern.policy import Policy
    from hauberk.govern.policy_file import read_policy

    if file is None:
        return Policy.from_gate(spec.gate, eps=spec.threat.eps)
    policy = read_policy(_read(file), where=str(file))
    if policy.eps is None:
        policy = Policy(requirements=policy.requirements, eps=spec.threat.eps)
    return policy


def governance_of(file: Path | None) -> Governance | None:
    """The people and tasks of a file; None where none is named."""
    from hauberk.govern.roles import read_governance

    return None if file is None else read_governance(_read(file), where=str(file))


def _kept(home: Home, digest: str) -> list[tuple[Evidence, float]]:
    from hauberk.govern.taken import taken

    entries = home.ledger.entries(kind="evidence", subject=digest)
    return [(item.evidence, item.at) for item in taken(entries)]


def _live(
    home: Home, digest: str, governance: Governance | None, *, approves: bool, at: float
) -> list[Evidence]:
    """What is seen here and now: unaltered, signed, not revoked, and who did what."""
    from hauberk.adapters.local.signatories import acts
    from hauberk.core.errors import Untrusted, UserError
    from hauberk.govern.roles_duty import Act, separation
    from hauberk.govern.roles_training import training

    def kept() -> object:
        return home.store.path(digest)

    def signed() -> object:
        return home.trust.grounds(digest)

    def standing() -> object:
        if home.trust.revoked(digest):
            raise Untrusted("the ledger holds a revocation")
        return None

    found = []
    for rule, look in (("HB-S001", kept), ("HB-S002", signed), ("HB-S003", standing)):
        try:
            look()
        except (Untrusted, UserError) as error:
            found.append(_holds(rule, digest, holds=False, message=error.what))
        else:
            found.append(_holds(rule, digest, holds=True, message="seen now"))
    if governance is not None:
        done = list(acts(home.ledger, home.signer, digest))
        if approves:
            done.append(Act("approve", home.signer.key_id))
        found.append(separation(list(dict.fromkeys(done)), governance, subject=digest))
        found.append(_card(home, digest, governance))
        found.append(training(governance, subject=digest, at=at))
    return found


def _card(home: Home, digest: str, governance: Governance) -> Evidence:
    """Whether the data card of the model's dataset is complete.

    The model card names the decision, so that it is complete only after it: `hauberk report`.
    """
    from hauberk.core.errors import DataError
    from hauberk.govern.cards import data_card

    found = home.ledger.entries(kind="model", subject=digest)
    dataset = str(found[-1].body.get("dataset")) if found else ""
    try:
        data_card(dataset, home.ledger.entries(), governance)
    except DataError as error:
        return _holds("HB-G004", digest, holds=False, message=error.what)
    return _holds("HB-G004", digest, holds=True, message="complete")


def _holds(rule: str, digest: str, *, holds: bool, message: str) -> Evidence:
    from hauberk.core.evidence import Evidence, Verdict
    from hauberk.core.rule import find_rule

    return Evidence(
        rule=rule,
        subject=digest,
        verdict=Verdict.PASS if holds else Verdict.FAIL,
        value=float(holds),
        message=message,
        severity=find_rule(rule).severity,
    )


def _enter(home: Home, policy: Policy, decision: Decision) -> None:
    """The decision, the policy it was made by, and the signature over both, in the ledger."""
    import msgspec

    from hauberk.adapters.local.signatories import DECISION
    from hauberk.govern.attest import STATEMENT

    body = {**decision.body(), "rules": policy.plain()}
    hexdigits = decision.subject.removeprefix("sha256:")
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": "model.onnx", "digest": {"sha256": hexdigits}}],
        "predicateType": DECISION,
        "predicate": body,
    }
    envelope = msgspec.to_builtins(home.signer.sign(statement))
    home.ledger.append("decision", decision.subject, {**body, "envelope": envelope}, at=decision.at)


def _read(file: Path | None) -> bytes:
    from hauberk.adapters.local.files import read_file
    from hauberk.core.errors import ConfigError
    from hauberk.govern.strict import MAX_FILE

    if file is None:
        return b""
    data = read_file(file, limit=MAX_FILE)
    if data is None:
        raise ConfigError("no such file", where=str(file))
    return data


def _plain(evidence: Evidence) -> dict[str, Any]:
    from hauberk.govern.decision import evidence_body

    return evidence_body(evidence)
