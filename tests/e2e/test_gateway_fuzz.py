"""Ten thousand hostile requests: refused with a reason, never a 5xx, a crash, a hang or growth.

The default run sends five hundred; `make nightly` the rest, with schemathesis on our OpenAPI.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hauberk.testing.asking import CLIENT, HEADER, ask, binary_body
from hauberk.testing.gateway_bench import SHAPE, Bench
from hauberk.testing.gateway_process import GatewayProcess, start_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON = os.environ.get("HAUBERK_PEERS_PYTHON", "")
GOOD, GOOD_HEADERS = binary_body(np.full((2, *SHAPE), 0.5, np.float32))
HEAD = int(GOOD_HEADERS[HEADER])
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench.make(tmp_path_factory.mktemp("fuzz"))


@st.composite
def damaged(draw: Any) -> tuple[bytes, str]:
    """A good binary request with some of its bytes changed, cut, doubled or moved."""
    body = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(body) - 1)))
        match draw(st.sampled_from(["change", "cut", "double", "insert"])):
            case "change" if body:
                body[at] = draw(st.integers(0, 255))
            case "cut":
                del body[at : at + draw(st.integers(1, 40))]
            case "double":
                body[at:at] = body[at : at + draw(st.integers(1, 40))]
            case _:
                body[at:at] = draw(st.binary(max_size=20))
    length = draw(st.sampled_from([str(HEAD), str(HEAD - 1), "0", "-1", "1e3", "", "9" * 30]))
    return bytes(body), length


@st.composite
def near_misses(draw: Any) -> bytes:
    """A JSON request with one or more of its parts replaced by any value."""
    tensor: dict[str, Any] = {
        "name": "x",
        "datatype": "FP32",
        "shape": [1, *SHAPE],
        "data": [0.5] * int(np.prod(SHAPE)),
    }
    request: dict[str, Any] = {"id": "1", "inputs": [tensor], "outputs": [{"name": "label"}]}
    for key in draw(st.lists(st.sampled_from([*tensor]), max_size=2)):
        tensor[key] = draw(JSON_VALUES)
    for key in draw(
        st.lists(st.sampled_from(["id", "inputs", "outputs", "parameters"]), max_size=1)
    ):
        request[key] = draw(JSON_VALUES)
    return json.dumps(request).encode()


def held(bench: Bench, answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code != 200:
        assert 0 < len(answer.json()["error"]) < 600


def runs(count: int) -> settings:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(max_examples=count, deadline=None, suppress_health_check=slow)


def binary(bench: Bench, case: tuple[bytes, str]) -> None:
    body, length = case
    headers = {**GOOD_HEADERS, HEADER: length}
    held(bench, ask(bench.gateway, "POST", "/v2/models/m/infer", headers=headers, content=body))


def plain(bench: Bench, body: bytes, path: str) -> None:
    held(bench, ask(bench.gateway, "POST", path, content=body))


PATHS = st.sampled_from(["/v2/models/m/infer", "/v1/models/m:predict", "/v2/repository/index"])


@runs(250)
@given(case=damaged())
def test_damaged_binary_requests(bench: Bench, case: tuple[bytes, str]) -> None:
    binary(bench, case)


@runs(200)
@given(body=near_misses() | st.binary(max_size=60), path=PATHS)
def test_requests_that_nearly_fit(bench: Bench, body: bytes, path: str) -> None:
    plain(bench, body, path)


@runs(50)
@given(parts=st.lists(st.text(max_size=12), max_size=6), method=st.sampled_from(["GET", "POST"]))
def test_paths_of_any_kind(bench: Bench, parts: list[str], method: str) -> None:
    from urllib.parse import quote

    path = "/v2/" + "/".join(quote(part, safe="") for part in parts)
    held(bench, ask(bench.gateway, method, path))


@pytest.mark.nightly
@runs(5000)
@given(case=damaged())
def test_many_damaged_binary_requests(bench: Bench, case: tuple[bytes, str]) -> None:
    binary(bench, case)


@pytest.mark.nightly
@runs(4000)
@given(body=near_misses() | st.binary(max_size=60), path=PATHS)
def test_many_requests_that_nearly_fit(bench: Bench, body: bytes, path: str) -> None:
    plain(bench, body, path)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    made = start_gateway(tmp_path_factory.mktemp("fuzzed"))
    yield made
    made.stop()


def memory(gateway: GatewayProcess) -> float:
    text = Path(f"/proc/{gateway.process.pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not PYTHON, reason="HAUBERK_PEERS_PYTHON names no Python with schemathesis")
def test_schemathesis_finds_no_server_error(process: GatewayProcess) -> None:
    before = memory(process)
    command = [PYTHON, "-m", "schemathesis.cli", "run", f"{process.url}/v2/hauberk/openapi.json"]
    command += ["--header", f"Authorization: Bearer {CLIENT}", "--checks", "not_a_server_error"]
    command += ["--max-examples", "400", "--phases", "fuzzing", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)
    # 503 and 504 are by policy: the model was unloaded, or somebody else reads the log.
    assert done.returncode == 0, done.stdout[-3000:]
    assert process.process.poll() is None
    assert httpx.get(f"{process.url}/v2/health/live", trust_env=False).is_success
    assert memory(process) - before < 64


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not PYTHON, reason="HAUBERK_PEERS_PYTHON names no Python with atheris")
def test_coverage_guided_bytes_break_no_codec() -> None:
    script = Path(__file__).with_name("fuzz_codecs.py")
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [PYTHON, str(script), str(source), "200000"],
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done 200000 runs" in done.stderr
