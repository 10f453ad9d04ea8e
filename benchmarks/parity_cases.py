"""Each attack beside the same attack of a library that has it, with the same budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from benchmarks.lab_models import mnist
from benchmarks.lab_peers import without_plots
from hauberk.attack.boundary import Boundary
from hauberk.attack.carlini_wagner import CarliniWagner
from hauberk.attack.deepfool import DeepFool
from hauberk.attack.elastic_net import ElasticNet
from hauberk.attack.fab import FAB
from hauberk.attack.fmn import FMN
from hauberk.attack.hop_skip_jump import HopSkipJump
from hauberk.attack.pgd import PGD
from hauberk.attack.pgd_l0 import PGDL0
from hauberk.attack.spsa import SPSA
from hauberk.attack.square_l2 import SquareL2
from hauberk.attack.universal import Universal
from hauberk.core.data import Batch
from hauberk.core.model import Access

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from hauberk.attack.attack import Attack
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import Norm, ThreatModel

    Peer = Callable[[nn.Module, Tensor, Tensor, int], Tensor]


@dataclass(frozen=True, kw_only=True)
class Case:
    """``eps`` is the radius in which both search, None where both look for the nearest point.

    What a peer draws alike for all samples varies between seeds: then the mean over ``seeds``.
    """

    name: str
    library: str
    norm: Norm
    ours: Attack
    peer: Peer
    eps: float | None = None
    images: int = 200
    seeds: int = 1


def cases() -> Iterator[Case]:
    """All of them, the cheap ones first."""
    radii: tuple[tuple[Norm, str, float], ...] = (("linf", "PGD", 0.2), ("l2", "PGDL2", 1.5))
    for norm, kind, eps in radii:
        yield Case(
            name="pgd",
            library="torchattacks",
            norm=norm,
            ours=PGD(step_size=eps / 10),
            peer=_torchattacks(kind, eps=eps, alpha=eps / 10, steps=40),
            eps=eps,
            images=1000,
        )
    yield Case(
        name="deepfool",
        library="foolbox",
        norm="l2",
        ours=DeepFool(nearest=True),
        peer=_foolbox("L2DeepFoolAttack"),
        images=500,
    )
    yield Case(
        name="deepfool",
        library="foolbox",
        norm="linf",
        ours=DeepFool(nearest=True),
        peer=_foolbox("LinfDeepFoolAttack"),
        images=500,
    )
    norms: tuple[tuple[Norm, float, float], ...] = (
        ("linf", math.inf, 10.0),
        ("l2", 2, 1.0),
        ("l1", 1, 1.0),
        ("l0", 0, 1.0),
    )
    for norm, order, stride in norms:
        yield Case(
            name="fmn",
            library="adv-lib",
            norm=norm,
            ours=FMN(stride=stride, nearest=True),
            peer=_adv_lib("fmn", norm=order, steps=100, α_init=stride),
        )
    for norm, order, _ in norms[:3]:
        yield Case(
            name="fab",
            library="adv-lib",
            norm=norm,
            ours=FAB(steps=30, nearest=True),
            peer=_adv_lib("fab", norm=order, n_iter=30, targeted_restarts=True),
            images=100,
        )
    yield Case(
        name="carlini-wagner",
        library="foolbox",
        norm="l2",
        ours=CarliniWagner(searches=5, steps=200, rate=0.05, nearest=True),
        peer=_foolbox(
            "L2CarliniWagnerAttack",
            binary_search_steps=5,
            steps=200,
            stepsize=0.05,
            initial_const=1.0,
            abort_early=False,
        ),
        images=100,
    )
    yield Case(
        name="carlini-wagner",
        library="ART",
        norm="linf",
        ours=CarliniWagner(searches=5, steps=200, rate=0.05, nearest=True),
        peer=_art("CarliniLInfMethod", learning_rate=0.05, max_iter=30, batch_size=10),
        images=40,
    )
    yield Case(
        name="elastic-net",
        library="foolbox",
        norm="l1",
        ours=ElasticNet(searches=5, steps=200, nearest=True),
        peer=_foolbox(
            "EADAttack",
            binary_search_steps=5,
            steps=200,
            initial_stepsize=0.01,
            initial_const=1.0,
            regularization=0.01,
            decision_rule="L1",
            abort_early=False,
        ),
        images=100,
    )
    yield Case(
        name="pgd-l0",
        library="adv-lib, FMN",
        norm="l0",
        ours=PGDL0(),
        peer=_adv_lib("fmn", norm=0, steps=100),
        eps=15,
    )
    yield Case(
        name="square-l2",
        library="torchattacks",
        norm="l2",
        ours=SquareL2(queries=202),
        peer=_torchattacks("Square", norm="L2", eps=2.5, n_queries=200, p_init=0.1, loss="margin"),
        eps=2.5,
        images=200,
        seeds=4,
    )
    yield Case(
        name="spsa",
        library="torchattacks",
        norm="linf",
        ours=SPSA(queries=257 * 10 + 1, pairs=128),
        peer=_torchattacks("SPSA", eps=0.3, delta=0.03, lr=0.075, nb_iter=10, nb_sample=128),
        eps=0.3,
        images=60,
    )
    yield Case(
        name="universal",
        library="ART",
        norm="linf",
        ours=_Learned(),
        peer=_universal,
        eps=0.25,
    )
    yield Case(
        name="boundary",
        library="foolbox",
        norm="l2",
        ours=Boundary(queries=5000, nearest=True),
        peer=_foolbox("BoundaryAttack", steps=4500),
        images=40,
    )
    for norm in ("l2", "linf"):
        yield Case(
            name="hop-skip-jump",
            library="foolbox",
            norm=norm,
            # As many queries as the peer's 13 steps take: 100 √t looks and about 25 more at step t.
            ours=HopSkipJump(queries=3700, nearest=True),
            peer=_foolbox("HopSkipJumpAttack", steps=13, constraint=norm),
            images=40,
        )


@dataclass(frozen=True)
class _Learned:
    """A universal perturbation, learned from the images after those that it is judged on."""

    needs: ClassVar[Access] = Access.GRADIENTS

    def __call__(
        self,
        model: Model,
        batch: Batch,
        threat: ThreatModel,
        /,
        *,
        task: Task,
        rng: np.random.Generator,
    ) -> Tensor:
        x, y = _others()
        others = Batch(x=x, y=y, index=np.arange(len(x)))
        fitted = Universal().fit(model, others, threat, task=task, rng=rng)
        return fitted(model, batch, threat, task=task, rng=rng)


def _universal(module: nn.Module, x: Tensor, _: Tensor, seed: int) -> Tensor:
    np.random.seed(seed)  # noqa: NPY002  # what the library draws from
    one = import_module("art.attacks.evasion").UniversalPerturbation(
        _classifier(module),
        attacker_params={"max_iter": 20, "verbose": False},
        delta=0.1,
        max_iter=1,
        eps=0.25,
        norm="inf",
        verbose=False,
    )
    others, labels = _others()
    one.generate(others.numpy(), labels.numpy())
    return (x + torch.from_numpy(one.noise.reshape(x[:1].shape))).clamp(0, 1)


def _others() -> tuple[Tensor, Tensor]:
    x, y = mnist()
    return x[500:600], y[500:600]


def _foolbox(name: str, **settings: Any) -> Peer:
    def run(module: nn.Module, x: Tensor, y: Tensor, seed: int) -> Tensor:
        library = import_module("foolbox")
        model = library.PyTorchModel(module, bounds=(0, 1), device="cpu")
        torch.manual_seed(seed)
        points: Tensor = getattr(library.attacks, name)(**settings)(model, x, y, epsilons=None)[0]
        return points

    return run


def _torchattacks(name: str, **settings: Any) -> Peer:
    def run(module: nn.Module, x: Tensor, y: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        attack = getattr(import_module("torchattacks"), name)(module, **settings)
        if hasattr(attack, "seed"):
            attack.seed = seed
        points: Tensor = attack(x, y)
        return points.detach()

    return run


def _adv_lib(name: str, **settings: Any) -> Peer:
    def run(module: nn.Module, x: Tensor, y: Tensor, seed: int) -> Tensor:
        without_plots()
        torch.manual_seed(seed)
        points: Tensor = getattr(import_module("adv_lib.attacks"), name)(module, x, y, **settings)
        return points.detach()

    return run


def _art(name: str, **settings: Any) -> Peer:
    def run(module: nn.Module, x: Tensor, y: Tensor, seed: int) -> Tensor:
        kind = getattr(import_module("art.attacks.evasion"), name)
        np.random.seed(seed)  # noqa: NPY002  # what the library draws from
        one = kind(_classifier(module), verbose=False, **settings)
        return torch.from_numpy(one.generate(x.numpy(), y.numpy()))

    return run


def _classifier(module: nn.Module) -> Any:
    kind = import_module("art.estimators.classification").PyTorchClassifier
    return kind(
        model=module,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=(1, 28, 28),
        nb_classes=10,
        clip_values=(0, 1),
        device_type="cpu",
    )
