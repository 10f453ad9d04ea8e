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
    Rule(
        code="HB-D007",
        title="no campaign of one client",
        text="Share of a client's newest queries that resemble others of its queries, or evidence "
        "that they come from other data than calibrated.",
        sense="at-most",
        severity=Severity.MEDIUM,
        atlas=("AML.T0024", "AML.T0042"),
    ),
    Rule(
        code="HB-D008",
        title="golden inputs are answered as the signed model does",
        text="Largest difference between the endpoint's logits on golden inputs and those of the "
        "signed model.",
        sense="at-most",
        limit=1e-3,
        severity=Severity.CRITICAL,
        atlas=("AML.T0018",),
    ),
    Rule(
        code="HB-D009",
        title="inputs are whole",
        text="Share of the newest requests whose input is frozen, blank or on another scale.",
        sense="at-most",
        severity=Severity.MEDIUM,
    ),
    Rule(
        code="HB-D010",
        title="the machines answer",
        text="Share of the newest requests on which the model failed, or that took far too long.",
        sense="at-most",
        severity=Severity.MEDIUM,
    ),
    Rule(
        code="HB-D011",
        title="accuracy as estimated without labels",
        text="Upper end of the estimated accuracy's interval over a window of requests.",
        sense="at-least",
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-D012",
        title="no shift of the answers",
        text="Evidence of the sequential test on the share of each label, in nats.",
        sense="at-most",
        severity=Severity.MEDIUM,
    ),
    Rule(
        code="HB-D013",
        title="reviewed requests are answered right",
        text="Evidence of the betting test on labels that people gave, in nats.",
        sense="at-most",
        severity=Severity.CRITICAL,
        atlas=("AML.T0015",),
    ),
    Rule(
        code="HB-D014",
        title="no client was told what a copy takes",
        text="Answers that one client, or one tenant, got within the budget's days; near copies of "
        "an input count once.",
        sense="at-most",
        severity=Severity.MEDIUM,
        atlas=("AML.T0024",),
    ),
    Rule(
        code="HB-D015",
        title="no client asks what the model was trained on",
        text="Evidence of the sequential test on the share of a client's inputs that look like "
        "training samples, in nats.",
        sense="at-most",
        severity=Severity.MEDIUM,
        atlas=("AML.T0024.000",),
    ),
)
