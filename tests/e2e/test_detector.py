"""A published detector on street frames: found, then made to miss, to see and to misname."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hauberk.adapters.data.coco import load_coco
from hauberk.adapters.models.grid_head import GridHead
from hauberk.adapters.models.onnx_torch import ConvertedModel, convert
from hauberk.attack.patch import Patch
from hauberk.attack.pgd import PGD
from hauberk.core.data import Batch
from hauberk.core.detection import Detection, Goal
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.boxes import detections, mean_average_precision, truth
from hauberk.evaluate.missrate import ALL, miss_rates
from hauberk.evaluate.robustness import evaluate

if TYPE_CHECKING:
    from hauberk.core.samples import Samples

ROOT = Path(__file__).parents[2].parent / "shared" / "data"
FILE = ROOT / "weights-fastestdet" / "FastestDet.onnx"
VIDEO = ROOT / "ped-crossing-video" / "annotations_coco.json"
PERSON = 0

pytestmark = pytest.mark.skipif(
    not (FILE.exists() and VIDEO.exists()), reason="../shared/data holds no detector"
)
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> ConvertedModel:
    return ConvertedModel(GridHead(convert(FILE.read_bytes()), side=(352, 352)))


@pytest.fixture(scope="module")
def frames() -> Samples:
    return load_coco(str(VIDEO), every=8)


@pytest.fixture(scope="module")
def clean(model: ConvertedModel, frames: Samples) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.from_numpy(frames.x))


def _missed(y: np.ndarray, out: np.ndarray) -> float:
    (found,) = miss_rates(truth(y, PERSON), detections(out, PERSON), subsets=(ALL,))
    assert found.value is not None
    return found.value


def test_the_converted_detector_finds_what_the_original_finds(
    frames: Samples, clean: torch.Tensor
) -> None:
    """Half of the boxes at an overlap of a half, as onnxruntime does on these frames."""
    found = detections(clean.numpy(), PERSON, score=0.4)
    boxes = truth(frames.y, PERSON)
    hits = people = 0
    for image, one in boxes.items():
        people += int((~one.ignore).sum())
        for box in one.box[~one.ignore]:
            a, b = found[image].box, box
            low = np.maximum(a[:, :2], b[:2])
            high = np.minimum(a[:, :2] + a[:, 2:], b[:2] + b[2:])
            inside = np.clip(high - low, 0, None).prod(1)
            whole = a[:, 2:].prod(1) + b[2:].prod() - inside
            hits += bool((inside > 0.5 * whole).any())
    assert people >= 25
    assert 0.3 < hits / people < 0.65


@pytest.mark.parametrize("goal", ["vanish", "appear", "mislabel"])
def test_each_goal_is_reached(
    model: ConvertedModel, frames: Samples, clean: torch.Tensor, goal: Goal
) -> None:
    task = Detection(goal=goal, labels=(PERSON,), score=0.5 if goal == "appear" else 0.4)
    right = task.correct(clean, torch.from_numpy(frames.y)).nonzero().squeeze(1)[:4].numpy()
    assert len(right) >= 3
    found = evaluate(
        model,
        frames.take(right),
        ThreatModel(eps=8 / 255),
        attacks={"pgd": PGD(steps=10)},
        task=task,
    )
    assert found.clean.all()
    assert found.worst(8 / 255).mean() <= 0.5


def test_attacked_people_are_missed(
    model: ConvertedModel, frames: Samples, clean: torch.Tensor
) -> None:
    task, y = Detection(), torch.from_numpy(frames.y)
    rows = task.correct(clean, y).nonzero().squeeze(1)[:6]
    batch = Batch(x=torch.from_numpy(frames.x)[rows], y=y[rows], index=rows.numpy())
    rng = np.random.default_rng(0)
    points = PGD(steps=10)(model, batch, ThreatModel(eps=4 / 255), task=task, rng=rng)
    with torch.no_grad():
        out = model(points)
    before, after = clean[rows].numpy(), out.numpy()
    targets = frames.y[rows.numpy()]
    assert _missed(targets, after) > 0.95 > _missed(targets, before) + 0.2
    pytest.importorskip("pycocotools")
    assert mean_average_precision(targets, before)["AP50"] > 0.3
    assert mean_average_precision(targets, after)["AP50"] < 0.1


def test_a_detector_on_the_command_line(tmp_path: Path) -> None:
    words = ["evaluate", f"grid:{FILE}", "--task", "detection:vanish", "--data", f"coco:{VIDEO}"]
    words += ["--threat", "linf:4/255", "--attacks", "fgsm", "--samples", "4", "--quiet"]
    places = ["--state", str(tmp_path), "--format", "json", "-o", str(tmp_path / "found.json")]
    done = subprocess.run([sys.executable, "-m", "hauberk", *words, *places], check=False)
    assert done.returncode == 1  # an undefended detector holds no limit
    found = json.loads((tmp_path / "found.json").read_text())
    robust = [one["value"] for one in found if one["rule"] == "HB-E001"]
    clean = next(one["value"] for one in found if one["rule"] == "HB-E002")
    assert max(robust) < clean
    assert "--task detection:vanish" in found[0]["spec"]["command"]
    rate, precision = (
        {one["spec"]["part"]: one["value"] for one in found if one["rule"] == rule}
        for rule in ("HB-E010", "HB-E011")
    )
    assert rate["All"] > rate["All, untouched"]
    assert precision["AP50"] < precision["AP50, untouched"]


def test_a_patch_of_a_fiftieth_hides_a_person(
    model: ConvertedModel, frames: Samples, clean: torch.Tensor
) -> None:
    task, y = Detection(), torch.from_numpy(frames.y)
    rows = task.correct(clean, y).nonzero().squeeze(1)[:2]
    batch = Batch(x=torch.from_numpy(frames.x)[rows], y=y[rows], index=rows.numpy())
    threat = ThreatModel(norm="patch", eps=0.02)
    rng = np.random.default_rng(0)
    points = Patch(steps=30, places=1)(model, batch, threat, task=task, rng=rng)
    with torch.no_grad():
        assert int(task.correct(model(points), batch.y).sum()) <= 1
