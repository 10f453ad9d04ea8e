from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from hauberk.testing.asking import CLIENT, OPERATOR, ask
from hauberk.testing.gateway_bench import SHAPE, Bench

if TYPE_CHECKING:
    from pathlib import Path

X = np.full((1, *SHAPE), 0.5, np.float32)
PATH = "/v2/hauberk/log"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench.make(tmp_path)
    sealing = made.gateway.sealing
    assert sealing is not None
    for number in range(3):
        made.infer(X, id=f"mine-{number}")
    ask(made.gateway, "GET", "/v2/models/m", token=OPERATOR)
    sealing.start()
    sealing.close()
    return made


def test_a_principal_reads_its_own_and_nobody_elses(bench: Bench) -> None:
    told = ask(bench.gateway, "GET", PATH).json()
    assert [entry["id"] for entry in told["entries"]] == [f"mine-{n}" for n in range(3)]
    assert {entry["principal"] for entry in told["entries"]} == {"alice"}
    assert told["end"]
    other = ask(bench.gateway, "GET", PATH, token=OPERATOR).json()
    assert {entry["principal"] for entry in other["entries"]} == {"olga"}
    later = ask(bench.gateway, "GET", f"{PATH}?after={told['entries'][1]['n']}").json()
    assert [entry["id"] for entry in later["entries"]] == ["mine-2"]


def test_who_is_not_known_reads_nothing(bench: Bench) -> None:
    assert ask(bench.gateway, "GET", PATH, token=None).status_code == 401
    assert ask(bench.gateway, "POST", PATH, token=CLIENT).status_code == 405


@pytest.mark.parametrize("query", ["after=x", "after=-1", "principal=olga", "after=" + "9" * 30])
def test_another_query_is_a_400(bench: Bench, query: str) -> None:
    assert ask(bench.gateway, "GET", f"{PATH}?{query}").status_code == 400


def test_one_reader_at_a_time(bench: Bench) -> None:
    own = bench.gateway.app.own_log
    assert own is not None
    assert own._one.acquire(blocking=False)
    assert ask(bench.gateway, "GET", PATH).status_code == 503
    own._one.release()
    assert ask(bench.gateway, "GET", PATH).status_code == 200
