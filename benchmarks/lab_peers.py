"""The other libraries' attacks on the lab's subjects: same step, same number of steps, same ball.

A library that is not installed is left out. Each is given what it asks for and nothing more: the
float32 network as its authors published it.
"""

from __future__ import annotations

import logging
import math
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchmarks.lab_models import Subject

    Peer = Callable[[Subject], Tensor]

STEPS, APGD_STEPS, QUERIES = 40, 100, 500
WHOLE = 512  # one batch for all, as ours


def peers(attack: str, norm: str) -> dict[str, Peer]:
    """The libraries at hand that have that attack in that norm."""
    kinds = {
        "torchattacks": _torchattacks,
        "foolbox": _foolbox,
        "art": _art,
        "adv_lib": _adv_lib,
        "pyautoattack": _autoattack,
    }
    found = {}
    for module, make in kinds.items():
        peer = make(attack, norm) if find_spec(module) else None
        if peer is not None:
            found[_NAMES.get(module, module)] = peer
    return found


_NAMES = {"art": "ART", "adv_lib": "adv-lib", "pyautoattack": "AutoAttack"}


def _torchattacks(attack: str, norm: str) -> Peer | None:
    library = import_module("torchattacks")
    make: dict[tuple[str, str], Callable[[Subject], Any]] = {
        ("pgd-40", "linf"): lambda s: library.PGD(s.module, eps=s.eps, alpha=s.step, steps=STEPS),
        ("pgd-40", "l2"): lambda s: library.PGDL2(s.module, eps=s.eps, alpha=s.step, steps=STEPS),
        ("apgd-ce", "linf"): lambda s: library.APGD(s.module, eps=s.eps, steps=APGD_STEPS),
        ("square", "linf"): lambda s: library.Square(s.module, eps=s.eps, n_queries=QUERIES),
    }
    chosen = make.get((attack, norm))
    return None if chosen is None else lambda s: chosen(s)(s.x, s.y)


def _foolbox(attack: str, norm: str) -> Peer | None:
    library = import_module("foolbox")
    kinds = {
        ("pgd-40", "linf"): library.attacks.LinfPGD,
        ("pgd-40", "l2"): library.attacks.L2PGD,
    }
    kind = kinds.get((attack, norm))
    if kind is None:
        return None

    def run(subject: Subject) -> Tensor:
        model = library.PyTorchModel(subject.module, bounds=(0, 1))
        one = kind(abs_stepsize=subject.step, steps=STEPS, random_start=True)
        points: Tensor = one(model, subject.x, subject.y, epsilons=subject.eps)[1]
        return points

    return run


def _art(attack: str, norm: str) -> Peer | None:
    library = import_module("art.attacks.evasion")
    models = import_module("art.estimators.classification")
    order = math.inf if norm == "linf" else 2
    make: dict[str, Callable[[Any, Subject], Any]] = {
        "pgd-40": lambda m, s: library.ProjectedGradientDescent(
            m,
            norm=order,
            eps=s.eps,
            eps_step=s.step,
            max_iter=STEPS,
            num_random_init=1,
            batch_size=WHOLE,
            verbose=False,
        ),
        "apgd-ce": lambda m, s: library.AutoProjectedGradientDescent(
            m,
            norm=order,
            eps=s.eps,
            eps_step=2 * s.eps,
            max_iter=APGD_STEPS,
            nb_random_init=1,
            batch_size=WHOLE,
            loss_type="cross_entropy",
            verbose=False,
        ),
    }
    if attack not in make or (attack, norm) == ("apgd-ce", "l2"):
        return None

    def run(subject: Subject) -> Tensor:
        model = models.PyTorchClassifier(
            subject.module,
            torch.nn.CrossEntropyLoss(),
            tuple(subject.x.shape[1:]),
            10,
            clip_values=(0, 1),
        )
        one = make[attack](model, subject)
        return torch.from_numpy(one.generate(subject.x.numpy(), subject.y.numpy()))

    return run


def without_plots() -> None:
    """Let adv-lib be imported without what it draws and measures images with."""
    missing = {"torchvision", "torchvision.models", "visdom"} - sys.modules.keys()
    if not all(map(find_spec, sorted(name for name in missing if "." not in name))):
        # Imported for a distance and for plots, neither of which the lab asks for.
        sys.modules.update({name: ModuleType(name) for name in missing})
        vars(sys.modules["torchvision"])["models"] = sys.modules["torchvision.models"]


def _adv_lib(attack: str, norm: str) -> Peer | None:
    without_plots()
    library = import_module("adv_lib.attacks")
    if (attack, norm) == ("pgd-40", "linf"):
        return lambda s: library.pgd_linf(
            s.module, s.x, s.y, s.eps, steps=STEPS, absolute_step_size=s.step
        )
    if (attack, norm) == ("apgd-ce", "linf"):
        return lambda s: library.apgd(
            s.module, s.x, s.y, s.eps, math.inf, n_iter=APGD_STEPS, loss_function="ce"
        )
    return None


def _autoattack(attack: str, norm: str) -> Peer | None:
    library = import_module("pyautoattack")
    name = {"linf": "Linf", "l2": "L2"}[norm]
    silent = logging.getLogger("lab-silent")
    silent.addHandler(logging.NullHandler())
    silent.propagate = False

    def alone(kind: Any, **settings: Any) -> Peer:
        return lambda s: kind(
            s.module, norm=name, eps=s.eps, device="cpu", seed=0, **settings
        ).perturb(s.x, s.y)

    if attack == "apgd-ce":
        kind = import_module("pyautoattack.autopgd_base").APGDAttack
        return alone(kind, n_iter=APGD_STEPS, loss="ce", logger=silent)
    if attack == "square" and norm == "linf":
        return alone(import_module("pyautoattack.square").SquareAttack, n_queries=QUERIES)
    if attack != "auto":
        return None

    def run(subject: Subject) -> Tensor:
        logging.getLogger("auto-attack").setLevel(logging.ERROR)
        whole = library.AutoAttack(subject.module, norm=name, eps=subject.eps, seed=0)
        whole.verbose = False
        points: Tensor = whole.run_standard_evaluation(subject.x, subject.y, batch_size=WHOLE)[0]
        return points

    return run
