"""A judgement's measuring as work for any engine: two models, the same samples, every attack."""

from __future__ import annotations

import os
import time
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hauberk.adapters.data.source import load_dataset
from hauberk.adapters.local.pool import Inline, Processes
from hauberk.adapters.models import weights
from hauberk.attack.fgsm import FGSM
from hauberk.attack.pgd import PGD
from hauberk.attack.square import Square
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import Untrusted
from hauberk.core.ports import Work
from hauberk.core.sharding import cut
from hauberk.core.threat import Norm, ThreatModel
from hauberk.evaluate.robustness import evaluate
from hauberk.evaluate.run import Run
from hauberk.evaluate.sequential import merge
from hauberk.evaluate.shard_file import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hauberk.adapters.models.torch_model import TorchModel
    from hauberk.attack.attack import Attack
    from hauberk.core.data import Dataset
    from hauberk.core.ports import Shard
    from hauberk.evaluate.result import Robustness

_QUERIES = 200
_SHARDS = 8
_WORTH_A_PROCESS = 5.0
"""Seconds of work in one shard from which other processes pay for their start."""


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of weights that must have this digest."""

    path: str
    digest: str

    def load(self) -> TorchModel:
        """The model.

        Raises:
            Untrusted: if the file was altered.
        """
        data = Path(self.path).read_bytes()
        if digest_bytes(data) != self.digest:
            raise Untrusted("altered while it was judged", where=self.path)
        return weights.load(data)


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is measured: ``models`` by their weights, ``data`` a source, ``radii`` every eps.

    At most ``samples`` of the test split are attacked, the same for all models.
    """

    models: tuple[Weights, ...]
    data: str
    norm: Norm
    eps: float
    radii: tuple[float, ...]
    restarts: int
    samples: int
    seed: int

    def attacks(self) -> dict[str, Attack]:
        """By gradients in one step and in many, and by scores alone."""
        return {
            "fgsm": FGSM(),
            f"pgd40x{self.restarts}": PGD(steps=40, restarts=self.restarts, fast=True),
            "square": Square(queries=_QUERIES, fast=True),
        }


def held_out(data: Dataset, samples: int) -> Dataset:
    """At most ``samples`` of the test split, drawn once and for all."""
    test = data.split("test")
    if len(test) <= samples:
        return test
    rng = np.random.default_rng(0)
    return test.take(np.sort(rng.permutation(len(test))[:samples]))


def open_trial(spec: dict[str, Any]) -> Callable[[Shard], bytes]:
    """Load what a trial names; from a shard to the archives of its results, one a model."""
    trial = msgspec.convert(spec, Trial)
    models = [model.load() for model in trial.models]
    data = held_out(load_dataset(trial.data), trial.samples)
    threat = ThreatModel(norm=trial.norm, eps=trial.eps)

    def do(shard: Shard) -> bytes:
        run = Run(rows=(shard.start, shard.stop), clock=time.monotonic)
        found = [
            evaluate(
                model,
                data,
                threat,
                attacks=trial.attacks(),
                eps=trial.radii,
                seed=trial.seed,
                run=run,
            )
            for model in models
        ]
        return msgspec.msgpack.encode([encode(one) for one in found])

    return do


def carried_out(trial: Trial, total: int, *, cores: int | None = None) -> list[Robustness]:
    """The result of each model over ``total`` samples.

    Other processes, one a core, are started only where the first shard took long. The figures do
    not depend on that.
    """
    work = Work(opener=f"{__name__}:open_trial", spec=msgspec.to_builtins(trial))
    first, *rest = cut(total, max(1, ceil(total / _SHARDS)))
    began = time.monotonic()
    found = dict(Inline().run(work, [first]))
    workers = min(cores or len(os.sched_getaffinity(0)), len(rest))
    slow = time.monotonic() - began > _WORTH_A_PROCESS and workers > 1
    found |= _done(work, rest, workers if slow else 1)
    parts = [msgspec.msgpack.decode(found[shard], type=list[bytes]) for shard in sorted(found)]
    return [merge([decode(part[number]) for part in parts]) for number in range(len(trial.models))]


def _done(work: Work, shards: Sequence[Shard], workers: int) -> Iterator[tuple[Shard, bytes]]:
    engine = Processes(workers=workers) if workers > 1 else Inline()
    return engine.run(work, shards)
