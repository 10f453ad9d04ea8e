"""What gateways know together, in Redis or Valkey: a stream of records, and cells by version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.adapters.kept import FORGET, check_size, numbered, packed
from hauberk.adapters.redis.client import open_client
from hauberk.core.errors import DataError, EnvironmentFault
from hauberk.core.ports import Cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.core.record import Record

# Numbers start at the server's time in microseconds: so they go up even where it forgot them.
_TELL = """
local known = tonumber(redis.call('GET', KEYS[3]) or '0')
local number = redis.call('GET', KEYS[2])
if not number then
  local clock = redis.call('TIME')
  number = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
end
number = tonumber(number)
local before = number
for i = 3, #ARGV, 2 do
  local seq = tonumber(ARGV[i])
  if seq > known then
    number, known = number + 1, seq
    local id = string.format('%.0f-0', number)
    redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[1], id, 'r', ARGV[i + 1])
  end
end
if number > before then
  redis.call('SET', KEYS[2], string.format('%.0f', number))
  redis.call('SET', KEYS[3], string.format('%.0f', known), 'EX', ARGV[2])
end
return string.format('%.0f', known)
"""
_PUT = """
local version = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
if ARGV[1] ~= '' and version ~= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', version + 1, 'data', ARGV[2])
return version + 1
"""


class RedisGuardState:
    """A :class:`hauberk.core.ports.GuardState` of one service, for gateways on any machine.

    Every call ends within about ``timeout`` seconds. A server that lost its memory is taken for a
    new one whose numbers are higher.

    Raises:
        ConfigError: if the URL cannot be read, or the redis client is not installed.
    """

    def __init__(self, url: str, *, service: str, room: int, timeout: float = 1.0) -> None:
        self._client, self._failures = open_client(url, where="share.redis", timeout=timeout)
        self._tell = self._client.register_script(_TELL)
        self._put = self._client.register_script(_PUT)
        # The braces keep a service's keys on one node of a cluster, where a script needs them.
        self._prefix, self._room = f"hauberk:{{{service}}}:", room

    def tell(self, log: str, records: Sequence[Record]) -> int:
        keys = [self._prefix + name for name in ("records", "last", f"log:{log}")]
        words: list[Any] = [self._room, FORGET]
        for record in records:
            words += [record.seq, packed(record)]
        try:
            return int(self._tell(keys=keys, args=words))
        except self._failures as error:
            raise _silent(error) from None

    def known(self, log: str) -> int | None:
        found = self._ask("get", self._prefix + f"log:{log}")
        return None if found is None else int(found)

    def read(self, after: int, limit: int) -> list[Record]:
        rows = self._ask("xrange", self._prefix + "records", f"{after + 1}-0", "+", limit)
        try:
            return [numbered(int(name.partition(b"-")[0]), row[b"r"]) for name, row in rows]
        except (msgspec.DecodeError, RecursionError, KeyError, ValueError):
            raise DataError("not a record", where="share.redis") from None

    def last_seq(self) -> int:
        return int(self._ask("get", self._prefix + "last") or 0)

    def cell(self, name: str) -> Cell:
        version, data = self._ask("hmget", self._prefix + f"cell:{name}", ["version", "data"])
        return Cell(int(version or 0), data or b"")

    def put(self, name: str, data: bytes, *, over: int | None = None) -> int | None:
        check_size(name, data)
        words = ["" if over is None else over, data]
        try:
            version = int(self._put(keys=[self._prefix + f"cell:{name}"], args=words))
        except self._failures as error:
            raise _silent(error) from None
        return version or None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, command: str, *words: Any) -> Any:
        try:
            return getattr(self._client, command)(*words)
        except self._failures as error:
            raise _silent(error) from None


def _silent(error: Exception) -> EnvironmentFault:
    # The message of the client may repeat the URL, and so a password.
    return EnvironmentFault(f"no answer ({type(error).__name__})", where="share.redis")
