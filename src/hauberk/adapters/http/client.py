"""An ordinary client of an Open Inference Protocol V2 endpoint, binary tensors both ways."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import httpx
import numpy as np

from hauberk.core.errors import ConfigError, DataError, EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_HEADER_LENGTH = "Inference-Header-Content-Length"
_MAX_ANSWER = 64 * 2**20
_TYPES: dict[str, np.dtype[Any]] = {
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "INT64": np.dtype("<i8"),
    "INT32": np.dtype("<i4"),
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One response: outputs by name and the parameters that the server attached."""

    outputs: dict[str, NDArray[Any]]
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The label ``(batch,)`` of each row; -1 where the server abstained."""
        if "label" in self.outputs:
            return self.outputs["label"].astype(np.int64)
        labels: NDArray[np.int64] = self.outputs["logits"].argmax(1).astype(np.int64)
        return labels


@dataclass(frozen=True, kw_only=True)
class InputForm:
    """What a server calls a model's input, its numbers, and whether it takes raw bytes."""

    name: str = "x"
    datatype: str = "FP32"
    binary: bool = True


class V2Client:
    """Asks one model of one endpoint; keeps its connection open.

    Raises:
        EnvironmentFault: if the endpoint does not answer.
        ConfigError: if it refuses the token.
        DataError: if it refuses the request or its answer cannot be read.
    """

    def __init__(self, url: str, model: str, *, token: str = "", timeout: float = 10.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)
        self._url, self._model = url, model

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def address(self) -> str:
        """Where the model is asked."""
        return f"{self._url.rstrip('/')}/v2/models/{self._model}"

    def server(self) -> dict[str, Any]:
        """The server's metadata."""
        return self._json(self._ask("GET", "/v2"))

    def metadata(self) -> dict[str, Any]:
        """The model's metadata."""
        return self._json(self._ask("GET", f"/v2/models/{self._model}"))

    def infer(
        self,
        x: NDArray[np.float32],
        *,
        request_id: str = "",
        form: InputForm = InputForm(),
        outputs: Sequence[str] = ("label",),
    ) -> Answer:
        """Answers for rows ``(batch, ...)`` of float32, with the ``outputs`` asked for."""
        kind = _TYPES[form.datatype]
        raw = np.ascontiguousarray(x, dtype=kind).tobytes() if form.binary else b""
        tensor: dict[str, Any] = {
            "name": form.name,
            "shape": list(x.shape),
            "datatype": form.datatype,
        }
        if form.binary:
            tensor["parameters"] = {"binary_data_size": len(raw)}
        else:
            tensor["data"] = x.reshape(-1).tolist()
        asked = [{"name": name, "parameters": {"binary_data": form.binary}} for name in outputs]
        head: dict[str, Any] = {"inputs": [tensor], "outputs": asked}
        if request_id:
            head["id"] = request_id
        text = json.dumps(head, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json"}
        if form.binary:
            headers = {
                _HEADER_LENGTH: str(len(text)),
                "Content-Type": "application/octet-stream",
            }
        path = f"/v2/models/{self._model}/infer"
        return self._read(self._ask("POST", path, content=text + raw, headers=headers))

    def _ask(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **kwargs)
        except httpx.HTTPError as error:
            raise EnvironmentFault(
                f"does not answer ({type(error).__name__})",
                where=self._url,
                hint="is the gateway up? `hauberk serve` starts one",
            ) from None
        if response.is_success:
            return response
        if response.status_code in {401, 403}:
            raise ConfigError(
                f"refused with {response.status_code}",
                where=self._url,
                hint="give the token by HAUBERK_TOKEN",
            )
        reason = response.text[:200].replace("\n", " ")
        if response.status_code >= 500:
            raise EnvironmentFault(f"answered {response.status_code}: {reason}", where=self._url)
        raise DataError(f"refused with {response.status_code}: {reason}", where=self._url)

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        try:
            value = response.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise DataError("the answer is not a JSON object", where=self._url)
        return value

    def _read(self, response: httpx.Response) -> Answer:
        body = response.content
        if len(body) > _MAX_ANSWER:
            raise DataError(f"the answer has {len(body)} bytes", where=self._url)
        try:
            split = int(response.headers.get(_HEADER_LENGTH, len(body)))
            head = json.loads(body[:split])
            return Answer(
                outputs=_tensors(head["outputs"], memoryview(body)[split:]),
                parameters=head.get("parameters", {}),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"the answer cannot be read: {error}", where=self._url) from None


def _tensors(outputs: list[dict[str, Any]], rest: memoryview) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {}
    for output in outputs:
        kind, size = (
            _TYPES[output["datatype"]],
            output.get("parameters", {}).get("binary_data_size"),
        )
        if size is None:
            values = np.asarray(output["data"], dtype=kind)
        else:
            values, rest = np.frombuffer(rest[:size], dtype=kind), rest[size:]
        tensors[output["name"]] = values.reshape(output["shape"])
    return tensors
