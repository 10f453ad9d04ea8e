"""Log-average miss rate of pedestrian detectors, as the CityPersons benchmark counts it.

Zhang, Benenson and Schiele (2017), after Dollár et al. (2012). The matching of detections to boxes
and to regions to be ignored follows the benchmark's own code, ties and rounding included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

# Nine rates of false positives per image, evenly spaced in the logarithm from 0.01 to 1.
FPPI = np.array([0.0100, 0.0178, 0.0316, 0.0562, 0.1000, 0.1778, 0.3162, 0.5623, 1.0000])
_MOST = 1000
_SLACK = 1.25


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Which boxes count: ``height`` in pixels and ``visibility`` as a share, each [low, high]."""

    name: str
    height: tuple[float, float]
    visibility: tuple[float, float]


_ANY = 1e5**2
REASONABLE = Subset(name="Reasonable", height=(50, _ANY), visibility=(0.65, np.inf))
SMALL = Subset(name="Reasonable_small", height=(50, 75), visibility=(0.65, np.inf))
HEAVY = Subset(name="Reasonable_occ=heavy", height=(50, _ANY), visibility=(0.2, 0.65))
ALL = Subset(name="All", height=(20, _ANY), visibility=(0.2, np.inf))
SUBSETS = (REASONABLE, SMALL, HEAVY, ALL)


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """The annotated people of one image: ``(n, 4)`` boxes as left, top, width, height in pixels.

    ``visible`` ``(n,)`` is the share of each that is seen, ``ignore`` ``(n,)`` whether a detection
    there counts neither for nor against.
    """

    box: NDArray[np.float64]
    height: NDArray[np.float64]
    visible: NDArray[np.float64]
    ignore: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Detections:
    """What a detector found in one image: boxes ``(n, 4)`` as in :class:`Boxes`, and scores."""

    box: NDArray[np.float64]
    score: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MissRate:
    """The figure of one subset, a fraction; ``missed`` at each of the nine rates; ``people``."""

    subset: str
    value: float | None
    missed: tuple[float, ...]
    people: int
    images: int


def miss_rates(
    truth: Mapping[int, Boxes],
    found: Mapping[int, Detections],
    *,
    subsets: Sequence[Subset] = SUBSETS,
    overlap: float = 0.5,
    few: bool = False,
) -> tuple[MissRate, ...]:
    """Log-average miss rate of each subset, over every image of ``truth``.

    With fewer than a hundred images one false find is too many for the lowest rates; the benchmark
    then takes the recall of all finds, so that a false find before all others counts for nothing.
    With ``few`` nothing is found at such a rate. A subset without people has no figure: ``value``
    is None.

    Raises:
        DataError: if there is no image, or detections are given of one that is not annotated.
    """
    if not truth:
        raise DataError("no annotated image")
    strange = set(found) - set(truth)
    if strange:
        raise DataError(f"detections of image {min(strange)}, which is not annotated")
    return tuple(_subset(truth, found, subset, overlap, few=few) for subset in subsets)


def read_boxes(tree: Mapping[str, Iterable[Mapping[str, object]]]) -> dict[int, Boxes]:
    """The annotations of the benchmark's own ``val_gt.json``, by image.

    Raises:
        DataError: if a key is missing or of another form.
    """
    try:
        rows: dict[int, list[tuple[list[float], float, float, bool]]] = {
            int(str(image["id"])): [] for image in tree["images"]
        }
        for one in tree["annotations"]:
            box = [float(part) for part in one["bbox"]]  # type: ignore[attr-defined]
            height, seen = float(str(one["height"])), float(str(one["vis_ratio"]))
            rows[int(str(one["image_id"]))].append((box, height, seen, bool(one["ignore"])))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"not annotations of pedestrians: {error!r}") from None
    return {
        image: Boxes(
            box=np.array([row[0] for row in found], dtype=np.float64).reshape(-1, 4),
            height=np.array([row[1] for row in found], dtype=np.float64),
            visible=np.array([row[2] for row in found], dtype=np.float64),
            ignore=np.array([row[3] for row in found], dtype=np.bool_),
        )
        for image, found in rows.items()
    }


