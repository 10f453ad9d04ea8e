"""Kind: what sort of thing happened, from all that the monitors found, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hauberk.core.evidence import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hauberk.core.evidence import Evidence

Kind = Literal[
    "integrity", "infrastructure", "bad-input", "attack", "campaign", "accuracy", "drift", "quiet"
]

# The first that is there names the whole; the others are told beside it.
_ORDER: tuple[tuple[Kind, tuple[str, ...], str], ...] = (
    ("integrity", ("HB-D008",), "the endpoint does not answer as the signed model does"),
    ("infrastructure", ("HB-D010",), "the machines fail"),
    ("bad-input", ("HB-D009",), "something before the model is broken"),
    ("attack", ("HB-D001", "HB-D013"), "someone crafts inputs"),
    (
        "campaign",
        ("HB-D007", "HB-D014", "HB-D015"),
        "a client searches, copies or probes the model",
    ),
    ("accuracy", ("HB-D003", "HB-D011"), "the answers have become worse"),
    ("drift", ("HB-D002", "HB-D012"), "the world has changed"),
)


@dataclass(frozen=True)
class Reading:
    """The kind, one sentence, and the findings that it rests on, most telling first."""

    kind: Kind
    reason: str
    because: tuple[Evidence, ...]


def read(found: Iterable[Evidence]) -> Reading:
    """Name what happened from failed evidence; passes and warnings name nothing.

    A stuck sensor moves the input statistics too, and a broken machine the accuracy: so what
    explains the rest is named before it.
    """
    failed = [e for e in found if e.verdict is Verdict.FAIL]
    because: list[Evidence] = []
    kind: Kind = "quiet"
    reason = "nothing was found"
    for name, codes, words in _ORDER:
        matching = [e for e in failed if e.rule in codes]
        if matching and kind == "quiet":
            kind, reason = name, f"{words}: {matching[0].message}"
        because += matching
    return Reading(kind, reason, tuple(because))
