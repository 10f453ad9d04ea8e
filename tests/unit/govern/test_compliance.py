"""Frameworks, effects of mitigations and cards, from evidence as the ledger holds it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from hauberk.core.errors import DataError, UnknownNameError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.ports import Entry, EntryKind
from hauberk.core.rule import RULES
from hauberk.govern import catalogues
from hauberk.govern.atlas import shipped as atlas
from hauberk.govern.cards import data_card, model_card
from hauberk.govern.compliance import Assessment, assess_framework, frameworks
from hauberk.govern.compliance_report import cells, navigator, oscal, page, plain
from hauberk.govern.decision import evidence_body
from hauberk.govern.effects import effects
from hauberk.govern.risk_incidents import incidents
from hauberk.govern.roles import Governance, read_governance
from hauberk.govern.roles_tasks import done, rows
from hauberk.govern.roles_tasks import page as lanes
from hauberk.govern.taken import newest, taken

DAY = 86400.0
NOW = 1_800_000_000.0
MODEL, DATA = ("sha256:" + digit * 64 for digit in "12")
FACTS = """
[model.signs]
owner = "Ann"
intended_use = "reading signs"
out_of_scope = "roads"
limitations = "daylight"
contact = "ann@example.org"

[data.digits]
owner = "Ann"
source = "the web"
licence = "CC0"
collected = "2020"
personal_data = "none"
known_biases = "few hands"
"""


def entry(kind: EntryKind, subject: str, body: dict[str, Any], *, age: float = 1.0) -> Entry:
    at = NOW - age * DAY
    return Entry(index=0, at=at, kind=kind, subject=subject, body=body, previous="", digest="")


def evidence(rule: str, verdict: Verdict = Verdict.PASS, *, age: float = 1.0, **spec: Any) -> Entry:
    found = Evidence(
        rule=rule, subject=MODEL, verdict=verdict, message="", value=0.5, limit=0.4, spec=spec
    )
    return entry("evidence", MODEL, evidence_body(found), age=age)


def assessed(*entries: Entry, name: str = "eu-ai-act") -> Assessment:
    return assess_framework(name, newest(taken(entries)), atlas(), at=NOW, max_age=30 * DAY)


def clause(found: Assessment, ident: str) -> tuple[str, str]:
    one = next(one for one in found.clauses if one.id == ident)
    return one.status, cells(one)[-1]


def governance() -> Governance:
    return read_governance(FACTS.encode())


def ledger() -> list[Entry]:
    figures = [
        {"attack": "worst case", "eps": eps, "n": 100, "before": 10, "after": after}
        for eps, after in ((0.1, 70), (0.2, 60), (0.3, 20))
    ]
    return [
        entry(
            "dataset",
            DATA,
            {
                "name": "digits",
                "source": "digits",
                "samples": 9,
                "parts": {"train": {"samples": 9}},
            },
        ),
        entry(
            "model",
            MODEL,
            {
                "name": "signs",
                "role": "primary",
                "weights": "sha256:w",
                "architecture": {"name": "cnn"},
                "dataset": DATA,
                "parent": None,
                "origin": {"method": "clean"},
            },
        ),
        evidence("HB-E001", eps=0.2, eps_factor=1.0),
        evidence("HB-E001", Verdict.FAIL, eps=0.3, eps_factor=1.5),
        evidence("HB-E002"),
        evidence("HB-E003"),
        entry("decision", MODEL, {"rows": [], "verdict": "pass", "policy": "sha256:p"}),
        entry("evidence", MODEL, {"figures": figures}),
    ]


def test_clauses_are_met_not_met_or_not_evidenced() -> None:
    ident = "Art. 15(3)"  # HB-E002 and HB-G003
    assert clause(assessed(), ident)[0] == "not evidenced"
    assert clause(assessed(evidence("HB-E002")), ident)[0] == "not evidenced"
    both = evidence("HB-E002"), evidence("HB-G003")
    assert clause(assessed(*both), ident)[0] == "met"
    failed = evidence("HB-G003", Verdict.FAIL)
    assert clause(assessed(both[0], failed), ident)[0] == "not met"
    unknown = evidence("HB-G003", Verdict.UNKNOWN)
    assert clause(assessed(both[0], unknown), ident)[0] == "not evidenced"
    old = evidence("HB-G003", age=31)
    assert clause(assessed(both[0], old), ident) == (
        "not evidenced",
        clause(assessed(both[0], old), ident)[1],
    )
    assert "too long ago" in clause(assessed(both[0], old), ident)[1]
    assert "HB-V306 never ran" in clause(assessed(*both), "Art. 10(3)")[1]
    fairness = assess_framework("nist-ai-rmf", {}, atlas(), at=NOW)
    assert "no check speaks to it" in clause(fairness, "MEASURE 2.11")[1]


def test_an_alarm_shows_that_it_watches() -> None:
    alarm, closed = evidence("HB-D001", Verdict.FAIL), evidence("HB-L001")
    assert clause(assessed(alarm, closed), "Art. 14(4)")[0] == "met"
    assert clause(assessed(alarm), "Art. 14(4)")[0] == "not evidenced"
    unheard = evidence("HB-D001", Verdict.UNKNOWN)
    assert clause(assessed(unheard, closed), "Art. 14(4)")[0] == "not evidenced"


@pytest.mark.parametrize("name", frameworks())
def test_every_framework(name: str) -> None:
    found = assessed(evidence("HB-E001"), name=name)
    assert len(found.clauses) >= 10
    ids = [one.id for one in found.clauses]
    assert len(ids) == len(set(ids))
    assert not found.clean
    text = page(found)
    assert text == page(found)
    assert "supports evidence for" in text
    assert not re.search(r"\bcomplies\b|\bcompliant\b", text)
    assert len(plain(found)["clauses"]) == len(found.clauses)


def test_clause_rules_exist_and_words_are_short() -> None:
    for name, table in catalogues.table("frameworks.toml").items():
        for one in table["clauses"]:
            assert set(one["rules"]) <= set(RULES), (name, one)
            assert len(one["words"].split()) <= 12, "our own words, not the text"


def test_unknown_framework() -> None:
    with pytest.raises(UnknownNameError) as failure:
        assessed(name="eu-ai-ac")
    assert "eu-ai-act" in failure.value.hint


def test_atlas_says_what_is_listed_and_what_is_unmeasured() -> None:
    found = assessed(evidence("HB-E001"), name="atlas")
    assert len(found.clauses) == 170
    notes = [one.note for one in found.clauses]
    assert notes.count("ATLAS lists none") == 82
    assert "unmeasured: AML.M0010" in clause(found, "AML.T0043.001")[1]
    layer = navigator(found)
    assert layer["domain"] == "atlas-atlas"
    assert len(layer["techniques"]) == 170
    json.dumps(layer)


def test_oscal() -> None:
    found = assessed(evidence("HB-E002"), evidence("HB-G003"), evidence("HB-E001", Verdict.FAIL))
    (result,) = oscal(found)["assessment-results"]["results"]
    states = {one["title"]: one["target"]["status"] for one in result["findings"]}
    assert states["Art. 15(3)"] == {"state": "satisfied"}
    assert states["Art. 15(1)"] == {
        "state": "not-satisfied",
        "reason": "fail",
        "remarks": "not met",
    }
    assert states["Art. 9(1)"]["reason"] == "other"
    known = {one["uuid"] for one in result["observations"]}
    related = [one.get("related-observations", []) for one in result["findings"]]
    used = {one["observation-uuid"] for group in related for one in group}
    assert used == known
    token = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*\Z")
    assert all(token.match(one["target"]["target-id"]) for one in result["findings"])
    assert oscal(found) == oscal(found)


def test_effects() -> None:
    found = {one.mitigation: one for one in effects(atlas(), ledger())}
    assert len(found) == 35
    hardening = found["AML.M0003"]
    assert hardening.state == "measured"
    assert hardening.before.startswith("0.1 [")
    assert hardening.after.startswith("0.6 [")
    assert hardening.after.endswith("eps 0.2")
    assert "HB-E003" in hardening.cost
    assert found["AML.M0008"].state == "checked"
    assert found["AML.M0013"].state == "unmeasured"
    assert "HB-S002" in found["AML.M0013"].cells[2]
    assert found["AML.M0009"].cells[2:] == ["no check", *["unmeasured"] * 3, ""]
    assert all(one.state == "unmeasured" for one in effects(atlas(), []))


def test_the_radius_that_counts_is_the_threats_own() -> None:
    found = newest(taken(ledger()))["HB-E001"]
    assert found.evidence.verdict is Verdict.PASS


def test_incidents() -> None:
    steps = [
        entry("incident", "signs-1", {"state": "opened"}, age=3.0),
        entry("deployment", MODEL, {"incident": "signs-1"}, age=2.0),
        entry("incident", "signs-1", {"state": "confirmed", "by": "Ann"}, age=1.5),
        entry("incident", "signs-1", {"state": "closed"}, age=1.0),
        entry("incident", "signs-2", {"state": "opened"}, age=0.5),
        entry("evidence", MODEL, {"incident": "unheard-of"}),
    ]
    first, second = incidents(steps)
    assert (first.id, first.state, first.people) == ("signs-1", "closed", ("Ann",))
    assert first.ended == NOW - DAY
    assert len(first.steps) == 4
    assert (second.state, second.ended) == ("opened", None)
    assert "still open" in second.cells


def test_a_task_without_evidence_is_not_done() -> None:
    house = governance()
    found = newest(taken([evidence("HB-E001"), evidence("HB-E002"), evidence("HB-E005")]))
    states = {row[1]: row[-1] for row in rows(house, found)}
    assert states["Measure clean and robust accuracy on held-out data"] == "done"
    assert states["Watch for attack, drift and loss of accuracy"] == "not done"
    assert states["Set the limits that a model must meet"] == "no check"
    open_ones = newest(taken([evidence("HB-L001", Verdict.UNKNOWN)]))
    assert done(house.find_task("respond"), open_ones) == "not done"
    assert lanes(house, found).count("<tr>") == 1 + len(house.roles)


def test_a_malformed_entry_is_named() -> None:
    with pytest.raises(DataError, match="not evidence"):
        taken([entry("evidence", MODEL, {"rule": "HB-E001", "verdict": "maybe"})])


def test_model_card() -> None:
    card = model_card(MODEL, ledger(), governance())
    text = card.markdown()
    assert text == model_card(MODEL, ledger(), governance()).markdown()
    assert "# Model card: signs" in text
    assert "reading signs" in text
    assert card.plain()["decision"]["verdict"] == "pass"


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        (1, "identity.weights"),
        (2, "measured.HB-E001"),
        (4, "measured.HB-E002"),
        (6, "decision.verdict"),
    ],
)
def test_a_missing_field_fails_the_model_card(gone: int, told: str) -> None:
    entries = [one for number, one in enumerate(ledger()) if number != gone]
    with pytest.raises(DataError, match=told):
        model_card(MODEL, entries, governance())


def test_a_card_needs_its_owner() -> None:
    with pytest.raises(DataError, match=r"stated\.intended_use"):
        model_card(MODEL, ledger(), read_governance(b""))


def test_data_card() -> None:
    card = data_card(DATA, ledger(), governance())
    assert card.plain()["used"]["models"] == MODEL
    assert "few hands" in card.markdown()
    for key in ("source", "parts", "samples"):
        entries = ledger()
        body = {k: v for k, v in entries[0].body.items() if k != key}
        entries[0] = entry("dataset", DATA, body)
        with pytest.raises(DataError, match=f"recorded.{key}"):
            data_card(DATA, entries, governance())
    with pytest.raises(DataError, match=r"stated\.owner"):
        data_card(DATA, ledger(), read_governance(b""))
