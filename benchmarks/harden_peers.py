"""What hardening is compared with: adversarial training as it is mostly written, and ART's."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from torch import nn

    from hauberk.core.data import Dataset


def plain_training(
    module: nn.Module,
    data: Dataset,
    *,
    eps: float,
    alpha: float,
    steps: int,
    epochs: int,
    rate: float,
    batch: int = 64,
    seed: int = 0,
) -> nn.Module:
    """Adversarial training as it is mostly written: float32, PGD from a random start, Adam."""
    optimizer = torch.optim.Adam(module.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(x), generator=generator), batch):
            clean, labels = x[rows], y[rows]
            noise = torch.empty_like(clean).uniform_(-eps, eps, generator=generator)
            points = (clean + noise).clamp(0, 1)
            for _ in range(steps):
                points = points.detach().requires_grad_()
                module.zero_grad()
                cross_entropy(module(points), labels).backward()  # type: ignore[no-untyped-call]
                assert points.grad is not None
                moved = points.detach() + alpha * points.grad.sign()
                points = torch.clamp(moved, clean - eps, clean + eps).clamp(0, 1)
            optimizer.zero_grad()
            cross_entropy(module(points.detach()), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return module.eval()


def has_art() -> bool:
    return find_spec("art") is not None


def art_epoch(module: nn.Module, some: Dataset, *, eps: float, steps: int) -> None:
    evasion, trainers, estimators = (
        import_module(f"art.{name}")
        for name in ("attacks.evasion", "defences.trainer", "estimators.classification")
    )
    classifier = estimators.PyTorchClassifier(
        model=module,
        loss=torch.nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam(module.parameters(), lr=1e-3),
        input_shape=some.shape,
        nb_classes=some.classes,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
    attack = evasion.ProjectedGradientDescent(
        classifier,
        norm=np.inf,
        eps=eps,
        eps_step=0.05,
        max_iter=steps,
        num_random_init=1,
        batch_size=64,
        verbose=False,
    )
    trainer = trainers.AdversarialTrainer(classifier, attack, ratio=1.0)
    trainer.fit(some.x, np.eye(some.classes, dtype=np.float32)[some.y], batch_size=64, nb_epochs=1)
