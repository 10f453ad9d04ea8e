"""Rule codes ``HB-xNNN``: one stable name for each claim that a check measures.

Letters: E evaluation, D detection, S supply, G governance, L loop, A access, V vetting.
Each rule has a page in ``docs/rules/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Literal

from hauberk.core.errors import UnknownNameError
from hauberk.core.evidence import Severity, Verdict

Sense = Literal["at-least", "at-most", "true"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A claim: its code, its text, and how a value is held against the limit."""

    code: str
    title: str
    text: str
    sense: Sense = "true"
    limit: float | None = None
    severity: Severity = Severity.MEDIUM
    atlas: tuple[str, ...] = ()

    def judge(self, value: float | None, limit: float | None = None) -> Verdict:
        """Hold a value against ``limit`` (the rule's own if None); no value is ``unknown``."""
        bound = self.limit if limit is None else limit
        if value is None or isnan(value) or (self.sense != "true" and bound is None):
            return Verdict.UNKNOWN
        if self.sense == "true":
            holds = value == 1.0
        elif self.sense == "at-least":
            holds = value >= (bound or 0.0)
        else:
            holds = value <= (bound or 0.0)
        return Verdict.PASS if holds else Verdict.FAIL


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
        code="HB-D001",
        title="no attack on the request stream",
        text="Evidence of the sequential test on the twin's divergence, in nats.",
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
        code="HB-V001",
        title="loading it calls nothing harmful",
        text="No callable that runs code, opens files or reaches the network is called on loading.",
        severity=Severity.CRITICAL,
        atlas=("AML.T0011.000", "AML.T0010"),
    ),
    Rule(
        code="HB-V002",
        title="loading it calls only what is on the allow-list",
        text="Every callable that a pickle names is one that is known to be harmless.",
        severity=Severity.MEDIUM,
        atlas=("AML.T0011.000",),
    ),
    Rule(
        code="HB-V003",
        title="read in full",
        text="Everything that a loader would act on was read; no error, skip or limit.",
        severity=Severity.MEDIUM,
    ),
    Rule(
        code="HB-V004",
        title="the pickle is whole and says what it calls",
        text="The opcodes are sound to the end, and no name is computed while loading.",
        severity=Severity.MEDIUM,
        atlas=("AML.T0011.000",),
    ),
    Rule(
        code="HB-V005",
        title="nothing hidden before or behind the model",
        text="The file begins and ends where its format says; it is not two files in one.",
        severity=Severity.MEDIUM,
        atlas=("AML.T0010",),
    ),
    Rule(
        code="HB-V006",
        title="the archive is sound and stays in its folder",
        text="Headers agree with the directory, and no member leads outside.",
        severity=Severity.HIGH,
        atlas=("AML.T0010",),
    ),
    Rule(
        code="HB-V007",
        title="it unpacks to a size in proportion",
        text="Unpacking does not multiply its size without bounds, nor nest without end.",
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-V008",
        title="the content is what the name says",
        text="The ending of the name fits the format that the content has.",
        severity=Severity.LOW,
    ),
    Rule(
        code="HB-V009",
        title="the graph holds no code of its own",
        text="No Lambda layer, custom object or operation that runs Python or touches files.",
        severity=Severity.MEDIUM,
        atlas=("AML.T0011.000", "AML.T0018"),
    ),
    Rule(
        code="HB-V010",
        title="outside data stays in the folder of the model",
        text="Paths to data outside the file are relative and lead nowhere else.",
        severity=Severity.CRITICAL,
        atlas=("AML.T0010",),
    ),
    Rule(
        code="HB-V011",
        title="the graph is sound",
        text="Operators are standard, values are made before they are used, sizes fit the data.",
        severity=Severity.MEDIUM,
    ),
    Rule(
        code="HB-V012",
        title="the safetensors header is sound",
        text="The header is canonical JSON; tensors fill the file without overlaps and holes.",
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-V013",
        title="the GGUF header is sound",
        text="Counts, lengths and offsets of keys and tensors lie within the file.",
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-V014",
        title="the chat template is harmless",
        text="No template reaches for the attributes that lead to the interpreter.",
        severity=Severity.CRITICAL,
        atlas=("AML.T0051", "AML.T0010"),
    ),
    Rule(
        code="HB-V015",
        title="no programs beside the model",
        text="No native code, scripts or Python modules that run when the model is used.",
        severity=Severity.MEDIUM,
        atlas=("AML.T0011",),
    ),
    Rule(
        code="HB-V016",
        title="the arrays are plain numbers",
        text="NumPy and HDF5 files hold numbers with sizes that fit, and no links outside.",
        severity=Severity.MEDIUM,
    ),
    Rule(
        code="HB-V017",
        title="of a known format",
        text="The content is recognised; what is not cannot be judged.",
        severity=Severity.MEDIUM,
    ),
    Rule(
        code="HB-G005",
        title="ledger unbroken",
        text="Every entry of the ledger has its digest and follows the one before it.",
        severity=Severity.CRITICAL,
    ),
    Rule(
        code="HB-V101",
        title="no default credentials",
        text="No account keeps the name and the password that a product ships with.",
        severity=Severity.HIGH,
        atlas=("AML.T0012",),
    ),
    Rule(
        code="HB-V102",
        title="no open endpoint",
        text="What listens beyond its own pod asks who is there.",
        severity=Severity.HIGH,
        atlas=("AML.T0049",),
    ),
    Rule(
        code="HB-V103",
        title="no root, no privileges",
        text="Containers run as a user without privileges.",
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-V104",
        title="no way to the host",
        text="Pods mount no path of the host and share none of its namespaces.",
        severity=Severity.HIGH,
    ),
    Rule(
        code="HB-V105",
        title="the network is closed by default",
        text="Every namespace with workloads has a network policy.",
        severity=Severity.MEDIUM,
    ),
    Rule(
        code="HB-V106",
        title="no public bucket",
        text="Storage is not readable or writable by anybody.",
        severity=Severity.HIGH,
        atlas=("AML.T0010",),
    ),
    Rule(
        code="HB-V107",
        title="images are fixed by digest or version",
        text="No image has a tag that moves, such as latest.",
        severity=Severity.MEDIUM,
        atlas=("AML.T0010",),
    ),
    Rule(
        code="HB-V108",
        title="no pickles in the settings",
        text="No setting asks for a model to be saved or loaded as a pickle.",
        severity=Severity.MEDIUM,
        atlas=("AML.T0011.000",),
    ),
    Rule(
        code="HB-V109",
        title="no secrets in files",
        text="No key, token or password stands in a file or in the output of a notebook.",
        severity=Severity.HIGH,
        atlas=("AML.T0055",),
    ),
    Rule(
        code="HB-V110",
        title="no rights over everything",
        text="No role may do everything to everything.",
        severity=Severity.HIGH,
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
