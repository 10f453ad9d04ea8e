from __future__ import annotations

import numpy as np
import torch

from hauberk.core.data import Dataset
from hauberk.core.model import Access, Bounds
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.drill import ATTEMPTS, KINDS, attempts, drills


class Line:
    """Two classes by one pixel: above 0.5 or not; the other pixel does not matter."""

    bounds, access = Bounds(), Access.GRADIENTS

    def __call__(self, x: torch.Tensor, /) -> torch.Tensor:
        edge = 20 * (x[:, 0] - 0.5)
        return torch.stack((-edge, edge), dim=1)


X = np.random.default_rng(0).random((200, 2), dtype=np.float32)
DATA = Dataset(name="line", x=X, y=(X[:, 0] > 0.5).astype(np.int64), classes=2)
THREAT = ThreatModel(eps=0.2)


def wrong(points: np.ndarray, y: np.ndarray) -> np.ndarray:
    out: np.ndarray = (points[:, 0] > 0.5) != y
    return out


def test_what_fools_is_told_from_what_does_not() -> None:
    found = drills(Line(), DATA, THREAT, seed=0)
    assert set(found.hostile) == set(found.harmless) == set(KINDS)
    for name in KINDS:
        assert len(found.hostile[name]) + len(found.harmless[name]) == len(DATA)
    near = np.abs(X[:, 0] - 0.5) < 0.2
    assert len(found.hostile["fgsm"]) == near.sum()
    assert len(drills(Line(), DATA, THREAT, seed=0, most=50).harmless["fgsm"]) <= 50


def test_attempts_are_of_every_sample_and_fool_none() -> None:
    found = attempts(Line(), DATA, THREAT, seed=0)
    assert set(found) == {f"failed {name}" for name in ATTEMPTS}
    for points in found.values():
        assert points.shape == X.shape
        assert not wrong(points, DATA.y).any()
        moved = np.abs(points - X).max(axis=1)
        assert moved.max() <= 0.2 + 1e-6
        assert (moved > 0.05).sum() > 80  # the failed ones are there, not only clean copies


def test_other_norms_have_no_drills() -> None:
    assert drills(Line(), DATA, ThreatModel(norm="l0", eps=1), seed=0).hostile == {}
    assert attempts(Line(), DATA, ThreatModel(norm="l0", eps=1), seed=0) == {}
