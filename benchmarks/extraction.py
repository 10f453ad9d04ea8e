"""Copying a model through the gateway: what the copy is worth when its maker is slowed down.

A real gateway serves a perceptron on MNIST. ``hauberk watch budget`` measures what a copy takes,
and ``hauberk watch --throttle`` follows the service. One client sends queries, of the model's own
kind or of another, and trains a copy on the answers; its fidelity is the share of held-out images
on which it agrees with the model. Then an honest client, whose usual traffic the watch knows, sends
as many images of his own. An honest client of whom nothing is known is not there: he would do what
who copies with images of the model's own kind does, and be held as soon.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING

import numpy as np
import torch
from msgspec.structs import replace
from sklearn.neural_network import MLPClassifier

from benchmarks.lab_models import DATA
from benchmarks.table import Row, at_most, conditions, publish
from hauberk.adapters.data.idx import load as load_idx
from hauberk.adapters.http.traffic import Aim, Shot, fire
from hauberk.adapters.local.programs import HAUBERK, Program
from hauberk.adapters.local.rehearsal import CLIENTS
from hauberk.adapters.local.sharing import fingerprint_key
from hauberk.core.spec import DataSpec, Spec
from hauberk.guard.shifts import shift
from hauberk.testing.service import SMALL, Service, prepare, replica

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Images = NDArray[np.float32]

TRAINED, HELD, USUAL, MOST = 3000, 1000, 10_000, 10_000
RATE = 400.0
"""Queries a second."""
COUNTS = (30, 100, 300, 1000, 3000, 10_000)
FIDELITY = 0.8
SIGNS = {"HB-D007", "HB-D014", "HB-D015"}


@dataclass(frozen=True)
class Pictures:
    """Images that the model never saw; ``own`` are the attacker's."""

    held: Images
    usual: Images
    own: Images
    honest: Images


def pictures(folder: Path) -> Pictures:
    """MNIST dealt out; what the model is made of is written to ``folder/data.npz``."""
    data = load_idx(str(DATA / "mnist"))
    order = np.random.default_rng(0).permutation(len(data))
    cuts = np.cumsum([TRAINED, HELD, USUAL, MOST, MOST])
    parts = [data.take(rows, name="mnist") for rows in np.split(order, cuts)[:5]]
    np.savez(folder / "data.npz", x=parts[0].x, y=parts[0].y)
    return Pictures(*(part.x for part in parts[1:]))


def surrogate(own: Images, rng: np.random.Generator) -> Images:
    """Photos of traffic signs, grey and 28 pixels a side."""
    with np.load(DATA / "gtsrb" / "gtsrb_32x32.npz", allow_pickle=False) as file:
        photos = file["x_train"][rng.permutation(len(file["x_train"]))[:MOST]]
    grey = photos.astype(np.float32).mean(axis=3) / 255
    return np.ascontiguousarray(grey[: len(own), None, 2:30, 2:30])


def augmented(own: Images, rng: np.random.Generator) -> Images:
    """A hundred images of the model's own kind, turned and with noise."""
    angles = rng.uniform(-15, 15, 40)
    turned = [shift(own[:100], "rotation", float(angle), rng=rng) for angle in angles]
    out = np.concatenate(turned)[rng.integers(4000, size=len(own))]
    return np.asarray(np.clip(out + rng.normal(0, 0.05, out.shape), 0, 1), dtype=np.float32)


def noise(own: Images, rng: np.random.Generator) -> Images:
    """Uniform noise."""
    return rng.random(own.shape, dtype=np.float32)


KINDS: dict[str, Callable[[Images, np.random.Generator], Images]] = {
    "in distribution": lambda own, _: own,
    "traffic signs": surrogate,
    "a hundred images, augmented": augmented,
    "noise": noise,
}


@dataclass(frozen=True)
class Told:
    """What came of one client's queries: the answers, and after how many who was flagged, held."""

    labels: NDArray[np.int64]
    flagged: int | None
    held: bool


