"""A gateway that is one of several follows what is ordered for all."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from hauberk.adapters.kserve.replicas import FOLDER
from hauberk.adapters.local.files import write_file
from hauberk.core.errors import ConfigError, EnvironmentFault
from hauberk.core.ports import Routing
from hauberk.faces.gateway.follow import Follower, OrdersFile, replica_folder


class Pool:
    def __init__(self) -> None:
        self.taken: list[Routing] = []
        self.refuses = False

    @property
    def lineup(self) -> Any:
        return SimpleNamespace(routing=self.taken[-1]) if self.taken else None

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


class Silence:
    """Orders that cannot be had for a while."""

    def __init__(self, data: bytes) -> None:
        self.data, self.silent = data, False

    def __call__(self) -> bytes:
        if self.silent:
            raise EnvironmentFault("no answer")
        return self.data


@pytest.mark.parametrize(
    ("routing", "patience", "contains"),
    [
        (Routing(primary=A, twin=B), 5.0, True),
        (Routing(primary=A, twin=B), None, False),
        (Routing(primary=A), 5.0, False),
        (Routing(primary=A, twin=B, mode="contained"), 5.0, False),
    ],
    ids=["twin", "keep", "no twin", "contained already"],
)
def test_who_hears_nothing_goes_to_its_twin_until_it_hears(
    routing: Routing, patience: float | None, *, contains: bool
) -> None:
    pool, log, now, cut = Pool(), Log(), [0.0], [0]
    orders = Silence(msgspec.json.encode(routing))
    follower = Follower(orders, "", patience, lambda: now[0], cut.append)
    follower.step(pool, log)  # type: ignore[arg-type]
    orders.silent = True
    for now[0] in (1.0, 4.9):
        follower.step(pool, log)  # type: ignore[arg-type]
    assert pool.taken == [routing], "it bears a moment's silence"
    for now[0] in (5.1, 6.0, 7.0):
        follower.step(pool, log)  # type: ignore[arg-type]
    safe = msgspec.structs.replace(routing, mode="contained")
    assert pool.taken == [routing, safe][: 1 + contains]
    assert cut[-1] == int(contains)
    orders.silent = False
    follower.step(pool, log)  # type: ignore[arg-type]
    assert pool.taken[-1] == routing
    assert cut[-1] == 0
    orders.silent = True
    now[0] = 8.0
    follower.step(pool, log)  # type: ignore[arg-type]
    assert pool.taken[-1] == routing, "it heard a moment ago"


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "a..b", "."])
def test_a_replica_keeps_to_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        replica_folder(tmp_path, name)


def test_a_replica_keeps_what_is_its_own_apart(tmp_path: Path) -> None:
    assert replica_folder(tmp_path, "m-00001-abc") == tmp_path / FOLDER / "m-00001-abc"
