"""Any HTTP server that takes rows in JSON and gives outputs in JSON, by a mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hauberk.adapters.upstream.reading import garbage
from hauberk.core.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.adapters.upstream.channel import Channel
    from hauberk.core.spec import UpstreamSpec

_ROWS = "$rows"
_EACH = "*"


class JsonMapping:
    """Posts a body with the rows in their place and follows a path in the answer.

    Raises:
        ConfigError: if the body is no JSON, or has no place for the rows, or two.
    """

    def __init__(self, spec: UpstreamSpec, channel: Channel) -> None:
        self._channel, self._path = channel, tuple(filter(None, spec.answer.split(".")))
        try:
            body = msgspec.json.encode(msgspec.json.decode(spec.request))
        except msgspec.DecodeError as error:
            raise ConfigError(f"not JSON: {error}", where="upstream.request") from None
        parts = body.split(msgspec.json.encode(_ROWS))
        if len(parts) != 2:
            raise ConfigError('must hold "$rows" once', where="upstream.request")
        self._before, self._after = parts

    def describe(self) -> tuple[tuple[int, ...], int | None]:
        """Nothing: a plain server tells nothing about its model."""
        return (), None

    def ask(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """The output for rows.

        Raises:
            Trouble: if there is none.
        """
        body = [self._before, msgspec.json.encode(x.tolist()), self._after]
        reply = self._channel.post("", body, {"content-type": "application/json"})
        with garbage("its answer"):
            return np.array(_follow(msgspec.json.decode(reply.body), self._path))
        raise AssertionError


def _follow(value: Any, path: tuple[str, ...]) -> Any:
    """What lies at the end of a path: keys, positions, ``*`` for each of a list."""
    for place, step in enumerate(path):
        if step == _EACH:
            return [_follow(one, path[place + 1 :]) for one in value]
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value
