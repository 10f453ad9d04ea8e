"""Where work is done on one machine: spec, data, store and ledger; models in and out by digest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from hauberk.adapters.data.source import load_dataset
from hauberk.adapters.models import onnx, weights
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.session import Session
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.core.digest import short
from hauberk.core.errors import HauberkError, UserError
from hauberk.core.evidence import Verdict
from hauberk.core.threat import ThreatModel
from hauberk.govern.decision import evidence_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import nn

    from hauberk.core.data import Dataset
    from hauberk.core.evidence import Evidence
    from hauberk.core.ports import Ledger, Store
    from hauberk.core.spec import Spec

Role = Literal["primary", "twin"]
_PROBE = 64


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Spec, store, ledger and clock of one service; the clock gives seconds since the epoch."""

    spec: Spec
    store: Store
    ledger: Ledger
    clock: Callable[[], float]

    @cached_property
    def data(self) -> Dataset:
        """The dataset that the spec names."""
        return load_dataset(self.spec.data.source)

    @property
    def threat(self) -> ThreatModel:
        """The attacker's budget that the spec names."""
        return ThreatModel(norm=self.spec.threat.norm, eps=self.spec.threat.eps)

    @property
    def architecture(self) -> Architecture:
        """The declared architecture, sized for the data."""
        params = {"in_shape": list(self.data.shape), "classes": self.data.classes}
        return Architecture(self.spec.model.architecture, params)

    def fresh(self, *, seed: int) -> nn.Module:
        """An untrained module of the declared architecture, its weights drawn from ``seed``."""
        return build(self.architecture.name, self.architecture.params, seed=seed)

    def model(self, digest: str) -> TorchModel:
        """The trained model behind a served digest, with gradients.

        Raises:
            UserError: if the ledger knows no weights of that digest.
            Untrusted: if the weights were altered.
        """
        found = self.ledger.entries(kind="model", subject=digest)
        if not found:
            raise UserError(
                f"no model {short(digest)} in the ledger", hint="`hauberk models` lists them"
            )
        return weights.load(self.store.get(found[-1].body["weights"]))

    def session(self, digest: str) -> Session:
        """The exported model of a digest, as it is served."""
        return Session(self.store.get(digest))

    def register(
        self, module: nn.Module, *, role: Role, parent: str | None, origin: dict[str, Any]
    ) -> str:
        """Keep a trained module as weights and as ONNX; return the digest of the latter.

        Raises:
            HauberkError: if the export is not the same function (HB-E007); nothing is registered.
        """
        model = TorchModel(module, self.data.bounds, self.architecture)
        exported = onnx.export(module, self.data.shape)
        same = onnx.compare(module, exported, self.data.split("validation").x[:_PROBE])
        if same.verdict is not Verdict.PASS:
            raise HauberkError(same.message, where="export", hint="`hauberk rule HB-E007` explains")
        digest = self.store.put(exported)
        body = {
            "name": self.spec.model.name,
            "role": role,
            "weights": self.store.put(weights.save(model)),
            "architecture": {
                "name": self.architecture.name,
                "params": dict(self.architecture.params),
            },
            "dataset": self.data.digest,
            "parent": parent,
            "origin": origin,
        }
        self.ledger.append("model", digest, body, at=self.clock(), key=f"model:{digest}:{role}")
        self.enter([same])
        return digest

    def enter(self, evidence: Iterable[Evidence], *, scope: str = "") -> None:
        """Append evidence to the ledger; within a ``scope`` each item only once."""
        for number, item in enumerate(evidence):
            self.ledger.append(
                "evidence",
                item.subject,
                evidence_body(item),
                at=self.clock(),
                key=f"{scope}:evidence:{number}" if scope else "",
            )
