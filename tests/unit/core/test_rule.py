"""Rules: well-formed codes, and a judgement that never passes what was not measured."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hauberk.core.errors import UnknownNameError
from hauberk.core.evidence import Verdict
from hauberk.core.rule import RULES, Rule, find_rule


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda r: r.code)
def test_a_rule_is_well_formed(rule: Rule) -> None:
    assert re.fullmatch(r"HB-[EDSGLAV]\d{3}", rule.code)
    assert rule.text.endswith(".")
    assert not rule.title.endswith(".")
    assert all(re.fullmatch(r"AML\.T\d{4}(\.\d{3})?", one) for one in rule.atlas)
    assert (rule.limit is None) or rule.sense != "true"


def test_codes_and_titles_are_unique() -> None:
    assert len(RULES) >= 18
    assert len({rule.title for rule in RULES.values()}) == len(RULES)
    assert all(code == rule.code for code, rule in RULES.items())


@pytest.mark.parametrize(
    ("sense", "value", "limit", "verdict"),
    [
        ("at-least", 0.5, 0.5, "pass"),
        ("at-least", 0.49, 0.5, "fail"),
        ("at-most", 0.5, 0.5, "pass"),
        ("at-most", 0.51, 0.5, "fail"),
        ("true", 1.0, None, "pass"),
        ("true", 0.0, None, "fail"),
        ("true", 0.99, None, "fail"),
        ("at-least", None, 0.5, "unknown"),
        ("at-least", float("nan"), 0.5, "unknown"),
        ("at-least", 0.9, None, "unknown"),
        ("true", None, None, "unknown"),
        ("true", float("nan"), None, "unknown"),
        ("at-least", 0.0, 0.0, "pass"),
        ("at-most", float("inf"), 1.0, "fail"),
        ("at-least", float("-inf"), 0.0, "fail"),
    ],
)
def test_judgement(sense: str, value: float | None, limit: float | None, verdict: str) -> None:
    rule = Rule(code="HB-E999", title="t", text="x.", sense=sense, limit=limit)  # type: ignore[arg-type]
    assert rule.judge(value) == Verdict(verdict)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_limit_given_overrules_the_rules_own(value: float, limit: float) -> None:
    rule = Rule(code="HB-E999", title="t", text="x.", sense="at-least", limit=0.5)
    assert (rule.judge(value, limit) is Verdict.PASS) == (value >= limit)


def test_a_rule_is_found_in_any_case() -> None:
    assert find_rule("hb-e001") is RULES["HB-E001"]
    with pytest.raises(UnknownNameError):
        find_rule("HB-E01")
