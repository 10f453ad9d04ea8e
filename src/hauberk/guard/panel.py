"""Panel: the sensors of one pair of models, fitted, and the score they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hauberk.core.errors import DataError, UserError
from hauberk.core.registry import find
from hauberk.guard.bounded import images, thumbnail
from hauberk.guard.features import NAMES, features
from hauberk.guard.fusion import Fusion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hauberk.guard.sensor import Sensor, View

SENSORS = (
    "twin",
    "twin-back",
    "margin",
    "energy",
    "high-frequency",
    "colour-detail",
    "mahalanobis",
    "density",
)
"""What a panel holds unless told otherwise: none of them asks the served model again."""
HEDGES = ("twin",)
"""Sensors that the sequential tests also bet on alone, in case an attack fools the fusion."""

_SIDE = 64
_MOST_SENSORS = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """Fitted ``sensors`` by name in order, and how their readings are weighed together.

    Raises:
        DataError: if the fusion takes another number of readings.
    """

    sensors: Mapping[str, Sensor]
    fusion: Fusion

    def __post_init__(self) -> None:
        if len(self.fusion.centre) != self.width or len(self.sensors) > _MOST_SENSORS:
            raise DataError("the fusion is of other sensors", where="panel")

    @property
    def width(self) -> int:
        """How many readings an input gives: the sensors', then the input statistics."""
        return len(self.sensors) + len(NAMES)

    @property
    def passes(self) -> int:
        """Further forwards of the served model for each input."""
        return sum(sensor.passes for sensor in self.sensors.values())

    @classmethod
    def fit(
        cls,
        names: Sequence[str],
        clean: View,
        benign: Mapping[str, View],
        hostile: Mapping[str, View],
    ) -> Self:
        """Fit the sensors on clean samples and the fusion on all.

        Raises:
            UnknownNameError: if there is no such sensor.
            UserError: if there is none at all, or too many.
        """
        if not 0 < len(names) <= _MOST_SENSORS or len(set(names)) < len(names):
            raise UserError(f"a panel holds 1 to {_MOST_SENSORS} different sensors")
        sensors = {name: _fitted(find("sensor", name), clean) for name in names}
        views = ([clean, *benign.values()], list(hostile.values()))
        good, bad = ([_readings(sensors, view) for view in part] for part in views)
        return cls(sensors=sensors, fusion=Fusion.fit(good, bad))

    def readings(self, view: View) -> NDArray[np.float64]:
        """Readings ``(n, width)``.

        Raises:
            DataError: if a sensor cannot read the input, or reads NaN.
        """
        return _readings(self.sensors, view)

    def score(self, readings: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-odds ``(n,)`` of an attack, as the simulations had it."""
        return self.fusion.score(readings)

    def surrogate(self, view: View) -> Any:
        """The score on torch tensors, with a gradient; the input statistics are held fixed."""
        first = view.primary
        out = first.new_empty((len(first), self.width))
        for column, sensor in enumerate(self.sensors.values()):
            out[:, column] = sensor.surrogate(view)
        statistics = features(_described(view.x.detach().cpu().numpy()))
        out[:, len(self.sensors) :] = first.new_tensor(statistics)
        return self.fusion.surrogate(out)

    def facts(self) -> dict[str, Any]:
        """Names, as JSON."""
        return {"sensors": list(self.sensors)}

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Everything learned, by a name of its own."""
        found = {
            f"sensor/{number}/{part}": array
            for number, sensor in enumerate(self.sensors.values())
            for part, array in sensor.parts().items()
        }
        fusion = {part: getattr(self.fusion, part) for part in ("centre", "scale", "weights")}
        return {**found, **{f"fusion/{part}": array for part, array in fusion.items()}}

    @classmethod
    def of(cls, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[np.float64]]) -> Self:
        """The panel of what :meth:`facts` and :meth:`arrays` gave.

        Raises:
            DataError: if they do not go together.
            UnknownNameError: if a sensor is not installed here.
        """
        names = facts["sensors"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError("not a list of sensors", where="panel")
        sensors = {}
        try:
            for number, name in enumerate(names):
                start = f"sensor/{number}/"
                parts = {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
                sensors[name] = find("sensor", name).of(parts)
            fusion = Fusion(
                **{part: arrays[f"fusion/{part}"] for part in ("centre", "scale", "weights")}
            )
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise DataError(f"a part is missing or malformed: {error}", where="panel") from None
        return cls(sensors=sensors, fusion=fusion)


def _fitted(kind: Any, clean: View) -> Sensor:
    made: Sensor = kind.fit(clean) if hasattr(kind, "fit") else kind()
    return made


def _readings(sensors: Mapping[str, Sensor], view: View) -> NDArray[np.float64]:
    out = np.empty((len(view.x), len(sensors) + len(NAMES)))
    for column, (name, sensor) in enumerate(sensors.items()):
        scores = sensor.score(view)
        if scores.shape != (len(view.x),) or not np.isfinite(scores).all():
            raise DataError(f"not {len(view.x)} finite scores", where=f"sensor {name!r}")
        out[:, column] = scores
    out[:, len(sensors) :] = features(_described(view.x))
    return out


def _described(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """What the statistics are taken of: an image of at most 64 x 64 blocks."""
    grid: NDArray[np.floating] = images(x)
    if max(grid.shape[2:]) <= _SIDE or x.ndim != 4:
        return grid
    small: NDArray[np.floating] = thumbnail(grid, _SIDE)
    return small
