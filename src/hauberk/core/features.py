"""What a row of a table may become: the limits that an attacker of tabular data has to keep.

Columns are those that the model sees: numbers scaled to its bounds, categories as groups of which
one column is 1 and the others are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.digest import digest_bytes
from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Below this a step is finer than float32 tells apart, and cannot be checked.
FINEST = 2.0**-18
_SLACK = 1e-5
_OFF_STEP = 0.02


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table before it was encoded: where it went, and by which scale.

    ``start`` is its first encoded column. ``values`` are its categories, one encoded column each;
    a number has none, and was scaled as (number - ``low``) / ``span``. ``whole`` says that all its
    numbers are integers.
    """

    title: str
    start: int
    values: tuple[str, ...] = ()
    low: float = 0.0
    span: float = 1.0
    whole: bool = False

    @property
    def width(self) -> int:
        """How many encoded columns it takes."""
        return len(self.values) or 1


@dataclass(frozen=True, kw_only=True)
class Relation:
    """The sum of ``weights`` times ``columns`` lies between ``least`` and ``most``.

    Equal bounds make an equation.

    Raises:
        UserError: if it holds for no row.
    """

    columns: tuple[int, ...]
    weights: tuple[float, ...]
    least: float = -inf
    most: float = inf

    def __post_init__(self) -> None:
        if not self.columns or len(self.columns) != len(self.weights):
            raise UserError("a relation needs a weight for each of its columns")
        if not self.least <= self.most or not np.isfinite(self.weights).all():
            raise UserError(f"no row has a sum from {self.least} to {self.most}")

    @property
    def slack(self) -> float:
        """How far rounding may take a sum beyond its bounds."""
        return _SLACK * (1 + float(np.abs(self.weights).sum()))


@dataclass(frozen=True, kw_only=True)
class Features:
    """Constraints on the change of a row; each tuple has one entry per encoded column.

    ``mutable`` columns may change at all. ``low`` and ``high`` are what a changed value may be,
    ``reach`` how far it may move. ``step`` is the grid of values, counted from 0 (0: any value;
    finer than 2⁻¹⁸ is not kept, since float32 does not hold it). ``monotone`` is 1 for a value
    that may only rise, -1 for one that may only fall. ``groups`` are one-hot.

    Raises:
        UserError: if lengths differ, a number is out of range, or a column is in two groups.
    """

    mutable: tuple[bool, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    reach: tuple[float, ...]
    step: tuple[float, ...]
    monotone: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...] = ()
    relations: tuple[Relation, ...] = ()

    def __post_init__(self) -> None:
        width = len(self.mutable)
        each = (self.low, self.high, self.reach, self.step, self.monotone)
        if width == 0 or any(len(one) != width for one in each):
            raise UserError("constraints need one entry for each column")
        if any(not low <= high for low, high in zip(self.low, self.high, strict=True)):
            raise UserError("a range of values is empty")
        if any(not one >= 0 for one in (*self.reach, *self.step)):
            raise UserError("a reach and a step are at least 0")
        if any(one not in {-1, 0, 1} for one in self.monotone):
            raise UserError("monotone is 1, 0 or -1")
        named = [column for group in self.groups for column in group]
        if len(set(named)) != len(named):
            raise UserError("a column is in two groups")
        named += [column for relation in self.relations for column in relation.columns]
        if any(not 0 <= column < width for column in named):
            raise UserError(f"there is no such column among {width}")

    def __len__(self) -> int:
        return len(self.mutable)

    @property
    def digest(self) -> str:
        """SHA-256 of all that they say."""
        return digest_bytes(repr(self).encode())

    @classmethod
    def free(cls, width: int) -> Features:
        """Nothing but the bounds of the model holds."""
        return cls(
            mutable=(True,) * width,
            low=(-inf,) * width,
            high=(inf,) * width,
            reach=(inf,) * width,
            step=(0.0,) * width,
            monotone=(0,) * width,
        )

    def violations(
        self, clean: NDArray[np.float32], points: NDArray[np.float32]
    ) -> dict[str, NDArray[np.bool_]]:
        """For each kind of constraint, whether a row ``(rows,)`` of ``points`` breaks it.

        A value or a group that did not change is kept whatever it is (a category that the training
        data lacks is all zeros); relations hold for every row.
        """
        old, new = clean.astype(np.float64), points.astype(np.float64)
        moved, change = new != old, new - old
        low, high, reach, step = map(np.array, (self.low, self.high, self.reach, self.step))
        way = np.array(self.monotone)
        gridded = step >= FINEST
        places = new / np.where(gridded, step, 1.0)
        found = {
            "mutable": moved & ~np.array(self.mutable),
            "range": moved & ((new < low - _SLACK) | (new > high + _SLACK)),
            "reach": np.abs(change) > reach + _SLACK,
            "step": moved & gridded & (np.abs(places - np.rint(places)) > _OFF_STEP),
            "monotone": change * way < 0,
        }
        broken = {name: rows.any(1) for name, rows in found.items()}
        broken["one-hot"] = np.zeros(len(new), dtype=np.bool_)
        for group in self.groups:
            part = new[:, list(group)]
            one = ((part == 1).sum(1) == 1) & ((part == 0).sum(1) == len(group) - 1)
            broken["one-hot"] |= ~one & moved[:, list(group)].any(1)
        broken["relation"] = np.zeros(len(new), dtype=np.bool_)
        for relation in self.relations:
            total = new[:, list(relation.columns)] @ np.array(relation.weights)
            broken["relation"] |= total > relation.most + relation.slack
            broken["relation"] |= total < relation.least - relation.slack
        return broken
