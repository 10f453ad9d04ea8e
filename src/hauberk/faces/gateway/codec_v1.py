"""The V1 protocol: ``{"instances": [...]}`` to ``{"predictions": [...]}``, a label a row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hauberk.faces.gateway.codec_json import data_decoder, encode
from hauberk.faces.gateway.faults import BadRequest
from hauberk.faces.gateway.limits import MAX_RANK
from hauberk.faces.gateway.tensors import Request, Tensor, Wanted

if TYPE_CHECKING:
    from hauberk.faces.gateway.tensors import Response

_OPENING = re.compile(rb"[\[ \t\r\n]*")


class _Body(msgspec.Struct, frozen=True):
    instances: msgspec.Raw


_BODY = msgspec.json.Decoder(_Body)


def read(body: bytes | memoryview) -> Request:
    """Read rows of numbers as one float32 tensor, for the model's label.

    Raises:
        BadRequest: if they are none, or ragged.
    """
    try:
        text = memoryview(_BODY.decode(body).instances)
        opening = _OPENING.match(text)
        depth = opening[0].count(b"[") if opening else 0
        if not 1 <= depth <= MAX_RANK:
            raise BadRequest("instances must be rows of numbers")
        with np.errstate(over="ignore"):
            data: Any = np.array(data_decoder("f", depth).decode(text), dtype=np.float32)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"not a prediction request: {str(error)[:200]}") from None
    except ValueError:
        raise BadRequest("the instances are ragged") from None
    return Request(inputs=(Tensor("x", data),), wanted=(Wanted("label"),))


def write(response: Response) -> bytes:
    """Labels in the order of the rows; -1 where the gateway abstains."""
    return encode(
        {
            "predictions": response.outputs[0].data.tolist(),
            "parameters": dict(response.parameters),
        }
    )
