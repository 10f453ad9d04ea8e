"""Real tables attacked under their constraints: no row breaks one."""

from __future__ import annotations

import pytest
from benchmarks.tabular import DATA, TABLES, attacked, by_answers, by_gradients, table

pytestmark = pytest.mark.skipif(
    not (DATA / "nsl-kdd").exists(), reason="../shared/data holds no tables"
)


@pytest.mark.parametrize("name", TABLES)
def test_no_constraint_is_broken(name: str) -> None:
    data, features = table(name)
    for run in (*by_gradients(data), *by_answers(data)):
        found = attacked(data, features, run, 400)
        assert not any(found["broken"].values()), f"{run[0]}: {found['broken']}"
        assert found["left"] <= found["clean"]


@pytest.mark.nightly
def test_no_constraint_is_broken_in_a_hundred_thousand_rows() -> None:
    total = 0
    for name in TABLES:
        data, features = table(name)
        for run in by_gradients(data):
            found = attacked(data, features, run)
            assert not any(found["broken"].values()), f"{run[0]}: {found['broken']}"
            total += found["n"]
    assert total >= 100_000
