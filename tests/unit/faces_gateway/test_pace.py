from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hauberk.faces.gateway.outputs import Blunt
from hauberk.faces.gateway.pace import Pace
from hauberk.testing.asking import OPERATOR, ask, json_body
from hauberk.testing.gateway_bench import SHAPE, Bench

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.faces.gateway.pace import How

X = np.random.default_rng(0).uniform(size=(2, *SHAPE)).astype(np.float32)


def test_within_the_budget_all_are_screened_first() -> None:
    pace = Pace(budget=0.01, typical=0.009, draw=lambda: 0.999)
    assert {pace.choose() for _ in range(50)} == {"inline"}
    assert Pace(budget=None, typical=100.0).choose() == "inline"


def test_beyond_it_as_many_as_fit_or_afterwards() -> None:
    told: list[How] = []
    draws = iter(np.linspace(0, 1, 1000, endpoint=False))
    pace = Pace(
        budget=0.01, over="sample", typical=0.04, draw=lambda: next(draws), told=told.append
    )
    chosen = [pace.choose() for _ in range(1000)]
    assert chosen == told
    assert chosen.count("inline") == 250
    assert set(chosen) == {"inline", "sampled-out"}
    after = Pace(budget=0.01, over="after", typical=0.04, draw=lambda: 0.5)
    assert after.choose() == "after"
    assert after.choose(must=True) == "inline"
    for _ in range(100):
        after.took(0.001)
    assert after.choose() == "inline", "it became quick again"


def over(bench: Bench, how: str) -> Any:
    plane = bench.gateway.app.plane
    pace = plane.pace
    pace.budget, pace.typical, pace.over = 1e-9, 1.0, how  # type: ignore[assignment]
    pace.draw = lambda: 0.999
    return plane


@pytest.mark.parametrize("how", ["after", "sample"])
def test_over_budget_the_answer_comes_and_the_metrics_say_so(tmp_path: Path, how: str) -> None:
    bench = Bench.make(tmp_path)
    plane = over(bench, how)
    answer = bench.infer(X).json()
    assert answer["parameters"]["hauberk_outcome"] == "pass"
    page = ask(bench.gateway, "GET", "/metrics", token=OPERATOR).text
    name = {"after": "after", "sample": "sampled-out"}[how]
    assert f'hauberk_screened_total{{how="{name}"}} 1.0' in page
    plane.afterwards.close()
    records = bench.records()
    assert len(records) == 2
    assert [record.score is None for record in records] == [how == "sample"] * 2


def test_screened_afterwards_is_screened_the_same(tmp_path: Path) -> None:
    first, second = (Bench.make(tmp_path / name) for name in ("a", "b") if _made(tmp_path / name))
    plane = over(second, "after")
    for bench in (first, second):
        bench.infer(X)
    plane.afterwards.close()
    told = [
        [(r.label, r.twin_label, r.score, r.p_benign, r.outcome) for r in bench.records()]
        for bench in (first, second)
    ]
    assert told[0] == told[1]


def _made(path: Path) -> bool:
    path.mkdir()
    return True


def test_where_the_gateway_abstains_the_budget_does_not_count(tmp_path: Path) -> None:
    bench = Bench.make(tmp_path)
    over(bench, "after")
    bench.gateway.pool.arrange(bench.routing(mode="abstain"))
    bench.infer(X)
    assert all(record.score is not None for record in bench.records())


def test_no_room_afterwards_is_told_unscreened_and_counted(tmp_path: Path) -> None:
    bench = Bench.make(tmp_path)
    plane = over(bench, "after")
    plane.afterwards.close()  # takes nothing more
    assert bench.infer(X).status_code == 200
    page = ask(bench.gateway, "GET", "/metrics", token=OPERATOR).text
    assert "hauberk_screen_dropped_total 1.0" in page
    assert [record.score for record in bench.records()] == [None, None]


LOGITS = arrays(np.float32, (3, 5), elements=st.floats(-50, 50, width=32))


@given(LOGITS, st.integers(1, 6), st.one_of(st.none(), st.integers(0, 6)))
def test_blunt_scores_keep_the_label_and_show_few_classes(
    logits: Any, k: int, digits: int | None
) -> None:
    blunt = Blunt(top_k=k, digits=digits)
    shown, chances = blunt.logits(logits), blunt.probabilities(logits)
    rows = np.arange(3)
    assert (shown[rows, logits.argmax(1)] == shown.max(1)).all()
    assert (chances[rows, logits.argmax(1)] == chances.max(1)).all()
    full = Blunt().probabilities(logits)  # classes apart by little have the same probability
    ties = (full == np.sort(full, axis=1)[:, [-min(k, 5)]]).sum(1) - 1
    assert ((chances > 0).sum(1) <= k + 5 * (ties > 0)).all()
    if digits is not None:
        np.testing.assert_allclose(shown, np.round(shown, digits))


def test_nothing_blunted_is_what_the_model_said() -> None:
    logits = np.array([[1.25, -3.5, 0.125]], np.float32)
    assert Blunt().logits(logits) is logits
    np.testing.assert_allclose(Blunt().probabilities(logits).sum(1), 1.0, rtol=1e-6)


def test_a_gateway_blunts_as_the_spec_says(tmp_path: Path) -> None:
    from hauberk.core.ports import Routing
    from hauberk.testing.asking import fake_gateway
    from hauberk.testing.gateway_fakes import FakeWorld, MemoryLog

    world = FakeWorld(tmp_path)
    gateway = fake_gateway(
        tmp_path / "s",
        world,
        MemoryLog(),
        routing=Routing(primary=world.linear((2,))),
        spec={"serve": {"round_digits": 1, "top_k": 1}},
    )
    body = json_body(np.full((1, 2), 0.5, np.float32), outputs=[{"name": "probabilities"}])
    data = ask(gateway, "POST", "/v2/models/m/infer", json=body).json()["outputs"][0]["data"]
    assert sum(value > 0 for value in data) == 1
    assert all(abs(value * 10 - round(value * 10)) < 1e-5 for value in data)
