"""Threats to a system as data: derivation, states, what counts as a finding."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import date

import msgspec
import pytest

from hauberk.core.errors import ConfigError, HauberkError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.govern import catalogues
from hauberk.govern.atlas import shipped as atlas
from hauberk.govern.risk import Rating, rate
from hauberk.govern.stride import LETTERS, read_rules, shipped, threats_of
from hauberk.govern.taken import Taken
from hauberk.govern.threats import STAGES, Acceptance, Claim, System, read_system
from hauberk.govern.threats_diagram import diagram
from hauberk.govern.threats_report import page, plain
from hauberk.govern.threats_state import Standing, assess, evidence_of

NOW = 1_800_000_000.0
DAY = 86400.0
TEXT = catalogues.text("system.toml")
SAMPLE = read_system(TEXT)
THREATS = threats_of(SAMPLE, atlas())
EVADE = "T-EVADE@gateway"


def seen(code: str, verdict: Verdict = Verdict.PASS, *, age: float = 0.0) -> Taken:
    evidence = Evidence(rule=code, subject="m", verdict=verdict, message="")
    return Taken(evidence=evidence, at=NOW - age * DAY, entry=0, digest=f"sha256:{code}")


def stands(found: list[Taken], system: System = SAMPLE, ident: str = EVADE) -> Standing:
    by_rule = {item.evidence.rule: item for item in found}
    standings = assess(THREATS, system, by_rule, at=NOW)
    return next(one for one in standings if one.threat.id == ident)


def claiming(*names: str) -> System:
    claims = tuple(Claim(id=name, owner="me") for name in names)
    return msgspec.structs.replace(SAMPLE, control=claims)


def accepting(day: date) -> System:
    accept = Acceptance(threat=EVADE, owner="me", reason="for now", expires=day)
    return msgspec.structs.replace(SAMPLE, accept=(accept,))


BOTH = [seen("HB-E001"), seen("HB-D001")]
CLAIMS = claiming("adversarial-training", "attack-detection")


def test_the_sample_yields_all_six_letters() -> None:
    assert {one.letter for one in THREATS} == set(LETTERS)
    assert {one.stage for one in THREATS} <= set(STAGES)
    assert all(one.attackers and one.controls for one in THREATS)
    assert all(one.catalogue == "ATLAS 5.6.0" for one in THREATS)
    used = {one.id.partition("@")[0] for one in THREATS}
    assert used == {rule.id for rule in shipped()}, "every rule fits something in the sample"
    assert list(THREATS) == sorted(THREATS, key=lambda one: (-one.rating.score, one.id))


@pytest.mark.parametrize(
    ("found", "system", "state", "finding"),
    [
        ([], SAMPLE, "OPEN", True),
        ([], CLAIMS, "MITIGATED", True),
        ([], claiming("attack-detection"), "OPEN", True),
        (BOTH, SAMPLE, "VERIFIED", False),
        (BOTH[:1], CLAIMS, "MITIGATED", True),
        ([seen("HB-E001", age=31), BOTH[1]], SAMPLE, "OPEN", True),
        ([seen("HB-E001", age=31), BOTH[1]], CLAIMS, "MITIGATED", True),
        ([seen("HB-E001", age=-1), BOTH[1]], SAMPLE, "OPEN", True),
        ([seen("HB-E001", Verdict.FAIL), BOTH[1]], CLAIMS, "OPEN", True),
        ([seen("HB-E001", Verdict.UNKNOWN), BOTH[1]], CLAIMS, "MITIGATED", True),
        ([], accepting(date(2027, 1, 16)), "ACCEPTED", False),
        ([], accepting(date(2027, 1, 15)), "OPEN", True),
        (BOTH, accepting(date(2027, 1, 16)), "VERIFIED", False),
        ([BOTH[0], seen("HB-D001", Verdict.FAIL)], SAMPLE, "VERIFIED", False),
        ([BOTH[0], seen("HB-D001", Verdict.FAIL, age=31)], SAMPLE, "OPEN", True),
    ],
)
def test_states(found: list[Taken], system: System, state: str, finding: bool) -> None:
    one = stands(found, system)
    assert (one.state, one.finding) == (state, finding), one.why


def test_only_a_check_lowers_the_risk() -> None:
    assert stands([], CLAIMS).residual == stands([]).threat.rating
    assert stands(BOTH).residual.score < stands(BOTH).threat.rating.score
    assert stands(BOTH).evidence == ("sha256:HB-E001", "sha256:HB-D001")


def test_a_claim_holds_only_where_it_is_made() -> None:
    claims = tuple(
        Claim(id=name, owner="me", components=("classifier",))
        for name in ("adversarial-training", "attack-detection")
    )
    system = msgspec.structs.replace(SAMPLE, control=claims)
    assert stands([], system).state == "OPEN"
    assert stands([], system, "T-EVADE@classifier").state == "MITIGATED"


def test_the_count_is_evidence() -> None:
    standings = assess(THREATS, SAMPLE, {}, at=NOW)
    found = evidence_of(standings, subject="s")
    assert (found.verdict, found.value) == (Verdict.FAIL, float(len(THREATS)))
    assert evidence_of((), subject="s").verdict is Verdict.UNKNOWN
    assert evidence_of([stands(BOTH)], subject="s").verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("old", "new", "told", "hint"),
    [
        (b'kind = "service"', b'kind = "servce"', "servce", "'service'"),
        (b'stage = "training"', b'stage = "trainin"', "trainin", "'training'"),
        (b'"network-facing"', b'"network-facin"', "network-facin", "'network-facing'"),
        (b'holds = ["answers"]', b'holds = ["anwers"]', "anwers", "'answers'"),
        (b'target = "gateway"', b'target = "gatway"', "gatway", "'gateway'"),
        (b'boundary = "studio"', b'boundary = "stdio"', "stdio", "'studio'"),
        (b'id = "artefact-signing"', b'id = "artefact-sining"', "sining", "'artefact-signing'"),
        (b'"insider"', b'"insder"', "insder", "'insider'"),
        (b'knowledge = "black-box"', b'knowledge = "blackbox"', "blackbox", "'black-box'"),
        (b'role = "data-scientist"', b'role = "scientist"', "scientist", "'data-scientist'"),
        (b"[[flow]]", b"[[flows]]", "flows", "'flow'"),
        (b'carries = ["weights"]', b'carry = ["weights"]', "carry", "'carries'"),
        (b'value = "high"', b'value = "hgh"', "hgh", ""),
        (b'id = "studio"', b'id = "cluster"', "twice", ""),
        (b"max_age_days = 30", b"max_age_days = -1", "max_age_days", ""),
        (b"[system]", b"[system", "cannot be read", ""),
    ],
)
def test_a_wrong_word_is_an_error(old: bytes, new: bytes, told: str, hint: str) -> None:
    assert old in TEXT
    with pytest.raises(HauberkError, match=told) as failure:
        read_system(TEXT.replace(old, new))
    assert hint in failure.value.hint
    assert failure.value.exit_code == 2


def test_an_acceptance_of_an_unknown_threat() -> None:
    accept = Acceptance(threat="T-EVADE@gatway", owner="me", reason="r", expires=date(2030, 1, 1))
    system = msgspec.structs.replace(SAMPLE, accept=(accept,))
    with pytest.raises(HauberkError) as failure:
        assess(THREATS, system, {}, at=NOW)
    assert EVADE in failure.value.hint


def test_rules_are_checked_too() -> None:
    text = catalogues.text("stride.toml")
    with pytest.raises(HauberkError, match="rate-limt"):
        read_rules(text.replace(b'"rate-limit"', b'"rate-limt"'), where="x")
    with pytest.raises(ConfigError, match="twice"):
        read_rules(text + text[text.index(b"[[rule]]") :], where="x")
    rules = read_rules(text.replace(b"AML.T0015", b"AML.T9915"), where="x")
    with pytest.raises(HauberkError, match=r"AML\.T9915"):
        threats_of(SAMPLE, atlas(), rules)


def test_rating() -> None:
    assert rate(5, 5, ["realized"]) == Rating(likelihood=5, impact=5)
    assert rate(3, 2, ["feasible"]).likelihood == 2
    assert rate(3, 2, ["feasible", "realized"]).likelihood == 4
    assert rate(3, 2, []).likelihood == 3
    levels = [Rating(likelihood=1, impact=n).level for n in (1, 4, 5)]
    assert levels == ["low", "low", "medium"]
    assert [Rating(likelihood=5, impact=n).level for n in (2, 3, 4)] == ["high", "high", "critical"]


def test_the_diagram_and_the_page_are_well_formed_and_stable() -> None:
    standings = assess(THREATS, SAMPLE, {}, at=NOW)
    hostile = msgspec.structs.replace(SAMPLE.system, name="<script>alert(1)</script>")
    system = msgspec.structs.replace(SAMPLE, system=hostile)
    drawing = diagram(system, {"gateway": 3})
    tree = ET.fromstring(drawing)
    assert len(tree.findall(".//{*}path[@class]")) == len(SAMPLE.flow)
    assert drawing == diagram(system, {"gateway": 3})
    assert "3 open" in drawing
    text = page(system, standings)
    assert "<script>" not in text
    assert text == page(system, standings)
    register = plain(SAMPLE, standings)
    assert sum(register["stride"].values()) == len(THREATS)
    assert register["threats"][0]["state"] == "OPEN"
