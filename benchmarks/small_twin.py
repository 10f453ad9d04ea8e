"""A smaller twin, distilled from the twin of full size: what it costs, and what it still notices.

The served model is the published ResNet-20 for CIFAR-10, its twin the same network trained against
attacks; the student is narrower, and of fewer layers. Trained once and kept, and resumed where it
was stopped. Then the protocol's delays, with the same streams for each twin; what a split
gave is kept in the folder of ``--keep``.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmarks import detection_models, lab_models
from benchmarks.table import Row, at_most, conditions, publish
from hauberk.adapters.local.files import write_file
from hauberk.adapters.local.yardstick import Bench, Mix, delay, false_alarms, summary
from hauberk.adapters.models.cost import costs
from hauberk.adapters.models.torch_model import TorchModel
from hauberk.attack.fgsm import FGSM
from hauberk.attack.pgd import PGD
from hauberk.core.data import Batch
from hauberk.core.task import Classification
from hauberk.evaluate.drill import Pressing
from hauberk.harden.robust_distil import RobustDistil
from hauberk.harden.run import Run
from hauberk.monitor.station import monitors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from hauberk.adapters.local.yardstick import Detector, Subject
    from hauberk.guard.calibration import Calibration

SIZES = {"half the width, a third of the depth": (8, 1)}
"""Width and blocks a stage; the served model has 16 and 3."""
SEEDS, RUNS, LONGEST, CLEAN = (0, 1, 2), 5, 2000, 5000
EPOCHS, ATTACKED, PROBED = 12, 150, 200
MIXES = {"100 %": (Mix(1.0), 15), "30 %": (Mix(0.3), 70)}
"""Share of attacked requests, and the protocol's target for the full-sized twin."""


def student(name: str) -> nn.Module:
    """The distilled twin of that size."""
    width, depth = SIZES[name]
    torch.manual_seed(0)  # what the training begins with is part of what its checkpoint is of
    module: nn.Module = lab_models.ResNet20(width=width, depth=depth)
    path = detection_models.CACHE / f"cifar10-student-{width}-{depth}.safetensors"
    if not path.exists():
        one = detection_models.subject("cifar10", 0)
        kept = path.with_suffix(".npz")
        recipe = RobustDistil(
            teacher=lab_models.robust_resnet(),
            epochs=EPOCHS,
            batch_size=128,
            steps=2,
            step_size=one.threat.eps * 0.75,
            validation_most=200,
            clean_drop=0.9,  # what it starts from knows nothing
        )
        run = Run(
            checkpoint=lambda data: write_file(kept, data),
            resume=kept.read_bytes() if kept.exists() else None,
            clock=time.monotonic,
        )
        train = detection_models.training_data("cifar10")
        module = recipe.fit(module, train, one.learn, one.threat, seed=0, run=run)
        save_file(module.state_dict(), path)
        kept.unlink(missing_ok=True)
    module.load_state_dict(load_file(path))
    return module.eval()


def measure(seeds: tuple[int, ...], keep: Path | None) -> list[Row]:
    """All rows: each twin's cost and accuracy, then its delays."""
    base = detection_models.subject("cifar10", 0)
    twins = {"full size": base.twin, **{name: student(name) for name in SIZES}}
    out, transferred = [], _attacked(base, base.served)
    for name, twin in twins.items():
        out += [replace(row, id=f"{name}: {row.id}") for row in _cost(base.served, twin)]
        out += [replace(row, id=f"{name}: {row.id}") for row in _worth(base, twin, transferred)]
    parts = [_seed(seed, twins, keep) for seed in seeds]
    for name in twins:
        for attack in ("fgsm", "pgd"):
            for mix, (_, target) in MIXES.items():
                found = [w for one in parts for w in one.waits[f"{name}, {attack}, {mix}"]]
                label = f"{name}: requests to alarm, {attack}, {mix}"
                out.append(at_most(label, summary(found)["median"], target))
                out.append(Row(id=f"{label}, 90th percentile", measured=summary(found)["p90"]))
        count = sum(one.false[name] for one in parts)
        out.append(at_most(f"{name}: false alarms in {CLEAN * len(seeds)} requests", count, 0))
    return out


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One split's delays by twin, attack and share, and false alarms by twin."""

    waits: dict[str, list[int | None]]
    false: dict[str, int]


