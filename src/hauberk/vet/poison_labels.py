"""Labels that their neighbours contradict: flipped by mistake, or by an attacker.

Each sample's nearest neighbours vote on its label, after principal components. After Wilson's
edited nearest neighbours (1972) and Paudice et al., "Label Sanitization against Label Flipping
Poisoning Attacks" (2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST = 60_000
_FEWEST = 50


@dataclass(frozen=True, kw_only=True)
class FlippedLabels:
    """Of ``neighbours``, at least ``agree`` have one other label and at most ``own`` the same."""

    neighbours: int = 10
    agree: float = 0.5
    own: float = 0.1
    components: int = 40
    seed: int = 0

    def __call__(self, x: NDArray[np.floating], y: NDArray[np.integer], /) -> NDArray[np.bool_]:
        """Which of the samples ``x`` ``(n, …)`` with labels ``y`` ``(n,)`` are suspect."""
        n = len(y)
        if n < _FEWEST or n > _MOST:
            return np.zeros(n, dtype=bool)
        from sklearn.decomposition import PCA  # noqa: PLC0415 - data alone
        from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415 - data alone

        flat = np.asarray(x, dtype=np.float32).reshape(n, -1)
        components = min(self.components, n - 1, flat.shape[1])
        if components < flat.shape[1]:
            flat = PCA(components, random_state=self.seed, svd_solver="randomized").fit_transform(
                flat
            )
        count = min(self.neighbours, n - 1)
        near = NearestNeighbors(n_neighbors=count + 1).fit(flat).kneighbors(flat)[1]
        # A sample is its own neighbour, unless as many others are equal to it.
        others = np.where(near == np.arange(n)[:, None], -1, near)
        labels, places = np.unique(y, return_inverse=True)
        votes = np.zeros((n, len(labels)), dtype=np.float32)
        for column in others.T:
            known = column >= 0
            np.add.at(votes, (np.flatnonzero(known), places[column[known]]), 1.0)
        votes /= votes.sum(axis=1, keepdims=True)
        own = votes[np.arange(n), places]
        first = votes.argmax(axis=1)
        return np.asarray((first != places) & (votes.max(axis=1) >= self.agree) & (own <= self.own))
