"""The same tests on the API server of this repository and on a real one.

With ``HAUBERK_TEST_KUBECONFIG`` set they run there, in namespaces of their own.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hauberk.testing.kube.chart import rendered
from hauberk.testing.kube.process import ApiServer
from hauberk.testing.kube.stage import RUNTIME, Stage

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "hauberk"


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer | Path]:
    if real := os.environ.get("HAUBERK_TEST_KUBECONFIG"):
        yield Path(real)
        return
    with ApiServer.start(tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture(scope="session")
def kubeconfig(api: ApiServer | Path) -> Path:
    return api if isinstance(api, Path) else api.kubeconfig


@pytest.fixture(scope="session")
def runtime() -> dict[str, Any] | None:
    """The chart's training runtime: where Trainer runs, its webhook wants to see it."""
    try:
        trees = rendered(CHART)
    except ImportError:  # no Helm here
        return None
    return next(tree for tree in trees if tree["kind"] == RUNTIME.kind)


@pytest.fixture
def stage(
    kubeconfig: Path,
    runtime: dict[str, Any] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    stage = Stage.open(kubeconfig, tmp_path)
    try:
        if runtime is not None:
            stage.cluster.create(RUNTIME, runtime)
        yield stage
    finally:
        stage.close()
