"""Randomised smoothing: what most noisy copies of a sample are called, and how far that holds.

Cohen, Rosenfeld and Kolter (2019), Certified adversarial robustness via randomized smoothing,
section 3.2. The claim is about the smoothed model (the vote), in l2, and each sample's holds with
probability ``1 - alpha`` over the noise drawn for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import betaincinv

from hauberk.attack.streams import Streams
from hauberk.attack.victim import quiet
from hauberk.core.errors import UserError
from hauberk.evaluate.certify import Certificate
from hauberk.evaluate.run import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from hauberk.core.data import Dataset
    from hauberk.core.model import Model
    from hauberk.core.threat import ThreatModel

_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Smoothing:
    """Noise of standard deviation ``sigma``; ``guess`` copies choose a class, ``draws`` test it.

    Raises:
        UserError: if a number is out of range.
    """

    sigma: float = 0.25
    guess: int = 50
    draws: int = 1000
    alpha: float = 0.001

    def __post_init__(self) -> None:
        if not (self.sigma > 0 and self.guess > 0 and self.draws > 0 and 0 < self.alpha < 1):
            raise UserError(
                "smoothing needs sigma, guess and draws above 0 and alpha within (0, 1)"
            )

    def radius(self, hits: int) -> float:
        """The certified radius where ``hits`` of ``draws`` copies were called alike; 0 if none."""
        low = at_least(hits, self.draws, self.alpha)
        return self.sigma * NormalDist().inv_cdf(low) if low > 0.5 else 0.0

    def certify(
        self, model: Model, data: Dataset, threat: ThreatModel, *, run: Run | None = None
    ) -> Certificate:
        """The samples whose right class is certified at the threat's radius.

        Raises:
            UserError: if the threat is not in l2.
        """
        if threat.norm != "l2":
            raise UserError(f"smoothing certifies in l2, not in {threat.norm}", hint="l2:0.25")
        lent, certified = run or Run(), np.zeros(len(data), dtype=np.bool_)
        with quiet(model), torch.no_grad():
            for row in range(len(data)):
                label, radius = self.vote(model, torch.from_numpy(data.x[row]), index=row)
                certified[row] = label == data.y[row] and radius >= max(threat.eps, 1e-12)
                if lent.progress is not None:
                    lent.progress(row + 1, len(data))
        terms = {name: getattr(self, name) for name in ("sigma", "guess", "draws", "alpha")}
        return Certificate(
            method="smoothing", threat=threat, dataset=data.digest, certified=certified, terms=terms
        )

    def vote(self, model: Model, x: Tensor, *, index: int) -> tuple[int, float]:
        """The class that wins the vote at ``x`` ``(...)``, and the radius within which it does.

        The radius is 0 where the draws do not tell: the smoothed model then abstains.
        """
        stream = Streams.of(0, np.array([index], dtype=np.int64))
        first = self._counts(model, x, stream, 0, self.guess)
        label = int(first.argmax())
        hits = int(self._counts(model, x, stream, self.guess, self.draws)[label])
        return label, self.radius(hits)

    def _counts(
        self, model: Model, x: Tensor, stream: Streams, begin: int, draws: int
    ) -> NDArray[np.int64]:
        """How often each class is called, of ``draws`` noisy copies."""
        counts = np.zeros(0, dtype=np.int64)
        for start in range(begin, begin + draws, _BATCH):
            size = min(_BATCH, begin + draws - start)
            uniform = torch.from_numpy(stream.uniform(start + 1, size * prod(x.shape)))
            noise = torch.special.ndtri(uniform.double().clamp(1e-12, 1 - 2**-25)).float()
            # Noisy copies may leave the bounds, as in the proof; a model takes them as they are.
            out = model(x + self.sigma * noise.view(size, *x.shape))
            found = np.bincount(out.argmax(1).numpy(), minlength=out.shape[1])
            counts = found if counts.size == 0 else counts + found
        return counts


def at_least(hits: int, draws: int, alpha: float) -> float:
    """The exact lower end of a proportion (Clopper and Pearson 1934), one-sided at ``alpha``."""
    return float(betaincinv(hits, draws - hits + 1, alpha)) if hits else 0.0
