"""One small service, prepared once; one whole incident, played once; each test gets a copy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hauberk.adapters.local.account import Account
from hauberk.testing.service import SMALL, Service, prepare, replica

if TYPE_CHECKING:
    from hauberk.adapters.http.traffic import Shot
    from hauberk.core.ports import Routing
    from hauberk.core.record import Record
    from hauberk.core.spec import Spec
    from hauberk.loop.turns import Turn

CLEAN = 300
HERE = Path(__file__).parent
Make = Callable[..., Service]


@dataclass(frozen=True, kw_only=True)
class Story:
    """What one attack on a copy of the service left behind; its programs have ended."""

    folder: Path
    account: Account
    shots: list[Shot]
    records: list[Record]
    turns: list[Turn]
    clean_turns: list[Turn]
    before: Routing
    unlawful: list[str]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the nightly tests of this folder out, unless marks were chosen."""
    if config.option.markexpr:
        return
    reason = "takes minutes: run by `make nightly`"
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("nightly"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def one_thread_each() -> Iterator[None]:
    """Every program computes on one thread: several run at once, and figures stay the same."""
    import torch

    known, threads = os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    if known is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = known


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "state"
    prepare(folder)
    return folder


@pytest.fixture
def service(prepared: Path, tmp_path: Path) -> Iterator[Make]:
    """Makes a service from a copy of the prepared state, or of another; stops it afterwards."""
    with ExitStack() as stack:

        def make(of: Path = prepared, spec: Spec = SMALL, name: str = "state") -> Service:
            return stack.enter_context(replica(of, tmp_path / name, spec))

        yield make


@pytest.fixture(scope="session")
def story(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Clean traffic, then `hauberk attack` beside it, until the incident is closed."""
    folder = tmp_path_factory.mktemp("story") / "state"
    with replica(prepared, folder) as one:
        one.start_gateway()
        one.start_controller()
        before = one.home.deployer.routing()
        assert before is not None
        one.send_clean(CLEAN, lambda *_: None)
        one.wait_for(lambda _: one.read_up_to_date(), seconds=120)
        clean_turns = one.turns()
        attacker = one.start_attacker(attack="fgsm", rate=40.0)
        end = one.keep_sending(rate=40.0)
        one.wait_for(one.is_over, seconds=400)
        one.settle()
        attacker.stop()
        end()
    assert one.controller is not None
    assert one.controller.process.returncode == 0
    assert one.gateway is not None
    assert one.gateway.process.returncode == 0
    shots = one.shots()
    return Story(
        folder=folder,
        account=Account(home=one.home, spec=one.spec, shots=shots),
        shots=shots,
        records=one.records(),
        turns=one.turns(),
        clean_turns=clean_turns,
        before=before,
        unlawful=one.unlawful(shots),
    )
