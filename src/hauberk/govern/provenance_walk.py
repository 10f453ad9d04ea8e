"""From a model back to its data, link by link; each that does not hold is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hauberk.core.digest import check_digest, digest_json, short
from hauberk.core.errors import HauberkError, Untrusted
from hauberk.govern import provenance
from hauberk.govern.attest import Release, check_release
from hauberk.govern.provenance_family import ancestors, bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hauberk.core.ports import Entry, Ledger, Signer, Store

State = Literal["ok", "BROKEN"]


class Link(NamedTuple):
    """One link of the chain; ``why`` says what does not hold, or what is known of it."""

    step: str
    digest: str
    state: State
    why: str


@dataclass(frozen=True)
class Walk:
    """The ports that the chain is read through."""

    store: Store
    ledger: Ledger
    signer: Signer

    def __call__(self, digest: str) -> list[Link]:
        """All links of a model or dataset, and of every model that it was made from.

        Where the ledger itself is broken, nothing beyond it can be said and it is the only link.

        Raises:
            UserError: if ``digest`` is none.
        """
        check_digest(digest)
        try:
            length = self.ledger.verify()
        except Untrusted as error:
            return [Link("ledger", digest, "BROKEN", error.what)]
        links = [Link("ledger", digest, "ok", f"{length} entries in one chain")]
        if self.ledger.entries(kind="model", subject=digest):
            models = [
                digest,
                *(one.digest for one in ancestors(self.ledger, digest) if one.kind == "model"),
            ]
            for model in models:
                links += self._model(model, ancestor=model != digest)
            sets = [one.digest for one in ancestors(self.ledger, digest) if one.kind == "dataset"]
        elif self.ledger.entries(kind="dataset", subject=digest):
            sets = [digest, *(one.digest for one in ancestors(self.ledger, digest))]
        else:
            return [*links, Link("model", digest, "BROKEN", "the ledger does not know it")]
        for dataset in sets:
            links += self._dataset(dataset)
        why = bar(self.ledger, digest)
        return [*links, Link("revocation", digest, "BROKEN" if why else "ok", why or "none")]

    def _dataset(self, digest: str) -> Iterator[Link]:
        entries = self.ledger.entries(kind="dataset", subject=digest)
        if not entries:
            yield Link("dataset", digest, "BROKEN", "the ledger does not know it")
            return
        body = entries[-1].body
        told = f"{body.get('samples')} samples from {body.get('source')}"
        yield self._signed("dataset", digest, body, provenance.dataset_statement, told)
        told = "split into " + ", ".join(sorted(body.get("parts") or {}))
        yield self._signed("transform", digest, body, provenance.transform_statement, told)

    def _model(self, digest: str, *, ancestor: bool) -> Iterator[Link]:
        entries = self.ledger.entries(kind="model", subject=digest)
        if not entries:
            yield Link("model", digest, "BROKEN", "the ledger does not know it")
            return
        body = entries[0].body
        yield self._blob("model", digest, digest)
        yield self._blob("weights", digest, body.get("weights"))
        origin = body.get("origin")
        told = str(origin.get("method", "brought along")) if isinstance(origin, dict) else ""
        yield self._signed("training", digest, body, provenance.training_statement, told)
        release, link = self._release(digest)
        if release is not None and release[0].role == "primary":
            yield from self._evaluation(digest, release[0])
        elif release is not None:
            yield Link("evaluation", digest, "ok", f"none needed for role {release[0].role}")
        used = list(self._deployments(digest, release[1].index if release else None))
        if ancestor and release is None and used[0].state == "ok":  # it only ever was a parent
            yield Link("release", digest, "ok", "none: it was never in service")
        else:
            yield link
        yield from used

    def _blob(self, step: str, digest: str, blob: Any) -> Link:
        try:
            self.store.path(blob if isinstance(blob, str) else "")
        except HauberkError as error:
            return Link(step, digest, "BROKEN", error.what)
        return Link(step, digest, "ok", f"blob {short(blob)} unaltered")

    def _signed(
        self,
        step: str,
        digest: str,
        body: dict[str, Any],
        statement: Callable[[str, dict[str, Any]], dict[str, Any]],
        told: str,
    ) -> Link:
        try:
            why = provenance.unattested(self.ledger, self.signer, statement(digest, body))
        except HauberkError as error:
            why = error.what
        return Link(step, digest, "BROKEN" if why else "ok", why or f"{told}, signed")

    def _release(self, digest: str) -> tuple[tuple[Release, Entry] | None, Link]:
        why = "nobody signed it for serving"
        for entry in reversed(self.ledger.entries(kind="signature", subject=digest)):
            try:
                statement = self.signer.verify(provenance.envelope_of(entry))
                if statement.get("predicateType") in _OTHERS:
                    continue
                found = check_release(statement, digest)
            except Untrusted as error:
                why = f"ledger entry {entry.index}: {error.what.removeprefix('HB-S002: ')}"
                continue
            told = f"signed as {found.role}" + (f" by {found.by}" if found.by else "")
            return (found, entry), Link("release", digest, "ok", told)
        return None, Link("release", digest, "BROKEN", why)

    def _evaluation(self, digest: str, release: Release) -> Iterator[Link]:
        decided = [
            entry
            for entry in self.ledger.entries(kind="decision", subject=digest)
            if digest_json(entry.body) == release.decision
        ]
        if not decided:
            why = f"no decision {short(release.decision or '')} in the ledger"
            yield Link("evaluation", digest, "BROKEN", why)
            return
        body = decided[-1].body
        if body.get("policy") != release.policy or body.get("verdict") != "pass":
            yield Link("evaluation", digest, "BROKEN", "the decision is not what the release says")
        told = f"{body.get('verdict')} by policy {short(str(body.get('policy')))}"
        yield self._signed("evaluation", digest, body, provenance.evaluation_statement, told)
        yield from self._evidence(digest, body)

    def _evidence(self, digest: str, decision: dict[str, Any]) -> Iterator[Link]:
        entries = self.ledger.entries(kind="evidence", subject=digest)
        known = {digest_json(entry.body) for entry in entries}
        listed = decision.get("evidence")
        wanted = listed if isinstance(listed, list) else []
        missing = [str(one) for one in wanted if one not in known]
        if missing or not wanted:
            why = f"no evidence {short(missing[0])} in the ledger" if missing else "none is named"
            yield Link("evidence", digest, "BROKEN", why)
        else:
            yield Link("evidence", digest, "ok", f"{len(wanted)} pieces")
        for examples in sorted(
            {str(e.body["examples"]) for e in entries if e.body.get("examples")}
        ):
            yield self._blob("examples", digest, examples)

    def _deployments(self, digest: str, released: int | None) -> Iterator[Link]:
        used = [
            entry
            for entry in self.ledger.entries(kind="deployment")
            if digest in {entry.body.get(part) for part in ("primary", "twin", "canary")}
        ]
        if not used:
            yield Link("deployment", digest, "ok", "never in service")
            return
        if released is None:
            why = f"ledger entry {used[0].index}: in service without a release"
            yield Link("deployment", digest, "BROKEN", why)
        else:
            yield Link("deployment", digest, "ok", f"in service from ledger entry {used[0].index}")
        for blob in sorted({str(e.body["calibration"]) for e in used if e.body.get("calibration")}):
            yield self._blob("calibration", digest, blob)


_OTHERS = {provenance.TRAINING, provenance.EVALUATION, provenance.DATASET, provenance.TRANSFORM}
