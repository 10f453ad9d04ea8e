"""Room: how many bytes of bodies are in memory at once; who finds none is not read until then.

A body that must be looked at must be held. How many are is bounded not by how many clients there
are but by what they take together: the others wait in their own buffers and the system's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from hauberk.faces.gateway.body import NUMBER, encoding_of
from hauberk.faces.gateway.codec_binary import HEADER
from hauberk.faces.gateway.faults import NotNow

if TYPE_CHECKING:
    from hauberk.faces.gateway.body import Headers

_SMALL = 2**18
# A number is an object and a place in a list before it is a value, and four letters before that.
_TEXT, _FILTERED = 8, 2.5


def need_of(headers: Headers, *, limit: int, filtered: bool, text: bool = False) -> int:
    """Bytes that a body and what is made of it will take; 0 where that is little.

    It takes what it announces, or as much as it may be. ``filtered`` tensors are copied once, as
    bytes once more; those in ``text``, on either side, become numbers one by one.
    """
    given = headers.one(b"content-length")
    size = int(given) if given is not None and NUMBER.match(given) else limit
    if size > limit:
        return 0  # refused before a byte of it is read
    if encoding_of(headers) != b"identity":
        size += limit
    if size <= _SMALL:
        return 0
    if text or headers.one(HEADER) is None:
        return _TEXT * size
    return int(_FILTERED * size) if filtered else size


class Room:
    """``size`` bytes, shared out in the order of coming. To be used from one event loop."""

    def __init__(self, size: int) -> None:
        self._size = self.free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    async def take(self, need: int, *, seconds: float) -> int:
        """Wait for room; what was taken, to be given back. More than all of it takes all.

        Raises:
            NotNow: if there is none after ``seconds``.
        """
        need = min(need, self._size)
        if not need or (not self._waiting and need <= self.free):
            self.free -= need
            return need
        came: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((need, came))
        try:
            async with asyncio.timeout(seconds):
                await came
        except BaseException as error:
            if came.done() and not came.cancelled():
                self.give(need)
            else:
                came.cancel()
                self._share()
            if isinstance(error, TimeoutError):
                raise NotNow("too many large requests at once") from None
            raise
        return need

    def give(self, held: int) -> None:
        """Give back what was taken."""
        self.free += held
        if self._waiting:
            self._share()

    def _share(self) -> None:
        while self._waiting:
            need, came = self._waiting[0]
            if not came.done():
                if need > self.free:
                    return
                self.free -= need
                came.set_result(None)
            self._waiting.popleft()


class Rooms:
    """A room for all, of which nobody takes more than half: who sends slowly keeps no other out."""

    def __init__(self, size: int) -> None:
        self._half = max(1, size // 2)
        self.all = Room(size)
        self._own: dict[str, Room] = {}

    async def take(self, owner: str, need: int, *, seconds: float) -> int:
        """Wait for room; what was taken, to be given back. More than a half takes half.

        Raises:
            NotNow: if there is none after ``seconds``.
        """
        need = min(need, self._half)
        if not need:
            return 0
        own = self._own.setdefault(owner, Room(self._half))
        held = 0
        try:
            held = await own.take(need, seconds=seconds)
            return await self.all.take(need, seconds=seconds)
        except BaseException:
            self._return(owner, own, held)
            raise

    def give(self, owner: str, held: int) -> None:
        """Give back what was taken."""
        if held:
            self._return(owner, self._own[owner], held)
            self.all.give(held)

    def _return(self, owner: str, own: Room, held: int) -> None:
        own.give(held)
        if own.free == self._half and not own.waited_for:
            self._own.pop(owner, None)
