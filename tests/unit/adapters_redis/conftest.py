from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hauberk.testing.servers import redis_program, redis_server

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    if redis_program() is None:
        pytest.skip("no redis-server on this machine")
    with redis_server(tmp_path) as started:
        yield started
