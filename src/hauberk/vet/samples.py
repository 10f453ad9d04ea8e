"""Samples with labels, as a model is trained on: what is wrong with which of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.vet.poison_labels import FlippedLabels
from hauberk.vet.poison_triggers import Triggers
from hauberk.vet.table import Apart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_BLOCK = 2048


@dataclass(frozen=True, kw_only=True)
class SampleCheck:
    """All checks of labelled samples; ``alike`` is the cosine from which two are nearly equal."""

    flipped: FlippedLabels = field(default_factory=FlippedLabels)
    triggers: Triggers = field(default_factory=Triggers)
    alike: float = 0.999

    def __call__(
        self, splits: Mapping[str, tuple[NDArray[Any], NDArray[Any]]], /
    ) -> tuple[Apart, ...]:
        """What is odd in splits of samples ``x`` ``(n, …)`` and labels ``y`` ``(n,)``.

        The first split is the one that is learnt from, and is searched for poison.
        """
        found: list[Apart] = []
        for name, (x, _) in splits.items():
            found += _values(name, x)
        found += self._repeated(splits)
        name, (x, y) = next(iter(splits.items()))
        bad = {(one.part, one.line) for one in found}
        for index in np.flatnonzero(self.flipped(x, y)):
            found.append(
                Apart(part=name, line=int(index), rule="HB-V306",
                    reason=f"its neighbours are not labelled {int(y[index])}")
            )  # fmt: skip
        if np.ndim(x) == 4:
            for one in self.triggers(x, y):
                reason = f"shares a mark with {len(one.rows)} images labelled {one.label}"
                found += [
                    Apart(part=name, line=int(row), rule="HB-V310", reason=reason)
                    for row in one.rows
                    if (name, int(row)) not in bad
                ]
        return tuple(found)

    def _repeated(self, splits: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> list[Apart]:
        """Samples that are there twice; across splits also those that nearly are."""
        found: list[Apart] = []
        seen: dict[bytes, tuple[str, int, int]] = {}
        earlier: list[tuple[str, NDArray[np.float32]]] = []
        for name, (x, y) in splits.items():
            again = set()
            for index in range(len(x)):
                key = blake2b(np.ascontiguousarray(x[index]).tobytes(), digest_size=16).digest()
                split, place, label = seen.setdefault(key, (name, index, int(y[index])))
                if (split, place) == (name, index):
                    continue
                again.add(index)
                rule = "HB-V305" if label == int(y[index]) else "HB-V306"
                said = "is" if rule == "HB-V305" else "with another label is"
                found.append(
                    Apart(part=name, line=index, rule=rule, reason=f"{said} {split} {place} too")
                )
            units = _units(x)
            for other, theirs in earlier:
                for index, place in _close(units, theirs, self.alike):
                    if index not in again:
                        again.add(index)
                        reason = f"is nearly {other} {place}"
                        found.append(Apart(part=name, line=index, rule="HB-V305", reason=reason))
            earlier.append((name, units))
        return found


def _values(name: str, x: NDArray[Any]) -> list[Apart]:
    """Samples that hold nothing: every value the same."""
    flat = np.asarray(x).reshape(len(x), -1)
    blank = np.flatnonzero((flat.max(axis=1) == flat.min(axis=1)) & (flat.shape[1] > 1))
    return [
        Apart(part=name, line=int(one), rule="HB-V308", reason="all its values are the same")
        for one in blank
    ]


def _units(x: NDArray[Any]) -> NDArray[np.float32]:
    """Samples as vectors about their mean, of length one."""
    flat = np.asarray(x, dtype=np.float32).reshape(len(x), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(norm, 1e-12), dtype=np.float32)


def _close(
    ours: NDArray[np.float32], theirs: NDArray[np.float32], alike: float
) -> list[tuple[int, int]]:
    """Pairs whose cosine is at least ``alike``, one for each of ours."""
    if ours.shape[1] < 8:
        return []
    pairs = []
    for start in range(0, len(ours), _BLOCK):
        nearest = np.full(min(_BLOCK, len(ours) - start), -1)
        best = np.full(len(nearest), alike, dtype=np.float32)
        for base in range(0, len(theirs), _BLOCK):
            cosine = ours[start : start + _BLOCK] @ theirs[base : base + _BLOCK].T
            top = cosine.argmax(axis=1)
            value = cosine[np.arange(len(top)), top]
            better = value >= best
            nearest[better], best[better] = top[better] + base, value[better]
        pairs += [(start + n, int(place)) for n, place in enumerate(nearest) if place >= 0]
    return pairs