@dataclass(frozen=True)
class Scene:
    """A prepared service to copy for each client, and records of its usual traffic."""

    folder: Path
    spec: Spec

    @classmethod
    def prepare(cls, folder: Path) -> Scene:
        """Train the model and its twin."""
        scene = cls(folder, replace(SMALL, data=DataSpec(source=f"npz:{folder / 'data.npz'}")))
        prepare(folder / "made", scene.spec)
        fingerprint_key(folder / "made", None)  # one for all copies: the records go with it
        return scene

    def budget(self) -> float:
        """What a copy takes, as the command measures and keeps it."""
        with self._service("budget") as service:
            common = ("--config", str(service.config), "--state", str(service.home.folder))
            subprocess.run([*HAUBERK, "watch", "budget", *common], check=True)
            kept = service.home.folder / "budget.json"
            copyfile(kept, self.folder / "made" / kept.name)
            return float(json.loads(kept.read_text())["queries"])

    def usual(self, x: Images, held: Images) -> NDArray[np.int64]:
        """Let an honest client send ``x``; keep the records, and answer ``held``."""
        with self._service("usual") as service:
            service.start_gateway()
            with service.client(CLIENTS[0]) as sender:
                for row in x:
                    sender.infer(row[None])
                parts = [
                    sender.infer(held[at : at + 100]).labels for at in range(0, len(held), 100)
                ]
            service.wait_for_records(len(x) + len(held))
        return np.concatenate(parts)

    def ask(self, name: str, x: Images, who: str) -> Told:
        """Send ``x`` one by one until the client is held."""
        with self._service(name) as service:
            service.start_gateway()
            events = service.home.folder / "events.jsonl"
            usual = str(self.folder / "usual" / "records")
            told = ("--throttle", "--usual", usual, "--events", str(events))
            common = ("--config", str(service.config), "--state", str(service.home.folder))
            watch = Program.start(
                ("watch", *told, *common), log=service.home.folder / "logs" / "watch.log"
            )
            try:
                with service.client(CLIENTS[0]) as sender:  # until the watch is awake
                    sender.infer(x[:1])
                kept = service.home.folder / "watch.state"
                watch.wait_until(kept.exists, seconds=60)
                shots = _sent(service, x, who)
            finally:
                watch.stop()
            labels = np.array([shot.label for shot in shots if not shot.error], dtype=np.int64)
            wrong = [shot.error for shot in shots if shot.error and "429" not in shot.error]
            if wrong:
                raise SystemExit(wrong[0])
            return Told(labels, _flagged(events), len(labels) < len(x))

    def _service(self, name: str) -> Service:
        return replica(self.folder / "made", self.folder / name, self.spec)


def _sent(service: Service, x: Images, who: str) -> list[Shot]:
    """Shots up to the first that failed."""
    shots: list[Shot] = []
    with service.client(who) as sender:
        for shot in fire(sender, (Aim(x=row[None], truth=-1) for row in x), rate=RATE):
            shots.append(shot)
            if shot.error:
                break
    return shots


def _flagged(events: Path) -> int | None:
    """Answers before the first sign of a campaign, or of a budget that is spent."""
    lines = events.read_text().splitlines() if events.exists() else []
    found = [json.loads(line)["data"] for line in lines]
    seen = [one["spec"]["requests"] for one in found if one["rule"] in SIGNS]
    return int(seen[0]) if seen else None


def fidelity(
    x: Images, labels: NDArray[np.int64], held: Images, answers: NDArray[np.int64]
) -> float:
    """Of a copy trained on the answers."""
    if len(np.unique(labels)) < 2:
        return float((answers == labels[0]).mean()) if len(labels) else 0.0
    copy = MLPClassifier((256,), max_iter=60, early_stopping=len(labels) > 500, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sixty rounds are enough, it says otherwise
        copy.fit(x[: len(labels)].reshape(len(labels), -1), labels)
    return float((copy.predict(held.reshape(len(held), -1)) == answers).mean())


def measure(folder: Path) -> list[Row]:
    """All rows."""
    seen, rng = pictures(folder), np.random.default_rng(1)
    scene = Scene.prepare(folder)
    answers = scene.usual(seen.usual, seen.held)
    out = [Row(id="queries that a copy takes, as measured beforehand", measured=scene.budget())]
    for name, make in KINDS.items():
        x = make(seen.own, rng)
        told = scene.ask(name.replace(" ", "-").replace(",", ""), x, CLIENTS[1])
        had = len(told.labels)
        curve = {n: fidelity(x, told.labels[:n], seen.held, answers) for n in COUNTS if n < had}
        last = fidelity(x, told.labels, seen.held, answers)
        noticed = fidelity(x, told.labels[: told.flagged or had], seen.held, answers)
        for count, value in curve.items():
            out.append(Row(id=f"{name}: fidelity after {count} answers", measured=value))
        out += [
            Row(id=f"{name}: answers until the client is flagged", measured=told.flagged),
            Row(id=f"{name}: answers until the client is held, of {len(x)}", measured=had),
            at_most(f"{name}: fidelity when flagged, or at the end", noticed, FIDELITY),
            Row(id=f"{name}: fidelity when held, or at the end", measured=last),
        ]
        print(f"{name}: flagged {told.flagged}, {had} answers, fidelity {last:.3f}", flush=True)
    told = scene.ask("honest", seen.honest, CLIENTS[0])
    label = f"an honest client with a history: answers until a false sign, of {len(seen.honest)}"
    out.append(Row(id=label, measured=told.flagged, target="none", holds=told.flagged is None))
    refused = len(seen.honest) - len(told.labels)
    out.append(
        at_most(f"an honest client with a history: refused of {len(seen.honest)}", refused, 0)
    )
    return out


def main() -> int:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder))
    facts = conditions(
        data="mnist", served="mlp", trained=TRAINED, held=HELD, rate=RATE, usual=USUAL, seed=0
    )
    return publish("extraction", facts, rows)


if __name__ == "__main__":
    sys.exit(main())
