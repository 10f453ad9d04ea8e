"""A real MLflow server: read by alias without unpickling; challenger, champion and the proof."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import yaml

from hauberk.adapters.local.home import Home
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ConfigError, EnvironmentFault, ModelFormatError, Untrusted
from hauberk.core.ports import Routing
from hauberk.faces.cli.main import run
from hauberk.testing.servers import free_port
from hauberk.testing.toy_onnx import linear_onnx

mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")

from hauberk.adapters.mlflow.following import Following  # noqa: E402
from hauberk.adapters.mlflow.mirror import mirror  # noqa: E402
from hauberk.adapters.mlflow.registry import MlflowRegistry  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.kubeflow, pytest.mark.filterwarnings("ignore")]  # of MLflow's own
TOY, OTHER = (linear_onnx(np.full((4, 2), n, np.float32), shape=(4,)) for n in (1, 2))
SERVER = os.environ.get("HAUBERK_MLFLOW", "")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not SERVER:
        pytest.skip("HAUBERK_MLFLOW names no MLflow program that has the server")
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    words = f"server --host 127.0.0.1 --port {port} --workers 1 --artifacts-destination {folder}/a"
    words += f" --backend-store-uri sqlite:///{folder}/mlflow.db --serve-artifacts"
    server = subprocess.Popen(
        [SERVER, *words.split()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": ""},
    )
    found, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 280
    try:
        while True:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            try:
                if httpx.get(f"{found}/health", trust_env=False).is_success:
                    break
            except httpx.HTTPError:
                time.sleep(0.3)
        yield found
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture
def registry(url: str) -> MlflowRegistry:
    return MlflowRegistry(url)


def log(registry: MlflowRegistry, name: str, folder: Path, files: dict[str, bytes]) -> None:
    """Enter a model as others do, and call it the champion."""
    for file, data in files.items():
        (folder / file).write_bytes(data)
    client = registry._client
    run_ = client.create_run(registry._experiment())
    client.log_artifacts(run_.info.run_id, str(folder), artifact_path="model")
    registry._ensure_model(name)
    version = client.create_model_version(
        name, source=f"{run_.info.artifact_uri}/model", run_id=run_.info.run_id
    )
    client.set_registered_model_alias(name, "champion", version.version)


def about(**flavours: Any) -> bytes:
    return yaml.safe_dump({"flavors": flavours}).encode()


def test_an_onnx_model_of_others_is_read(registry: MlflowRegistry, tmp_path: Path) -> None:
    pickled = {"loader_module": "mlflow.sklearn", "model_path": "model.pkl"}
    files = {
        "MLmodel": about(onnx={"data": "model.onnx"}, python_function=pickled),
        "model.onnx": TOY,
        "model.pkl": b"cos\nsystem\n(S'touch /tmp/hauberk-was-here'\ntR.",
    }
    log(registry, "theirs", tmp_path, files)
    found = registry.fetch("models:/theirs@champion")
    assert (found.data, found.version, found.file) == (TOY, "1", "model.onnx")
    assert found.digest == digest_bytes(TOY)
    assert registry.fetch("models:/theirs/1") == found


@pytest.mark.parametrize(
    "flavours",
    [
        {"python_function": {"loader_module": "mlflow.sklearn", "model_path": "model.pkl"}},
        {"pytorch": {"model_data": "data"}, "sklearn": {"pickled_model": "model.pkl"}},
        {"onnx": {"data": "../../etc/model.onnx"}},
        {"onnx": {"data": "/etc/model.onnx"}},
        {"onnx": "model.onnx"},
    ],
)
def test_what_is_unpickled_is_refused(
    registry: MlflowRegistry, tmp_path: Path, flavours: dict[str, Any]
) -> None:
    name = f"bad-{digest_bytes(json.dumps(flavours).encode())[-8:]}"
    log(registry, name, tmp_path, {"MLmodel": about(**flavours), "model.pkl": b"\x80\x04."})
    with pytest.raises(ModelFormatError, match="no ONNX or safetensors"):
        registry.fetch(f"models:/{name}@champion")


def test_what_is_not_there(registry: MlflowRegistry, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="refused"):
        registry.fetch("models:/nobody@champion")
    for uri in ("models:/a", "runs:/x/model", "models:/../x@y", "models:/a@b@c"):
        with pytest.raises(ConfigError):
            registry.fetch(uri)
    for url in ("", "ftp://h", "http://mlflow.example", "https://a:b@mlflow.example"):
        with pytest.raises(ConfigError):
            MlflowRegistry(url)


def test_challenger_then_champion_with_the_proof(
    registry: MlflowRegistry, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, name = Home.create(tmp_path / "state"), "guarded"
    first, second = home.store.put(TOY), home.store.put(OTHER)
    for digest in (first, second):
        home.ledger.append("model", digest, {"name": name, "role": "primary"}, at=0.0)
        home.trust.sign(digest, {"role": "initial", "by": "ann"}, 0.0)
    home.ledger.append("decision", second, {"verdict": "pass"}, at=1.0)

    def route(routing: Routing) -> dict[str, str | None]:
        body = {key: getattr(routing, key) for key in routing.__struct_fields__}
        home.ledger.append("deployment", routing.primary, body, at=2.0)
        return mirror(registry, name, ledger=home.ledger, store=home.store, trust=home.trust)

    assert route(Routing(primary=first)) == {"champion": "1", "challenger": None}
    canary = Routing(primary=first, canary=second, canary_share=0.2)
    assert route(canary) == route(canary) == {"champion": "1", "challenger": "2"}
    assert registry.aliases(name) == {"champion": "1", "challenger": "2"}
    found = registry.fetch(f"models:/{name}@challenger")
    assert found.digest == second
    assert route(Routing(primary=second)) == {"champion": "2", "challenger": None}
    assert registry.aliases(name) == {"champion": "2"}
    assert registry.fetch(f"models:/{name}@champion").digest == second
    place = registry._client.get_model_version_download_uri(name, "2")
    facts = json.loads(registry._read(f"{place}/evidence.json", limit=1 << 20))
    assert facts["decision"][0]["body"] == {"verdict": "pass"}
    assert facts["signature"][0]["entry"] in {one.digest for one in home.ledger.entries()}
    told: list[str] = []
    shown = Following(name, lambda: registry, home.ledger, home.store, home.trust, told.append, 0.1)
    route(Routing(primary=first))
    for routing in (Routing(primary=first), canary, Routing(primary=second)):
        body = {key: getattr(routing, key) for key in routing.__struct_fields__}
        shown.see(routing)
        home.ledger.append("deployment", routing.primary, body, at=3.0)
        wanted = {"champion": "2" if routing.primary == second else "1"}
        wanted |= {"challenger": "2"} if routing.canary else {}
        deadline = time.monotonic() + 60
        while registry.aliases(name) != wanted:
            assert time.monotonic() < deadline, (registry.aliases(name), told)
            time.sleep(0.1)
    shown.close()
    assert told == []
    state = ["--state", str(home.folder)]
    assert run(["models", "mirror", "--mlflow", url, "--name", name, *state]) == 0
    assert json.loads(capsys.readouterr().out)["champion"] == "2"
    to = tmp_path / "fetched.onnx"
    words = ["models", "fetch", f"models:/{name}@champion", "--mlflow", url, "--to", str(to)]
    assert run(words) == 0
    assert digest_bytes(to.read_bytes()) == second
    home.trust.revoke(second, "no more", 3.0)
    with pytest.raises(Untrusted, match="HB-S003"):
        mirror(registry, name, ledger=home.ledger, store=home.store, trust=home.trust)
