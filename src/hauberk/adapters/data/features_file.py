"""Constraints on the columns of a table, written in its own titles and units, as TOML.

::

    fixed = ["protocol_type", "service"]        # or mutable = [...]: all others are fixed

    [column.duration]
    high = 3600                                 # range, reach and step in the table's units
    way = "up"

    [[relation]]
    sum = { serror_rate = 1, rerror_rate = 1 }
    most = 1

    [[group]]
    columns = ["form_complete", "form_foster"]  # one-hot already in the table
"""

from __future__ import annotations

import tomllib
from math import inf
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from hauberk.adapters.data.reading import existing
from hauberk.core.errors import ConfigError, UnknownNameError
from hauberk.core.features import Features, Relation

if TYPE_CHECKING:
    from hauberk.core.features import Column

_MOST = 1 << 20
_WAYS = {"up": 1, "down": -1, "both": 0}
Positive = Annotated[float, msgspec.Meta(gt=0.0)]


class _Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    low: float | None = None
    high: float | None = None
    reach: Positive | None = None
    step: Positive | None = None
    way: Literal["up", "down", "both"] = "both"


class _Sum(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sum: dict[str, float]
    least: float = -inf
    most: float = inf


class _Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    columns: list[str]


class _Laws(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    mutable: list[str] | None = None
    fixed: list[str] = []
    column: dict[str, _Limits] = {}
    relation: list[_Sum] = []
    group: list[_Group] = []


def read_features(argument: str, columns: tuple[Column, ...]) -> Features:
    """The constraints in a file, on the encoded ``columns`` of a table.

    What the encoding knows by itself holds too: categories are groups, and a column of integers
    stays one. Ranges, reaches, steps and relations are in the table's units.

    Raises:
        ConfigError: if the file cannot be read, or names what is not there.
    """
    path = existing(argument)
    where = str(path)
    if not columns:
        raise ConfigError(
            "constraints name the columns of a table, the data has none",
            where=where,
            hint="give the data as csv:FILE or parquet:FILE",
        )
    if path.stat().st_size > _MOST:
        raise ConfigError(f"larger than {_MOST} bytes", where=where)
    try:
        laws = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _Laws)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"cannot be read: {error}", where=where) from None
    return _Table(columns, where).features(laws)


class _Table:
    """The columns by title, to translate what a file says about them."""

    def __init__(self, columns: tuple[Column, ...], where: str) -> None:
        self.columns = {column.title.strip(): column for column in columns}
        self.where = where
        self.width = sum(column.width for column in columns)

    def find(self, title: str) -> Column:
        if title not in self.columns:
            hint = UnknownNameError(title, self.columns, kind="column").hint
            raise ConfigError(f"no column {title!r}", where=self.where, hint=hint)
        return self.columns[title]

    def number(self, title: str) -> Column:
        column = self.find(title)
        if column.values:
            raise ConfigError(f"column {title!r} holds categories, not numbers", where=self.where)
        return column

    def features(self, laws: _Laws) -> Features:
        free = Features.free(self.width)
        mutable = [laws.mutable is None] * self.width
        for titles, may in ((laws.mutable or [], True), (laws.fixed, False)):
            for title in titles:
                column = self.find(title)
                for place in range(column.start, column.start + column.width):
                    mutable[place] = may
        low, high, reach = list(free.low), list(free.high), list(free.reach)
        step, way = list(free.step), list(free.monotone)
        groups = [
            tuple(range(column.start, column.start + column.width))
            for column in self.columns.values()
            if column.values
        ]
        for column in self.columns.values():
            if column.whole:
                step[column.start] = 1 / column.span
        for title, limits in laws.column.items():
            column = self.number(title)
            at, span = column.start, column.span
            low[at] = -inf if limits.low is None else (limits.low - column.low) / span
            high[at] = inf if limits.high is None else (limits.high - column.low) / span
            reach[at] = inf if limits.reach is None else limits.reach / span
            step[at] = step[at] if limits.step is None else limits.step / span
            way[at] = _WAYS[limits.way]
        for group in laws.group:
            own = tuple(self.number(title).start for title in group.columns)
            groups.append(own)
            for place in own:
                step[place] = 0.0
        return Features(
            mutable=tuple(mutable),
            low=tuple(low),
            high=tuple(high),
            reach=tuple(reach),
            step=tuple(step),
            monotone=tuple(way),
            groups=tuple(groups),
            relations=tuple(self.relation(one) for one in laws.relation),
        )

    def relation(self, law: _Sum) -> Relation:
        """In the table's units: low + span times the encoded value stands for each column."""
        columns = [self.number(title) for title in law.sum]
        weights = list(law.sum.values())
        constant = sum(weight * one.low for weight, one in zip(weights, columns, strict=True))
        scaled = [weight * one.span for weight, one in zip(weights, columns, strict=True)]
        # Scaled to the largest weight, so that the slack is one of the encoded columns.
        largest = max((abs(one) for one in scaled), default=0.0) or 1.0
        return Relation(
            columns=tuple(one.start for one in columns),
            weights=tuple(one / largest for one in scaled),
            least=(law.least - constant) / largest,
            most=(law.most - constant) / largest,
        )
