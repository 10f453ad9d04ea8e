"""A detector's finds as an evaluation keeps them, and the figures that follow from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hauberk.attack.fgsm import FGSM
from hauberk.attack.pgd import PGD
from hauberk.core.detection import IGNORED, NOTHING, Detection
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.samples import Samples
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.boxes import detections, mean_average_precision, truth
from hauberk.evaluate.detected import detector_figures
from hauberk.evaluate.missrate import Boxes, Detections, miss_rates
from hauberk.evaluate.robustness import evaluate
from hauberk.evaluate.run import Run
from hauberk.evaluate.sequential import merge
from hauberk.evaluate.shard_file import decode, encode
from hauberk.testing.models import ToyModel

if TYPE_CHECKING:
    from hauberk.attack.attack import Attack

pytest.importorskip("pycocotools")
torch.set_num_threads(1)
N, SIDE = 12, 120
TALL, SMALL = (10.0, 10.0, 40.0, 100.0), (70.0, 20.0, 95.0, 80.0)
WRONG = (0.0, 0.0, 20.0, 60.0), (100.0, 60.0, 118.0, 118.0)


class Bright(nn.Module):
    """Two places for a person, each the surer the brighter it is, and two that are always wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("box", torch.tensor([TALL, SMALL, *WRONG]))

    box: Tensor

    def forward(self, x: Tensor) -> Tensor:
        sure = [
            x[:, 0, int(top) : int(bottom), int(left) : int(right)].mean((1, 2))
            for left, top, right, bottom in (TALL, SMALL)
        ]
        own = torch.stack([*sure, *[torch.full_like(sure[0], 0.3)] * 2], 1)
        own = (8 * (own - 0.5)).sigmoid()
        score = torch.stack([own, 1 - own], 2)
        return torch.cat([self.box.expand(len(x), -1, -1), score], 2)


@pytest.fixture(scope="module")
def frames() -> Samples:
    """Each image with a tall person, every second with a small one that is half hidden."""
    generator = np.random.default_rng(0)
    x = np.full((N, 1, SIDE, SIDE), 0.1, dtype=np.float32)
    y = np.full((N, 3, 6), NOTHING, dtype=np.float32)
    for row in range(N):
        for place, (box, seen) in enumerate(((TALL, 1.0), (SMALL, 0.4))):
            if place and row % 2:
                continue
            left, top, right, bottom = (int(one) for one in box)
            x[row, 0, top:bottom, left:right] = generator.uniform(0.5, 0.8)
            y[row, place] = (0, *box, seen)
    y[3, 2] = (IGNORED, 0, 0, 30, 70, 1.0)
    return Samples(name="street", x=x, y=y)


def figures(found: tuple[Evidence, ...]) -> dict[tuple[str, str], float]:
    told = {}
    for one in found:
        assert one.verdict is Verdict.UNKNOWN
        assert one.value is not None
        told[str(one.spec.get("attack", "")), str(one.spec["part"])] = one.value
    return told


def test_the_figures_are_those_of_the_metrics(frames: Samples) -> None:
    model, threat = ToyModel(Bright()), ThreatModel(eps=0.5)
    attacks: dict[str, Attack] = {"fgsm": FGSM(), "pgd": PGD(steps=20)}
    result = evaluate(model, frames, threat, attacks=attacks, task=Detection(), eps=[0.2, 0.5])
    told = figures(detector_figures(result, frames.y, "sha256:0"))
    with torch.no_grad():
        out = model(torch.from_numpy(frames.x)).numpy()
    expected = miss_rates(truth(frames.y, 0), detections(out, 0), few=True)
    names = ("Reasonable", "Small", "Heavy", "All")
    for name, one in zip(names, expected, strict=True):
        key = ("", f"{name}, untouched")
        assert told.get(key) == (None if one.value is None else pytest.approx(one.value, abs=1e-6))
    assert ("", "Heavy, untouched") in told
    assert ("", "Small, untouched") not in told  # nobody is small and wholly seen
    precision = mean_average_precision(frames.y, out)
    assert told["", "AP50, untouched"] == pytest.approx(precision["AP50"], abs=1e-6)
    assert told["pgd", "All"] > told["", "All, untouched"]
    assert told["pgd", "All"] >= 0.9
    assert told["pgd", "AP50"] < told["", "AP50, untouched"]


def test_an_attack_goes_on_below_the_score_that_makes_an_image_right(frames: Samples) -> None:
    """Just below it a person would still be found before the false finds of score .17."""
    result = evaluate(
        ToyModel(Bright()),
        frames,
        ThreatModel(eps=0.5),
        attacks={"pgd": PGD(steps=20)},
        task=Detection(),
    )
    attacked = next(one for one in result.found if one.attack)
    people = attacked.rows[:, 3] > 20  # the false finds are narrower
    assert float(attacked.rows[people, 5].max(initial=0.0)) < 0.17
    assert not result.worst(0.5).any()


def test_shards_put_together_are_the_whole(frames: Samples) -> None:
    def run(rows: tuple[int, int] | None) -> object:
        return evaluate(
            ToyModel(Bright()),
            frames,
            ThreatModel(eps=0.2),
            attacks={"fgsm": FGSM()},
            task=Detection(),
            run=Run(rows=rows),
        )

    whole = run(None)
    parts = [decode(encode(run(rows))) for rows in ((0, 5), (5, N))]  # type: ignore[arg-type]
    together = merge(parts)
    assert figures(detector_figures(together, frames.y, "m")) == figures(
        detector_figures(whole, frames.y, "m")  # type: ignore[arg-type]
    )


def test_a_false_find_before_all_others_counts_with_few_images_too() -> None:
    box = np.array([[0.0, 0.0, 40.0, 90.0]])
    real = Boxes(box=box, height=box[:, 3], visible=np.ones(1), ignore=np.zeros(1, dtype=np.bool_))
    wrong = box + np.array([200.0, 0.0, 0.0, 0.0])
    found = {0: Detections(box=np.concatenate([wrong, box]), score=np.array([0.9, 0.5]))}
    lenient, strict = (miss_rates({0: real}, found, few=few)[0].value for few in (False, True))
    assert (lenient, strict) == (0.0, 0.0)  # one false find an image is the last of the rates
    found[0] = Detections(box=np.concatenate([wrong, wrong + 50, box]), score=np.ones(3))
    lenient, strict = (miss_rates({0: real}, found, few=few)[0].value for few in (False, True))
    assert (lenient, strict) == (0.0, 1.0)


def test_other_tasks_have_no_finds() -> None:
    assert Detection(goal="appear").to_the_end() == Detection(goal="appear")
    assert Detection().to_the_end().score < Detection().score
