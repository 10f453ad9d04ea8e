"""Files as common libraries save them."""

from __future__ import annotations

import io
import json
import pickle
import struct
from typing import TYPE_CHECKING

from hauberk.testing.vet_pieces import (
    Sample,
    gguf_model,
    h5,
    onnx_model,
    saved_model,
    tensor,
    zipped,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def benign() -> Iterator[Sample]:
    """Files as common libraries save them; each library that is absent leaves its own out."""
    yield from _plain_files()
    for make in (_torch_files, _sklearn_files, _onnx_files):
        try:
            yield from make()
        except ImportError:
            continue


def _good(name: str, data: bytes) -> Sample:
    return Sample(name, data, malicious=False)


def _plain_files() -> Iterator[Sample]:
    import collections  # noqa: PLC0415 - the kinds of objects people put into pickles
    import datetime as dt  # noqa: PLC0415
    import decimal  # noqa: PLC0415
    import uuid  # noqa: PLC0415

    tree = {
        "when": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "money": decimal.Decimal("1.5"),
        "id": uuid.UUID(int=5), "counts": collections.Counter("abc"), "set": {1, 2},
        "order": collections.OrderedDict(a=1), "b": b"raw" * 100,
        "by": collections.defaultdict(list),
        "text": "import os; os.system('x')", "big": 1 << 100, "f": 1.5, "c": 2j,
    }  # fmt: skip
    for protocol in range(6):
        yield _good(f"tree-{protocol}.pkl", pickle.dumps(tree, protocol))
    yield _good("config.json", json.dumps({"hidden_size": 4, "note": "{not a template}"}).encode())
    yield _good("README.md", b"# A model\n\nUse `import torch` and `eval()`.\n")
    yield _good("labels.txt", b"cat\ndog\nno bird\n")
    yield _good("merges.txt", b"#version: 0.2\nh e\nl l\n")
    template = "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m.content | trim }}{% endfor %}"
    yield _good("model.gguf", gguf_model(template))
    yield _good("tokenizer_config.json", json.dumps({"chat_template": template}).encode())
    raw = json.dumps(
        {"__metadata__": {"format": "pt"}, "a": tensor(0, 4), "b": tensor(4, 12)}
    ).encode()
    yield _good("model.safetensors", struct.pack("<Q", len(raw)) + raw + bytes(12))
    seed = {
        "module": "keras.initializers",
        "class_name": "GlorotUniform",
        "config": {"seed": None},
    }
    dense = {"units": 2, "activation": "relu", "kernel_initializer": seed}
    layers = [
        {"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [1, 4]}},
        {"module": "keras.layers", "class_name": "Dense", "config": dense},
    ]
    config = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"layers": layers},
        "compile_config": {"optimizer": "adam"},
    }
    yield _good(
        "model.keras",
        zipped(
            {
                "metadata.json": b"{}",
                "config.json": json.dumps(config).encode(),
                "model.weights.h5": h5("")[:96],
            }
        ),
    )
    yield _good("model.h5", h5(json.dumps({"class_name": "Sequential", "config": {"layers": []}})))
    yield _good("saved_model.pb", saved_model("MatMul"))
    yield _good("hand.onnx", onnx_model())
    yield _good("hand-external.onnx", onnx_model(location="model.onnx.data"))


def _torch_files() -> Iterator[Sample]:
    import torch  # noqa: PLC0415 - only where it is there

    def saved(value: object, **more: bool) -> bytes:
        out = io.BytesIO()
        torch.save(value, out, **more)
        return out.getvalue()

    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2)
    )
    optimizer = torch.optim.Adam(net.parameters())
    yield _good("state.pt", saved(net.state_dict()))
    yield _good("state-legacy.pt", saved(net.state_dict(), _use_new_zipfile_serialization=False))
    yield _good("module.pt", saved(net))
    yield _good(
        "checkpoint.ckpt",
        saved(
            {
                "model": net.state_dict(),
                "optimizer": optimizer.state_dict(),
                "epoch": 3,
                "dtype": torch.float16,
                "size": torch.Size([1]),
                "device": torch.device("cpu"),
            }
        ),
    )
    yield _good("tensor.pkl", pickle.dumps(torch.arange(4)))
    yield _good("tensor-2.pkl", pickle.dumps(torch.arange(4), 2))
    yield _good(
        "half.pt",
        saved({"h": torch.zeros(3, dtype=torch.bfloat16), "p": torch.nn.Parameter(torch.ones(2))}),
    )
    out = io.BytesIO()
    program = torch.export.export(net, (torch.zeros(1, 1, 4, 6),))
    torch.export.save(program, out)
    yield _good("exported.pt2", out.getvalue())


def _sklearn_files() -> Iterator[Sample]:
    import joblib  # noqa: PLC0415 - only where it is there
    import numpy as np  # noqa: PLC0415
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.neighbors import KNeighborsClassifier  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415
    from sklearn.svm import SVC  # noqa: PLC0415

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 4)), rng.integers(0, 2, 40)
    dump: Callable[..., object] = joblib.dump
    for model in (
        RandomForestClassifier(n_estimators=3),
        GradientBoostingClassifier(n_estimators=3),
        SVC(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        KNeighborsClassifier(algorithm="kd_tree"),
    ):
        name = type(model).__name__
        model.fit(x, y)
        yield _good(f"{name}.pkl", pickle.dumps(model))
        for compress in (0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)):
            out = io.BytesIO()
            dump(model, out, compress=compress)
            kind = compress[0] if isinstance(compress, tuple) else compress
            yield _good(f"{name}-{kind}.joblib", out.getvalue())
    arrays = {"x": x, "names": np.array(["a", "b"]), "o": np.array([{"a": 1}, None], dtype=object)}
    out = io.BytesIO()
    dump(
        {
            **arrays,
            "scalar": np.float32(2),
            "rng": rng,
            "masked": np.ma.masked_array([1, 2], [False, True]),
        },
        out,
    )
    yield _good("arrays.joblib", out.getvalue())
    for protocol in (2, 4, 5):
        yield _good(f"arrays-{protocol}.pkl", pickle.dumps(arrays, protocol))
    out = io.BytesIO()
    np.savez(out, x=x, names=arrays["names"], o=arrays["o"])
    yield _good("arrays.npz", out.getvalue())
    out = io.BytesIO()
    np.savez_compressed(out, x=x, y=y)
    yield _good("packed.npz", out.getvalue())
    out = io.BytesIO()
    np.save(out, np.zeros(3, dtype=[("a", "<f4"), ("b", "<i8")]))
    yield _good("record.npy", out.getvalue())


def _onnx_files() -> Iterator[Sample]:
    import numpy as np  # noqa: PLC0415

    from hauberk.testing.toy_onnx import linear_onnx  # noqa: PLC0415 - only where onnx is there

    weights = np.ones((4, 2), dtype=np.float32)
    yield _good("linear.onnx", linear_onnx(weights, shape=(4,)))
