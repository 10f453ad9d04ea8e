"""The registry follows the loop, and takes nothing from it while it is away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hauberk.adapters.local.home import Home
from hauberk.adapters.mlflow.following import Following, following
from hauberk.core.errors import EnvironmentFault
from hauberk.core.ports import Routing
from hauberk.core.spec import Spec
from hauberk.testing.servers import until

if TYPE_CHECKING:
    from pathlib import Path


class Registry:
    """As much of a registry as a mirror needs."""

    def __init__(self) -> None:
        self.aliases: dict[str, str | None] = {}
        self.entered: list[bytes] = []

    def enter(self, name: str, model: bytes, *, facts: Any) -> str:
        del name, facts
        self.entered.append(model)
        return str(len(self.entered))

    def point(self, name: str, alias: str, digest: str | None) -> None:
        del name
        self.aliases[alias] = digest


def test_it_follows_what_the_ledger_has(tmp_path: Path) -> None:
    home, registry, away = Home.create(tmp_path / "state"), Registry(), [True]
    told: list[str] = []
    first, second = (home.store.put(data) for data in (b"first", b"second"))
    for digest in (first, second):
        home.trust.sign(digest, {"role": "initial", "by": "ann"}, 0.0)

    def reached() -> Any:
        if away[0]:
            raise EnvironmentFault("no answer", where="mlflow")
        return registry

    shown = Following("m", reached, home.ledger, home.store, home.trust, told.append, 0.02)
    routing = Routing(primary=first, canary=second, canary_share=0.2)
    shown.see(routing)
    assert shown.step() is False, "the ledger does not have it yet"
    body = {"primary": first, "canary": second, "canary_share": 0.2}
    home.ledger.append("deployment", first, body, at=1.0)
    until(lambda: told)
    shown.see(routing)
    away[0] = False
    until(lambda: registry.aliases == {"champion": first, "challenger": second})
    assert len(told) == 1, "told once, however often it is tried"
    shown.close()


def test_without_a_registry_there_is_nothing_to_follow(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "state")
    ports: dict[str, Any] = {"ledger": home.ledger, "store": home.store, "trust": home.trust}
    assert following(Spec(), **ports, tell=lambda _: None) is None
