"""Bodies in memory: no more than there is room for, in the order of coming."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hauberk.core.ports import Routing
from hauberk.faces.gateway.body import Headers
from hauberk.faces.gateway.faults import NotNow
from hauberk.faces.gateway.room import Room, Rooms, need_of
from hauberk.testing.asking import CLIENT, binary_body, fake_gateway
from hauberk.testing.gateway_fakes import FakeWorld, MemoryLog

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.faces.gateway.compose import Gateway

MIB = 2**20


@given(st.lists(st.integers(0, 120), max_size=30), st.integers(1, 100))
def test_never_more_than_there_is_and_all_come_in_turn(needs: list[int], size: int) -> None:
    room, order = Room(size), list[int]()

    async def one(number: int, need: int) -> None:
        held = await room.take(need, seconds=5)
        order.append(number)
        assert 0 <= room.free <= size
        await asyncio.sleep(0)
        room.give(held)

    async def go() -> None:
        await asyncio.gather(*(one(number, need) for number, need in enumerate(needs)))

    asyncio.run(go())
    assert room.free == size
    waited = [number for number in order if needs[number]]
    assert waited == sorted(waited)


def test_who_waits_too_long_or_leaves_takes_nothing() -> None:
    async def go() -> None:
        room = Room(10)
        held = await room.take(8, seconds=1)
        with pytest.raises(NotNow):
            await room.take(5, seconds=0.01)
        leaver = asyncio.ensure_future(room.take(9, seconds=1))
        after = asyncio.ensure_future(room.take(2, seconds=1))
        await asyncio.sleep(0)
        leaver.cancel()
        assert await after == 2, "who waited behind one that left has its turn"
        room.give(held)
        late = asyncio.ensure_future(room.take(9, seconds=1))
        await asyncio.sleep(0)
        room.give(2)
        late.cancel()  # it was let in, and does not know it yet
        await asyncio.gather(late, return_exceptions=True)
        assert room.free == 10

    asyncio.run(go())


def test_nobody_keeps_the_others_out() -> None:
    async def go() -> None:
        rooms = Rooms(100)
        held = [await rooms.take("slow", 25, seconds=1) for _ in range(2)]
        waits = asyncio.ensure_future(rooms.take("slow", 1, seconds=1))
        await asyncio.sleep(0)
        assert not waits.done(), "it has its half"
        assert await rooms.take("other", 80, seconds=1) == 50, "more than a half takes half"
        for one in held:
            rooms.give("slow", one)
        assert await waits == 1
        with pytest.raises(NotNow):
            await asyncio.gather(*(rooms.take("third", 50, seconds=0.01) for _ in range(2)))
        rooms.give("slow", 1)
        rooms.give("other", 50)
        assert await rooms.take("third", 0, seconds=1) == 0
        assert rooms.all.free == 100, "who was turned away holds nothing"
        assert not rooms._own

    asyncio.run(go())


@pytest.mark.parametrize(
    ("headers", "need"),
    [
        ({b"content-length": b"1000"}, 0),
        ({b"content-length": b"%d" % (4 * MIB)}, 8 * 4 * MIB),
        ({b"content-length": b"%d" % (4 * MIB), b"inference-header-content-length": b"9"}, 4 * MIB),
        ({b"inference-header-content-length": b"9"}, 16 * MIB),
        ({b"content-length": b"1000", b"content-encoding": b"gzip"}, 8 * (16 * MIB + 1000)),
        ({b"content-length": b"%d" % (17 * MIB)}, 0),
        ({b"content-length": b"x", b"inference-header-content-length": b"9"}, 16 * MIB),
    ],
)
def test_what_a_body_needs(headers: dict[bytes, bytes], need: int) -> None:
    given_ = Headers(headers.items())
    assert need_of(given_, limit=16 * MIB, filtered=False) == need


def test_a_body_waits_unread_until_there_is_room(tmp_path: Path) -> None:
    world = FakeWorld(tmp_path)
    shape = (3, 512, 512)
    gateway = fake_gateway(
        tmp_path / "state",
        world,
        MemoryLog(),
        routing=Routing(primary=world.linear(shape)),
        spec={"serve": {"max_bodies_bytes": 4 * MIB, "max_body_bytes": 4 * MIB}},
    )
    body, headers = binary_body(np.zeros((1, *shape), np.float32))
    assert asyncio.run(_overtake(gateway, body, headers)) == [200, 200]
    assert gateway.app.rooms.all.free == 8 * MIB


async def _overtake(gateway: Gateway, body: bytes, headers: dict[str, str]) -> list[int]:
    """Two requests of which the first sends its body late; the second is not read before it."""
    given_ = {**headers, "Authorization": f"Bearer {CLIENT}", "Content-Length": str(len(body))}
    pairs = [(key.lower().encode(), value.encode()) for key, value in given_.items()]
    scope = {"type": "http", "method": "POST", "path": "/v2/models/m/infer", "headers": pairs}
    codes, reads = list[int](), list[tuple[str, float]]()

    async def one(name: str, pause: float) -> None:
        async def receive() -> dict[str, object]:
            reads.append((name, time.monotonic()))
            await asyncio.sleep(pause)
            return {"type": "http.request", "body": body}

        async def send(message: dict[str, object]) -> None:
            if "status" in message:
                assert isinstance(message["status"], int)
                codes.append(message["status"])

        await gateway.app(scope, receive, send)  # type: ignore[arg-type]

    await asyncio.gather(one("first", 0.2), one("second", 0.0))
    assert [name for name, _ in reads] == ["first", "second"]
    assert reads[1][1] - reads[0][1] >= 0.2
    return codes
