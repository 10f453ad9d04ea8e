"""What is told about the server and its models, as protocol buffers.

Beside grpc_predict_v2.proto the messages of the model repository, model configuration and
statistics extensions, whose field numbers are those of Triton's ``grpc_service.proto`` and
``model_config.proto``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hauberk.adapters.upstream.wire import packed, put, put_always

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Numbers of model_config.proto's DataType.
_KINDS = {"TYPE_INT64": 9, "TYPE_FP32": 11}


def write_server(told: Mapping[str, Any]) -> bytes:
    """The server's metadata."""
    extensions = b"".join(put_always(3, name.encode()) for name in told["extensions"])
    return put(1, told["name"]) + put(2, told["version"]) + extensions


def write_model(told: Mapping[str, Any]) -> bytes:
    """The model's metadata."""
    parts = [put(1, told["name"])]
    parts += [put_always(2, version.encode()) for version in told["versions"]]
    parts.append(put(3, told["platform"]))
    for number, tensors in ((4, told["inputs"]), (5, told["outputs"])):
        for one in tensors:
            shape = put(3, packed(one["shape"]))
            parts.append(put_always(number, put(1, one["name"]) + put(2, one["datatype"]) + shape))
    return b"".join(parts)


def write_config(told: Mapping[str, Any]) -> bytes:
    """The model's configuration; an input's dims are its field 4, an output's its field 3."""
    parts = [put(1, told["name"]), put(2, told["platform"]), put(4, told["max_batch_size"])]
    for number, dims, tensors in ((5, 4, told["input"]), (6, 3, told["output"])):
        for one in tensors:
            kind = put(2, _KINDS[one["data_type"]])
            shape = put(dims, packed(one["dims"]))
            parts.append(put_always(number, put(1, one["name"]) + kind + shape))
    return put_always(1, b"".join(parts))


def write_statistics(told: Mapping[str, Any]) -> bytes:
    """The models' statistics."""
    models = []
    for one in told["model_stats"]:
        stats = one["inference_stats"]
        times = b"".join(
            put_always(number, put(1, stats[name]["count"]) + put(2, stats[name]["ns"]))
            for number, name in ((1, "success"), (2, "fail"))
        )
        counts = put(4, one["inference_count"]) + put(5, one["execution_count"])
        head = put(1, one["name"]) + put(2, one["version"])
        models.append(put_always(1, head + counts + put_always(6, times)))
    return b"".join(models)


def write_index(told: Sequence[Mapping[str, str]]) -> bytes:
    """The repository's index."""
    keys = ("name", "version", "state", "reason")
    return b"".join(
        put_always(1, b"".join(put(n, one[key]) for n, key in enumerate(keys, start=1)))
        for one in told
    )
