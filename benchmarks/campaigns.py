"""Campaigns: after how many of a client's queries one is flagged, and what he had by then.

Searches for adversarial inputs by scores and by labels, probing for membership, and inversion, each
recorded query by query against a served model: from one client, from ten, one query in five, and
with noise on each query. Beside them what honest traffic is flagged for. Arguments name data sets.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from msgspec.structs import replace
from sklearn.metrics import roc_auc_score

from benchmarks import detection_models
from benchmarks.table import Row, at_most, conditions, publish
from hauberk.adapters.local.yardstick import Bench
from hauberk.adapters.models.called import CalledModel
from hauberk.attack.boundary import Boundary
from hauberk.attack.hop_skip_jump import HopSkipJump
from hauberk.attack.nes import NES
from hauberk.attack.square import Square
from hauberk.core.data import Batch
from hauberk.core.model import Access
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.guard.fingerprint import Fingerprint
from hauberk.guard.shifts import shift
from hauberk.monitor import likeness
from hauberk.monitor.campaign import CampaignMonitor, bases
from hauberk.monitor.membership import MembershipMonitor, shares
from hauberk.monitor.station import HELD
from hauberk.monitor.trained import Trained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from hauberk.attack.attack import Attack
    from hauberk.core.data import Dataset
    from hauberk.core.record import Record
    from hauberk.monitor.fold import Monitor

    Images = NDArray[np.float32]

NAMES = ("digits", "mnist", "gtsrb")
VICTIMS, QUERIES, CANDIDATES, COPIES, RUNS, HONEST = 12, 300, 200, 10, 5, 5000
MIXES = ("one client", "ten sybils", "one query in five", "noise on each query")
SEARCHES: dict[str, tuple[Attack, Access]] = {
    "square": (Square(queries=QUERIES), Access.SCORES),
    "nes": (NES(queries=QUERIES), Access.SCORES),
    "boundary": (Boundary(queries=QUERIES), Access.LABELS),
    "hop-skip-jump": (HopSkipJump(queries=QUERIES), Access.LABELS),
}


class Towards(Classification):
    """Nothing counts as fallen, and what was the margin to lose is the margin to win."""

    def correct(self, out: Tensor, y: Tensor, /) -> Tensor:
        """True for each, ``(batch,)``."""
        return torch.ones(len(y), dtype=torch.bool, device=out.device)

    def loss(self, out: Tensor, y: Tensor, /) -> Tensor:
        """Higher where the class is likelier, ``(batch,)``."""
        return -super().loss(out, y)

    def margin(self, out: Tensor, y: Tensor, /) -> Tensor:
        """Lower where the class is likelier, ``(batch,)``."""
        return -super().margin(out, y)


@dataclass(frozen=True)
class Campaign:
    """One attacker's queries in order, and what they are worth to him in words and figures."""

    queries: Images
    gains: dict[str, float] = field(default_factory=dict)


@dataclass
class Tapped:
    """A served model that remembers what it was asked."""

    ask: Callable[[Images], NDArray[Any]]
    classes: int
    seen: list[Images] = field(default_factory=list)

    def model(self, access: Access) -> CalledModel:
        """It, giving scores or labels."""

        def answer(x: Images) -> NDArray[Any]:
            self.seen.append(x.copy())
            scores = self.ask(x)
            return scores if access == Access.SCORES else scores.argmax(1)

        return CalledModel(
            function=answer, classes=self.classes, access=access, probabilities=False
        )


def searches(bench: Bench) -> dict[str, Campaign]:
    """Each search on a dozen samples that the model gets right, one after another."""
    one = bench.subject
    ask = bench.asked(one.served)
    right = np.flatnonzero(ask(one.stream.x).argmax(1) == one.stream.y)[:VICTIMS]
    length = one.threat.eps * float(np.sqrt(np.prod(one.stream.shape)))
    out = {}
    for name, (attack, access) in SEARCHES.items():
        tapped = Tapped(ask, one.stream.classes)
        far = name in {"boundary", "hop-skip-jump"}
        threat = ThreatModel(norm="l2", eps=length) if far else one.threat
        spent, fell = [], []
        for row in right.tolist():
            before = len(tapped.seen)
            x, y = torch.from_numpy(one.stream.x[[row]]), torch.from_numpy(one.stream.y[[row]])
            points = attack(
                tapped.model(access),
                Batch(x, y, np.array([row])),
                threat,
                task=Classification(),
                rng=np.random.default_rng(one.seed),
            )
            fell.append(int(ask(points.numpy()).argmax(1)[0]) != int(y[0]))
            spent.append(sum(len(x) for x in tapped.seen[before:]))
        out[name] = Campaign(
            np.concatenate(tapped.seen),
            {
                "share of the samples that fell": float(np.mean(fell)),
                "queries a sample": float(np.median(spent)),
            },
        )
    return out


