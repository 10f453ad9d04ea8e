"""The same tests on the API server of this repository and on a real one.

With ``HAUBERK_TEST_KUBECONFIG`` set they run there, in namespaces of their own. They need to create
namespaces, and definitions where those of KServe, Trainer or Hauberk are missing; no node, no
controller and none of the vendors' programs.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hauberk.testing.kube.chart import rendered
from hauberk.testing.kube.process import ApiServer
from hauberk.testing.kube.stage import RUNTIME, Stage, define, undefine

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
def defined(kubeconfig: Path) -> Iterator[None]:
    """The kinds, where the cluster lacks them; what it lacked it lacks again afterwards."""
    made = define(kubeconfig)
    yield
    undefine(kubeconfig, made)


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
    defined: None,
    api: ApiServer | Path,
    kubeconfig: Path,
    runtime: dict[str, Any] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    stage = Stage.open(kubeconfig, tmp_path, lease=6 if isinstance(api, Path) else 2)
    try:
        if runtime is not None:
            stage.cluster.create(RUNTIME, runtime)
        yield stage
    finally:
        stage.close()
