"""A V2 server over HTTP: KServe, Triton, MLServer, another gateway of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hauberk.adapters.upstream.reading import DTYPES, chosen, garbage, row_shape, tensor
from hauberk.adapters.upstream.trouble import Trouble

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.adapters.upstream.channel import Channel, Reply
    from hauberk.core.spec import UpstreamSpec

_LENGTH = "inference-header-content-length"
_BINARY = {"binary_tensor_data", "binary_tensor_data_extension"}


class V2Http:
    """Asks with raw tensors where the server says that it reads them, else in JSON."""

    def __init__(self, spec: UpstreamSpec, channel: Channel) -> None:
        self._spec, self._channel = spec, channel
        version = f"/versions/{spec.version}" if spec.version else ""
        self._path = f"/v2/models/{spec.model}{version}"
        self._input, self._binary = spec.input, spec.binary

    def describe(self) -> tuple[tuple[int, ...], int | None]:
        """Shape of a row and number of classes, as far as the server tells.

        Raises:
            Trouble: if it does not answer.
        """
        told = self._json(self._path)
        with garbage("its metadata"):
            inputs, outputs = told.get("inputs") or [], told.get("outputs") or []
            if not self._input and inputs:
                self._input = str(inputs[0]["name"])
            shape = row_shape(inputs, self._input)
            given = row_shape(outputs, self._spec.output, "logits")
        if self._binary is None:
            self._binary = self._reads_binary()
        return shape, given[0] if len(given) == 1 and self._spec.gives != "labels" else None

    def ask(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """The output for rows.

        Raises:
            Trouble: if there is none.
        """
        one: dict[str, Any] = {"name": self._input or "input-0", "datatype": "FP32"}
        one["shape"] = list(x.shape)
        head: dict[str, Any] = {"id": "0", "inputs": [one]}
        if self._spec.output:
            head["outputs"] = [{"name": self._spec.output}]
        if not self._binary:
            one["data"] = x.ravel().tolist()
            kind = {"content-type": "application/json"}
            return self._read(
                self._channel.post(f"{self._path}/infer", [msgspec.json.encode(head)], kind)
            )
        one["parameters"] = {"binary_data_size": x.nbytes}
        head["parameters"] = {"binary_data_output": True}
        text = msgspec.json.encode(head)
        kind = {"content-type": "application/octet-stream", _LENGTH: str(len(text))}
        raw = np.ascontiguousarray(x).data.cast("B")
        return self._read(self._channel.post(f"{self._path}/infer", [text, raw], kind))

    def _read(self, reply: Reply) -> NDArray[Any]:
        with garbage("its answer"):
            body = memoryview(reply.body)
            length = int(reply.headers.get(_LENGTH.encode(), len(body)))
            head, rest = msgspec.json.decode(body[:length]), body[length:]
            tensors: dict[str, NDArray[Any]] = {}
            for one in head["outputs"]:
                size = (one.get("parameters") or {}).get("binary_data_size")
                if size is None:
                    if one["datatype"] in DTYPES:
                        data = np.array(one["data"], dtype=DTYPES[one["datatype"]])
                        tensors[one["name"]] = data.reshape(one["shape"])
                    continue
                if one["datatype"] in DTYPES:
                    tensors[one["name"]] = tensor(one["datatype"], one["shape"], rest[:size])
                rest = rest[size:]
            return chosen(tensors, self._spec.output, "logits")
        raise AssertionError

    def _reads_binary(self) -> bool:
        try:
            return bool(_BINARY & set(self._json("/v2").get("extensions") or []))
        except (Trouble, TypeError):  # not every server has metadata of its own
            return False

    def _json(self, path: str) -> dict[str, Any]:
        reply = self._channel.get(path)
        with garbage("its metadata"):
            return msgspec.json.decode(reply.body, type=dict)
        raise AssertionError