def probes(bench: Bench, train: Dataset) -> dict[str, Campaign]:
    """Is this sample one that the model was trained on? Half of the candidates are."""
    one, rng = bench.subject, np.random.default_rng(bench.subject.seed + 5)
    members = train.take(rng.permutation(len(train))[:CANDIDATES])
    others = one.stream.take(rng.permutation(len(one.stream))[:CANDIDATES])
    n = min(len(members), len(others))
    x, y = np.concatenate([members.x[:n], others.x[:n]]), np.r_[members.y[:n], others.y[:n]]
    truth, order = np.repeat([1, 0], n), rng.permutation(2 * n)
    x, y, truth = x[order], y[order], truth[order]
    ask = bench.asked(one.served)
    scores = torch.from_numpy(ask(x)).log_softmax(1).numpy()[np.arange(2 * n), y]
    turned = np.stack(
        [x, *(shift(x, "rotation", float(a), rng=rng) for a in np.linspace(-12, 12, COPIES - 1))],
        axis=1,
    ).astype(np.float32)
    flat = turned.reshape(2 * n * COPIES, *x.shape[1:])
    hits = (ask(flat).argmax(1).reshape(2 * n, COPIES) == y[:, None]).mean(1)
    return {
        "membership by the score": Campaign(
            x, {"area under the curve": float(roc_auc_score(truth, scores))}
        ),
        "membership by labels of turned copies": Campaign(
            flat, {"area under the curve": float(roc_auc_score(truth, hits))}
        ),
    }


def inversion(bench: Bench, train: Dataset) -> Campaign:
    """An input that the model takes for each class, climbed to from grey by scores alone."""
    one = bench.subject
    ask = bench.asked(one.served)
    tapped = Tapped(ask, one.stream.classes)
    sure, like = [], []
    for label in range(min(one.stream.classes, 10)):
        grey = np.full((1, *one.stream.shape), 0.5, dtype=np.float32)
        found = NES(queries=2 * QUERIES, step=0.05, reach=0.05)(
            tapped.model(Access.SCORES),
            Batch(torch.from_numpy(grey), torch.tensor([label]), np.array([label])),
            ThreatModel(eps=0.5),
            task=Towards(),
            rng=np.random.default_rng(one.seed),
        ).numpy()
        sure.append(float(torch.from_numpy(ask(found)).softmax(1)[0, label]))
        mean = train.x[train.y == label].mean(0)
        like.append(float(np.corrcoef(mean.ravel(), found.ravel())[0, 1]))
    return Campaign(
        np.concatenate(tapped.seen),
        {
            "probability of the class at the end": float(np.median(sure)),
            "correlation with the class's mean image": float(np.median(like)),
        },
    )


