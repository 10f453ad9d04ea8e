from __future__ import annotations

import pytest

from hauberk.adapters.upstream.breaker import Breaker
from hauberk.adapters.upstream.trouble import Trouble


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_tries_once_and_closes() -> None:
    clock = Clock()
    breaker = Breaker(failures=3, pause=5.0, clock=clock)
    for _ in range(2):
        breaker.enter()
        breaker.fail()
    breaker.enter()
    breaker.succeed()
    for _ in range(3):
        assert str(breaker.state) == "closed"
        breaker.enter()
        breaker.fail()
    assert str(breaker.state) == "open"
    with pytest.raises(Trouble, match="too often") as caught:
        breaker.enter()
    assert caught.value.kind == "paused"
    assert not caught.value.sent
    clock.now = 5.0
    assert str(breaker.state) == "half-open"
    breaker.enter()
    with pytest.raises(Trouble):
        breaker.enter()
    breaker.succeed()
    breaker.enter()
    assert str(breaker.state) == "closed"


def test_a_failed_or_lost_trial_opens_it_anew() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, pause=5.0, clock=clock)
    breaker.fail()
    clock.now = 5.0
    breaker.enter()
    breaker.fail()
    clock.now = 9.9
    with pytest.raises(Trouble):
        breaker.enter()
    clock.now = 10.0
    breaker.enter()  # never comes back
    clock.now = 15.0
    breaker.enter()
