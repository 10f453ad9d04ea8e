"""What the official clients are asked to do; run by a Python that has them, against one gateway.

``python official_clients.py CASE HTTP GRPC TOKEN OPERATOR``: each case is written as the clients'
own documentation writes it. The model ``m`` takes rows of shape (1, 2, 3) and has 3 classes.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import numpy as np

CASE, HTTP, GRPC, TOKEN, OPERATOR = sys.argv[1:6]
HEADERS = {"authorization": f"Bearer {TOKEN}"}  # to be copied: both clients write into them
BOSS = {"authorization": f"Bearer {OPERATOR}"}
X = np.linspace(0, 1, 12, dtype=np.float32).reshape(2, 1, 2, 3)


def kserve_rest() -> None:
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

    async def go() -> None:
        client = InferenceRESTClient(RESTConfig(protocol="v2", retries=1))
        base = f"http://{HTTP}"
        assert await client.is_server_live(base)
        assert await client.is_server_ready(base)
        assert await client.is_model_ready(base, "m", headers=HEADERS)
        for binary in (True, False):
            tensor = InferInput("x", list(X.shape), "FP32")
            tensor.set_data_from_numpy(X, binary_data=binary)
            request = InferRequest(model_name="m", infer_inputs=[tensor], request_id="r1")
            request.parameters = {"binary_data_output": binary}
            answer: Any = await client.infer(base, request, model_name="m", headers=dict(HEADERS))
            assert answer.id == "r1"
            assert answer.outputs[0].name == "logits"
            assert answer.outputs[0].as_numpy().shape == (2, 3)
            assert answer.parameters["hauberk_outcome"] == "pass"
        first = InferenceRESTClient(RESTConfig(protocol="v1", retries=1))
        told: Any = await first.infer(base, {"instances": X.tolist()}, "m", headers=HEADERS)
        assert len(told["predictions"]) == 2
        assert await first.is_model_ready(base, "m", headers=HEADERS)

    asyncio.run(go())


def kserve_grpc() -> None:
    from kserve import InferenceGRPCClient, InferInput, InferRequest

    metadata = list(HEADERS.items())

    async def go() -> None:
        client = InferenceGRPCClient(GRPC)
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("m", headers=metadata)
        for binary in (True, False):
            tensor = InferInput("x", list(X.shape), "FP32")
            tensor.set_data_from_numpy(X, binary_data=binary)
            request = InferRequest(model_name="m", infer_inputs=[tensor], request_id="r1")
            answer = await client.infer(request, headers=metadata)
            assert answer.id == "r1"
            assert answer.outputs[0].as_numpy().shape == (2, 3)
        await client.close()

    asyncio.run(go())


def _triton(api: Any, client: Any, headers: Any, boss: Any, *, http: bool) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m", headers=dict(headers))
    kind = {} if http else {"as_json": True}
    server = client.get_server_metadata(headers=dict(headers), **kind)
    assert "binary_tensor_data" in server["extensions"]
    model = client.get_model_metadata("m", headers=dict(headers), **kind)
    assert model["inputs"][0]["name"] == "x"
    version = model["versions"][0]
    assert client.is_model_ready("m", version, headers=dict(headers))
    assert client.get_model_metadata("m", version, headers=dict(headers), **kind)["versions"] == [
        version
    ]
    config = client.get_model_config("m", headers=dict(headers), **kind)
    config = config if http else config["config"]
    assert config["input"][0]["data_type"] == "TYPE_FP32"
    assert int(config["max_batch_size"]) > 0

    tensor = api.InferInput("x", list(X.shape), "FP32")
    tensor.set_data_from_numpy(X)
    wanted = [api.InferRequestedOutput("logits"), api.InferRequestedOutput("label")]
    answer = client.infer(
        "m", [tensor], model_version=version, outputs=wanted, request_id="7", headers=dict(headers)
    )
    labels = answer.as_numpy("label")
    assert (answer.as_numpy("logits").argmax(1) == labels).all()
    assert answer.as_numpy("nothing") is None
    assert client.infer("m", [tensor], headers=dict(headers)).as_numpy("logits").shape == (2, 3)
    if http:
        plain = api.InferInput("x", list(X.shape), "FP32")
        plain.set_data_from_numpy(X, binary_data=False)
        asked = api.InferRequestedOutput("label", binary_data=False)
        told = client.infer("m", [plain], outputs=[asked], headers=dict(headers))
        assert (told.as_numpy("label") == labels).all()
        for algorithm in ("gzip", "deflate"):
            told = client.infer(
                "m", [tensor], headers=dict(headers), request_compression_algorithm=algorithm
            )
            assert (told.as_numpy("logits").argmax(1) == labels).all()
        waiting = client.async_infer("m", [tensor], headers=dict(headers))
        assert waiting.get_result().as_numpy("logits").shape == (2, 3)
    stats = client.get_inference_statistics("m", headers=dict(headers), **kind)
    assert int(stats["model_stats"][0]["inference_count"]) >= 2

    index = client.get_model_repository_index(headers=dict(headers), **kind)
    index = index if http else index["models"]
    assert (index[0]["name"], index[0]["state"]) == ("m", "READY")
    client.unload_model("m", headers=boss)
    assert not client.is_model_ready("m", headers=dict(headers))
    client.load_model("m", headers=boss)
    assert client.is_model_ready("m", headers=dict(headers))


def triton_http() -> None:
    import tritonclient.http as api

    with api.InferenceServerClient(HTTP, concurrency=2) as client:
        _triton(api, client, HEADERS, BOSS, http=True)


def triton_grpc() -> None:
    import tritonclient.grpc as api

    with api.InferenceServerClient(GRPC) as client:
        _triton(api, client, HEADERS, BOSS, http=False)


{
    "kserve-rest": kserve_rest,
    "kserve-grpc": kserve_grpc,
    "triton-http": triton_http,
    "triton-grpc": triton_grpc,
}[CASE]()
print("ok")
