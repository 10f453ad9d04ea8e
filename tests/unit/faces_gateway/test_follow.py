"""A gateway that is one of several follows what is ordered for all."""

from pathlib import Path

import msgspec
import pytest

from hauberk.adapters.kserve.replicas import FOLDER
from hauberk.adapters.local.files import write_file
from hauberk.core.errors import ConfigError
from hauberk.core.ports import Routing
from hauberk.faces.gateway.follow import Follower, OrdersFile, replica_folder


class Pool:
    def __init__(self) -> None:
        self.taken: list[Routing] = []
        self.refuses = False

    def arrange(self, routing: Routing) -> None:
        if self.refuses:
            raise ConfigError("not now")
        self.taken.append(routing)


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, event: str, **_: object) -> None:
        self.lines.append(event)


A, B = ("sha256:" + letter * 64 for letter in "ab")


def order(path: Path, routing: Routing) -> None:
    write_file(path, msgspec.json.encode(routing))


def test_orders_are_followed_once_and_by_the_part_of_the_revision(tmp_path: Path) -> None:
    pool, log = Pool(), Log()
    orders = tmp_path / "routing.json"
    canary = Follower(OrdersFile(orders), digest=B)
    canary.step(pool, log)  # type: ignore[arg-type]
    assert pool.taken == [], "nothing is ordered yet"
    order(orders, Routing(primary=A, canary=B, canary_share=0.2))
    for _ in range(3):
        canary.step(pool, log)  # type: ignore[arg-type]
    assert [one.canary_share for one in pool.taken] == [1.0]
    Follower(OrdersFile(orders), digest=A).step(pool, log)  # type: ignore[arg-type]
    assert pool.taken[-1].canary is None
    Follower(OrdersFile(orders)).step(pool, log)  # type: ignore[arg-type]
    assert pool.taken[-1].canary_share == 0.2, "alone it carries out the whole"


def test_what_cannot_be_followed_is_told_once_and_tried_again(tmp_path: Path) -> None:
    pool, log, orders = Pool(), Log(), tmp_path / "routing.json"
    follower = Follower(OrdersFile(orders))
    orders.write_bytes(b"{")
    follower.step(pool, log)  # type: ignore[arg-type]
    pool.refuses = True
    order(orders, Routing(primary=A))
    for _ in range(3):
        follower.step(pool, log)  # type: ignore[arg-type]
    assert log.lines == ["orders not followed", "orders not followed"]
    pool.refuses = False
    follower.step(pool, log)  # type: ignore[arg-type]
    assert [one.primary for one in pool.taken] == [A]


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "a..b", "."])
def test_a_replica_keeps_to_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        replica_folder(tmp_path, name)


def test_a_replica_keeps_what_is_its_own_apart(tmp_path: Path) -> None:
    assert replica_folder(tmp_path, "m-00001-abc") == tmp_path / FOLDER / "m-00001-abc"
