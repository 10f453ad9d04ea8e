"""Quotas in Redis or Valkey: one script a call, so that replicas never count past each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hauberk.access.quota import LEASE
from hauberk.adapters.redis.client import open_client
from hauberk.core.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.access.quota import Charge, Seat

_PREFIX = "hauberk:"
# The server's clock counts, since those of replicas differ. All buckets are charged or none.
_TAKE = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local wait = 0
local after = {}
for i, key in ipairs(KEYS) do
  local cost, period, depth = tonumber(ARGV[3*i-2]), tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i])
  if cost > depth then return '-1' end
  local full = tonumber(redis.call('GET', key) or '0')
  after[i] = math.max(full, now) + cost * period
  wait = math.max(wait, after[i] - now - depth * period)
end
if wait > 0 then return string.format('%.6f', wait) end
for i, key in ipairs(KEYS) do
  local life = math.ceil((after[i] - now) * 1000) + 1
  redis.call('SET', key, string.format('%.6f', after[i]), 'PX', life)
end
return '0'
"""
_ENTER = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('EXPIRE', KEYS[1], math.ceil(tonumber(ARGV[3])) + 1)
return 1
"""


class RedisQuotas:
    """A :class:`hauberk.access.quota.Quotas` that replicas share.

    Every call ends within about ``timeout`` seconds. ``at`` is passed over: the server's clock
    counts. Nothing is repeated, since a charge that was lost on its way back may have counted.

    Raises:
        ConfigError: if the URL cannot be read, or the redis client is not installed.
    """

    def __init__(self, url: str, *, timeout: float = 0.25) -> None:
        self._client, self._failures = open_client(url, where="quota.redis", timeout=timeout)
        self._take = self._client.register_script(_TAKE)
        self._enter = self._client.register_script(_ENTER)

    def take(self, charges: Sequence[Charge], *, at: float) -> float:
        del at
        keys = [_PREFIX + one.key for one in charges]
        numbers = [repr(n) for one in charges for n in (one.cost, one.period, one.depth)]
        try:
            wait = float(self._take(keys=keys, args=numbers))
        except self._failures as error:
            raise _silent(error) from None
        return math.inf if wait < 0 else wait

    def enter(self, seat: Seat, *, at: float) -> bool:
        del at
        try:
            got = self._enter(
                keys=[_PREFIX + seat.key], args=[seat.lease, str(seat.limit), str(LEASE)]
            )
        except self._failures as error:
            raise _silent(error) from None
        return bool(got)

    def leave(self, seat: Seat) -> None:
        try:
            self._client.zrem(_PREFIX + seat.key, seat.lease)
        except self._failures as error:
            raise _silent(error) from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _silent(error: Exception) -> EnvironmentFault:
    # The message of the client may repeat the URL, and so a password.
    return EnvironmentFault(f"no answer ({type(error).__name__})", where="quota.redis")
