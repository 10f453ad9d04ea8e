"""The Python face: the calls of ``import hauberk as hb``, each on plain nouns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.adapters.data.source import load_dataset
from hauberk.adapters.local.work import recipe
from hauberk.adapters.models.source import open_model
from hauberk.adapters.models.torch_model import TorchModel
from hauberk.core.errors import UserError
from hauberk.core.registry import find
from hauberk.core.spec import HardenSpec, Spec
from hauberk.evaluate.masking import masking
from hauberk.evaluate.robustness import evaluate as attack_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hauberk.attack.attack import Attack
    from hauberk.core.data import Dataset
    from hauberk.core.evidence import Evidence
    from hauberk.core.model import Model
    from hauberk.core.threat import ThreatModel

_ATTACKS = ("fgsm", "pgd", "square")
_FACTORS = (0.5, 1.0, 1.5)


def load(model: str | Path) -> Model:
    """The model in a file (safetensors, ONNX, a program of torch.export), or of a named kind.

    ``python:FILE.py:NAME@WEIGHTS`` and the like are what ``hauberk evaluate`` takes too.

    Raises:
        ModelFormatError: if the file is damaged or of an unsafe format.
    """
    return open_model(str(model))


def dataset(source: str) -> Dataset:
    """The data of a source: ``digits``, ``idx:DIR``, ``npz:FILE``, ``folder:DIR``, ``csv:FILE``.

    Raises:
        DataError: if it cannot be read.
    """
    return load_dataset(source)


def evaluate(
    model: Model,
    data: Dataset,
    threat: ThreatModel,
    *,
    attacks: Mapping[str, Attack] | None = None,
    eps: Sequence[float] | None = None,
    seed: int = 0,
    subject: str = "model",
) -> list[Evidence]:
    """Attack a model on all samples; evidence for each attack and radius, and on masking.

    Without ``attacks`` those that the model's access allows; without ``eps`` half the threat's,
    the threat's, and half as much again.
    """
    if attacks is None:
        known = {name: find("attack", name)() for name in _ATTACKS}
        attacks = {name: one for name, one in known.items() if one.needs <= model.access}
    radii = eps or [factor * threat.eps for factor in _FACTORS]
    result = attack_all(model, data, threat, attacks=attacks, eps=radii, seed=seed)
    return [*result.evidence(subject), masking(result, subject)]


def harden(
    model: Model,
    data: Dataset,
    threat: ThreatModel,
    *,
    settings: HardenSpec | None = None,
) -> TorchModel:
    """Train a model on against the threat, from its present weights, on the data's train split.

    Raises:
        UserError: if the model has no weights to train.
    """
    if not isinstance(model, TorchModel):
        raise UserError("only a model with weights can be hardened", hint="load the safetensors")
    wanted = settings or HardenSpec()
    train = data.split("train")
    module = recipe(Spec(harden=wanted), len(train)).fit(
        model.module, train, data.split("validation"), threat, seed=wanted.seed
    )
    return TorchModel(module, model.bounds, model.architecture)
