from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hauberk.adapters.local.guard_state import SqliteGuardState
from hauberk.testing.guard_state import ROOM, GuardStateCheck, MemoryGuardState, guard_state_checks

if TYPE_CHECKING:
    from pathlib import Path

CHECKS = guard_state_checks()


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_in_a_file(check: GuardStateCheck, tmp_path: Path) -> None:
    check(lambda: SqliteGuardState(tmp_path / "guard.db", room=ROOM))


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_in_memory(check: GuardStateCheck) -> None:
    state = MemoryGuardState()
    check(lambda: state)
