"""An evaluation as work for any engine: described in plain values, opened in any process."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch

from hauberk.adapters.data.features_file import read_features
from hauberk.adapters.data.source import load_dataset, load_samples
from hauberk.adapters.local.methods import ready
from hauberk.adapters.local.tasks import has_classes, task_of
from hauberk.adapters.models.own_units import OwnUnits
from hauberk.adapters.models.prepared import behind
from hauberk.adapters.models.source import model_digest, open_model
from hauberk.attack.victim import quiet
from hauberk.core.data import Dataset
from hauberk.core.errors import DataError, HauberkError, UserError
from hauberk.core.ports import Work
from hauberk.core.sharding import cut
from hauberk.core.threat import Norm, ThreatModel
from hauberk.evaluate.robustness import evaluate
from hauberk.evaluate.run import Run
from hauberk.evaluate.sequential import Stop, gather
from hauberk.evaluate.shard_file import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hauberk.adapters.local.kept_shards import KeptShards
    from hauberk.attack.attack import Attack
    from hauberk.core.model import Model
    from hauberk.core.ports import Executor, Shard
    from hauberk.core.samples import Samples
    from hauberk.evaluate.result import Robustness


_SHAPED = "the samples have the shape (channels, height, width); --channels-last turns them"


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is evaluated: all that the figure depends on.

    ``model`` is a file of content ``digest``, or names what a plug-in gives; ``data`` a source, of
    whose test split at most ``samples`` are taken: drawn by ``seed``, in the drawn order if
    ``shuffled``. ``queries`` bound what is asked about a sample. ``surrogates`` are files, each
    with its digest, of models on which transferred points are found, ``features`` the file of
    constraints on the columns of a table. ``task`` is what :func:`task_of` reads; other targets
    than one label each come whole, without splits. With ``own_units`` the models take the numbers
    of a table as they stand in it.
    """

    model: str
    digest: str
    data: str
    norm: Norm
    eps: float
    radii: tuple[float, ...]
    attacks: tuple[str, ...]
    seed: int = 0
    samples: int = 1000
    shuffled: bool = False
    queries: int | None = None
    surrogates: tuple[tuple[str, str], ...] = ()
    features: tuple[str, str] | None = None
    task: str = "classification"
    own_units: bool = False

    def work(self) -> Work:
        """The same as work for an engine."""
        return Work(opener=f"{__name__}:open_plan", spec=msgspec.to_builtins(self))

    def dataset(self) -> Dataset | Samples:
        """The samples, in order.

        Raises:
            DataError: if the source cannot be read.
        """
        data: Dataset | Samples
        if has_classes(self.task):
            data = load_dataset(self.data).split("test")
        else:
            data = load_samples(self.data)
        if len(data) <= self.samples and not self.shuffled:
            return data
        chosen = np.random.default_rng(self.seed).permutation(len(data))[: self.samples]
        return data.take(chosen if self.shuffled else np.sort(chosen))

    def threat(self, data: Dataset | Samples) -> ThreatModel:
        """The threat, with the constraints on the data's columns.

        Raises:
            DataError: if their file is no longer the one that was planned for.
        """
        threat = ThreatModel(norm=self.norm, eps=self.eps, queries=self.queries)
        if self.features is None:
            return threat
        if not isinstance(data, Dataset):
            raise UserError("constraints go with a table of classes", hint="leave out --features")
        path, digest = self.features
        _require_unchanged(path, digest)
        return replace(threat, features=read_features(path, data.columns))


def open_plan(spec: dict[str, Any]) -> Callable[[Shard], bytes]:
    """Load what a plan names; from a shard to the archive of its result.

    Raises:
        DataError: if the model is no longer the one that was planned for.
    """
    plan = msgspec.convert(spec, Plan)
    model, data, threat, methods = opened_plan(plan)

    def do(shard: Shard) -> bytes:
        result = evaluate(
            model,
            data,
            threat,
            attacks=methods,
            eps=plan.radii,
            task=task_of(plan.task),
            seed=plan.seed,
            run=Run(rows=(shard.start, shard.stop)),
        )
        return encode(result)

    return do


