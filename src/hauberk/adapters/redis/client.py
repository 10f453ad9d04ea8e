"""A client of Redis or Valkey that gives up soon, and repeats nothing by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.core.errors import ConfigError

if TYPE_CHECKING:
    import redis


def open_client(
    url: str, *, where: str, timeout: float
) -> tuple[redis.Redis, tuple[type[Exception], ...]]:
    """A client of ``url``, and the exceptions by which it says that it got no answer.

    Nothing is repeated, since what was lost on its way back may have counted. ``where`` names the
    setting that the URL is from.

    Raises:
        ConfigError: if the URL cannot be read, or the redis client is not installed.
    """
    try:
        import redis  # noqa: PLC0415 - of an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            "the redis client is not installed", where=where, hint="pip install 'hauberk[redis]'"
        ) from None
    try:
        client = redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
    except ValueError:
        raise ConfigError("not a Redis URL", where=where) from None
    return client, (redis.RedisError, OSError)