def _seed(seed: int, twins: dict[str, nn.Module], keep: Path | None) -> Part:
    path = keep / f"small-twin-{seed}.json" if keep else None
    if path and path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Part)
    subject = detection_models.subject("cifar10", seed)
    hostile = None
    waits: dict[str, list[int | None]] = {}
    false = {}
    for name, twin in twins.items():
        began = time.process_time()
        bench = Bench(replace(subject, twin=twin), most=150, shifted=150)
        hostile = hostile or _hostile(subject)  # on the served model alone
        make, rng = partial(_made, bench.calibration), np.random.default_rng(seed + 10)
        clean = [[record] for record in bench.clean]
        false[name] = false_alarms(make, clean, CLEAN, rng=rng)
        for attack in ("fgsm", "pgd"):
            seen = bench.judged(hostile[attack])
            for mix, (share, _) in MIXES.items():
                waits[f"{name}, {attack}, {mix}"] = [
                    delay(make, bench.clean, seen, share, longest=LONGEST, rng=rng)
                    for _ in range(RUNS)
                ]
        print(seed, name, f"{time.process_time() - began:.0f} CPU s", waits, false, flush=True)
    part = Part(waits=waits, false=false)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(part))
    return part


def _hostile(one: Subject) -> dict[str, NDArray[np.float32]]:
    """The protocol's FGSM and PGD: inputs that fool the served model."""
    rows = np.arange(ATTACKED)
    batch = Batch(torch.from_numpy(one.stream.x[rows]), torch.from_numpy(one.stream.y[rows]), rows)
    found = {}
    for name, attack in (("fgsm", FGSM()), ("pgd", PGD(steps=20))):
        rng = np.random.default_rng(one.seed + 2)
        points = attack(TorchModel(one.served), batch, one.threat, task=Pressing(), rng=rng)
        with torch.no_grad():
            wrong = (one.served(points).argmax(1) != batch.y).numpy()
        found[name] = points.numpy().astype(np.float32)[wrong]
    return found


def _cost(served: nn.Module, twin: nn.Module) -> list[Row]:
    """Parameters, operations and milliseconds of one request, as shares of the served's."""
    small, whole = costs((twin, served), (3, 32, 32))
    pairs = {
        "parameters": (small.parameters, whole.parameters),
        "operations a request": (small.flops, whole.flops),
        "ms a request": (small.ms, whole.ms),
    }
    return [Row(id=key, measured=a, peer=b, ratio=a / b) for key, (a, b) in pairs.items()]


def _worth(one: Subject, twin: nn.Module, transferred: Tensor) -> list[Row]:
    """Accuracy, agreement with the served model, and accuracy under attacks on either."""
    x, y = torch.from_numpy(one.stream.x), torch.from_numpy(one.stream.y)
    points = {"the twin": _attacked(one, twin), "the served model": transferred}
    with torch.no_grad():
        said, served = twin(x).argmax(1), one.served(x).argmax(1)
        right = {name: twin(x).argmax(1) == y[:PROBED] for name, x in points.items()}
    return [
        Row(id="clean accuracy", measured=float((said == y).float().mean())),
        Row(id="agreement with the served model", measured=float((said == served).float().mean())),
        *(
            Row(id=f"accuracy under PGD-40 on {name}", measured=float(found.float().mean()))
            for name, found in right.items()
        ),
    ]


def _attacked(one: Subject, module: nn.Module) -> Tensor:
    rows = np.arange(PROBED)
    batch = Batch(torch.from_numpy(one.stream.x[rows]), torch.from_numpy(one.stream.y[rows]), rows)
    return PGD(steps=40)(
        TorchModel(module),
        batch,
        one.threat,
        task=Classification(),
        rng=np.random.default_rng(0),
    )


def _made(fitted: Calibration) -> Detector:
    return monitors(fitted, only=("attack",))["attack"]


def main() -> int:
    torch.set_num_threads(1)
    told = argparse.ArgumentParser(description="A smaller twin, distilled.")
    told.add_argument("--keep", type=Path, help="folder of what splits gave")
    told.add_argument("--splits", type=int, default=len(SEEDS), help="how many of them")
    given = told.parse_args()
    seeds = SEEDS[: given.splits]
    facts = conditions(
        data="cifar10", served="resnet20", eps="8/255", seeds=seeds, runs=RUNS, epochs=EPOCHS
    )
    return publish("small_twin", facts, measure(seeds, given.keep))


if __name__ == "__main__":
    sys.exit(main())
