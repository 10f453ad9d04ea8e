"""Tasks by name: each opens, what makes no sense is refused, and a plan can be carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from hauberk.adapters.local.evaluation import Plan, open_plan
from hauberk.adapters.local.tasks import TASKS, has_classes, task_of
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.source import located, model_digest
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.adapters.models.weights import save
from hauberk.core.detection import Detection
from hauberk.core.digest import digest_file
from hauberk.core.errors import DataError, UnknownNameError, UserError
from hauberk.core.ports import Shard
from hauberk.core.task import Regression
from hauberk.evaluate.shard_file import decode

if TYPE_CHECKING:
    from pathlib import Path

torch.set_num_threads(1)


def test_every_task_has_a_name() -> None:
    made = {task_of("regression:0.1" if one == "regression" else one) for one in TASKS}
    assert len(made) == len(TASKS)
    assert task_of("detection:appear") == Detection(goal="appear")
    assert task_of("detection") == Detection(goal="vanish")
    assert task_of("regression:2") == Regression(tolerance=2.0)
    assert [one for one in TASKS if has_classes(one)] == ["binary", "classification"]


@pytest.mark.parametrize(
    "text", ["", "segmentation", "binary:2", "regression", "regression:nan", "detection:melt"]
)
def test_what_is_no_task_is_refused(text: str) -> None:
    with pytest.raises((UserError, UnknownNameError)):
        task_of(text)


def _module(outputs: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return build("mlp", _shape(outputs))


def _shape(outputs: int) -> dict[str, Any]:
    return {"in_shape": [4], "classes": outputs}


def _rows() -> np.ndarray:
    return np.random.default_rng(0).random((20, 4), dtype=np.float32)


def _planned(folder: Path, task: str, y: np.ndarray, outputs: int = 1) -> Plan:
    model = folder / "line.safetensors"
    form = Architecture("mlp", _shape(outputs))
    model.write_bytes(save(TorchModel(module=_module(outputs), architecture=form)))
    np.savez(folder / "rows.npz", x=_rows(), y=y)
    return Plan(
        model=str(model),
        digest=digest_file(model),
        data=f"npz:{folder / 'rows.npz'}",
        norm="linf",
        eps=0.5,
        radii=(0.01, 0.5),
        attacks=("pgd",),
        task=task,
    )


def test_numbers_are_driven_off(tmp_path: Path) -> None:
    with torch.no_grad():
        y = _module(1)(torch.from_numpy(_rows())).numpy().ravel()
    plan = _planned(tmp_path, "regression:0.01", y)
    found = decode(open_plan({**plan.work().spec})(Shard(0, 20)))
    assert found.clean.all()
    assert found.worst(0.01).mean() > found.worst(0.5).mean()


def test_several_labels(tmp_path: Path) -> None:
    y = np.random.default_rng(1).integers(0, 2, (20, 3))
    plan = _planned(tmp_path, "multi-label", y, 3)
    found = decode(open_plan({**plan.work().spec})(Shard(0, 20)))
    assert found.worst(0.5).sum() <= found.clean.sum()


def test_targets_of_another_form_are_refused(tmp_path: Path) -> None:
    plan = _planned(tmp_path, "regression:0.1", np.array(["a"] * 20))
    with pytest.raises(DataError, match="targets are"):
        plan.dataset()


def test_a_plug_ins_file_is_under_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.onnx").write_bytes(b"one")
    monkeypatch.chdir(tmp_path)
    before = model_digest("grid:a.onnx")
    assert located("grid:a.onnx") == f"grid:{tmp_path / 'a.onnx'}"
    assert model_digest(located("grid:a.onnx")) == before
    (tmp_path / "a.onnx").write_bytes(b"two")
    assert model_digest("grid:a.onnx") != before
