"""Other libraries' drift monitors and detectors over recorded streams, in their own environments.

``python judge.py STREAMS.npz OUT.json`` judges with whichever of river, frouros, nannyml, evidently
and ART can be imported. Each sees what it is made for: ADWIN and KSWIN our own score of a request,
MMD and evidently the input statistics and the score, CBPE the probabilities, ART the inputs.
"""

import json
import logging
import os
import sys
import time
import warnings
from functools import partial
from importlib import import_module as load
from pathlib import Path
from typing import Any

os.environ.setdefault("NML_DISABLE_USAGE_LOGGING", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
warnings.simplefilter("ignore")
logging.disable(logging.INFO)

import numpy as np  # noqa: E402 - after the environment is set

WINDOW = 100


class Adwin:
    """river's ADWIN on the score, as it comes."""

    def __init__(self, data: Any) -> None:
        self.make = load("river.drift").ADWIN
        self.before = data["reference/score"].tolist()

    def judge(self, rows: Any) -> list[int]:
        test = self.make()
        for value in self.before:
            test.update(value)
        found = []
        for place, value in enumerate(rows["score"].tolist(), start=1):
            test.update(value)
            if test.drift_detected:
                found.append(place)
        return found


class Kswin(Adwin):
    """river's KSWIN on the score, as it comes."""

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.make = partial(load("river.drift").KSWIN, seed=0)


class Mmd:
    """frouros' MMD every 100 requests: a permutation test at 1 %, the median distance as width."""

    def __init__(self, data: Any) -> None:
        kind = load("frouros.callbacks").PermutationTestDistanceBased
        known = _columns(data, "reference")
        self.centre, self.scale = known.mean(0), known.std(0) + 1e-9
        test = kind(num_permutations=200, random_state=0, num_jobs=1, method="exact", name="test")
        some = np.random.default_rng(0).permutation(len(known))[:200]
        seen = (known[some] - self.centre) / self.scale
        apart = np.sqrt(((seen[:, None] - seen[None]) ** 2).sum(2))
        width = float(np.median(apart[apart > 0]))
        kernel = partial(load("frouros.utils.kernels").rbf_kernel, sigma=width)
        self.test = load("frouros.detectors.data_drift").MMD(kernel=kernel, callbacks=[test])
        self.test.fit(X=seen)

    def judge(self, rows: Any) -> list[int]:
        found, columns = [], (_joined(rows) - self.centre) / self.scale
        for end in range(WINDOW, len(columns) + 1, WINDOW):
            _, logs = self.test.compare(X=columns[end - WINDOW : end])
            if logs["test"]["p_value"] < 0.01:
                found.append(end)
        return found


class CbpeAlert:
    """nannyml's CBPE of the accuracy by chunks of 100, its own thresholds."""

    def __init__(self, data: Any) -> None:
        probabilities, labels = data["reference/probs"], data["reference/y"]
        classes = range(probabilities.shape[1])
        self.names = {k: f"p{k}" for k in classes}
        known = self._table(probabilities) | {"y": labels}
        self.frame = load("pandas").DataFrame
        self.test = (
            load("nannyml")
            .CBPE(
                metrics=["accuracy"],
                y_pred_proba=self.names,
                y_pred="y_pred",
                y_true="y",
                problem_type="classification_multiclass",
                chunk_size=WINDOW,
            )
            .fit(self.frame(known))
        )

    def _table(self, probabilities: Any) -> dict[str, Any]:
        table = {name: probabilities[:, k] for k, name in self.names.items()}
        return {**table, "y_pred": probabilities.argmax(1)}

    def judge(self, rows: Any) -> list[int]:
        whole = len(rows["probs"]) // WINDOW * WINDOW
        told = self.test.estimate(self.frame(self._table(rows["probs"][:whole]))).to_df()
        alerts = told.loc[told[("chunk", "period")] == "analysis", ("accuracy", "alert")]
        return [(place + 1) * WINDOW for place, alert in enumerate(alerts.tolist()) if alert]


class Evidently:
    """evidently's preset: half of the columns drifted, every 100 requests."""

    def __init__(self, data: Any) -> None:
        self.frame = load("pandas").DataFrame
        preset = load("evidently.presets").DataDriftPreset()
        self.make = partial(load("evidently").Report, [preset])
        self.known = self._named(_columns(data, "reference"))

    def _named(self, columns: Any) -> Any:
        return self.frame(columns, columns=[f"c{k}" for k in range(columns.shape[1])])

    def judge(self, rows: Any) -> list[int]:
        found, columns = [], _joined(rows)
        for end in range(WINDOW, len(columns) + 1, WINDOW):
            window = self._named(columns[end - WINDOW : end])
            told = self.make().run(window, self.known).dict()["metrics"]
            if next(one["value"]["share"] for one in told if "share" in str(one["value"])) >= 0.5:
                found.append(end)
        return found


class ArtInputs:
    """ART's detector on inputs: a small network taught on the drill's attacks; each flag counts."""

    def __init__(self, data: Any) -> None:
        torch = load("torch")
        torch.manual_seed(0)
        clean, hostile = data["learn/clean"], data["learn/hostile"]
        channels, side = clean.shape[1], clean.shape[-1] // 4
        module = torch.nn.Sequential(
            *(torch.nn.Conv2d(channels, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
            *(torch.nn.Conv2d(16, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
            *(torch.nn.Flatten(), torch.nn.Linear(32 * side * side, 2)),
        )
        classifier = load("art.estimators.classification").PyTorchClassifier(
            model=module,
            loss=torch.nn.CrossEntropyLoss(),
            optimizer=torch.optim.Adam(module.parameters(), 1e-3),
            input_shape=clean.shape[1:],
            nb_classes=2,
            device_type="cpu",
        )
        self.test = load("art.defences.detector.evasion").BinaryInputDetector(classifier)
        x = np.concatenate((clean, hostile))
        y = np.eye(2, dtype=np.float32)[[0] * len(clean) + [1] * len(hostile)]
        self.test.fit(x, y, nb_epochs=20)

    def judge(self, rows: Any) -> list[int]:
        _, flagged = self.test.detect(rows["x"])
        return (np.flatnonzero(flagged) + 1).tolist()


PEERS: dict[str, Any] = {
    "river ADWIN": Adwin,
    "river KSWIN": Kswin,
    "frouros MMD": Mmd,
    "nannyml CBPE": CbpeAlert,
    "evidently drift": Evidently,
    "ART input detector": ArtInputs,
}


def _joined(rows: Any) -> Any:
    return np.concatenate((rows["features"], rows["score"][:, None]), axis=1).astype(np.float64)


def _columns(data: Any, pool: str) -> Any:
    return _joined({part: data[f"{pool}/{part}"] for part in ("features", "score")})


def _stream(data: Any, name: str) -> dict[str, Any]:
    """The rows of a stream: (pool, place) pairs, in order."""
    pools, order = data["pools"].tolist(), data[f"stream/{name}"]
    out: dict[str, Any] = {}
    for part in ("x", "probs", "score", "features"):
        first = data[f"{pools[0]}/{part}"]
        rows = np.empty((len(order), *first.shape[1:]), dtype=first.dtype)
        for number, pool in enumerate(pools):
            here = order[:, 0] == number
            rows[here] = data[f"{pool}/{part}"][order[here, 1]]
        out[part] = rows
    return out


def main() -> None:
    """Judge every stream with everyone who is here."""
    with np.load(sys.argv[1], allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    names = [name.removeprefix("stream/") for name in data if name.startswith("stream/")]
    found: dict[str, Any] = {}
    for peer, kind in PEERS.items():
        try:
            made = kind(data)
        except ImportError:
            continue
        began, requests, alarms = time.process_time(), 0, {}
        for name in names:
            rows = _stream(data, name)
            alarms[name] = made.judge(rows)
            requests += len(rows["score"])
        spent = time.process_time() - began
        found[peer] = {"alarms": alarms, "us": 1e6 * spent / requests}
        print(f"{peer}: {spent:.0f} CPU s", file=sys.stderr, flush=True)
    Path(sys.argv[2]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
