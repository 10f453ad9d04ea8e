"""A remote model: what another server runs, asked as if it ran here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hauberk.adapters.upstream.breaker import Breaker
from hauberk.adapters.upstream.channel import Channel
from hauberk.adapters.upstream.json_mapping import JsonMapping
from hauberk.adapters.upstream.tensorflow import TensorFlowServing
from hauberk.adapters.upstream.trouble import Trouble
from hauberk.adapters.upstream.v2_grpc import V2Grpc
from hauberk.adapters.upstream.v2_http import V2Http
from hauberk.core.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.core.spec import UpstreamSpec

_LEAST = 1e-12  # below this a probability's logarithm says no more


class Server(Protocol):
    """One protocol's way to ask."""

    def describe(self) -> tuple[tuple[int, ...], int | None]:
        """Shape of a row and number of classes, as far as they are told."""

    def ask(self, x: NDArray[np.float32], /) -> NDArray[Any]:
        """The output for rows."""


class RemoteModel:
    """Float32 inputs ``(batch, *shape)`` to logits ``(batch, classes)`` by way of a server.

    Probabilities become their logarithms, a label the logarithm of all or nothing: so much can be
    known of them. Safe to call from several threads at once.

    Raises:
        ConfigError: if the spec contradicts itself, or neither it nor the server tell the shape.
        Trouble: if the server does not answer.
    """

    def __init__(self, spec: UpstreamSpec, server: Server | None = None) -> None:
        self._spec, self._server = spec, server or _server(spec)
        self.platform = f"upstream_{spec.protocol}"
        self.breaker = Breaker(failures=spec.failures, pause=spec.pause_seconds)
        shape, classes = self._server.describe()
        self.input_shape = tuple(spec.shape or shape)
        if not self.input_shape:
            raise ConfigError("the server does not tell the shape of a row", where="upstream.shape")
        if shape and self.input_shape != shape:
            raise ConfigError(f"the server says {list(shape)}", where="upstream.shape")
        found = spec.classes or classes or self._count()
        if found is None or (classes and found != classes):
            raise ConfigError(f"the server says {classes or 'nothing'}", where="upstream.classes")
        self.classes = found

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``(batch, classes)``.

        Raises:
            Trouble: if the server does not answer them, after the tries that are safe.
        """
        out = self._tried(x)
        return self._logits(out, len(x), self.classes)

    def _tried(self, x: NDArray[np.float32]) -> NDArray[Any]:
        for left in range(self._spec.retries, -1, -1):
            self.breaker.enter()
            try:
                out = self._server.ask(x)
            except Trouble as trouble:
                if trouble.kind == "refused":  # it lives, and finds the request at fault
                    self.breaker.succeed()
                    raise
                self.breaker.fail()
                safe = not trouble.sent or (self._spec.idempotent and trouble.kind != "slow")
                if not left or not safe:
                    raise
            else:
                self.breaker.succeed()
                return out
        raise AssertionError

    def _logits(self, out: NDArray[Any], rows: int, classes: int) -> NDArray[np.float32]:
        if out.dtype.kind not in "iuf":
            raise Trouble("garbage", "its output holds no numbers")
        if self._spec.gives == "labels":
            labels = out.reshape(-1)
            whole = labels.dtype.kind in "iu" or (labels == np.floor(labels)).all()
            if len(labels) != rows or not whole or labels.min() < 0 or labels.max() >= classes:
                raise Trouble("garbage", f"its output is no label of {classes} a row")
            chances = np.zeros((rows, classes))
            chances[np.arange(rows), labels.astype(np.int64)] = 1.0
        elif out.shape != (rows, classes) or not np.isfinite(out).all():
            raise Trouble("garbage", f"its output is not finite of shape ({rows}, {classes})")
        elif self._spec.gives == "logits":
            return out.astype(np.float32, copy=False)
        else:
            chances = out.astype(np.float64)
            if chances.min() < 0.0 or chances.max() > 1.0 + 1e-3:
                raise Trouble("garbage", "its output is no probability")
        logs: NDArray[np.float32] = np.log(np.maximum(chances, _LEAST)).astype(np.float32)
        return logs

    def _count(self) -> int | None:
        """The number of classes of an answer, where nothing else tells it."""
        if self._spec.gives == "labels":
            return None
        middle = (self._spec.low + self._spec.high) / 2
        out = self._server.ask(np.full((1, *self.input_shape), middle, dtype=np.float32))
        return out.shape[1] if out.ndim == 2 else None


def _server(spec: UpstreamSpec) -> Server:
    if spec.protocol == "v2-grpc":
        return V2Grpc(spec)
    kinds: dict[str, Any] = {"v2": V2Http, "tensorflow": TensorFlowServing, "json": JsonMapping}
    made: Server = kinds[spec.protocol](spec, Channel(spec))
    return made
