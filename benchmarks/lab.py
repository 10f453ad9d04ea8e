"""The lab against other libraries: processor time and accuracy left, same network, images, budget.

Every library attacks the same float32 network with the same step, number of steps and threads, in
one run; every figure of accuracy is taken in float32 on the network itself, whoever found the
points. Libraries that are not installed are left out: `make bench-lab` installs them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import sys
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.lab_floor import Floor, matmul_rates
from benchmarks.lab_models import Subject, subjects
from benchmarks.lab_peers import APGD_STEPS, QUERIES, STEPS, peers
from benchmarks.lab_plot import plots
from benchmarks.table import RESULTS, Row, at_least, at_most, conditions, publish
from hauberk.adapters.models.torch_model import TorchModel
from hauberk.attack.apgd import APGD
from hauberk.attack.ball import Ball
from hauberk.attack.ensemble import Auto, Best
from hauberk.attack.pgd import PGD
from hauberk.attack.proof import proven
from hauberk.attack.square import Square
from hauberk.attack.working_copy import is_light
from hauberk.core.data import Batch
from hauberk.core.model import Bounds
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from hauberk.attack.attack import Attack
    from hauberk.core.threat import Norm

# Speed over the fastest peer, and over ART: on an undefended network, and on a robust one.
TARGETS = {"pgd-40": (15.0, 6.0), "apgd-ce": (8.0, 3.0), "square": (3.0, 3.0), "auto": (4.0, 4.0)}
OVER_ART = (25.0, 8.0)
LONG = {"auto", "best"}  # minutes each: measured once
ENOUGH = 10.0  # processor seconds after which a run is not repeated: long ones hardly vary


def our_attack(name: str, subject: Subject) -> Attack:
    """Ours of that name, with the lab's settings."""
    made: dict[str, Attack] = {
        "pgd-40": PGD(steps=STEPS, step_size=subject.step, fast=True),
        "apgd-ce": APGD(steps=APGD_STEPS, fast=True),
        "square": Square(queries=QUERIES, fast=True),
        "auto": Auto(),
        "best": Best(),
    }
    return made[name]


def ours(attack: Attack, one: Subject, norm: Norm) -> Tensor:
    """The points that our attack finds."""
    batch = Batch(x=one.x, y=one.y, index=np.arange(len(one.x)))
    threat, rng = ThreatModel(norm=norm, eps=one.eps), np.random.default_rng(0)
    return attack(TorchModel(module=one.module), batch, threat, task=Classification(), rng=rng)


class Measured(NamedTuple):
    """Median processor seconds of so many runs, and the accuracy that they left."""

    seconds: float
    left: float
    runs: int


def measured(run: Callable[[], Tensor], one: Subject, norm: Norm, times: int) -> Measured:
    """So many runs at most.

    Processor time: what others do on the machine is not counted. Not repeated after ``ENOUGH``.
    """
    spent = []
    for _ in range(times):
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            start = time.process_time()
            points = run().detach()
            spent.append(time.process_time() - start)
        if sum(spent) > ENOUGH:
            break
    inside = Ball(norm, one.eps * (1 + 1e-4), Bounds()).contains(points, one.x)
    if not bool(inside.all()):
        raise SystemExit("points outside the ball or the bounds: the figure would mean nothing")
    with torch.no_grad():
        right = one.module(points).argmax(1) == one.y
    return Measured(statistics.median(spent), float(right.float().mean()), len(spent))


def compared(
    name: str,
    one: Subject,
    norm: Norm,
    *,
    times: tuple[int, int],
    rates: dict[str, float],
    known: dict[tuple[str, ...], Measured],
) -> Iterator[Row]:
    """One attack on one network: ours, each peer's, the ratios, and our share of the floor.

    What is ``known`` of a peer is not measured again.
    """
    label = f"{one.name} {norm}, {name}"
    attack = our_attack(name, one)
    own, theirs = (1, 1) if name in LONG else times
    ours(
        PGD(steps=1, fast=True), Subject(one.name, one.module, one.x[:4], one.y[:4], one.eps), norm
    )
    with Floor(one, rates) as floor:
        seconds, left, runs = measured(lambda: ours(attack, one, norm), one, norm, own)
    least = floor.seconds / runs
    yield Row(id=f"{label}: accuracy left, ours", measured=left)
    if name not in LONG:
        yield from without(label, attack, one, norm, own)
    spent: dict[str, float] = {}
    lefts: dict[str, float] = {}
    wanted = "auto" if name == "best" else name
    for peer, run in peers(wanted, norm).items():
        key = (one.name, norm, wanted, peer)
        if key not in known:
            known[key] = measured(lambda run=run: run(one), one, norm, theirs)  # type: ignore[misc]
        spent[peer], lefts[peer], _ = known[key]
        yield Row(id=f"{label}: accuracy left, {peer}", measured=lefts[peer])
        ratio = spent[peer] / seconds
        yield Row(id=f"{label}: seconds, {peer}", measured=seconds, peer=spent[peer], ratio=ratio)
    yield Row(id=f"{label}: seconds, floor", measured=seconds, peer=least)
    yield Row(id=f"{label}: share of the floor", measured=least / seconds)
    if not spent:
        return
    lowest = min(lefts.values())
    if name == "best":
        yield at_most(f"{label}: points above AutoAttack", 100 * (left - lowest), 0.3)
        yield at_least(f"{label}: speed over AutoAttack", min(spent.values()) / seconds, 10)
        return
    yield at_most(f"{label}: points above the strongest peer", 100 * (left - lowest), 1.0)
    if norm == "linf" and name in TARGETS:
        gain = min(spent.values()) / seconds
        yield at_least(f"{label}: speed over the fastest", gain, TARGETS[name][one.robust])
        if name == "pgd-40" and "ART" in spent:
            yield at_least(f"{label}: speed over ART", spent["ART"] / seconds, OVER_ART[one.robust])