def _subset(
    truth: Mapping[int, Boxes],
    found: Mapping[int, Detections],
    subset: Subset,
    overlap: float,
    *,
    few: bool,
) -> MissRate:
    scores, hits, people = [], [], 0
    for image, boxes in sorted(truth.items()):
        ignore = (
            boxes.ignore
            | (boxes.height < subset.height[0])
            | (boxes.height > subset.height[1])
            | (boxes.visible < subset.visibility[0])
            | (boxes.visible > subset.visibility[1])
        )
        people += int((~ignore).sum())
        if image in found:
            score, hit = _match(boxes.box, ignore, _fitting(found[image], subset), overlap)
            scores.append(score)
            hits.append(hit)
    if people == 0:
        return MissRate(subset=subset.name, value=None, missed=(), people=0, images=len(truth))
    missed = _missed(scores, hits, people, len(truth), few=few)
    with np.errstate(divide="ignore"):  # none missed at some rate: the mean of logarithms is 0
        value = float(np.exp(np.log(missed).mean()))
    return MissRate(
        subset=subset.name,
        value=value,
        missed=tuple(float(one) for one in missed),
        people=people,
        images=len(truth),
    )


def _fitting(found: Detections, subset: Subset) -> Detections:
    """The detections, best first, whose height is within the subset's and a quarter around it."""
    order = np.argsort(-found.score, kind="mergesort")[:_MOST]
    box, score = found.box[order], found.score[order]
    low, high = subset.height[0] / _SLACK, subset.height[1] * _SLACK
    fits = (box[:, 3] >= low) & (box[:, 3] < high)
    return Detections(box=box[fits], score=score[fits])


def _match(
    box: NDArray[np.float64], ignore: NDArray[np.bool_], found: Detections, overlap: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores, and whether each is a hit, of the detections that count for or against."""
    order = np.argsort(ignore, kind="mergesort")
    box, ignore = box[order], ignore[order]
    shared = _overlaps(found.box, box, ignore)
    taken = np.zeros(len(box), dtype=np.bool_)
    hit = np.zeros(len(found.score), dtype=np.bool_)
    counts = np.ones(len(found.score), dtype=np.bool_)
    for row in range(len(found.score)):
        best, chosen = min(overlap, 1 - 1e-10), -1
        for column in range(len(box)):
            if taken[column]:
                continue
            # A person who counts is not given up for a region that does not.
            if chosen > -1 and not ignore[chosen] and ignore[column]:
                break
            if shared[row, column] < best:
                continue
            best, chosen = shared[row, column], column
        if chosen == -1:
            continue
        if ignore[chosen]:
            counts[row] = False
        else:
            taken[chosen] = hit[row] = True
    return found.score[counts], hit[counts]


def _overlaps(
    found: NDArray[np.float64], box: NDArray[np.float64], ignore: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Intersection over union; over the detection alone where the box is to be ignored."""
    a, b = found[:, None], box[None]
    width = np.minimum(a[..., 0] + a[..., 2], b[..., 0] + b[..., 2]) - np.maximum(
        a[..., 0], b[..., 0]
    )
    height = np.minimum(a[..., 1] + a[..., 3], b[..., 1] + b[..., 3]) - np.maximum(
        a[..., 1], b[..., 1]
    )
    inter = np.where((width > 0) & (height > 0), width * height, 0.0)
    own = a[..., 2] * a[..., 3]
    union = np.where(ignore[None], own, own + b[..., 2] * b[..., 3] - inter)
    shared: NDArray[np.float64] = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return shared


def _missed(
    scores: list[NDArray[np.float64]],
    hits: list[NDArray[np.bool_]],
    people: int,
    images: int,
    *,
    few: bool,
) -> NDArray[np.float64]:
    """The share of people missed at each rate of :data:`FPPI`.

    Where the best detection of all is already too much for a rate, which needs fewer than a
    hundred images, the benchmark takes the recall of all detections; so does this, but for
    ``few``.
    """
    score = np.concatenate(scores) if scores else np.zeros(0)
    hit = np.concatenate(hits) if hits else np.zeros(0, dtype=np.bool_)
    hit = hit[np.argsort(-score, kind="mergesort")]
    recall = np.cumsum(hit) / people
    rate = np.cumsum(~hit) / images
    if len(recall) == 0:
        return np.ones_like(FPPI)
    place = np.searchsorted(rate, FPPI, side="right") - 1
    missed: NDArray[np.float64] = 1.0 - recall[place]
    return np.where(place < 0, 1.0, missed) if few else missed
