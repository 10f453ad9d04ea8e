"""Rule codes ``HB-xNNN``: one stable name for each claim that a check measures.

Letters: E evaluation, D detection, S supply, G governance, L loop, A access, V vetting.
Each rule has a page in ``docs/rules/``.
"""

from __future__ import annotations

from hauberk.core.claim import Rule, Sense
from hauberk.core.errors import UnknownNameError
from hauberk.core.evidence import Severity
from hauberk.core.rules_detection import DETECTION
from hauberk.core.rules_vetting import VETTING

__all__ = ["RULES", "Rule", "Sense", "find_rule"]

_ALL = (
    Rule(
        code="HB-E001",
        title="robust accuracy, worst case over attacks",
        text="The share of samples that stay right under every attack tried within the ball.",
        sense="at-least",
        limit=0.40,
        severity=Severity.HIGH,
        atlas=("AML.T0015", "AML.T0043"),
    ),
    Rule(
        code="HB-E002",
        title="clean accuracy",
        text="The share of untouched held-out samples that are right.",
        sense="at-least",
        limit=0.90,
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-E003",
        title="clean accuracy lost against the model in service",
        text="Clean accuracy of the served model less that of the candidate, same samples.",
        sense="at-most",
        limit=0.02,
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-E004",
        title="robust accuracy gained over the model in service",
        text="Lower end of the paired 95 % interval of the gain under the worst attack.",
        sense="at-least",
        limit=0.0,
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-E005",
        title="gradients not masked",
        text="An attack without gradients does not beat the gradient attack, nor does accuracy "
        "rise with eps: otherwise the robust figure is not to be believed.",
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-E006",
        title="accuracy under one attack",
        text="The share of samples that stay right under one named attack at one eps.",
        sense="at-least",
        severity=Severity.MEDIUM,
        atlas=("AML.T0043",),
    ),
    Rule(
        code="HB-E007",
        title="exported model equals the trained one",
        text="Largest difference between the outputs of the trained and the exported model.",
        sense="at-most",
        limit=1e-3,
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-E008",
        title="certified accuracy",
        text="The share of samples that are proven right wherever in the ball they are moved.",
        sense="at-least",
        severity=Severity.MEDIUM,
        atlas=("AML.T0015", "AML.T0043"),
    ),
    Rule(
        code="HB-E009",
        title="stated property proven",
        text="A property of the outputs holds for every input of a stated box, by proof.",
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-E010",
        title="log-average miss rate",
        text="The share of people that a detector misses, averaged over nine rates of false finds.",
        sense="at-most",
        severity=Severity.MEDIUM,
        atlas=("AML.T0015",),
    ),
    Rule(
        code="HB-E011",
        title="average precision",
        text="COCO's average precision of a detector, over overlaps from .5 to .95 or at .5.",
        sense="at-least",
        severity=Severity.MEDIUM,
        atlas=("AML.T0015",),
    ),
    Rule(
        code="HB-E012",
        title="answers that a copy takes are known",
        text="Queries after which a copy of the model, trained on its answers, agrees with it on a "
        "stated share of other inputs.",
        sense="at-least",
        severity=Severity.LOW,
        atlas=("AML.T0024",),
    ),
    *DETECTION,
    Rule(
        code="HB-S001",
        title="artefact unaltered",
        text="The stored bytes have the digest under which they are known.",
        severity=Severity.CRITICAL,
        atlas=("AML.T0010", "AML.T0018"),
    ),
    Rule(
        code="HB-S002",
        title="artefact signed",
        text="A trusted key signed the statement that lets this digest be served.",
        severity=Severity.CRITICAL,
        atlas=("AML.T0010",),
    ),
    Rule(
        code="HB-S003",
        title="artefact not revoked",
        text="The ledger holds no revocation of this digest.",
        severity=Severity.CRITICAL,
    ),
    Rule(
        code="HB-S004",
        title="safe file format",
        text="The file is safetensors or ONNX by its content; never a pickle, nor what holds one.",
        severity=Severity.CRITICAL,
        atlas=("AML.T0011.000",),
    ),
    Rule(
        code="HB-G001",
        title="duties apart",
        text="Whoever signed for training a model did not approve it, by whichever key.",
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-G002",
        title="threats answered",
        text="Threats without a verified control or an acceptance that holds.",
        sense="at-most",
        limit=0.0,
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-G003",
        title="model card complete",
        text="Every field of the model card follows from the ledger or was stated by its owner.",
        severity=Severity.MEDIUM,
    ),
    Rule(
        code="HB-G004",
        title="data card complete",
        text="Every field of the data card follows from the ledger or was stated by its owner.",
        severity=Severity.MEDIUM,
    ),
    Rule(
        code="HB-G005",
        title="ledger unbroken",
        text="Every entry of the ledger has its digest and follows the one before it.",
        severity=Severity.CRITICAL,
    ),
    Rule(
        code="HB-G006",
        title="people are trained",
        text="People with a role whose last security training is missing or too long ago.",
        sense="at-most",
        limit=0.0,
        severity=Severity.MEDIUM,
        atlas=("AML.T0052", "AML.T0011"),
    ),
    Rule(
        code="HB-L001",
        title="incident closed with the service recovered",
        text="The incident ended with a judged model in service, not halted.",
        severity=Severity.CRITICAL,
    ),
    Rule(
        code="HB-L002",
        title="training within its budget",
        text="Trainings in the window stay within the budget and the cool-down.",
        sense="at-most",
        severity=Severity.HIGH,
    ),
    *VETTING,
)

RULES: dict[str, Rule] = {rule.code: rule for rule in _ALL}


def find_rule(code: str) -> Rule:
    """The rule of that code, in any case.

    Raises:
        UnknownNameError: if there is none; the nearest is named.
    """
    try:
        return RULES[code.upper()]
    except KeyError:
        raise UnknownNameError(code, RULES, kind="rule") from None
