"""Reports that the ledger alone gives: frameworks, cards, effects, incidents and tasks."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from typing import TYPE_CHECKING, Any

from hauberk.core.errors import ConfigError, UnknownNameError, UserError

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.adapters.local.home import Home
    from hauberk.core.ports import Entry
    from hauberk.faces.cli.output import Output
    from hauberk.govern.atlas import Catalogue
    from hauberk.govern.taken import Taken

MAX_AGE_DAYS = 30.0
_DAY = 86400.0


def told(state: Path, output: Output, **asked: Any) -> int:
    """Write the report that was asked for; the ledger is verified first.

    Returns:
        1 where a clause that checks speak to is not met or not evidenced, otherwise 0.
    """
    from hauberk.adapters.local.home import Home
    from hauberk.faces.cli.atlas import kept

    home = Home.open(state)
    home.ledger.verify()
    end = _end(asked["as_of"])
    entries = [entry for entry in home.ledger.entries() if entry.at < end]
    if asked["card"]:
        return _card(home, entries, output, **asked)
    if asked["incidents"]:
        return _incidents(entries, output)
    if asked["tasks"]:
        return _tasks(_newest(entries, _subject(home, asked), end), output, **asked)
    if asked["effects"]:
        return _effects(entries, kept(state), output)
    asked["subject"] = _subject(home, asked)
    return _framework(entries, kept(state), output, end=end, **asked)


def _framework(
    entries: list[Entry],
    catalogue: Catalogue,
    output: Output,
    *,
    end: float,
    **asked: Any,
) -> int:
    from hauberk.govern import compliance_report as shown
    from hauberk.govern.compliance import ATLAS, assess_framework

    found = assess_framework(
        asked["framework"],
        _newest(entries, asked["subject"], end),
        catalogue,
        at=end,
        max_age=MAX_AGE_DAYS * _DAY,
    )
    if asked["navigator"]:
        if found.framework != ATLAS:
            raise UserError("a Navigator layer needs --framework atlas")
        output.data(shown.navigator(found))
    elif asked["oscal"]:
        output.data(shown.oscal(found))
    elif output.form == "json":
        output.data(shown.plain(found))
    elif output.form == "html":
        output.write(shown.page(found))
    else:
        output.listing(shown.HEAD, [shown.cells(one) for one in found.clauses])
    output.say(f"{found.title}: {found.summary}; this supports evidence, it shows no compliance")
    return 0 if found.clean else 1


def _newest(entries: list[Entry], subject: str | None, end: float) -> dict[str, Taken]:
    """The newest evidence of each rule about one model, or about no model at all.

    That the ledger was read and verified is evidence too (HB-G005).
    """
    from hauberk.core.digest import digest_json
    from hauberk.core.evidence import Evidence, Verdict
    from hauberk.govern.taken import Taken, newest, taken

    models = {entry.subject for entry in entries if entry.kind == "model"}
    about = [one for one in entries if one.subject == subject or one.subject not in models]
    found = dict(newest(taken(about)))
    head = entries[-1].digest if entries else ""
    seen = Evidence(
        rule="HB-G005",
        subject=head,
        verdict=Verdict.PASS if entries else Verdict.UNKNOWN,
        value=1.0 if entries else None,
        message=f"{len(entries)} entries verified",
    )
    digest = digest_json(["HB-G005", head])
    found["HB-G005"] = Taken(evidence=seen, at=end - 1, entry=len(entries), digest=digest)
    return found


def _card(home: Home, entries: list[Entry], output: Output, **asked: Any) -> int:
    from hauberk.faces.cli.gate import governance_of
    from hauberk.govern.cards import data_card, model_card
    from hauberk.govern.roles import shipped

    if asked["card"] not in {"model", "data"}:
        raise UnknownNameError(asked["card"], ("model", "data"), kind="card")
    governance = governance_of(asked["governance"]) or shipped()
    digest = _subject(home, asked)
    if digest is None:
        raise UserError("which model?", hint="name one with --of, by digest or name")
    if asked["card"] == "data":
        digest = _dataset(entries, digest)
        card = data_card(digest, entries, governance)
    else:
        card = model_card(digest, entries, governance)
    if output.form == "json":
        output.data(card.plain())
    elif output.form in {"md", "table"}:
        output.write(card.markdown())
    else:
        raise UserError(f"a card has no form {output.form!r}", hint="md or json")
    return 0


def _dataset(entries: list[Entry], digest: str) -> str:
    """The dataset of a model; a digest that is no model's is taken for a dataset's own."""
    found = [e for e in entries if e.kind == "model" and e.subject == digest]
    return str(found[-1].body.get("dataset")) if found else digest


def _incidents(entries: list[Entry], output: Output) -> int:
    from hauberk.govern.risk_incidents import HEAD, incidents

    found = incidents(entries)
    output.listing(HEAD, [one.cells for one in found])
    still = sum(one.ended is None for one in found)
    output.say(f"{len(found)} incidents, {still} still open")
    return 1 if still else 0


def _tasks(found: dict[str, Taken], output: Output, **asked: Any) -> int:
    from hauberk.faces.cli.gate import governance_of
    from hauberk.govern.roles import shipped
    from hauberk.govern.roles_tasks import HEAD, page, rows

    governance = governance_of(asked["governance"]) or shipped()
    listed = rows(governance, found)
    if output.form == "html":
        output.write(page(governance, found))
    else:
        output.listing(HEAD, listed)
    left = sum(row[-1] == "not done" for row in listed)
    output.say(f"{left} of {len(listed)} tasks lack evidence")
    return 1 if left else 0


def _effects(entries: list[Entry], catalogue: Catalogue, output: Output) -> int:
    from hauberk.govern.effects import HEAD, effects

    found = effects(catalogue, entries)
    output.listing(HEAD, [one.cells for one in found])
    silent = sum(one.state == "unmeasured" for one in found)
    output.say(f"{catalogue.label}: {silent} of {len(found)} mitigations are unmeasured")
    return 0


def _subject(home: Home, asked: dict[str, Any]) -> str | None:
    """The model asked about, or the one that is served; None where none is."""
    from hauberk.faces.cli.gate import subject_of
    from hauberk.faces.cli.threats import served

    if asked["subject"]:
        return subject_of(asked["subject"], home)[0]
    return next(iter(served(home.folder)), None)


def _end(day: str | None) -> float:
    """The first moment after a day, in seconds since the epoch; after today where none is named.

    Raises:
        ConfigError: if it is no date.
    """
    try:
        found = date.fromisoformat(day) if day else datetime.fromtimestamp(time.time(), UTC).date()
    except ValueError:
        raise ConfigError(
            f"not a date: {str(day)[:40]!r}", where="--as-of", hint="write it as 2026-12-31"
        ) from None
    return datetime.combine(found + timedelta(days=1), clock(), UTC).timestamp()