@dataclass(frozen=True)
class Scene:
    """A calibrated pair, its fingerprints, and what is usual for the one tenant there is."""

    bench: Bench
    mark: Fingerprint
    clean: Sequence[Record]
    usual: Sequence[Record]
    trained: Trained

    @classmethod
    def of(cls, bench: Bench, train: Dataset) -> Scene:
        """Measured on twenty clients who send what the calibration set holds."""
        mark = Fingerprint(b"a benchmark's own key")
        known = _marked(bench, mark, bench.subject.calibrate.x)
        clean = _marked(bench, mark, bench.subject.stream.x)
        usual = _honest(known, 2 * len(known), np.random.default_rng(7))
        trained = Trained(likeness.of_numbers(int(one, 16) for one in mark(train.x)))
        return cls(bench, mark, clean, usual, trained)

    def monitors(self) -> list[Monitor]:
        """Those that name clients, as ``hauberk watch --usual`` makes them."""
        members, length = shares(self.usual, self.trained), HELD * 1e4
        return [
            CampaignMonitor(run_length=length, tenants=bases(self.usual)),
            MembershipMonitor(run_length=length, trained=self.trained, tenants=members),
        ]

    def flagged(
        self, hostile: Sequence[Record], mix: str, rng: np.random.Generator
    ) -> tuple[int, str] | None:
        """Queries of the attacker until the first sign against him or all, and its rule."""
        monitors, seq = self.monitors(), 0
        for at in range(len(hostile)):
            who = f"mallory {at % 10}" if mix == "ten sybils" else "mallory"
            sent = [(hostile[at], who)]
            for _ in range(4):  # others, or himself to hide among
                row = self.clean[int(rng.integers(len(self.clean)))]
                other = who if mix == "one query in five" else f"client {rng.integers(20)}"
                sent.append((row, other))
            for record, name in sent:
                seq += 1
                told = replace(record, seq=seq, principal=name, tenant="t")
                for monitor in monitors:
                    found = monitor.update(told)
                    if found and (found.spec["scope"] == "tenant" or name.startswith("mallory")):
                        return at + 1, found.rule
        return None


def _marked(bench: Bench, mark: Fingerprint, x: Images) -> list[Record]:
    """Records of inputs, as the gateway writes them, in parts that fit the memory."""
    out: list[Record] = []
    for at in range(0, len(x), 512):
        part = x[at : at + 512]
        seen = zip(bench.judged(part), mark(part), strict=True)
        out += [replace(record, fingerprint=own) for record, own in seen]
    return out


def _honest(rows: Sequence[Record], count: int, rng: np.random.Generator) -> list[Record]:
    """What twenty clients of one tenant send: each row seldom twice."""
    order = np.concatenate([rng.permutation(len(rows)) for _ in range(count // len(rows) + 1)])
    return [
        replace(rows[row], seq=at + 1, principal=f"client {rng.integers(20)}", tenant="t")
        for at, row in enumerate(order[:count].tolist())
    ]


def measure(name: str) -> list[Row]:
    """All rows of one data set."""
    bench = Bench(detection_models.subject(name, 0), most=150, shifted=150)
    train = detection_models.training_data(name)
    scene = Scene.of(bench, train)
    campaigns = searches(bench) | probes(bench, train) | {"inversion": inversion(bench, train)}
    rows = []
    for kind, campaign in campaigns.items():
        start = f"{name}: {kind}"
        rows += [Row(id=f"{start}: {what}", measured=v) for what, v in campaign.gains.items()]
        for mix in MIXES:
            rng, x = np.random.default_rng(1), campaign.queries
            if mix == "noise on each query":
                x = np.clip(x + rng.normal(0, 0.05, x.shape), 0, 1).astype(np.float32)
            marked = _marked(bench, scene.mark, x)
            starts = [len(marked) * run // RUNS for run in range(RUNS)]
            found = [scene.flagged([*marked[s:], *marked[:s]], mix, rng) for s in starts]
            late = sorted(len(marked) + 1 if one is None else one[0] for one in found)
            middle = late[RUNS // 2]
            measured = float(middle) if middle <= len(marked) else None
            label = f"{start}: queries until flagged, {mix}, of {len(marked)}"
            rows.append(Row(id=label, measured=measured))
            print(label, measured, found, flush=True)
    honest = _honest(scene.clean, HONEST, np.random.default_rng(2))
    for monitor in scene.monitors():
        false = sum(monitor.update(one) is not None for one in honest)
        kind = type(monitor).__name__.removesuffix("Monitor").lower()
        label = f"{name}: honest clients: false signs of {kind} in {HONEST}"
        rows.append(at_most(label, false, 1))
    return rows


def main() -> int:
    torch.set_num_threads(1)
    names = sys.argv[1:] or NAMES
    facts = conditions(
        seed=0, run_length=HELD * 1e4, victims=VICTIMS, queries=QUERIES, candidates=2 * CANDIDATES
    )
    return publish("campaigns", facts, [r for name in names for r in measure(name)], keep=": ")


if __name__ == "__main__":
    sys.exit(main())
