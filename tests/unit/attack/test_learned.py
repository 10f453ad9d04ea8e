"""Attacks that bring something along: from surrogates, or learned from other samples."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hauberk.attack.patch import Patch
from hauberk.attack.physical_patch import PhysicalPatch
from hauberk.attack.transfer import Transfer
from hauberk.attack.universal import Universal
from hauberk.core.data import Batch
from hauberk.core.errors import UserError
from hauberk.core.model import Access, Bounds
from hauberk.core.task import Classification
from hauberk.core.threat import Norm, ThreatModel
from hauberk.testing.models import ScoresOnly, ToyModel, conv_module, linear_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.attack.attack import Attack, Fits

torch.set_num_threads(1)
TASK = Classification()
# Ten classes, of which any may be reached: one perturbation can serve all samples.
MODEL = ToyModel(linear_module(seed=2, shape=(1, 12, 12), classes=10))


def _batch(seed: int, n: int = 60) -> Batch:
    x = 0.3 + 0.4 * torch.rand((n, 1, 12, 12), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        y = MODEL(x).argmax(1)
    return Batch(x=x, y=y, index=np.arange(n) + 1000 * seed)


def _stands(attack: Attack, threat: ThreatModel) -> float:
    batch = _batch(1)
    points = attack(MODEL, batch, threat, task=TASK, rng=np.random.default_rng(0))
    with torch.no_grad():
        return float(TASK.correct(MODEL(points), batch.y).float().mean())


@pytest.mark.parametrize(
    ("attack", "norm", "eps"),
    [(Universal(), "linf", 0.1), (Universal(), "l2", 1.0), (PhysicalPatch(), "patch", 0.08)],
)
def test_what_is_learned_from_others_beats_what_is_drawn(
    attack: Universal | PhysicalPatch, norm: Norm, eps: float
) -> None:
    threat = ThreatModel(norm=norm, eps=eps)
    fitted = attack.fit(MODEL, _batch(5), threat, task=TASK, rng=np.random.default_rng(0))
    noise = torch.rand((1, 12, 12), generator=torch.Generator().manual_seed(3))
    drawn = (
        replace(attack, perturbation=(noise - 0.5).sign() * eps, radius=eps)
        if isinstance(attack, Universal)
        else replace(attack, patch=noise.round())
    )
    assert _stands(fitted, threat) < _stands(drawn, threat) - 0.2
    again = attack.fit(MODEL, _batch(5), threat, task=TASK, rng=np.random.default_rng(0))
    assert _stands(again, threat) == _stands(fitted, threat)


def test_a_universal_perturbation_grows_with_the_radius() -> None:
    threat = ThreatModel(eps=0.02)
    fitted = Universal().fit(MODEL, _batch(5), threat, task=TASK, rng=np.random.default_rng(0))
    left = [_stands(fitted, ThreatModel(eps=eps)) for eps in (0.0, 0.02, 0.06)]
    assert left[0] == 1.0 > left[1] > left[2]


def test_a_patch_of_its_own_beats_one_for_all() -> None:
    threat = ThreatModel(norm="patch", eps=0.1)
    fitted = PhysicalPatch().fit(MODEL, _batch(5), threat, task=TASK, rng=np.random.default_rng(0))
    assert _stands(Patch(), threat) < _stands(fitted, threat)


def test_a_view_stays_in_its_square_however_it_turns() -> None:
    from hauberk.attack.ball import Ball

    images = torch.full((200, 3, 20, 30), 0.5)
    draws = torch.rand((200, 5), generator=torch.Generator().manual_seed(0)) * (1 - 2**-24)
    patch = torch.ones(3, 9, 9)
    seen = PhysicalPatch(turn=45, light=0.0).shown(images, patch, draws, Bounds())
    assert bool(Ball("patch", 81 / 600, Bounds()).contains(seen, images).all())
    assert bool((seen != images).flatten(1).any(1).all())
    # Upright, unscaled and unlit it is the patch itself, where the draw says.
    plain = torch.tensor([[0.5, 0.999, 0.0, 0.0, 0.5]])
    noise = torch.rand((3, 9, 9), generator=torch.Generator().manual_seed(1))
    seen = PhysicalPatch(shrink=1.0).shown(images[:1], noise, plain, Bounds())
    assert torch.allclose(seen[0, :, :9, :9], noise, atol=1e-5)


def test_transfer_asks_the_target_twice() -> None:
    target = ScoresOnly(MODEL, access=Access.LABELS)
    batch, threat = _batch(1), ThreatModel(eps=0.1, queries=2)
    own = ToyModel(linear_module(seed=2, shape=(1, 12, 12), classes=10))
    attack = Transfer(surrogates=(own,), kernel=1, diversity=0.3)
    points = attack(target, batch, threat, task=TASK, rng=np.random.default_rng(0))
    assert target.rows == 2 * len(batch)
    with torch.no_grad():
        assert float(TASK.correct(MODEL(points), batch.y).float().mean()) < 0.2


def test_diverse_and_smooth_steps_still_climb() -> None:
    """On its own surrogate a network falls, though less than without the detours."""
    model = ToyModel(conv_module(seed=2))
    x = torch.rand((40, 1, 12, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.module.eval()
        batch = Batch(x=x, y=model(x.clone()).argmax(1), index=np.arange(40))
    left = []
    for eps in (0.0, 0.3):
        attack = Transfer(surrogates=(model, model), kernel=3, diversity=0.5)
        points = attack(model, batch, ThreatModel(eps=eps), task=TASK, rng=np.random.default_rng(0))
        with torch.no_grad():
            left.append(float(TASK.correct(model(points.clone()), batch.y).float().mean()))
    assert left[1] < left[0] - 0.3


@pytest.mark.parametrize(
    ("attack", "norm", "match"),
    [
        (Transfer(), "linf", "no surrogate"),
        (Universal(), "linf", "learned from other"),
        (PhysicalPatch(), "patch", "learned from other"),
    ],
)
def test_one_that_is_not_ready_says_so(attack: Attack, norm: Norm, match: str) -> None:
    with pytest.raises(UserError, match=match):
        _stands(attack, ThreatModel(norm=norm, eps=0.1))


@pytest.mark.parametrize("attack", [Universal(), PhysicalPatch()])
def test_a_fit_needs_gradients_and_a_radius(attack: Fits) -> None:
    norm: Norm = "linf" if isinstance(attack, Universal) else "patch"
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="gradients"):
        attack.fit(ScoresOnly(MODEL), _batch(1), ThreatModel(norm=norm), task=TASK, rng=rng)
    with pytest.raises(UserError):
        attack.fit(MODEL, _batch(1), ThreatModel(norm=norm, eps=0), task=TASK, rng=rng)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Transfer(steps=0),
        lambda: Transfer(kernel=4),
        lambda: Transfer(shrink=0.0),
        lambda: Universal(steps=0),
        lambda: Universal(step=3.0),
        lambda: Patch(places=0),
        lambda: Patch(stride=2.0),
        lambda: PhysicalPatch(turn=90),
        lambda: PhysicalPatch(views=0),
    ],
)
def test_hyperparameters_out_of_range(build: Callable[[], object]) -> None:
    with pytest.raises(UserError):
        build()
