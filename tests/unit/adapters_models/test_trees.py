"""Trees and boosters as models: by ONNX, and by calling them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.called import CalledModel
from hauberk.adapters.models.load import load
from hauberk.adapters.models.onnx import export
from hauberk.adapters.models.trees import Probabilities
from hauberk.attack.hop_skip_jump import HopSkipJump
from hauberk.attack.pgd import PGD
from hauberk.attack.square import Square
from hauberk.core.data import Batch
from hauberk.core.errors import DataError, HauberkError, ModelFormatError, UserError
from hauberk.core.model import Access
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

TASK = Classification()


def _rows() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    x = np.random.default_rng(0).random((200, 5), dtype=np.float32)
    return x, ((x[:, 0] + x[:, 1] > 1).astype(np.int64) + (x[:, 2] > 0.7))


def _forest() -> Any:
    x, y = _rows()
    return RandomForestClassifier(20, random_state=0).fit(x, y)


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_forest_in_onnx(tmp_path: Path, zipmap: bool) -> None:
    convert = pytest.importorskip("skl2onnx")
    forest = _forest()
    kind = convert.common.data_types.FloatTensorType([None, 5])
    options = {id(forest): {"zipmap": zipmap}}
    file = tmp_path / "forest.onnx"
    proto = convert.convert_sklearn(forest, initial_types=[("x", kind)], options=options)
    file.write_bytes(proto.SerializeToString())
    model = load(file)
    assert isinstance(model, Probabilities)
    assert model.access == Access.SCORES
    x, _ = _rows()
    scores = model(torch.from_numpy(x)).exp().numpy()
    assert np.allclose(scores, forest.predict_proba(x), atol=1e-5)
    assert model(torch.zeros(0, 5)).shape == (0, 3)
    with pytest.raises(DataError):
        model(torch.zeros(2, 4))


@pytest.mark.parametrize("maker", ["lightgbm", "xgboost"])
def test_a_booster_in_onnx(tmp_path: Path, maker: str) -> None:
    library = pytest.importorskip(maker)
    tools = pytest.importorskip("onnxmltools")
    x, y = _rows()
    classifier = {"lightgbm": "LGBMClassifier", "xgboost": "XGBClassifier"}[maker]
    quiet = {"verbose": -1} if maker == "lightgbm" else {}
    booster = getattr(library, classifier)(n_estimators=10, n_jobs=1, **quiet).fit(x, y)
    kind = tools.convert.common.data_types.FloatTensorType([None, 5])
    proto = getattr(tools, f"convert_{maker}")(booster, initial_types=[("x", kind)])
    file = tmp_path / "booster.onnx"
    file.write_bytes(proto.SerializeToString())
    scores = load(file)(torch.from_numpy(x)).exp().numpy()
    expected = booster.booster_.predict(x) if maker == "lightgbm" else booster.predict_proba(x)
    assert np.allclose(scores, expected, atol=1e-4)


def test_what_is_no_classifier_of_rows_is_refused() -> None:
    with pytest.raises(ModelFormatError):
        Probabilities.open(b"not onnx")
    images = export(build("cnn", {"in_shape": [1, 8, 8], "classes": 3}), (1, 8, 8))
    with pytest.raises(ModelFormatError, match="rows"):
        Probabilities.open(images)


@pytest.mark.parametrize("access", [Access.SCORES, Access.LABELS])
def test_a_function_is_attacked(access: Access) -> None:
    forest = _forest()
    call = forest.predict_proba if access == Access.SCORES else forest.predict
    model = CalledModel(function=call, classes=3, access=access)
    x, y = _rows()
    batch = Batch(x=torch.from_numpy(x), y=torch.from_numpy(y), index=np.arange(len(y)))
    attack, threat = (
        (Square(queries=60), ThreatModel(eps=0.15))
        if access == Access.SCORES
        else (HopSkipJump(queries=150, looks=15), ThreatModel(norm="l2", eps=0.3))
    )
    points = attack(model, batch, threat, task=TASK, rng=np.random.default_rng(0))
    assert float(TASK.correct(model(points), batch.y).float().mean()) < 0.7
    more = PGD() if access == Access.SCORES else Square()
    with pytest.raises(UserError, match="the model gives"):
        more(model, batch, ThreatModel(), task=TASK, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("answer", "access"),
    [
        (lambda x: np.zeros((len(x), 2)), Access.SCORES),
        (lambda x: np.full((len(x), 3), np.nan), Access.SCORES),
        (lambda x: np.zeros((len(x), 1)), Access.LABELS),
        (lambda x: np.full(len(x), 3), Access.LABELS),
        (lambda x: np.full(len(x), 0.5), Access.LABELS),
    ],
)
def test_an_answer_of_another_form(answer: Callable[[Any], Any], access: Access) -> None:
    model = CalledModel(function=answer, classes=3, access=access)
    with pytest.raises(HauberkError):
        model(torch.zeros(4, 5))
    assert model(torch.zeros(0, 5)).shape == (0, 3)


def test_a_function_promises_no_more_than_it_can() -> None:
    with pytest.raises(UserError):
        CalledModel(function=len, classes=3, access=Access.GRADIENTS)
    with pytest.raises(UserError):
        CalledModel(function=len, classes=1)
