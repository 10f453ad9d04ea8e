"""The rules of detection: what the monitors say of a stream of requests, from HB-D001."""

from __future__ import annotations

from hauberk.core.claim import Rule
from hauberk.core.evidence import Severity

DETECTION = (
    Rule(
        code="HB-D001",
        title="no attack on the request stream",
        text="Evidence of the sequential test on the sensors' p-values, in nats.",
        sense="at-most",
        severity=Severity.CRITICAL,
        atlas=("AML.T0015", "AML.T0043"),
    ),
    Rule(
        code="HB-D002",
        title="no drift of the inputs",
        text="Evidence of the sequential test on the input statistics, in nats.",
        sense="at-most",
        severity=Severity.MEDIUM,
    ),
    Rule(
        code="HB-D003",
        title="accuracy on late labels",
        text="Accuracy on labels that arrived after the answers, as a fraction in [0, 1].",
        sense="at-least",
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-D004",
        title="agreement with the twin on live traffic",
        text="The share of live samples on which the served model and its twin agree.",
        sense="at-least",
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-D005",
        title="false alarms on the clean stream",
        text="Alarms raised by traffic that no one attacked.",
        sense="at-most",
        limit=0.0,
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-D006",
        title="suspicion not rising",
        text="Evidence of the quick test of one model, tenant or client, in nats; it is wrong once "
        "in a stated number of requests.",
        sense="at-most",
        severity=Severity.MEDIUM,
        atlas=("AML.T0015", "AML.T0043"),
    ),
)
