"""How far a training is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What is known at the end of an epoch.

    ``epoch`` counts from 1 to ``epochs``; ``loss`` is the epoch's mean, in nats. ``clean`` and
    ``robust`` are accuracies in [0, 1] on the validation data, None where they were not measured.
    ``seconds`` is what this process has spent so far, ``eta`` what is left at that pace. ``undone``
    counts the collapses that were undone so far.
    """

    epoch: int
    epochs: int
    loss: float
    clean: float | None
    robust: float | None
    seconds: float
    eta: float
    undone: int = 0
