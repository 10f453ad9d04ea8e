"""Pairs of models to watch over, on four data sets, trained once and kept."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from benchmarks import lab_models
from hauberk.adapters.data.source import load_dataset
from hauberk.adapters.local.yardstick import Subject
from hauberk.adapters.models.architectures import build
from hauberk.core.data import Dataset
from hauberk.core.threat import ThreatModel
from hauberk.harden.adversarial import Adversarial
from hauberk.harden.clean import Clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hauberk" / "detection"
NAMES = ("digits", "mnist", "cifar10", "gtsrb")
EPS = {"digits": 0.15, "mnist": 0.15, "cifar10": 8 / 255, "gtsrb": 8 / 255}


def subject(name: str, seed: int) -> Subject:
    """The subject of that name; what is not in the cache is trained.

    Raises:
        FileNotFoundError: if its data is not there.
    """
    train, held = _data(name)
    order = np.random.default_rng(seed).permutation(len(held))
    cuts = np.split(order, [len(held) // 3, 2 * len(held) // 3])
    learn, calibrate, stream = (held.take(rows, name=name) for rows in cuts)
    threat = ThreatModel(eps=EPS[name])
    fit = partial(_kept, name, seed, train, learn)
    if name == "cifar10":
        served = lab_models.resnet()
        twin = lab_models.robust_resnet()  # one pair: the seeds draw splits and streams
    else:
        served = fit("served", _fresh(name, train, seed), _clean(name))
        twin = fit("twin", _fresh(name, train, seed + 100), _robust(threat, epochs=_ROUNDS[name]))
    # One independent model where one pair serves every seed.
    at = 0 if name == "cifar10" else seed
    other = _kept(name, at, train, learn, "other", _fresh(name, train, at + 200), _clean(name))
    return Subject(
        name=name,
        seed=seed,
        served=served,
        twin=twin,
        other=other,
        learn=learn,
        calibrate=calibrate,
        stream=stream,
        threat=threat,
    )


_ROUNDS = {"digits": 24, "mnist": 8, "gtsrb": 16}


def _clean(name: str) -> Callable[[nn.Module, Dataset, Dataset, int], nn.Module]:
    recipe = Clean() if name == "digits" else Clean(epochs=12, batch_size=128, precision="auto")

    def fit(module: nn.Module, train: Dataset, held: Dataset, seed: int) -> nn.Module:
        return recipe.fit(module, train, held, seed=seed)

    return fit


def _robust(
    threat: ThreatModel, *, epochs: int
) -> Callable[[nn.Module, Dataset, Dataset, int], nn.Module]:
    def fit(module: nn.Module, train: Dataset, held: Dataset, seed: int) -> nn.Module:
        recipe = Adversarial(
            epochs=epochs,
            steps=4,
            step_size=threat.eps * 0.4,
            batch_size=64 if len(train) < 2000 else 128,
            clean_drop=0.3,
            validation_most=200,
        )
        return recipe.fit(module, train, held, threat, seed=seed)

    return fit


def _fresh(name: str, train: Dataset, seed: int) -> Callable[[], nn.Module]:
    del name
    params = {"in_shape": list(train.shape), "classes": train.classes}
    return lambda: build("cnn", params, seed=seed)


def _kept(
    name: str,
    seed: int,
    train: Dataset,
    held: Dataset,
    part: str,
    make: Callable[[], nn.Module],
    fit: Callable[[nn.Module, Dataset, Dataset, int], nn.Module],
) -> nn.Module:
    module, path = make(), CACHE / f"{name}-{part}-{seed}.safetensors"
    if not path.exists():
        began = time.process_time()
        module = fit(module, train, held, seed)
        CACHE.mkdir(parents=True, exist_ok=True)
        save_file(module.state_dict(), path)
        spent = time.process_time() - began
        print(f"{name} {part} {seed}: trained in {spent:.0f} CPU s", file=sys.stderr)
    module.load_state_dict(load_file(path))
    return module.eval()


def _data(name: str) -> tuple[Dataset, Dataset]:
    """What models are trained on, and samples held out from all of them."""
    if name == "digits":
        data = load_dataset("digits")
        rest = [data.indices(part) for part in ("validation", "calibration", "test")]
        return data.split("train"), data.take(np.concatenate(rest), name=name)
    if name == "mnist":
        data = load_dataset(f"idx:{lab_models.DATA / 'mnist'}")
        rows = data.indices("train")[:8000]
        held = data.indices("test")[:3000]
        return data.take(rows, name=name), data.take(held, name=name)
    if name == "cifar10":
        parts = []
        for part in ("train", "test"):
            images, labels = lab_models.cifar(part)
            parts.append(_dataset(name, images.numpy(), labels.numpy(), 10))
        return parts[0], parts[1]
    with np.load(lab_models.DATA / "gtsrb" / "gtsrb_32x32.npz", allow_pickle=False) as file:
        x = {part: file[f"x_{part}"].astype(np.float32) / 255 for part in ("train", "test")}
        y = {part: file[f"y_{part}"].astype(np.int64) for part in ("train", "test")}
    made = [_dataset(name, x[p].transpose(0, 3, 1, 2), y[p], 43) for p in ("train", "test")]
    return made[0], made[1]


def _dataset(name: str, x: NDArray[np.float32], y: NDArray[np.int64], classes: int) -> Dataset:
    return Dataset(name=name, x=np.ascontiguousarray(x), y=y, classes=classes)


def training_data(name: str) -> Dataset:
    """What the models of that name are trained on."""
    return _data(name)[0]


def accuracy(module: nn.Module, data: Dataset) -> float:
    """Share of the samples that are right."""
    with torch.no_grad():
        right = module(torch.from_numpy(data.x)).argmax(1).numpy() == data.y
    return float(right.mean())


def main() -> int:
    """Train what is missing, and say how good it is."""
    torch.set_num_threads(1)
    for name in sys.argv[1].split(","):
        for seed in map(int, sys.argv[2].split(",")):
            one = subject(name, seed)
            parts = {part: getattr(one, part) for part in ("served", "twin", "other")}
            found = {part: round(accuracy(m, one.stream), 3) for part, m in parts.items()}
            print(name, seed, found, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
