"""Constraints on rows hold whatever is asked for, in every norm."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.attack.ball import Ball
from hauberk.attack.lawful import Lawful
from hauberk.core.features import Features, Relation
from hauberk.core.model import Bounds

if TYPE_CHECKING:
    from hauberk.core.threat import Norm

NORMS: list[Norm] = ["linf", "l2", "l1", "l0"]


def _eight(*values: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=8, max_size=8)


@st.composite
def laws(draw: st.DrawFn) -> Features:
    """Eight numbers and two groups of three, with constraints of every kind."""
    width = 14
    grid = draw(_eight(0.0, 0.25, 0.1, 1 / 7, 1e-7))
    pairs = draw(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 13)), max_size=3))
    relations = []
    for first, second in pairs:
        if first != second:
            weights = draw(st.sampled_from([(1.0, 1.0), (1.0, -1.0), (0.3, -0.7)]))
            relations.append(Relation(columns=(first, second), weights=weights, least=-2, most=2))
    return Features(
        mutable=tuple(draw(st.lists(st.booleans(), min_size=width, max_size=width))),
        low=(
            *draw(st.lists(st.sampled_from([-inf, 0.0, 0.2]), min_size=8, max_size=8)),
            *[0.0] * 6,
        ),
        high=(
            *draw(st.lists(st.sampled_from([inf, 1.0, 0.8]), min_size=8, max_size=8)),
            *[1.0] * 6,
        ),
        reach=(*draw(_eight(inf, 0.3)), *[inf] * 6),
        step=(*grid, *[0.0] * 6),
        monotone=(*draw(_eight(-1, 0, 1)), *[0] * 6),
        groups=((8, 9, 10), (11, 12, 13)),
        relations=tuple(relations),
    )


def _rows(features: Features, seed: int, n: int = 64) -> tuple[torch.Tensor, Features]:
    """Clean rows on the grids, and the same constraints with relations that these rows keep."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 14)).astype(np.float32)
    for column, step in enumerate(features.step):
        if step >= 1e-3:
            x[:, column] = np.clip(np.rint(x[:, column] / step), 0, int(1 / step)) * step
    for group in features.groups:
        x[:, list(group)] = np.eye(3, dtype=np.float32)[rng.integers(0, 3, n)]
    kept = []
    for number, one in enumerate(features.relations):
        total = x[:, list(one.columns)].astype(np.float64) @ np.array(one.weights)
        most = float(total.max())
        # Every second one from both sides, and tight: hardly anything may move.
        least = float(total.min()) if number % 2 else -inf
        kept.append(Relation(columns=one.columns, weights=one.weights, least=least, most=most))
    whole = {name: getattr(features, name) for name in features.__dataclass_fields__}
    return torch.from_numpy(x), Features(**{**whole, "relations": tuple(kept)})


@settings(deadline=None, max_examples=60)
@given(
    features=laws(),
    seed=st.integers(0, 2**16),
    norm=st.sampled_from(NORMS),
    eps=st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 6.0]),
)
def test_nothing_is_broken_and_the_ball_is_kept(
    features: Features, seed: int, norm: Norm, eps: float
) -> None:
    clean, features = _rows(features, seed)
    law = Lawful(features, Ball(norm, eps, Bounds()))
    law.check(clean)
    generator = torch.Generator().manual_seed(seed)
    points = clean + 1.5 * torch.randn(clean.shape, generator=generator)
    found = law(points, clean)
    broken = features.violations(clean.numpy(), found.numpy())
    assert {kind: int(rows.sum()) for kind, rows in broken.items() if rows.any()} == {}
    assert bool(law.ball.contains(found, clean).all())
    assert torch.equal(law(clean, clean), clean), "what is clean is left alone"


@settings(deadline=None, max_examples=30)
@given(features=laws(), seed=st.integers(0, 2**16))
def test_rows_at_random_are_caught(features: Features, seed: int) -> None:
    clean, features = _rows(features, seed)
    points = np.random.default_rng(seed).random(clean.shape).astype(np.float32)
    broken = features.violations(clean.numpy(), points)
    assert broken["one-hot"].all(), "both groups moved"
    if not all(features.mutable):
        assert broken["mutable"].any()
