"""Extraction: how many answers a copy of the model takes, measured by making copies (Tramèr 2016).

The attacker has inputs of the model's own kind, asks about each once, and trains on the answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, pad

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    Make = Callable[[int], nn.Module]

COUNTS = (10, 25, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800)
_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The attacker's inputs ``x`` with the answers ``(n, classes)`` that he gets, and others.

    Answers are probabilities as clients see them, or one-hot labels. ``held`` are inputs that he
    never asks about, ``labels`` what the model says of them.
    """

    x: NDArray[np.float32]
    answers: NDArray[np.float32]
    held: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One way of copying: ``(queries, fidelity)`` for each number of queries that was tried."""

    copyist: str
    seed: int
    points: tuple[tuple[int, float], ...]

    def queries(self, fidelity: float) -> float | None:
        """Queries after which the copy agrees on that share, between two tried by their logarithms.

        None where it never does.
        """
        before: tuple[int, float] | None = None
        for count, found in self.points:
            if found >= fidelity:
                if before is None or found == before[1]:
                    return float(count)
                part = (fidelity - before[1]) / (found - before[1])
                return exp(log(before[0]) + max(0.0, part) * log(count / before[0]))
            before = count, found
        return None


def copies(
    pool: Pool,
    copyists: Mapping[str, Make],
    *,
    fidelity: float = 0.8,
    counts: Sequence[int] = COUNTS,
    seeds: Iterable[int] = (0, 1, 2),
    steps: int = 300,
) -> list[Copy]:
    """Copy with ever more queries, each copyist and seed until it agrees on ``fidelity``.

    ``copyists`` make an untrained module from a seed. ``steps`` are those of each training.
    """
    found = []
    for name, make in copyists.items():
        for seed in seeds:
            rng = np.random.default_rng(seed)
            order, points = rng.permutation(len(pool.x)), []
            for count in [n for n in counts if n < len(order)] + [len(order)]:
                copy = _trained(make(seed), pool, order[:count], steps=steps, seed=seed)
                points.append((count, _agreement(copy, pool)))
                if points[-1][1] >= fidelity:
                    break
            found.append(Copy(copyist=name, seed=seed, points=tuple(points)))
    return found


def perceptron(shape: Sequence[int], classes: int, *, hidden: int = 256) -> Make:
    """One hidden layer: what copies well from few answers."""

    def make(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return nn.Sequential(
                nn.Flatten(),
                nn.Linear(int(np.prod(shape)), hidden),
                nn.ReLU(),
                nn.Linear(hidden, classes),
            )

    return make


def _trained(
    module: nn.Module, pool: Pool, rows: NDArray[np.int64], *, steps: int, seed: int
) -> nn.Module:
    x, y = torch.from_numpy(pool.x[rows]), torch.from_numpy(pool.answers[rows])
    draw = torch.Generator().manual_seed(seed)
    best = torch.optim.Adam(module.parameters(), lr=2e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(best, steps)
    module.train()
    for _ in range(steps):
        part = torch.randint(len(x), (min(_BATCH, len(x)),), generator=draw)
        best.zero_grad()
        torch.autograd.backward(cross_entropy(module(_moved(x[part], draw)), y[part]))
        best.step()
        rate.step()
    return module.eval()


def _moved(x: Tensor, draw: torch.Generator) -> Tensor:
    """Images moved by at most a pixel: answers that cost no query."""
    if x.dim() != 4 or min(x.shape[2:]) < 8:
        return x
    dy, dx = (int(step) for step in torch.randint(0, 3, (2,), generator=draw))
    height, width = x.shape[2:]
    return pad(x, (1, 1, 1, 1), mode="replicate")[:, :, dy : dy + height, dx : dx + width]


def _agreement(copy: nn.Module, pool: Pool) -> float:
    with torch.no_grad():
        said = [copy(torch.from_numpy(part)).argmax(1).numpy() for part in _parts(pool.held)]
    return float((np.concatenate(said) == pool.labels).mean())


def _parts(x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [x[at : at + 512] for at in range(0, len(x), 512)]
