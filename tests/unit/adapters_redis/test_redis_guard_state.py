"""Guard state in a real Redis: the shipped suite, a server that forgets, a server that dies."""

from __future__ import annotations

import subprocess
import time
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest

from hauberk.core.errors import ConfigError, EnvironmentFault
from hauberk.testing.guard_state import ROOM, guard_state_checks
from hauberk.testing.store_checks import make_record

redis = pytest.importorskip("redis", reason="the redis extra is not installed")
from hauberk.adapters.redis.guard_state import RedisGuardState  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

Server = tuple[str, subprocess.Popen[bytes]]


def opened(server: Server, service: str = "s") -> RedisGuardState:
    return RedisGuardState(server[0], service=service, room=ROOM)


def test_the_shipped_checks(server: Server) -> None:
    numbers = count()
    for check in guard_state_checks().values():
        check(partial(opened, server, f"check {next(numbers)}"))


def test_services_are_apart(server: Server) -> None:
    opened(server, "one").tell("a", [make_record(1)])
    opened(server, "one").put("order", b"x")
    other = opened(server, "two")
    assert (other.read(0, 9), other.known("a"), other.cell("order").data) == ([], None, b"")


def test_a_server_that_forgot_goes_on_with_higher_numbers(server: Server) -> None:
    state = opened(server)
    state.tell("a", [make_record(1), make_record(2)])
    last = state.last_seq()
    redis.Redis.from_url(server[0]).flushall()
    assert (state.known("a"), state.last_seq()) == (None, 0)
    state.tell("a", [make_record(3)])
    assert [one.id for one in state.read(last, 9)] == ["r3"], "whoever reads on sees it"


def test_a_server_that_dies_is_a_fault_in_one_line(server: Server) -> None:
    state = opened(server)
    server[1].kill()
    server[1].wait()
    started = time.monotonic()
    acts: list[Callable[[], object]] = [
        lambda: state.tell("a", [make_record(1)]),
        lambda: state.known("a"),
        lambda: state.read(0, 1),
        state.last_seq,
        lambda: state.cell("x"),
        lambda: state.put("x", b""),
    ]
    for act in acts:
        with pytest.raises(EnvironmentFault, match="no answer") as caught:
            act()
        assert "127.0.0.1" not in str(caught.value)
    assert time.monotonic() - started < 7


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a Redis URL"):
        RedisGuardState("localhost", service="s", room=1)
