"""Files as libraries write them here and now: clean, and the same with a call in them malicious."""

import collections
import datetime as dt
import decimal
import io
import os
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse
import torch
from safetensors.torch import save
from sklearn import compose, ensemble, linear_model, neighbors, pipeline, preprocessing, svm, tree
from torch import nn

from hauberk.vet.finding import Outcome
from hauberk.vet.run import vet
from hauberk.vet.source import Memory


class Call:
    """Pickled, it is a call that prints one word; it is never loaded here."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("echo vetted",)


def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten())


def torch_objects() -> Iterator[tuple[str, Any]]:
    net = model()
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.zeros(2, 1, 8, 8)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    yield "state", net.state_dict()
    yield "module", net
    yield "recurrent", nn.LSTM(2, 3)
    yield "half", model().half().state_dict()
    yield (
        "checkpoint",
        {
            "epoch": 3,
            "state_dict": net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "rng": torch.get_rng_state(),
            "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        },
    )
    kinds = {"sparse": torch.eye(2).to_sparse(), "size": torch.Size([1]), "type": torch.bfloat16}
    yield "kinds", {**kinds, "device": torch.device("cpu"), "complex": torch.ones(2) * 1j}


def estimators() -> Iterator[tuple[str, Any]]:
    steps = [("scale", preprocessing.MinMaxScaler(), [0, 1]), ("keep", "passthrough", [2])]
    yield "logistic", linear_model.LogisticRegression()
    yield "forest", ensemble.RandomForestClassifier(3, random_state=0)
    yield "boosting", ensemble.HistGradientBoostingClassifier(max_iter=2)
    yield "svm", svm.SVC()
    yield "neighbours", neighbors.KNeighborsClassifier(algorithm="kd_tree")
    yield "tree", tree.DecisionTreeClassifier()
    yield "pipeline", pipeline.make_pipeline(preprocessing.StandardScaler(), svm.LinearSVC())
    yield (
        "columns",
        pipeline.make_pipeline(compose.ColumnTransformer(steps), linear_model.LogisticRegression()),
    )


def saved(value: Any, *, old: bool = False) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=not old)
    return out.getvalue()


def dumped(value: Any, compress: Any = 0) -> bytes:
    out = io.BytesIO()
    joblib.dump(value, out, compress=compress)
    return out.getvalue()


@pytest.fixture(scope="module")
def fitted() -> list[tuple[str, Any]]:
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 3)), np.arange(40) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whether they converge is not the matter here
        return [(name, one.fit(x, y)) for name, one in estimators()]


def outcome(data: bytes, name: str) -> Outcome:
    return vet(Memory(data), name).outcome


@pytest.mark.parametrize("old", [False, True])
def test_what_torch_saves(*, old: bool) -> None:
    for name, value in torch_objects():
        assert outcome(saved(value, old=old), f"{name}.pt") is Outcome.CLEAN, name
        bad = {"value": value, "last": Call()}
        assert outcome(saved(bad, old=old), f"{name}.pt") is Outcome.MALICIOUS, name


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_what_scikit_learn_pickles(fitted: list[tuple[str, Any]], protocol: int) -> None:
    for name, value in fitted:
        assert outcome(pickle.dumps(value, protocol), f"{name}.pkl") is Outcome.CLEAN, name
        bad = pickle.dumps([value, Call()], protocol)
        assert outcome(bad, f"{name}.pkl") is Outcome.MALICIOUS, name


@pytest.mark.parametrize("compress", [0, "zlib", "gzip", "bz2", "lzma", "xz"])
def test_what_joblib_dumps(fitted: list[tuple[str, Any]], compress: Any) -> None:
    how = (compress, 3) if compress else 0
    for name, value in fitted[:3]:
        assert outcome(dumped(value, how), f"{name}.joblib") is Outcome.CLEAN, name
        bad = dumped({"value": value, "last": Call()}, how)
        assert outcome(bad, f"{name}.joblib") is Outcome.MALICIOUS, name


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values(protocol: int) -> None:
    value = {
        "numbers": [1, 2.5, 1 + 2j, decimal.Decimal("1.1"), 10**30],
        "texts": ["a", "é", b"b", bytearray(b"c")],
        "nested": (
            (1,),
            {2},
            frozenset([3]),
            collections.OrderedDict(a=1),
            collections.Counter("a"),
        ),
        "times": dt.timedelta(days=1),
        "array": np.arange(3),
        "sparse": scipy.sparse.csr_matrix(np.eye(2)),
    }
    assert outcome(pickle.dumps(value, protocol), "x.pkl") is Outcome.CLEAN
    assert outcome(pickle.dumps([value, Call()], protocol), "x.pkl") is Outcome.MALICIOUS


def test_arrays_and_tensors(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(3), b=np.ones((2, 2)))
    np.save(tmp_path / "r.npy", np.zeros(3, dtype=[("a", "i4"), ("b", "f8")]))
    scipy.sparse.save_npz(tmp_path / "s.npz", scipy.sparse.csr_matrix(np.eye(3)))
    (tmp_path / "w.safetensors").write_bytes(save({"a": torch.zeros(2), "b": torch.ones(2, 2)}))
    for path in tmp_path.iterdir():
        assert outcome(path.read_bytes(), path.name) is Outcome.CLEAN, path.name
    bad = io.BytesIO()
    np.savez(bad, a=np.array([Call()], dtype=object))
    assert outcome(bad.getvalue(), "x.npz") is Outcome.MALICIOUS
