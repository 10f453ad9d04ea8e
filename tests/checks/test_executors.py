"""Every engine that is at hand passes the suite that authors of engines are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hauberk.adapters.local.pool import Inline, Processes
from hauberk.core.errors import UserError
from hauberk.testing.executor_checks import executor_checks

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.core.ports import Executor
    from hauberk.testing.executor_checks import Check

SUITES: dict[str, tuple[Executor, dict[str, Check]]] = {
    "inline": (Inline(), executor_checks(own_process=True)),
    "processes": (Processes(workers=2), executor_checks()),
}
ALL = [
    pytest.param(engine, check, id=f"{name}: {what}")
    for name, (engine, suite) in SUITES.items()
    for what, check in suite.items()
]


@pytest.mark.parametrize(("engine", "check"), ALL)
def test_engine(engine: Executor, check: Check, tmp_path: Path) -> None:
    check(engine, tmp_path)


def test_numbers_out_of_range() -> None:
    for build in (lambda: Inline(workers=2), lambda: Processes(workers=0)):
        with pytest.raises(UserError):
            build()
