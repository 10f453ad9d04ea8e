"""A published detector before and after adversarial fine-tuning, on frames of one street.

The first 60 % of the frames train, the next 10 % choose, the last 30 % are measured: the same
street and people later, so the figures say what hardening gains and costs, not how the detector
does elsewhere. Attacked are whole images towards no find at all, by PGD.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.table import Row, conditions, publish
from hauberk.adapters.data.coco import load_coco
from hauberk.adapters.models.grid_head import GridHead
from hauberk.adapters.models.onnx_torch import ConvertedModel, convert
from hauberk.attack.pgd import PGD
from hauberk.core.data import Batch
from hauberk.core.detection import Detection
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.boxes import detections, mean_average_precision, truth
from hauberk.evaluate.missrate import ALL, miss_rates
from hauberk.harden.detector import DetectorTuning

if TYPE_CHECKING:
    from torch import nn

    from hauberk.core.samples import Samples

DATA = Path(__file__).parents[2] / "shared" / "data"
PERSON, SIDE = 0, (352, 352)
TRAINED = 2 / 255
RADII = (2 / 255, 4 / 255)
TUNING = DetectorTuning(epochs=10)


def main() -> int:
    torch.set_num_threads(1)
    frames = load_coco(str(DATA / "ped-crossing-video" / "annotations_coco.json"))
    cuts = np.split(np.arange(len(frames)), [int(0.6 * len(frames)), int(0.7 * len(frames))])
    train, validation, test = (frames.take(rows) for rows in cuts)
    body = convert((DATA / "weights-fastestdet" / "FastestDet.onnx").read_bytes())
    module = GridHead(body, side=SIDE).eval()
    ways = {
        "adversarial": (TUNING, ThreatModel(eps=TRAINED)),
        # The same data without an attack: what is gained by seeing this street.
        "plain": (replace(TUNING, steps=1, clean_share=0.0), ThreatModel(eps=1e-6)),
    }
    found = {"given": _measured(module, test)}
    for name, (tuning, threat) in ways.items():
        start = time.process_time()
        tuned = tuning.fit(module, train, validation, threat, seed=0)
        spent = time.process_time() - start
        found[name] = {**_measured(tuned, test), "CPU s": spent}
        print(name, found[name], flush=True)
    rows = [
        Row(id=f"fine-tuned ({name}): {key}" if name != "given" else f"given: {key}", measured=v)
        for name, figures in found.items()
        for key, v in figures.items()
    ]
    facts = conditions(
        detector="FastestDet",
        frames=[len(one) for one in (train, validation, test)],
        trained_eps=round(TRAINED, 4),
        seed=0,
    )
    return publish("detector", facts, rows)


def _measured(module: nn.Module, test: Samples) -> dict[str, float]:
    """Log-average miss rate and AP at an overlap of a half, clean and under PGD-20."""
    model, figures = ConvertedModel(module), {}
    task = Detection(labels=(PERSON,))
    batch = Batch(
        x=torch.from_numpy(test.x), y=torch.from_numpy(test.y), index=np.arange(len(test))
    )
    points = {"clean": batch.x}
    for eps in RADII:
        attack, threat = PGD(steps=20), ThreatModel(eps=eps)
        points[f"PGD-20, eps {round(255 * eps)}/255"] = attack(
            model, batch, threat, task=task, rng=np.random.default_rng(0)
        )
    for name, x in points.items():
        with torch.no_grad():
            out = model(x).numpy()
        (missed,) = miss_rates(truth(test.y, PERSON), detections(out, PERSON), subsets=(ALL,))
        figures[f"miss rate, {name}"] = missed.value if missed.value is not None else 1.0
        figures[f"AP50, {name}"] = mean_average_precision(test.y, out)["AP50"]
    return figures


if __name__ == "__main__":
    sys.exit(main())
