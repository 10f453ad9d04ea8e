from __future__ import annotations

import math
import socket
import subprocess
import sys
import time

import pytest

from hauberk.access.quota import Charge, Seat
from hauberk.core.errors import ConfigError, EnvironmentFault

pytest.importorskip("redis", reason="the redis extra is not installed")
from hauberk.adapters.redis.quotas import RedisQuotas


def test_it_counts_as_the_others_do(server: tuple[str, subprocess.Popen[bytes]]) -> None:
    quotas = RedisQuotas(server[0])
    one = Charge("k", 1.0, 10.0, 3.0)
    assert [quotas.take([one], at=0) for _ in range(3)] == [0.0] * 3
    assert quotas.take([one], at=0) == pytest.approx(10.0, abs=1.0)
    assert quotas.take([Charge("k2", 4.0, 10.0, 3.0)], at=0) == math.inf
    both = [Charge("new", 3.0, 10.0, 3.0), one]
    assert quotas.take(both, at=0) > 0
    assert quotas.take(both[:1], at=0) == 0.0, "all or none"
    seats = [Seat("s", str(n), 2) for n in range(3)]
    assert [quotas.enter(seat, at=0) for seat in seats] == [True, True, False]
    quotas.leave(seats[1])
    assert quotas.enter(seats[2], at=0)
    quotas.close()


SCRIPT = """
import sys, time
from hauberk.access.quota import Charge
from hauberk.adapters.redis.quotas import RedisQuotas
quotas, passed, end = RedisQuotas(sys.argv[1], timeout=5), 0, time.monotonic() + 1.5
while time.monotonic() < end:
    passed += quotas.take([Charge("shared", 1.0, 1e-9 + 3600 / 500, 500.0)], at=0) == 0.0
print(passed)
"""


def test_two_processes_share_a_quota(server: tuple[str, subprocess.Popen[bytes]]) -> None:
    command = [sys.executable, "-c", SCRIPT, server[0]]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    passed = [int(process.communicate(timeout=60)[0]) for process in both]
    assert abs(sum(passed) - 500) <= 5, passed


def test_a_server_that_dies_is_a_fault_in_one_line(
    server: tuple[str, subprocess.Popen[bytes]],
) -> None:
    quotas = RedisQuotas(server[0])
    assert quotas.take([Charge("k", 1.0, 1.0, 3.0)], at=0) == 0.0
    server[1].kill()
    server[1].wait()
    started = time.monotonic()
    with pytest.raises(EnvironmentFault) as caught:
        quotas.take([Charge("k", 1.0, 1.0, 3.0)], at=0)
    assert time.monotonic() - started < 2
    assert "127.0.0.1" not in str(caught.value)


def test_a_server_that_does_not_answer_is_given_up() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        quotas = RedisQuotas(f"redis://:hidden@127.0.0.1:{sock.getsockname()[1]}/0", timeout=0.1)
        started = time.monotonic()
        with pytest.raises(EnvironmentFault) as caught:
            quotas.enter(Seat("s", "1", 1), at=0)
        assert time.monotonic() - started < 2
        assert "hidden" not in str(caught.value)


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(ConfigError):
        RedisQuotas("localhost")
