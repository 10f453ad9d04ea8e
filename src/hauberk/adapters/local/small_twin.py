"""A twin for a model too large to be run twice: distilled, and its cost beside its worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hauberk.adapters.local.hardening import replace_method, way_of
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.cost import costs
from hauberk.adapters.models.smaller import smaller
from hauberk.adapters.models.torch_model import TorchModel
from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from hauberk.adapters.local.trade_off import Terms
    from hauberk.adapters.models.torch_model import Architecture
    from hauberk.core.spec import Spec
    from hauberk.harden.run import Run

METHOD = "robust-distil"


@dataclass(frozen=True, kw_only=True)
class SmallTwin:
    """The student, and figures: cost as a share of the served model's, agreement, accuracies."""

    model: TorchModel
    figures: dict[str, Any]


def small_twin(
    spec: Spec, served: TorchModel, teacher: nn.Module, terms: Terms, *, width: float, run: Run
) -> SmallTwin:
    """Distil a robust ``teacher`` into a network of ``width`` times the served model's widths.

    The student's weights are its own, drawn from another seed; it learns the teacher's answers to
    attacked inputs. It is attacked and timed beside the served model.

    Raises:
        UserError: if the architecture is not declared, or has no width to reduce.
    """
    declared = _declared(served)
    reduced, data, seed = smaller(declared, width), terms.data, spec.harden.seed + 1
    train = data.split("train")
    module = way_of(replace_method(spec, METHOD), len(train), teacher=teacher).fit(
        build(reduced.name, reduced.params, seed=seed),
        train,
        data.split("validation"),
        terms.threat,
        seed=seed,
        run=run,
    )
    small, whole = costs((module, served.module), data.shape)
    found, eps = terms.robustness(module), terms.threat.eps
    return SmallTwin(
        model=TorchModel(module, data.bounds, reduced),
        figures={
            **small.share(whole),
            "agreement": round(_agreement(module, served.module, terms), 4),
            "clean": round(float(found.clean.mean()), 4),
            **{
                attack.name: round(float(found.correct(attack.name, eps).mean()), 4)
                for attack in found.attacks
            },
            "n": len(terms.held_out),
        },
    )


def _declared(served: TorchModel) -> Architecture:
    if served.architecture is None:
        raise UserError("a smaller twin needs a model that declares its architecture")
    return served.architecture


def _agreement(twin: nn.Module, served: nn.Module, terms: Terms) -> float:
    x = torch.from_numpy(terms.held_out.x)
    with torch.no_grad():
        said = [np.asarray(module(x).argmax(1)) for module in (twin, served)]
    return float((said[0] == said[1]).mean())
