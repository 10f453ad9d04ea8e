"""The review queue: which requests are most worth a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from hauberk.core.record import Record


@dataclass(frozen=True)
class Case:
    """One request to be labelled: why it was chosen, and how strange it is."""

    record: Record
    stratum: Literal["random", "suspect"]

    @property
    def name(self) -> str:
        """The place in the stream, which names the case."""
        return str(self.record.seq)


def choose(
    kept: Sequence[Record], *, count: int, share: float = 0.5, rng: np.random.Generator
) -> list[Case]:
    """At most ``count`` cases: the strangest, and a ``share`` of random ones, in turn.

    Random ones come from those that were kept by chance, not since they were flagged: they say
    how much is wrong overall. The strangest, of the smallest ``p_benign`` and the highest score,
    say soonest whether someone attacks. At most one in four of those is of the same client.
    """
    drawn = [r for r in kept if r.outcome == "pass"]
    flagged = sorted((r for r in kept if r.outcome != "pass"), key=_strange)
    order = rng.permutation(len(drawn))
    chance = [Case(drawn[i], "random") for i in order[: round(share * count)]]
    most = max(1, (count - len(chance)) // 4)
    used: dict[str, int] = {}
    first: list[Case] = []
    later: list[Case] = []
    for record in flagged:
        used[record.principal] = used.get(record.principal, 0) + 1
        (first if used[record.principal] <= most else later).append(Case(record, "suspect"))
    suspect = (first + later)[: count - len(chance)]
    mixed: list[Case] = []
    for place in range(max(len(chance), len(suspect))):
        mixed += suspect[place : place + 1] + chance[place : place + 1]
    return mixed


def _strange(record: Record) -> tuple[float, float, int]:
    p = 1.0 if record.p_benign is None else record.p_benign
    score = 0.0 if record.score is None else record.score
    return p, -score, record.seq
