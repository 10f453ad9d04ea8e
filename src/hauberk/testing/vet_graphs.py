"""Malicious files of the formats that are no pickles."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING

from hauberk.testing.vet_pieces import (
    Sample,
    call,
    gguf_model,
    h5,
    onnx_model,
    pickled,
    saved_model,
    tensor,
    torch_zip,
    zipped,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def graphs() -> Iterator[Sample]:
    """Malicious files of the formats that are no pickles."""

    def bad(name: str, data: bytes) -> Sample:
        return Sample(name, data, malicious=True)

    code = base64.b64encode(
        b"\xe3" + bytes(40) + b"\xda\x02os\xda\x06system\xda\x0becho vetted"
    ).decode()
    layer = {"class_name": "Lambda", "config": {"name": "l", "function": [code, None, None]}}
    model = {"class_name": "Sequential", "config": {"layers": [layer]}}
    v3 = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"function": {"class_name": "__lambda__", "config": {"code": code}}},
    }
    yield bad(
        "lambda.keras", zipped({"config.json": json.dumps(v3).encode(), "metadata.json": b"{}"})
    )
    imported = {
        "module": "os",
        "class_name": "function",
        "config": "system",
        "registered_name": "system",
    }
    yield bad("imports.keras", zipped({"config.json": json.dumps(imported).encode()}))
    fetch = {"module": "keras.utils", "class_name": "function", "config": "get_file"}
    yield bad("get-file.keras", zipped({"config.json": json.dumps(fetch).encode()}))
    yield bad("lambda.h5", h5(json.dumps(model)))
    yield bad("lambda-escaped.h5", h5(json.dumps(model).replace("Lambda", "L\\u0061mbda")))
    for number, path in enumerate(
        ("../../etc/passwd", "/etc/passwd", "..\\..\\x", "a/../../b", "file:///etc/passwd")
    ):
        yield bad(f"onnx-path-{number}.onnx", onnx_model(location=path))
    yield bad("onnx-python.onnx", onnx_model(operator="PyOp", domain="ai.onnx.contrib"))
    yield bad("onnx-custom.onnx", onnx_model(operator="Evil", domain="evil.ops"))
    yield bad("onnx-cycle.onnx", onnx_model(source="z"))
    yield bad("saved_model_python.pb", saved_model("PyFunc"))
    yield bad("saved_model_write.pb", saved_model("WriteFile"))
    yield bad("saved_model_read.pb", saved_model("ReadFile"))
    for name, header in (
        ("overlap", {"a": tensor(0, 4), "b": tensor(2, 6)}),
        ("hole", {"a": tensor(0, 4), "b": tensor(8, 12)}),
        ("beyond", {"a": tensor(0, 4), "b": tensor(4, 400)}),
        ("shape", {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}}),
    ):
        raw = json.dumps(header).encode()
        yield bad(f"safetensors-{name}.safetensors", struct.pack("<Q", len(raw)) + raw + bytes(12))
    one = b'"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}'
    twice = b"{" + one + b"," + one + b"}"
    yield bad("safetensors-twice.safetensors", struct.pack("<Q", len(twice)) + twice + bytes(4))
    yield bad("safetensors-huge.safetensors", struct.pack("<Q", 1 << 36) + b"{" + bytes(40))
    reach = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    yield bad("template.gguf", gguf_model(reach))
    yield bad("template-joined.gguf", gguf_model("{% set x = ''['__cla'~'ss__'] %}"))
    yield bad("template-escaped.gguf", gguf_model("{{ x['\\x5f\\x5fclass\\x5f\\x5f'] }}"))
    yield bad("lengths.gguf", gguf_model("x")[:-20] + b"\xff" * 20)
    yield bad("bad_tokenizer_config.json", json.dumps({"chat_template": reach}).encode())
    script = "def forward(self, x):\n  torch.save(x, '/tmp/x')\n  return ops.aten.save(x)\n"
    members = {
        "m/data.pkl": pickled(b"}"),
        "m/constants.pkl": pickled(b")"),
        "m/code/__torch__.py": script.encode(),
    }
    yield bad("torchscript.pt", zipped(members))
    yield bad(
        "exported-call.pt2",
        zipped(
            {
                "serialized_state_dict.pt": torch_zip(pickled(call("os", "system"))),
                "version": b"5.1",
            }
        ),
    )
    yield bad("native.so", b"\x7fELF" + bytes(60))
