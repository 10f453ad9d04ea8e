"""From a detector's outputs and targets to what the detection metrics count."""

from __future__ import annotations

from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.detection import IGNORED, NOTHING
from hauberk.core.errors import DataError
from hauberk.evaluate.missrate import Boxes, Detections

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def detections(
    out: NDArray[np.float32], label: int, *, score: float = 0.01, overlap: float = 0.5
) -> dict[int, Detections]:
    """What was found of one class in each image, by its row.

    ``out`` ``(images, boxes, 4 + classes)`` as in :class:`hauberk.core.detection.Detection`. Of
    boxes that overlap by more than ``overlap`` the one of the highest score stays.
    """
    found = {}
    for image, rows in enumerate(out):
        chosen = rows[rows[:, 4 + label] >= score]
        chosen = chosen[np.argsort(-chosen[:, 4 + label], kind="stable")]
        kept = chosen[_suppressed(chosen[:, :4].astype(np.float64), overlap)]
        box = kept[:, :4].astype(np.float64)
        box[:, 2:] -= box[:, :2]
        found[image] = Detections(box=box, score=kept[:, 4 + label].astype(np.float64))
    return found


def truth(y: NDArray[np.float32], label: int) -> dict[int, Boxes]:
    """The annotated objects of one class in each image, by its row.

    All of them count as wholly seen, unless a sixth column of ``y`` says what share is.
    """
    boxes = {}
    for image, rows in enumerate(y):
        kind = rows[:, 0].astype(int)
        mine = rows[(kind == label) | (kind == IGNORED)]
        box = mine[:, 1:5].astype(np.float64)
        box[:, 2:] -= box[:, :2]
        boxes[image] = Boxes(
            box=box,
            height=box[:, 3].copy(),
            visible=mine[:, 5].astype(np.float64) if y.shape[-1] > 5 else np.ones(len(box)),
            ignore=mine[:, 0].astype(int) == IGNORED,
        )
    return boxes


def annotated(y: NDArray[Any]) -> list[int]:
    """The classes of which an object is annotated, in order."""
    return sorted({int(kind) for kind in np.unique(y[..., 0]) if kind >= 0})


def mean_average_precision(
    y: NDArray[np.float32], out: NDArray[np.float32], *, score: float = 0.01, overlap: float = 0.5
) -> dict[str, float]:
    """COCO's ``AP`` over overlaps from .5 to .95, and ``AP50``, by pycocotools.

    ``y`` ``(images, most, 5)`` and ``out`` ``(images, boxes, 4 + classes)``.

    Raises:
        DataError: if pycocotools is absent, or no object is annotated.
    """
    kinds = annotated(y)
    if not kinds:
        raise DataError("no object is annotated")
    every = {kind: detections(out, kind, score=score, overlap=overlap) for kind in kinds}
    return average_precision(y, every)


def average_precision(
    y: NDArray[np.float32], every: Mapping[int, Mapping[int, Detections]]
) -> dict[str, float]:
    """As :func:`mean_average_precision`, of what was found of each class in each image.

    Raises:
        DataError: if pycocotools is absent.
    """
    try:
        coco, evaluation = import_module("pycocotools.coco"), import_module("pycocotools.cocoeval")
    except ImportError:
        raise DataError(
            "average precision needs pycocotools", hint="pip install hauberk[detection]"
        ) from None
    known = coco.COCO()
    known.dataset = _annotations(y, sorted(every))
    _silent(known.createIndex)
    answers = [
        {"image_id": image, "category_id": kind, "bbox": [*box], "score": float(one)}
        for kind, images in every.items()
        for image, found in images.items()
        for box, one in zip(found.box.tolist(), found.score, strict=True)
    ]
    if not answers:
        return {"AP": 0.0, "AP50": 0.0}
    judge = evaluation.COCOeval(known, _silent(known.loadRes, answers), "bbox")
    for step in (judge.evaluate, judge.accumulate, judge.summarize):
        _silent(step)
    return {"AP": float(judge.stats[0]), "AP50": float(judge.stats[1])}


def _annotations(y: NDArray[np.float32], kinds: list[int]) -> dict[str, list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for image, objects in enumerate(y):
        for kind, left, top, right, bottom in objects[:, :5].tolist():
            if kind == NOTHING:
                continue
            # A region to be ignored is one for every class.
            for category in kinds if kind == IGNORED else [int(kind)]:
                rows.append(
                    {
                        "id": len(rows) + 1,
                        "image_id": image,
                        "category_id": category,
                        "bbox": [left, top, right - left, bottom - top],
                        "area": (right - left) * (bottom - top),
                        "iscrowd": int(kind == IGNORED),
                    }
                )
    return {
        "images": [{"id": image} for image in range(len(y))],
        "annotations": rows,
        "categories": [{"id": kind} for kind in kinds],
    }


def _silent(call: Any, *arguments: Any) -> Any:
    """The library tells its progress on stdout, which is ours for results."""
    with redirect_stdout(StringIO()):
        return call(*arguments)


def _suppressed(box: NDArray[np.float64], overlap: float) -> NDArray[np.int64]:
    """Of boxes ``(n, 4)`` in falling order of score, the places of those that stay."""
    area = np.clip(box[:, 2:] - box[:, :2], 0, None).prod(1)
    left = np.arange(len(box))
    kept: list[int] = []
    while len(left):
        best, rest = left[0], left[1:]
        kept.append(int(best))
        low, high = (
            np.maximum(box[best, :2], box[rest, :2]),
            np.minimum(box[best, 2:], box[rest, 2:]),
        )
        inside = np.clip(high - low, 0, None).prod(1)
        whole = area[best] + area[rest] - inside
        left = rest[inside <= overlap * whole]
    return np.array(kept, dtype=np.int64)
