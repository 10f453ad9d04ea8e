from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hauberk.adapters.data.source import load_dataset
from hauberk.adapters.local.budget_file import keep, kept
from hauberk.adapters.local.copying import evidence, measured
from hauberk.adapters.models.architectures import build
from hauberk.core.errors import DataError
from hauberk.core.evidence import Verdict
from hauberk.evaluate.extraction import Copy
from hauberk.monitor.budget import Budget

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BUDGET = Budget(digest="sha256:1", queries=120.0)


def test_a_budget_is_kept_for_the_model_it_was_measured_of(tmp_path: Path) -> None:
    assert kept(tmp_path, BUDGET.digest) is None
    keep(tmp_path, BUDGET)
    assert kept(tmp_path, BUDGET.digest) == BUDGET
    assert kept(tmp_path, "sha256:2") is None
    (tmp_path / "budget.json").write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        kept(tmp_path, BUDGET.digest)


def test_the_fewest_queries_of_all_copies_count() -> None:
    found = [
        Copy(copyist="p", seed=0, points=((10, 0.5), (100, 0.9))),
        Copy(copyist="p", seed=1, points=((10, 0.85),)),
        Copy(copyist="n", seed=0, points=((10, 0.5), (100, 0.6))),
    ]
    one = evidence(found, "sha256:1", fidelity=0.8, answers="labels")
    assert (one.rule, one.verdict, one.value) == ("HB-E012", Verdict.PASS, 10.0)
    assert one.spec["needed"]["n, seed 0"] is None
    none = evidence(found[2:], "sha256:1", fidelity=0.8, answers="labels")
    assert (none.verdict, none.value) == (Verdict.UNKNOWN, None)
    assert "not after 100 queries" in none.message


def test_a_model_is_copied_by_what_clients_see_of_it() -> None:
    data, seen = load_dataset("digits"), []

    def session(x: NDArray[np.float32]) -> NDArray[np.float32]:
        halves = x.mean(axis=(1, 3))
        out: NDArray[np.float32] = np.full((len(x), 10), -99, dtype=np.float32)
        out[:, 0], out[:, 1] = 9 * halves[:, :14].sum(1), 9 * halves[:, 14:].sum(1)
        return out

    def shown(logits: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(len(logits))
        out: NDArray[np.float32] = np.eye(10, dtype=np.float32)[logits.argmax(1)]
        return out

    params = {"in_shape": list(data.shape), "classes": 10}
    shop: Any = SimpleNamespace(
        data=data,
        session=lambda digest: session,
        fresh=lambda seed: build("mlp", {**params, "widths": [16]}, seed=seed),
    )
    found = measured(shop, "sha256:1", shown, fidelity=0.8, seeds=1, steps=60)
    assert {one.copyist for one in found} == {"a perceptron", "the same network"}
    assert all(one.queries(0.8) for one in found)
    assert seen == [len(data) - len(data.split("test"))]
