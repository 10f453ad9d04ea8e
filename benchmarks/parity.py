"""What our attacks find beside what other libraries' same attacks find, on one MNIST network.

Least perturbations are compared by their median and by how many samples fall at all, attacks in a
ball by the accuracy left. A figure that is better than the peer's is as good as an equal one. How
often each asked the network is counted, so that it can be seen whose budget was the larger. What
was measured before stays in the file, so that parts can be run apart: ``--only NAME,NAME:NORM,…``.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.lab_models import small_cnn, subjects
from benchmarks.parity_cases import cases
from benchmarks.table import Row, at_most, conditions, publish
from hauberk.attack.ball import size
from hauberk.core.data import Batch
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.testing.models import ToyModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from benchmarks.parity_cases import Case

TASK = Classification()
FAR = 1e6


def measured(case: Case) -> Iterator[Row]:
    """One attack's rows."""
    (whole,) = subjects(["mnist-standard"], case.images, "linf")
    module = small_cnn().requires_grad_(requires_grad=False)
    rows: list[int] = []
    # At the first layer: ART asks the layers one by one.
    first = next(module.children())
    first.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    x, y = whole.x, whole.y
    own = ThreatModel(norm=case.norm, eps=case.eps or FAR)
    batch = Batch(x=x, y=y, index=np.arange(len(x)))
    spent, asked = [0.0, 0.0], [0, 0]
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for seed in range(case.seeds):
        rows.clear()
        began = time.process_time()
        rng = np.random.default_rng(seed)
        ours = case.ours(ToyModel(module), batch, own, task=TASK, rng=rng)
        middle = time.process_time()
        asked[0] += sum(rows)
        rows.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer = case.peer(module, x, y, seed)
        asked[1] += sum(rows)
        for number, points in enumerate((ours, peer)):
            found[number].append(_found(module, points, x, y, case))
        spent[0] += middle - began
        spent[1] += time.process_time() - middle
    print(f"{case.name}: {spent[0]:.0f} s, {spent[1]:.0f} s")
    mine, theirs = (torch.cat(one) for one in found)
    label = f"{case.name} {case.norm}, {case.images} images, against {case.library}"
    fell = [float(far.isfinite().float().mean()) for far in (mine, theirs)]
    yield Row(id=f"{label}: share found", measured=fell[0], peer=fell[1])
    yield at_most(f"{label}: points fewer", 100 * (fell[1] - fell[0]), 1.0)
    times = [one / (case.seeds * len(x)) for one in asked]
    yield Row(id=f"{label}: passes an image", measured=times[0], peer=times[1])
    if case.eps is None:
        middles = [float(far.median()) for far in (mine, theirs)]
        ratio = middles[0] / middles[1]
        yield Row(id=f"{label}: median", measured=middles[0], peer=middles[1], ratio=ratio)
        yield at_most(f"{label}: per cent further", 100 * (ratio - 1), 2.0)


def _found(module: torch.nn.Module, points: Tensor, x: Tensor, y: Tensor, case: Case) -> Tensor:
    """How far each wrong point lies, infinite where it is right or outside of ball or bounds."""
    with torch.no_grad():
        right = TASK.correct(module(points.clone()), y)
    away = size(points - x, case.norm)
    inside = (points >= -1e-5).flatten(1).all(1) & (points <= 1 + 1e-5).flatten(1).all(1)
    if case.eps is not None:
        inside &= away <= case.eps * (1 + 1e-4) + 1e-6
    return torch.where(right | ~inside, torch.inf, away)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="attacks as NAME or NAME:NORM, with commas")
    wanted = parser.parse_args().only
    torch.set_num_threads(1)
    facts = conditions(
        data="MNIST, first test images", model="SmallCNN, standard", seed=0, torch=torch.__version__
    )
    code = 0
    for case in cases():
        if not wanted or {case.name, f"{case.name}:{case.norm}"} & set(wanted.split(",")):
            # Written after each, so that a run that is stopped has not run for nothing.
            code |= publish("parity", facts, list(measured(case)), keep=", ")
    return code


if __name__ == "__main__":
    sys.exit(main())
