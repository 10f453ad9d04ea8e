from __future__ import annotations

import numpy as np
import pytest

from hauberk.evaluate.boxes import detections, mean_average_precision, truth
from hauberk.evaluate.missrate import miss_rates

Y = np.array(
    [
        [[0, 10, 10, 40, 90], [-2, 60, 0, 90, 80], [1, 0, 0, 5, 5]],
        [[0, 20, 10, 50, 90], [-1, 0, 0, 0, 0], [-1, 0, 0, 0, 0]],
    ],
    np.float32,
)


def _answer(score: float = 0.9, shift: float = 0.0) -> np.ndarray:
    """Every object by its own box, moved; the second row doubles the first, a little lower."""
    out = np.zeros((2, 3, 6), np.float32)
    for image in range(2):
        for row, (kind, *box) in enumerate(Y[image].tolist()):
            if kind >= 0:
                out[image, row, :4] = np.array(box) + shift
                out[image, row, 4 + int(kind)] = score
    out[:, 1] = out[:, 0] + 0.5
    out[:, 1, 4] = score - 0.1
    return out


def test_of_boxes_that_overlap_the_best_stays() -> None:
    found = detections(_answer(), 0)
    assert [one.score.tolist() for one in found.values()] == [[pytest.approx(0.9)]] * 2
    assert found[0].box.tolist() == [[10, 10, 30, 80]]
    assert all(len(one.score) == 2 for one in detections(_answer(), 0, overlap=0.999).values())


def test_the_truth_of_one_class() -> None:
    boxes = truth(Y, 0)
    assert boxes[0].ignore.tolist() == [False, True]
    assert boxes[0].box.tolist() == [[10, 10, 30, 80], [60, 0, 30, 80]]
    assert boxes[1].height.tolist() == [80]


def test_perfect_and_empty_answers() -> None:
    found = miss_rates(truth(Y, 0), detections(_answer(), 0))
    assert found[0].value == pytest.approx(0.0, abs=1e-9)
    none = miss_rates(truth(Y, 0), detections(_answer(0.0), 0))
    assert none[0].value == 1.0


def test_average_precision_of_known_answers() -> None:
    pytest.importorskip("pycocotools")
    assert mean_average_precision(Y, _answer())["AP"] == pytest.approx(1.0)
    moved = mean_average_precision(Y[:, :1], _answer(shift=3.0)[:, :1])
    assert moved["AP50"] == pytest.approx(1.0)
    assert 0.3 < moved["AP"] < 0.9
    assert mean_average_precision(Y, _answer(0.0)) == {"AP": 0.0, "AP50": 0.0}
