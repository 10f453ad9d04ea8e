"""TensorFlow Serving over REST: ``instances`` in, ``predictions`` out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hauberk.adapters.upstream.reading import chosen, garbage
from hauberk.adapters.upstream.trouble import Trouble

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.adapters.upstream.channel import Channel
    from hauberk.core.spec import UpstreamSpec

_SIGNATURE = "serving_default"


class TensorFlowServing:
    """Asks the default signature of a model in row format."""

    def __init__(self, spec: UpstreamSpec, channel: Channel) -> None:
        self._spec, self._channel = spec, channel
        version = f"/versions/{spec.version}" if spec.version else ""
        self._path = f"/v1/models/{spec.model}{version}"
        self._input = spec.input

    def describe(self) -> tuple[tuple[int, ...], int | None]:
        """Shape of a row and number of classes by the signature, where the server shows it.

        Raises:
            Trouble: if it does not answer.
        """
        try:
            reply = self._channel.get(f"{self._path}/metadata")
        except Trouble as trouble:
            if trouble.kind != "refused":
                raise
            return (), None
        with garbage("its metadata"):
            told = msgspec.json.decode(reply.body)["metadata"]["signature_def"]["signature_def"]
            signature = told[_SIGNATURE]
            shape = _sizes(signature["inputs"], self._input)
            given = _sizes(signature["outputs"], self._spec.output)
        return shape, given[0] if len(given) == 1 and self._spec.gives != "labels" else None

    def ask(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """The output for rows.

        Raises:
            Trouble: if there is none.
        """
        rows = x.tolist()
        instances = [{self._input: row} for row in rows] if self._input else rows
        body = msgspec.json.encode({"signature_name": _SIGNATURE, "instances": instances})
        kind = {"content-type": "application/json"}
        reply = self._channel.post(f"{self._path}:predict", [body], kind)
        with garbage("its answer"):
            given = msgspec.json.decode(reply.body)["predictions"]
            if given and isinstance(given[0], dict):  # a signature of several outputs
                named = {name: np.array([row[name] for row in given]) for name in given[0]}
                return chosen(named, self._spec.output, "logits")
            return np.array(given)
        raise AssertionError


def _sizes(tensors: dict[str, Any], name: str) -> tuple[int, ...]:
    """Sizes of a row; empty if the tensor is not the only one, or they are not fixed."""
    if not name and len(tensors) != 1:
        return ()
    one = tensors[name] if name else next(iter(tensors.values()))
    shape = one["tensor_shape"]
    if shape.get("unknown_rank"):
        return ()
    sizes = tuple(int(part["size"]) for part in shape.get("dim") or [])[1:]
    return sizes if all(size > 0 for size in sizes) else ()
