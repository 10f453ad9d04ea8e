from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hauberk.core.errors import DataError
from hauberk.monitor.principals import Principals

WIN, LOSE = np.array([20.0]), np.array([0.9])


def test_shares_of_alpha_sum_to_alpha_over_any_number() -> None:
    clients = Principals(capacity=3, bets=1)
    shares = [1 / clients.play(f"c{i}", LOSE).limit(0.01) for i in range(500)]
    assert sum(shares) == pytest.approx(0.01 * (1 - 1 / 501))


def test_the_least_suspect_makes_room() -> None:
    clients = Principals(capacity=3, bets=1)
    for _ in range(5):
        clients.play("attacker", WIN)
    for i in range(100):
        clients.play(f"flood {i}", LOSE)
    assert len(clients.accounts) == 3
    assert "attacker" in clients.accounts
    assert clients.play("attacker", WIN).number == 1


def test_a_client_that_returns_opens_a_new_account() -> None:
    clients = Principals(capacity=1, bets=1)
    assert [clients.play(name, LOSE).number for name in "aba"] == [1, 2, 3]
    assert clients.play("a", LOSE).limit(0.5) == pytest.approx(3 * 4 / 0.5)


def test_a_hundred_thousand_clients_fit_and_the_poorest_still_makes_room() -> None:
    clients = Principals(capacity=100_000, bets=1)
    clients.play("attacker", WIN)
    for i in range(100_500):
        clients.play(f"c{i}", LOSE)
    assert len(clients.accounts) == 100_000
    assert "attacker" in clients.accounts
    assert "c0" not in clients.accounts


def test_long_names_are_cut() -> None:
    clients = Principals(capacity=2, bets=1)
    clients.play("x" * 10_000, LOSE)
    assert len(next(iter(clients.accounts))) == 256


def test_round_trip_goes_on_alike() -> None:
    one = Principals(capacity=2, bets=1)
    for name in "abcab":
        one.play(name, WIN)
    two = Principals(capacity=2, bets=1).restored(one.state())
    for name in "dabd":
        assert one.play(name, LOSE).evidence == two.play(name, LOSE).evidence
    assert one.state() == two.state()


@pytest.mark.parametrize(
    "state",
    [
        {"opened": "2", "accounts": {}},
        {"opened": -1, "accounts": {}},
        {"opened": 3, "accounts": {str(i): [i, [0, 0.0]] for i in range(1, 4)}},
        {"opened": 0, "accounts": {"a": [1, [0, 0.0]]}},
        {"opened": 1, "accounts": {"a": [1, [0]]}},
    ],
    ids=str,
)
def test_refuses_another_state(state: Any) -> None:
    with pytest.raises(DataError):
        Principals(capacity=2, bets=1).restored(state)
