"""What a detector found, kept small, and the figures of its field: miss rates and precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError
from hauberk.core.evidence import Evidence, Severity, Verdict
from hauberk.evaluate.boxes import annotated, average_precision, detections, truth
from hauberk.evaluate.missrate import SUBSETS, Detections, miss_rates
from hauberk.evaluate.result import Found

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from hauberk.evaluate.result import Robustness

_SHORT = {
    "Reasonable": "Reasonable",
    "Reasonable_small": "Small",
    "Reasonable_occ=heavy": "Heavy",
    "All": "All",
}


class Sightings:
    """Finds of the annotated ``kinds`` as an evaluation goes on, suppressed, without the rest."""

    def __init__(self, kinds: Sequence[int]) -> None:
        self._kinds = tuple(kinds)
        self._kept: dict[tuple[str, float], list[tuple[NDArray[Any], NDArray[Any]]]] = {}

    def see(self, attack: str, eps: float, index: NDArray[np.int64], out: Tensor) -> None:
        """Keep what ``out`` ``(batch, boxes, 4 + classes)`` holds of the images at ``index``."""
        kept = self._kept.setdefault((attack, eps), [])
        answers = out.float().cpu().numpy()
        for kind in self._kinds:
            for place, one in detections(answers, kind).items():
                label = np.full((len(one.score), 1), kind)
                rows = np.concatenate([label, one.box, one.score[:, None]], 1)
                image = np.full(len(rows), index[place], dtype=np.int64)
                kept.append((image, rows.astype(np.float32)))

    def found(self) -> tuple[Found, ...]:
        """All of it, untouched first."""
        return tuple(
            Found(
                attack=attack,
                eps=eps,
                image=np.concatenate([image for image, _ in kept]),
                rows=np.concatenate([rows for _, rows in kept]),
            )
            for (attack, eps), kept in self._kept.items()
        )


def detector_figures(result: Robustness, y: NDArray[Any], subject: str) -> tuple[Evidence, ...]:
    """HB-E010 for each subset and HB-E011, untouched and under each attack at the threat's own eps.

    ``y`` ``(images, most, 5 or 6)`` are the targets of the result's images, in their order. Miss
    rates are those of the first annotated class, with fewer than a hundred images less lenient than
    the benchmark's own; a subset without people has none. Without pycocotools HB-E011 is not run.
    """
    return tuple(
        one for found in result.found for one in _figures(result, found, y[: result.n], subject)
    )


def _figures(
    result: Robustness, found: Found, y: NDArray[np.float32], subject: str
) -> Iterator[Evidence]:
    every = {kind: _of_kind(result, found, kind) for kind in annotated(y)}
    if not every:
        return
    first = min(every)
    told = f"under {found.attack} at {result.threat.norm} eps {found.eps:g}"
    told = told if found.attack else "untouched"
    spec: dict[str, Any] = result.conditions(found.eps if found.attack else None)
    if found.attack:
        spec["attack"] = found.attack
    for one in miss_rates(truth(y, first), every[first], subsets=SUBSETS, few=True):
        if one.value is None:
            continue
        name = _SHORT[one.subset]
        part = name if found.attack else f"{name}, untouched"
        yield _evidence(
            "HB-E010",
            subject,
            one.value,
            f"of {one.people} objects of class {first} in {one.images} images ({name}) {told}",
            {**spec, "part": part, "people": one.people, "images": one.images},
        )
    try:
        precision: dict[str, float | None] = {**average_precision(y, every)}
    except DataError as error:  # hours of attacks are not lost for a library that is absent
        precision = {f"AP: {error}": None}
    for name, value in precision.items():
        part = name.partition(":")[0]
        part = part if found.attack else f"{part}, untouched"
        message = f"{name} over {len(every)} classes in {len(y)} images {told}"
        yield _evidence("HB-E011", subject, value, message, {**spec, "part": part})


def _evidence(
    rule: str, subject: str, value: float | None, message: str, spec: dict[str, Any]
) -> Evidence:
    return Evidence(
        rule=rule,
        subject=subject,
        verdict=Verdict.UNKNOWN,  # a figure for its own sake: no limit, no pass
        message=message,
        value=value,
        severity=Severity.INFO,
        spec=spec,
    )


def _of_kind(result: Robustness, found: Found, kind: int) -> dict[int, Detections]:
    """The finds of one class, by image."""
    mine = found.rows[:, 0] == kind
    image, rows = found.image[mine], found.rows[mine].astype(np.float64)
    order = np.argsort(image, kind="stable")
    cuts = np.searchsorted(image[order], np.arange(1, result.n))
    return {
        number: Detections(box=one[:, 1:5], score=one[:, 5])
        for number, one in enumerate(np.split(rows[order], cuts))
    }
