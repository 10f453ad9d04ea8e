"""A red team's work: craft from a file, ask for consent, fire, count."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import torch

from hauberk.adapters.data.source import load_dataset
from hauberk.adapters.http.client import V2Client
from hauberk.adapters.http.traffic import Aim, fire, kept
from hauberk.adapters.local.signer import Ed25519Signer
from hauberk.adapters.models.load import load
from hauberk.core.data import Batch
from hauberk.core.errors import DataError
from hauberk.core.evidence import Evidence
from hauberk.core.interval import wilson
from hauberk.core.registry import find
from hauberk.core.rule import find_rule
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.govern.consent import check_consent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from hauberk.adapters.http.traffic import Shot
    from hauberk.core.data import Dataset
    from hauberk.core.model import Model
    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output


@dataclass(frozen=True, kw_only=True)
class Volley:
    """How an endpoint is attacked; ``rate`` in requests a second, 0 for as fast as it answers."""

    url: str
    token: str
    keys: Path
    requests: int
    share: float
    rate: float
    stealthy: bool
    log: Path | None


@dataclass(frozen=True, kw_only=True)
class Crafted:
    """Adversarial points ``(n, ...)`` for every sample of ``data``, found on ``model``."""

    source: Path
    attack: str
    threat: ThreatModel
    seed: int
    model: Model
    data: Dataset
    points: NDArray[np.float32]

    def aims(self, share: float) -> Iterator[Aim]:
        """Rows to send without end; the adversarial ones make up ``share``."""
        rng = np.random.default_rng(self.seed)
        while True:
            for i in rng.permutation(len(self.data)):
                hostile = bool(rng.random() < share)
                x = (self.points if hostile else self.data.x)[i : i + 1]
                kind = self.attack if hostile else "clean"
                yield Aim(x=x, truth=int(self.data.y[i]), kind=kind)


@dataclass(frozen=True, kw_only=True)
class Pressed(Classification):
    """As classification, but nothing counts as fallen: an attack goes on to its last step."""

    def correct(self, out: Tensor, y: Tensor, /) -> Tensor:
        """True for each, ``(batch,)``."""
        return torch.ones(len(y), dtype=torch.bool, device=out.device)


def craft(source: Path, attack: str, spec: Spec, *, stealthy: bool = False) -> Crafted:
    """Attack the test split on the model in a file.

    ``stealthy`` stops at the first point that flips the label, near the boundary; otherwise the
    point of highest loss is taken.

    Raises:
        UnknownNameError: if there is no such attack.
        UserError: if the file does not give what the attack needs.
    """
    method = find("attack", attack)()
    model = load(source)
    data = load_dataset(spec.data.source).split("test")
    threat = ThreatModel(norm=spec.threat.norm, eps=spec.threat.eps)
    points = method(
        model,
        Batch(torch.from_numpy(data.x), torch.from_numpy(data.y), np.arange(len(data))),
        threat,
        task=Classification() if stealthy else Pressed(),
        rng=np.random.default_rng(spec.harden.seed),
    )
    return Crafted(
        source=source,
        attack=attack,
        threat=threat,
        seed=spec.harden.seed,
        model=model,
        data=data,
        points=points.detach().numpy(),
    )


def online(source: Path, attack: str, spec: Spec, volley: Volley, output: Output) -> int:
    """Fire at an endpoint whose owner consents, and tell what came back.

    Raises:
        NoConsent: if the owner does not; nothing was crafted or sent.
    """
    with V2Client(volley.url, spec.model.name, token=volley.token) as client:
        check_consent(
            str(client.server().get("hauberk_consent", "")),
            Ed25519Signer(volley.keys).verify,
            model=spec.model.name,
            at=time.time(),
            host=urlsplit(volley.url).hostname,
        )
        crafted = craft(source, attack, spec, stealthy=volley.stealthy)
        aims = islice(crafted.aims(volley.share), volley.requests)
        shots = fire(client, aims, rate=volley.rate or None, name=attack)
        tally = Tally()
        with output.progress(f"{attack} requests", volley.requests) as advance:
            for number, shot in enumerate(kept(shots, volley.log) if volley.log else shots, 1):
                tally.add(shot)
                advance(number)
    return tally.tell(attack, output)


class Tally:
    """Counts of what came back by kind of input; an unanswered request is counted as such."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}
        self._digests: dict[str, set[str]] = {}
        self._last_error = ""

    def add(self, shot: Shot) -> None:
        """Count one."""
        count = self._counts.setdefault(
            shot.kind, {"requests": 0, "answered": 0, "abstained": 0, "right": 0}
        )
        count["requests"] += 1
        count["answered"] += not shot.error
        count["abstained"] += shot.outcome == "abstain"
        count["right"] += shot.right and not shot.error
        if shot.digest:
            self._digests.setdefault(shot.kind, set()).add(shot.digest)
        self._last_error = shot.error or self._last_error

    def rows(self) -> list[dict[str, Any]]:
        """One row a kind of input; accuracy over what was answered."""
        return [
            {
                "input": kind,
                **{key: count[key] for key in ("requests", "answered", "abstained")},
                "accuracy": count["right"] / count["answered"] if count["answered"] else None,
                "interval": list(wilson(count["right"], count["answered"])),
                "digests": sorted(self._digests.get(kind, ())),
            }
            for kind, count in sorted(self._counts.items())
        ]

    def tell(self, attack: str, output: Output) -> int:
        """The rows as the result.

        Raises:
            DataError: if nothing was answered at all.
        """
        rows = self.rows()
        if not any(row["answered"] for row in rows):
            raise DataError(f"no request was answered: {self._last_error}", where=attack)
        if output.form == "json":
            output.data({"attack": attack, "rows": rows})
            return 0
        head = ("input", "requests", "answered", "abstained", "accuracy", "95 %")
        output.listing(head, [_line(row) for row in rows])
        return 0


def offline(crafted: Crafted, output: Output) -> int:
    """The accuracy of the file's own model on the points."""
    with torch.no_grad():
        found = crafted.model(torch.from_numpy(crafted.points)).argmax(1).numpy()
    right, n, rule = int((found == crafted.data.y).sum()), len(crafted.data), find_rule("HB-E006")
    evidence = Evidence(
        rule=rule.code,
        subject=str(crafted.source),
        verdict=rule.judge(right / n, None),
        message=f"accuracy under {crafted.attack} at {crafted.threat}",
        value=right / n,
        interval=wilson(right, n),
        severity=rule.severity,
        atlas=rule.atlas,
        spec={
            "attack": crafted.attack,
            "eps": crafted.threat.eps,
            "seed": crafted.seed,
            "n": n,
            "dataset": crafted.data.digest,
        },
    )
    output.evidence([evidence], heading=f"{crafted.source}  {crafted.data.name}  {crafted.threat}")
    return 0


def _line(row: dict[str, Any]) -> list[str]:
    low, high = row["interval"]
    accuracy = "-" if row["accuracy"] is None else f"{row['accuracy']:.3f}"
    counts = [str(row[key]) for key in ("input", "requests", "answered", "abstained")]
    return [*counts, accuracy, f"[{low:.3f}, {high:.3f}]"]