def tried(plan: Plan) -> Model:
    """The model of a plan, after it has answered one sample in a form that the task can read.

    Raises:
        UserError: if it fails on it, or knows fewer classes than the labels have.
    """
    data = plan.dataset()
    model = _opened(plan, plan.model, plan.digest, data)
    sample = torch.from_numpy(data.x[:1])
    try:
        with quiet(model), torch.no_grad():
            out = model(sample.clone())
    except HauberkError as error:
        if isinstance(error, DataError):
            raise UserError(str(error), hint=_SHAPED) from None
        raise
    except Exception as error:  # a network fails on a wrong shape in any way
        text = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise UserError(
            f"the model fails on a sample of shape {tuple(data.x.shape[1:])}: {text}", hint=_SHAPED
        ) from None
    if plan.task == "classification" and isinstance(data, Dataset):
        if out.ndim != 2 or out.shape[1] < 2:
            raise UserError(
                f"the model answers {tuple(out.shape)}, not one row of scores for each sample",
                hint="another --task, such as binary or detection",
            )
        if out.shape[1] <= int(data.y.max()):
            raise UserError(
                f"the model knows {out.shape[1]} classes, the labels go up to {int(data.y.max())}"
            )
    return model


def opened_plan(plan: Plan) -> tuple[Model, Dataset | Samples, ThreatModel, dict[str, Attack]]:
    """The model, the samples, the threat and the attacks that a plan names.

    Raises:
        DataError: if a file is no longer the one that was planned for.
    """
    data = plan.dataset()
    model = _opened(plan, plan.model, plan.digest, data)
    threat = plan.threat(data)
    methods = ready(
        plan.attacks,
        model,
        lambda: _others(plan),
        threat,
        task=task_of(plan.task),
        seed=plan.seed,
        surrogates=[_opened(plan, *one, data) for one in plan.surrogates],
    )
    return model, data, threat, methods


def _others(plan: Plan) -> Dataset:
    """Samples that the model is not judged on."""
    if not has_classes(plan.task):
        raise UserError(f"no attack can be fitted for {plan.task}: there is no other split")
    return load_dataset(plan.data).split("validation")


def _opened(plan: Plan, name: str, digest: str, data: Dataset | Samples) -> Model:
    _require_unchanged(name, digest)
    model = open_model(name)
    if not plan.own_units:
        return model
    if not isinstance(data, Dataset) or not data.columns:
        raise UserError("only a table has units of its own", hint="leave out --own-units")
    return behind(model, OwnUnits(data.columns))


def _require_unchanged(name: str, digest: str) -> None:
    if model_digest(name) != digest:
        raise DataError("the file has changed meanwhile", where=name)


def carried_out(
    plan: Plan, engine: Executor, kept: KeptShards, *, stop: Stop, run: Run
) -> tuple[Robustness, int]:
    """Do what is not ``kept`` yet, keep it, and put all together until ``stop``.

    The result, and how many samples were left out.

    Raises:
        UserError: as :func:`hauberk.evaluate.robustness.evaluate`.
        EnvironmentFault: if a process dies again and again, or nothing more can be kept.
    """
    data = plan.dataset()
    name, total = data.name, len(data)
    del data  # each process has its own
    shards = cut(total, stop.shard)

    def found() -> Iterator[tuple[Shard, Robustness]]:
        missing = dict.fromkeys(shards)
        for shard, result in kept.read():
            if shard in missing:
                del missing[shard]
                yield shard, decode(result)
        for shard, result in engine.run(plan.work(), list(missing)):
            kept.keep(shard, result)
            yield shard, decode(result)

    result, left_out = gather(found(), total, stop=stop, run=run)
    return (result if left_out else replace(result, name=name)), left_out