def without(label: str, attack: Attack, one: Subject, norm: Norm, times: int) -> Iterator[Row]:
    """What ours costs and leaves on a processor without bfloat16, and without proofs."""
    ball, batch = Ball(norm, one.eps, Bounds()), one.x[:1]
    light = is_light(one.module, batch)
    share = 0.0
    if light:
        sure = proven(one.module, one.module, one.x, one.y, ball=ball, task=Classification())
        share = float(sure.float().mean())
    turned_off: list[tuple[str, str, Callable[..., object]]] = []
    if share:
        turned_off.append(("without proofs", "hauberk.attack.search.proven", _nothing))
    if not light:
        has = "hauberk.attack.working_copy.has_bfloat16"
        turned_off.append(("without bfloat16", has, lambda _: False))
    yield Row(id=f"{label}: share proven, not attacked", measured=share)
    for what, name, instead in turned_off:
        with patch(name, instead):
            seconds, left, _ = measured(lambda: ours(attack, one, norm), one, norm, times)
        yield Row(id=f"{label}: seconds, ours {what}", measured=seconds)
        yield Row(id=f"{label}: accuracy left, ours {what}", measured=left)


def _nothing(_: object, __: object, x: Tensor, *___: object, **____: object) -> Tensor:
    return torch.zeros(len(x), dtype=torch.bool)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument(
        "--times", type=int, default=3, help="runs of ours at most; the median counts"
    )
    parser.add_argument("--peer-times", type=int, default=3, help="runs of each peer at most")
    parser.add_argument("--long-images", type=int, default=128, help="for the ensembles")
    parser.add_argument(
        "--many", default="mnist-robust", help="quick networks, also on --many-images"
    )
    parser.add_argument("--many-images", type=int, default=1000)
    parser.add_argument("--attacks", default="pgd-40,apgd-ce,square")
    parser.add_argument("--l2", default="pgd-40", help="the attacks in l2")
    parser.add_argument("--long", default="auto,best", help="the ensembles")
    parser.add_argument("--long-models", default="cifar-robust")
    parser.add_argument(
        "--models", default="mnist-standard,mnist-robust,cifar-standard,cifar-robust"
    )
    parser.add_argument("--no-plots", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep the file's other parts")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    began, rates = time.process_time(), matmul_rates()
    known: dict[tuple[str, ...], Measured] = {}
    rows = [
        Row(id=f"large product, GFLOP/s: {kind}", measured=rate / 1e9)
        for kind, rate in rates.items()
    ]
    parts: dict[str, str] = {}
    times = (chosen.times, chosen.peer_times)
    plan: list[tuple[Norm, str, str, int]] = [
        ("linf", chosen.models, chosen.attacks, chosen.images),
        ("l2", chosen.models, chosen.l2, chosen.images),
        ("linf", chosen.long_models, chosen.long, chosen.long_images),
        ("linf", chosen.many, chosen.attacks, chosen.many_images),
    ]
    for norm, models, attacks, images in plan:
        names = [name for name in attacks.split(",") if name]
        named = [name for name in models.split(",") if name and names]
        for subject in subjects(named, images, norm):
            counted = images in {chosen.images, chosen.long_images}
            one = subject if counted else replace(subject, name=f"{subject.name} on {images}")
            one.module.requires_grad_(requires_grad=True)
            with torch.no_grad():
                right = float((one.module(one.x).argmax(1) == one.y).float().mean())
            rows.append(Row(id=f"{one.name} {norm}: accuracy untouched", measured=right))
            for name in names:
                runs = (1, 1) if name in LONG else times
                parts[f"{one.name} {norm}, {name}"] = (
                    f"n = {len(one.x)}, median of {runs[0]} at most, peers {runs[1]}, "
                    f"load {os.getloadavg()[0]:.1f}"
                )
                for row in compared(name, one, norm, times=times, rates=rates, known=known):
                    print(
                        f"{time.process_time() - began:6.0f} s  {row}", file=sys.stderr, flush=True
                    )
                    rows.append(row)
    if not chosen.no_plots:
        (RESULTS / "lab.svg").write_text(plots(chosen.images, ours, our_attack))
    facts = conditions(
        data="MNIST; CIFAR-10, JPEG copies",
        parts=parts,
        eps="linf .3 and 8/255, l2 2 and .5",
        step="eps / 10",
        threads=1,
        dtype="float32, ours with bfloat16 inside and float32 verdicts",
        torch=torch.__version__,
        bf16=os.environ.get("ONEDNN_MAX_CPU_ISA", torch.backends.cpu.get_cpu_capability()),
    )
    return publish("lab", facts, rows, keep=": " if chosen.keep else "")


if __name__ == "__main__":
    sys.exit(main())
