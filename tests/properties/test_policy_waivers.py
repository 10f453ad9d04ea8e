"""Allow if and only if every rule's newest evidence passes and is fresh, or has a waiver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.evidence import Evidence, Verdict
from hauberk.govern.policy import DAY, Policy, Requirement
from hauberk.govern.waivers import Waiver

MODEL, OTHER = ("sha256:" + digit * 64 for digit in "12")
TODAY = datetime(2026, 11, 20, tzinfo=UTC)
NOW = TODAY.timestamp()
AGES = {"HB-E002": 5.0, "HB-S001": None, "HB-G001": 1.0}
POLICY = Policy(
    requirements=tuple(
        Requirement(code, 0.9 if code == "HB-E002" else None, None if age is None else age * DAY)
        for code, age in AGES.items()
    )
)
ITEM = st.tuples(
    st.sampled_from(sorted(AGES)), st.sampled_from(Verdict), st.integers(-1, 7), st.booleans()
)
WAIVER = st.builds(
    lambda rule, subject, start, days: Waiver(
        rule=rule,
        subject=subject,
        owner="o",
        reason="r",
        created=(TODAY + timedelta(days=start)).date(),
        expires=(TODAY + timedelta(days=start + days)).date(),
    ),
    st.sampled_from(sorted(AGES)),
    st.sampled_from([MODEL, MODEL, OTHER]),
    st.integers(-5, 2),
    st.integers(1, 8),
)


GOOD = st.tuples(
    *(
        st.tuples(st.just(rule), st.just(Verdict.PASS), st.integers(0, 7), st.just(True))
        for rule in AGES
    )
)
NEARLY = st.builds(lambda good, noise: [*good, *noise], GOOD, st.lists(ITEM, max_size=2))


@settings(deadline=None, max_examples=400)
@given(st.one_of(NEARLY, st.lists(ITEM, max_size=9)), st.lists(WAIVER, max_size=3))
def test_allowed(items: list[tuple[str, Verdict, int, bool]], waivers: list[Waiver]) -> None:
    evidence, times, newest = [], [], dict[str, tuple[Verdict, int]]()
    for rule, verdict, age, own in items:
        value = {Verdict.PASS: 1.0, Verdict.FAIL: 0.0, Verdict.UNKNOWN: None}[verdict]
        subject = MODEL if own else OTHER
        evidence.append(
            Evidence(rule=rule, subject=subject, verdict=verdict, message="", value=value)
        )
        times.append(NOW - age * DAY)
        if own:
            newest[rule] = verdict, age
    expected = True
    for rule, limit in AGES.items():
        verdict, age = newest.get(rule, (Verdict.UNKNOWN, 0))
        good = verdict is Verdict.PASS and 0 <= age <= (7 if limit is None else limit)
        waived = any(
            one.rule == rule and one.subject == MODEL and one.created <= TODAY.date() < one.expires
            for one in waivers
        )
        expected = expected and (good or waived)
    found = POLICY.decide(evidence, times=times, at=NOW, subject=MODEL, waivers=waivers)
    assert found.allowed == expected, found
