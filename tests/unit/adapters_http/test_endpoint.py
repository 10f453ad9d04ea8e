"""An endpoint as a model: what it gives, what it may be asked, and its owner's word."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from hauberk.adapters.http.client import V2Client
from hauberk.adapters.http.endpoint import EndpointModel
from hauberk.adapters.local.signer import Ed25519Signer
from hauberk.attack.hop_skip_jump import HopSkipJump
from hauberk.attack.pgd import PGD
from hauberk.attack.square import Square
from hauberk.core.data import Batch
from hauberk.core.errors import DataError, EnvironmentFault, HauberkError, UserError
from hauberk.core.model import Access
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.faces.cli.main import run
from hauberk.govern.consent import make_consent
from hauberk.testing.upstream_server import CLASSES, UpstreamServer, expected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASK = Classification()


@pytest.fixture(params=["logits", "labels"])
def server(request: pytest.FixtureRequest) -> Iterator[UpstreamServer]:
    one = _Told(binary=request.param == "logits", gives=request.param)
    yield one
    one.close()


class _Told(UpstreamServer):
    """Its metadata say what it gives; with a consent, the server's do too."""

    consent = ""

    def metadata(self, path: str) -> dict[str, Any]:
        told = super().metadata(path)
        if path == "/v2":
            return {**told, "hauberk_consent": self.consent}
        if self.gives == "labels":
            told["outputs"] = [{"name": "out", "datatype": "INT64", "shape": [-1]}]
        return told


def _rows(n: int = 30) -> tuple[Batch, np.ndarray]:
    x = np.random.default_rng(0).random((n, 2, 3), dtype=np.float32)
    y = expected(x).argmax(1)
    return Batch(x=torch.from_numpy(x), y=torch.from_numpy(y), index=np.arange(n)), y


def test_scores_or_labels(server: UpstreamServer) -> None:
    batch, y = _rows()
    with V2Client(server.url, "toy") as client:
        model = EndpointModel(client, classes=CLASSES, rows=7)
        out = model(batch.x)
        assert out.argmax(1).tolist() == y.tolist()
        assert model(batch.x[:0]).shape == (0, CLASSES)
        if server.gives == "logits":
            assert model.access == Access.SCORES
            assert np.allclose(out.numpy(), expected(batch.x.numpy()), atol=1e-5)
        else:
            assert model.access == Access.LABELS
            assert set(out.flatten().tolist()) == {0.0, 1.0}
        assert len(server.asked) == 5


def test_attacks_ask_no_more_than_they_may(server: UpstreamServer) -> None:
    batch, _ = _rows(12)
    with V2Client(server.url, "toy") as client:
        model = EndpointModel(client, classes=CLASSES, queries=12 * 61)
        scores = server.gives == "logits"
        attack = Square() if scores else HopSkipJump(looks=10)
        threat = ThreatModel(norm="linf" if scores else "l2", eps=0.4, queries=60)
        points = attack(model, batch, threat, task=TASK, rng=np.random.default_rng(0))
        assert float(TASK.correct(model(points), batch.y).float().mean()) < 0.7
        with pytest.raises(UserError, match="the model gives"):
            PGD()(model, batch, threat, task=TASK, rng=np.random.default_rng(0))
        model.left = 3
        with pytest.raises(EnvironmentFault, match="used up"):
            model(batch.x)


@pytest.mark.parametrize("mode", ["shape", "nan", "garbage", "error", "cut"])
def test_an_endpoint_that_misbehaves(mode: str) -> None:
    server = _Told()
    batch, _ = _rows(3)
    try:
        with V2Client(server.url, "toy") as client:
            model = EndpointModel(client, classes=CLASSES)
            server.mode = mode
            with pytest.raises(HauberkError):
                model(batch.x)
    finally:
        server.close()


def test_a_model_of_another_form_is_refused() -> None:
    odd: dict[str, Any] = {}
    changes: list[dict[str, Any]] = [
        {"inputs": []},
        {"inputs": [{"name": "x", "datatype": "BYTES"}]},
        {"outputs": []},
    ]

    class Odd(_Told):
        def metadata(self, path: str) -> dict[str, Any]:
            told = super().metadata(path)
            return told if path == "/v2" else {**told, **odd}

    server = Odd()
    try:
        with V2Client(server.url, "toy") as client:
            for change in changes:
                odd.clear()
                odd.update(change)
                with pytest.raises(DataError):
                    EndpointModel(client, classes=CLASSES)
    finally:
        server.close()


def test_the_verb_attacks_with_the_owners_consent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    server = _Told()
    rng = np.random.default_rng(0)
    x = np.vstack([np.zeros(6), np.ones(6), rng.random((198, 6))]).astype(np.float32)
    rows = [
        ",".join(map(str, [*row, int(label)]))
        for row, label in zip(x.tolist(), expected(x).argmax(1), strict=True)
    ]
    head = ",".join([*(f"c{number}" for number in range(6)), "label"])
    (tmp_path / "rows.csv").write_text("\n".join([head, *rows]))
    url = f"{server.url}/v2/models/toy"
    args = ["evaluate", url, "--data", "csv:rows.csv", "--threat", "linf:0.3", "--quiet"]
    args += ["--attacks", "square", "--queries", "20", "--samples", "20"]
    args += ["--format", "json", "-o", "out.json"]
    try:
        assert run(args) == 1
        assert "consent" in capsys.readouterr().err
        assert server.asked == []
        signer = Ed25519Signer.create(tmp_path / ".hauberk" / "keys")
        server.consent = make_consent(
            signer, model="toy", host="127.0.0.1", not_after=time.time() + 60
        )
        assert run(args) == 1  # nothing without a gradient shows that none is masked
        told = json.dumps(json.loads((tmp_path / "out.json").read_text()))
        assert '"queries": 20' in told
        assert run([*args, "--attacks", "pgd"]) == 2
        assert run([*args, "--workers", "2"]) == 2
    finally:
        server.close()
