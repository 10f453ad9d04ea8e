"""Reading logged payloads: the rows of a request and the labels of its response, V2 or V1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hauberk.adapters.upstream.reading import DTYPES, tensor
from hauberk.core.errors import DataError
from hauberk.faces.gateway import codec_binary, codec_json, codec_v1
from hauberk.faces.gateway.faults import BadRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.faces.gateway.payload_join import Event, Pair

_RANK = 2


def rows(request: Event) -> NDArray[np.float32]:
    """The first input of a request as float32.

    Raises:
        DataError: if it is no request that we can read, or its values are not finite.
    """
    try:
        if request.body.lstrip()[:12].find(b'"instances"') >= 0 and request.head_length is None:
            data = codec_v1.read(request.body).inputs[0].data
        elif request.head_length is None:
            data = codec_json.read(request.body).inputs[0].data
        else:
            data = codec_binary.read(request.body, request.head_length).inputs[0].data
    except BadRequest as error:
        raise DataError(f"not a request: {error.what}", where="payload") from None
    x: NDArray[np.float32] = np.asarray(data, dtype=np.float32)
    if x.ndim < _RANK or not len(x) or not np.isfinite(x).all():
        raise DataError("not finite rows", where="payload")
    return x


def labels(response: Event, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
    """The label of each of ``count`` rows, and the scores if the response holds scores.

    Raises:
        DataError: if it is no response that we can read.
    """
    try:
        out = _output(response)
        if out.shape in {(count,), (count, 1)}:
            return out.reshape(-1).astype(np.int64), None
        if out.ndim == _RANK and len(out) == count and np.isfinite(out).all():
            scores = out.astype(np.float32)
            return scores.argmax(1).astype(np.int64), scores
    except (
        msgspec.DecodeError,
        LookupError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ):
        pass
    raise DataError("not a response of labels or scores", where="payload")


def _output(response: Event) -> NDArray[Any]:
    length = response.head_length
    head: Any = msgspec.json.decode(response.body if length is None else response.body[:length])
    if "predictions" in head:
        return np.array(head["predictions"])
    one = head["outputs"][0]
    size = (one.get("parameters") or {}).get("binary_data_size")
    if size is None:
        return np.array(one["data"], dtype=DTYPES[one["datatype"]]).reshape(one["shape"])
    start = length or 0
    return tensor(one["datatype"], one["shape"], response.body[start : start + size])


def read(pair: Pair) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32] | None]:
    """Rows, labels and scores of a pair.

    Raises:
        DataError: if one of the two cannot be read, or they do not go together.
    """
    x = rows(pair.request)
    return (x, *labels(pair.response, len(x)))
