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
from hauberk.govern import provenance
from hauberk.govern.decision import evidence_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import nn

    from hauberk.core.data import Dataset
    from hauberk.core.evidence import Evidence
    from hauberk.core.ports import Ledger, Signer, Store
    from hauberk.core.spec import Spec

Role = Literal["primary", "twin"]
_PROBE = 64


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Spec, store, ledger and clock of one service; the clock gives seconds since the epoch.

    With a ``signer`` what is made here is attested (:mod:`hauberk.govern.provenance`).
    """

    spec: Spec
    store: Store
    ledger: Ledger
    clock: Callable[[], float]
    signer: Signer | None = None

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
        """The trained model behind a served digest, with gradients; raises as :meth:`weights`.

        Raises:
            Untrusted: if the weights were altered.
        """
        return weights.load(self.store.get(self.weights(digest)))

    def weights(self, digest: str) -> str:
        """The digest of the weights that a served digest was exported from.

        Raises:
            UserError: if the ledger knows no weights of that digest, or they are of other data.
        """
        found = self.ledger.entries(kind="model", subject=digest)
        if not found:
            raise UserError(
                f"no model {short(digest)} in the ledger", hint="`hauberk models` lists them"
            )
        body = found[-1].body
        if body["dataset"] != self.data.digest:
            raise UserError(
                f"model {short(digest)} was made on {short(body['dataset'])}, not on "
                f"{self.data.name} {short(self.data.digest)}",
                hint="set data.source to the data that the model was registered with",
            )
        return str(body["weights"])

    def session(self, digest: str) -> Session:
        """The exported model of a digest, as it is served."""
        return Session(self.store.get(digest))

    def register(
        self,
        module: nn.Module,
        *,
        role: Role,
        parent: str | None,
        origin: dict[str, Any],
        architecture: Architecture | None = None,
    ) -> str:
        """Keep a trained module as weights and as ONNX; return the digest of the latter.

        It is of the declared architecture, or of another that is named.

        Raises:
            HauberkError: if the export is not the same function (HB-E007); nothing is registered.
        """
        declared = architecture or self.architecture
        model = TorchModel(module, self.data.bounds, declared)
        exported = onnx.export(module, self.data.shape)
        same = onnx.compare(module, exported, self.data.split("validation").x[:_PROBE])
        if same.verdict is not Verdict.PASS:
            raise HauberkError(same.message, where="export", hint="`hauberk rule HB-E007` explains")
        self.enter_data()
        digest = self.store.put(exported)
        body = {
            "name": self.spec.model.name,
            "role": role,
            "weights": self.store.put(weights.save(model)),
            "architecture": {
                "name": declared.name,
                "params": dict(declared.params),
            },
            "dataset": self.data.digest,
            "parent": parent,
            "origin": origin,
        }
        key = f"model:{digest}:{role}"
        entry = self.ledger.append("model", digest, body, at=self.clock(), key=key)
        self.attest(provenance.training_statement(digest, entry.body))
        self.enter([same])
        return digest

    def enter_data(self) -> None:
        """Enter and attest the dataset and its splits; again, it changes nothing."""
        digest = self.data.digest
        known = self.ledger.entries(kind="dataset", subject=digest)
        body = (
            known[-1].body
            if known
            else provenance.dataset_body(self.data, source=self.spec.data.source)
        )
        self.ledger.append("dataset", digest, body, at=self.clock(), key=f"dataset:{digest}")
        self.attest(provenance.dataset_statement(digest, body))
        self.attest(provenance.transform_statement(digest, body))

    def attest(self, statement: dict[str, Any]) -> None:
        """Sign a statement and enter it, where there is a signer."""
        if self.signer is not None:
            provenance.attest(self.ledger, self.signer, statement, at=self.clock())

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
