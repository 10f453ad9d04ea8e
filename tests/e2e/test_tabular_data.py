"""Real tables attacked under their constraints: no row breaks one."""

from __future__ import annotations

import pytest
from benchmarks.tabular import DATA, TABLES, attacked, runs, table

pytestmark = pytest.mark.skipif(
    not (DATA / "nsl-kdd").exists(), reason="../shared/data holds no tables"
)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(
    "most", [400, pytest.param(1 << 20, marks=pytest.mark.nightly)], ids=["some", "all"]
)
def test_no_constraint_is_broken(name: str, most: int) -> None:
    data, features = table(name)
    for run in runs(data):
        found = attacked(data, features, run, most)
        assert not any(found["broken"].values()), f"{run[0]}: {found['broken']}"
        assert found["left"] <= found["clean"]
