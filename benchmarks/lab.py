"""The lab against other libraries: wall time and accuracy left, same model, images and budget.

Libraries that are not installed are left out of the table. One thread. Every figure of accuracy is
taken in float32 on the original model, whoever found the points.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.lab_models import EPS, Subject, cifar, resnet, robust_resnet
from benchmarks.table import Row, conditions, publish
from hauberk.adapters.models.torch_model import TorchModel
from hauberk.attack.apgd import APGD
from hauberk.attack.ensemble import Auto, Best
from hauberk.attack.pgd import PGD
from hauberk.attack.square import Square
from hauberk.core.data import Batch
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel

if TYPE_CHECKING:
    from hauberk.attack.attack import Attack

Peer = Callable[[Subject], Tensor]
STEP = EPS / 10
# Speed over the fastest peer: on an undefended model, and on a robust one.
TARGETS = {"pgd-40": (15.0, 6.0), "apgd-ce": (8.0, 3.0), "square": (3.0, 3.0), "auto": (4.0, 4.0)}
OURS: dict[str, Attack] = {
    "pgd-40": PGD(steps=40, step_size=STEP, fast=True),
    "apgd-ce": APGD(steps=100, fast=True),
    "square": Square(queries=500, fast=True),
    "auto": Auto(),
    "best": Best(),
}


def peers(attack: str) -> dict[str, Peer]:
    """The libraries at hand that have that attack."""
    found: dict[str, Peer] = {}
    if find_spec("torchattacks"):
        found["torchattacks"] = _torchattacks(attack)
    if find_spec("foolbox") and attack == "pgd-40":
        found["foolbox"] = _foolbox
    if find_spec("art") and attack == "pgd-40":
        found["ART"] = _art
    return found


def _torchattacks(attack: str) -> Peer:
    torchattacks = import_module("torchattacks")

    make: dict[str, Callable[[Any], Any]] = {
        "pgd-40": lambda m: torchattacks.PGD(m, eps=EPS, alpha=STEP, steps=40),
        "apgd-ce": lambda m: torchattacks.APGD(m, eps=EPS, steps=100, loss="ce"),
        "square": lambda m: torchattacks.Square(m, eps=EPS, n_queries=500),
        "auto": lambda m: torchattacks.AutoAttack(m, eps=EPS, n_classes=10),
        "best": lambda m: torchattacks.AutoAttack(m, eps=EPS, n_classes=10),
    }
    return lambda one: make[attack](one.module)(one.x, one.y)


def _foolbox(one: Subject) -> Tensor:
    foolbox = import_module("foolbox")

    model = foolbox.PyTorchModel(one.module, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=40, random_start=True)
    points: Tensor = attack(model, one.x, one.y, epsilons=EPS)[1]
    return points


def _art(one: Subject) -> Tensor:
    attacks = import_module("art.attacks.evasion")
    models = import_module("art.estimators.classification")
    model = models.PyTorchClassifier(
        one.module, torch.nn.CrossEntropyLoss(), one.x.shape[1:], 10, clip_values=(0, 1)
    )
    attack = attacks.ProjectedGradientDescent(
        model, eps=EPS, eps_step=STEP, max_iter=40, num_random_init=1, batch_size=256, verbose=False
    )
    return torch.from_numpy(attack.generate(one.x.numpy(), one.y.numpy()))


def ours(attack: Attack, one: Subject) -> Tensor:
    """Our attack on the subject."""
    batch = Batch(x=one.x, y=one.y, index=np.arange(len(one.x)))
    threat, rng = ThreatModel(eps=one.eps), np.random.default_rng(0)
    return attack(TorchModel(module=one.module), batch, threat, task=Classification(), rng=rng)


def measured(run: Callable[[], Tensor], one: Subject) -> tuple[float, float]:
    """Processor seconds, and the accuracy left; the share of a shared machine is not counted."""
    start = time.process_time()
    points = run()
    seconds = time.process_time() - start
    far = float((points - one.x).abs().max())
    if far > one.eps * (1 + 1e-4) or not bool(((points >= 0) & (points <= 1)).all()):
        raise SystemExit(f"points outside the ball, {far:g} away: the figure would mean nothing")
    with torch.no_grad():
        right = one.module(points.detach()).argmax(1) == one.y
    return seconds, float(right.float().mean())


def compared(name: str, one: Subject, *, robust: bool) -> list[Row]:
    """One attack on one subject: ours, each peer, and the ratio to the fastest of them."""
    warm = Subject(one.name, one.module, one.x[:4], one.y[:4], one.eps)
    ours(PGD(steps=1, fast=True), warm)
    seconds, left = measured(lambda: ours(OURS[name], one), one)
    label = f"{one.name}, {name}"
    rows = [Row(id=f"{label}: accuracy left, ours", measured=left)]
    times = []
    for peer, run in peers(name).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spent, theirs = measured(lambda run=run: run(one), one)  # type: ignore[misc]
        times.append(spent)
        rows.append(Row(id=f"{label}: accuracy left, {peer}", measured=theirs))
        ratio = spent / seconds
        rows.append(Row(id=f"{label}: seconds, {peer}", measured=seconds, peer=spent, ratio=ratio))
    if times and name in TARGETS:
        gain, target = min(times) / seconds, TARGETS[name][robust]
        rows.append(
            Row(
                id=f"{label}: speed over the fastest peer",
                measured=gain,
                target=f">= {target:g}",
                holds=gain >= target,
            )
        )
    elif not times:
        rows.append(Row(id=f"{label}: seconds, no peer installed", measured=seconds))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--attacks", default="pgd-40,apgd-ce,square,auto,best")
    parser.add_argument("--models", default="standard,robust")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    x, y = (part[: chosen.images] for part in cifar("test"))
    rows = []
    for kind in chosen.models.split(","):
        module = robust_resnet() if kind == "robust" else resnet()
        one = Subject(f"ResNet-20 {kind}", module.requires_grad_(requires_grad=True), x, y, EPS)
        with torch.no_grad():
            right = float((module(x).argmax(1) == y).float().mean())
        rows.append(Row(id=f"{one.name}: accuracy untouched", measured=right))
        for name in chosen.attacks.split(","):
            rows += compared(name, one, robust=kind == "robust")
    facts = conditions(
        data="CIFAR-10, JPEG copies", n=len(x), eps="8/255", threads=1, torch=torch.__version__
    )
    return publish("lab", facts, rows)


if __name__ == "__main__":
    sys.exit(main())
