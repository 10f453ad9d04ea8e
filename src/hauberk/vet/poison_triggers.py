"""A mark that some images of one label share and no image of another has: a backdoor's trigger.

For each label the direction is sought that varies most within it and least within all others, a
generalised eigenproblem. In clean data the images of a label spread along it; a trigger splits
them into two tight groups, one of them far from where all other labels lie. This needs no trained
model and finds dirty-label and clean-label backdoors alike. After Tran et al., "Spectral
Signatures in Backdoor Attacks" (2018), with the other labels in place of a whitened representation
(Hayase et al., "SPECTRE", 2021), and Ashman's D (1994) as how far two groups are apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_PIXELS = 1024
_FEWEST = 30


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """The suspects ``rows`` of one ``label``, and how far off they lie, in standard deviations."""

    label: int
    rows: NDArray[np.int64]
    apart: float


@dataclass(frozen=True, kw_only=True)
class Triggers:
    """Groups of one label that lie ``apart`` or more, of at least ``fewest`` images.

    ``ridge`` is what is added to the variance within the other labels, as a share of its mean;
    ``directions`` is how many are looked at for each label.
    """

    apart: float = 6.0
    fewest: int = 5
    ridge: float = 0.05
    directions: int = 3

    def __call__(self, x: NDArray[np.floating], y: NDArray[np.integer], /) -> tuple[Trigger, ...]:
        """The triggers in images ``x`` ``(n, channels, height, width)`` with labels ``y``."""
        flat = _shrunk(np.asarray(x, dtype=np.float64))
        labels = [one for one in np.unique(y) if (y == one).sum() >= _FEWEST]
        if len(labels) < 2:
            return ()
        spread = {one: _scatter(flat[y == one]) for one in labels}
        total, n = sum(spread.values()), sum(int((y == one).sum()) for one in labels)
        found = []
        for label in labels:
            rows = np.flatnonzero(y == label)
            others = (total - spread[label]) / max(1, n - len(rows))
            one = self._split(flat, rows, np.flatnonzero(y != label), others)
            if one is not None:
                found.append(Trigger(label=int(label), rows=one[0], apart=one[1]))
        return tuple(found)

    def _split(
        self,
        flat: NDArray[np.float64],
        rows: NDArray[np.int64],
        rest: NDArray[np.int64],
        others: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], float] | None:
        size = len(others)
        floor = self.ridge * max(float(np.trace(others)) / size, 1e-12)
        own = _scatter(flat[rows]) / len(rows)
        vectors = _most(own, others + floor * np.eye(size), self.directions)
        best: tuple[NDArray[np.int64], float] | None = None
        for vector in vectors.T:
            along, elsewhere = flat[rows] @ vector, float(np.mean(flat[rest] @ vector))
            high, apart = _two_groups(along)
            if apart < self.apart or (best and apart <= best[1]):
                continue
            groups = (rows[high], rows[~high])
            odd = max(groups, key=lambda one: abs(float(np.mean(flat[one] @ vector)) - elsewhere))
            if len(odd) >= self.fewest:
                best = (odd, apart)
        return best


def _shrunk(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Images as rows, halved until they have few enough pixels."""
    while x.ndim == 4 and np.prod(x.shape[1:]) > _MOST_PIXELS and min(x.shape[2:]) > 1:
        x = x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]
        n, channels, height, width = x.shape
        x = x.reshape(n, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))
    return x.reshape(len(x), -1)


def _scatter(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = rows - rows.mean(axis=0)
    return np.asarray(centred.T @ centred)


def _most(own: NDArray[np.float64], others: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The directions, as columns, along which ``own`` is largest beside ``others``."""
    root = np.linalg.cholesky(others)
    half = np.linalg.solve(root, own)
    _, vectors = np.linalg.eigh(np.linalg.solve(root, half.T))
    return np.asarray(np.linalg.solve(root.T, vectors[:, -count:]))


def _two_groups(along: NDArray[np.float64]) -> tuple[NDArray[np.bool_], float]:
    """The best cut of numbers into two groups, and how many deviations these are apart."""
    ordered = np.sort(along)
    n = len(ordered)
    sums, squares = np.cumsum(ordered), np.cumsum(ordered**2)
    left = np.arange(1, n)
    within = squares[-1] - sums[:-1] ** 2 / left - (sums[-1] - sums[:-1]) ** 2 / (n - left)
    cut = int(within.argmin()) + 1
    low, high = ordered[:cut], ordered[cut:]
    width = np.sqrt((low.var() + high.var()) / 2 + 1e-12)
    return along > (ordered[cut - 1] + ordered[cut]) / 2, float((high.mean() - low.mean()) / width)
