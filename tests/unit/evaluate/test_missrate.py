"""Miss rates against the benchmark's own code, run once on the detections made here."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from hauberk.core.errors import DataError
from hauberk.evaluate.missrate import (
    ALL,
    REASONABLE,
    SUBSETS,
    Boxes,
    Detections,
    miss_rates,
    read_boxes,
)

GROUND = Path(__file__).parents[3].parent / "shared/data/citypersons-annotations/val_gt.json.gz"


def _boxes(*rows: tuple[float, float, float, float], **more: list[float]) -> Boxes:
    box = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return Boxes(
        box=box,
        height=np.array(more.get("height", box[:, 3])),
        visible=np.array(more.get("visible", [1.0] * len(box))),
        ignore=np.array(more.get("ignore", [0.0] * len(box)), dtype=np.bool_),
    )


def _found(*rows: tuple[float, float, float, float], score: list[float]) -> Detections:
    return Detections(box=np.array(rows, dtype=np.float64).reshape(-1, 4), score=np.array(score))


PERSON = (100.0, 100.0, 40.0, 100.0)
OTHER = (300.0, 100.0, 40.0, 100.0)
NOWHERE = (700.0, 100.0, 40.0, 100.0)


def _reasonable(truth: Boxes, found: Detections | None) -> tuple[float | None, tuple[float, ...]]:
    held = {} if found is None else {1: found}
    (rate,) = miss_rates({1: truth}, held, subsets=[REASONABLE])
    return rate.value, rate.missed


def test_all_found_is_0_and_nothing_found_is_1() -> None:
    assert _reasonable(_boxes(PERSON), _found(PERSON, score=[0.9]))[0] == 0.0
    assert _reasonable(_boxes(PERSON), None)[0] == 1.0


def test_a_second_hit_on_one_person_is_a_false_positive() -> None:
    value, missed = _reasonable(
        _boxes(PERSON, OTHER), _found(PERSON, PERSON, OTHER, score=[0.9, 0.8, 0.7])
    )
    assert missed == (0.5,) * 8 + (0.0,)
    assert value == 0.0


@pytest.mark.parametrize("which", ["ignored", "small", "hidden"])
def test_what_is_to_be_ignored_counts_neither_way(which: str) -> None:
    more = {
        "ignored": {"ignore": [0.0, 1.0]},
        "small": {"height": [100.0, 49.0]},
        "hidden": {"visible": [1.0, 0.64]},
    }[which]
    found = _found(OTHER, OTHER, PERSON, score=[0.9, 0.8, 0.7])
    assert _reasonable(_boxes(PERSON, OTHER, **more), found)[0] == 0.0


def test_detections_far_from_the_heights_of_the_subset_are_dropped() -> None:
    low = _found((700.0, 0.0, 10.0, 39.0), PERSON, score=[0.9, 0.8])
    assert _reasonable(_boxes(PERSON), low)[0] == 0.0
    near = _found((700.0, 0.0, 10.0, 40.0), PERSON, PERSON, score=[0.9, 0.8, 0.7])
    assert _reasonable(_boxes(PERSON, OTHER), near)[1][-1] == 0.5


def test_no_person_no_figure() -> None:
    assert _reasonable(_boxes(PERSON, ignore=[1.0]), None)[0] is None


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="no annotated image"):
        miss_rates({}, {})
    with pytest.raises(DataError, match="image 7"):
        miss_rates({1: _boxes(PERSON)}, {7: _found(PERSON, score=[1.0])})
    trees: list[dict[str, list[dict[str, object]]]] = [
        {},
        {"images": [{"id": 1}], "annotations": [{"bbox": 3}]},
        {"images": [{}]},
    ]
    for tree in trees:
        with pytest.raises(DataError):
            read_boxes(tree)


def detections(truth: dict[int, Boxes]) -> dict[int, Detections]:
    """A made-up detector: most people, moved a little, and things that are no people."""
    rng, found = np.random.default_rng(11), {}
    for image, boxes in sorted(truth.items()):
        seen = boxes.box[rng.random(len(boxes.box)) < 0.8]
        moved = seen + rng.normal(0, 0.12, seen.shape) * seen[:, [2, 3, 2, 3]]
        size = rng.uniform(20, 200, 4)
        false = np.stack([rng.uniform(0, 2000, 4), rng.uniform(0, 900, 4), 0.41 * size, size], 1)
        box = np.concatenate([moved, false]).round(1)
        score = np.concatenate([rng.beta(4, 2, len(moved)), rng.beta(2, 4, 4)]).round(2)
        found[image] = Detections(box=box, score=score)
    return found


@pytest.mark.skipif(not GROUND.exists(), reason="../shared/data holds no CityPersons boxes")
def test_against_the_benchmarks_own_code() -> None:
    truth = read_boxes(json.loads(gzip.decompress(GROUND.read_bytes())))
    rates = miss_rates(truth, detections(truth))
    assert [rate.subset for rate in rates] == [subset.name for subset in SUBSETS]
    assert [rate.value for rate in rates] == pytest.approx(GOLDEN, abs=1e-6)
    few = {image: truth[image] for image in sorted(truth)[:20]}
    (rate,) = miss_rates(few, detections(few), subsets=[ALL])
    assert rate.value == pytest.approx(GOLDEN_FEW, abs=1e-6)


GOLDEN = [0.7189563271377941, 0.577528787164068, 0.6836272575329376, 0.7858576724268375]
GOLDEN_FEW = 0.5974494962336483
