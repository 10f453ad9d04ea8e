"""Properties that a model must have over boxes of inputs, as TOML.

::

    [[property]]
    name = "low speed is never an emergency"
    low = [0.0, 0.0, 0.2]      # one value for each input, or one for all, within the model's bounds
    high = [0.1, 1.0, 0.4]
    always = 1                 # the answer is this class; or above = [2, 0]: 2 outscores 0
"""

from __future__ import annotations

import tomllib
from math import prod
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

from hauberk.adapters.data.reading import existing
from hauberk.core.errors import ConfigError, UserError
from hauberk.evaluate.safety import Property, above, always

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST = 1 << 22
Class = Annotated[int, msgspec.Meta(ge=0)]


class _Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    low: float | list[float]
    high: float | list[float]
    always: Class | None = None
    above: tuple[Class, Class] | None = None


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    property: Annotated[list[_Claim], msgspec.Meta(min_length=1, max_length=1000)]


def read_properties(argument: str, shape: tuple[int, ...], classes: int) -> list[Property]:
    """The properties in a file, for inputs of a shape and so many classes.

    Raises:
        ConfigError: if the file is no such TOML, a box has another shape, or a class is unknown.
        DataError: if there is no such file.
    """
    path = existing(argument)
    if path.stat().st_size > _MOST:
        raise ConfigError(f"is larger than {_MOST >> 20} MiB", where=str(path))
    try:
        told = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(str(error), where=str(path)) from None
    return [_property(one, shape, classes, where=str(path)) for one in told.property]


def _property(claim: _Claim, shape: tuple[int, ...], classes: int, *, where: str) -> Property:
    named = [claim.always] if claim.always is not None else list(claim.above or ())
    if (claim.always is None) == (claim.above is None) or len(set(named)) < len(named):
        raise ConfigError(
            f"{claim.name!r} takes always = CLASS or above = [CLASS, CLASS]", where=where
        )
    if max(named) >= classes:
        raise ConfigError(
            f"{claim.name!r} names class {max(named)}",
            where=where,
            hint=f"0…{classes - 1} are known",
        )
    rows = always(named[0], classes) if claim.above is None else above(*claim.above, classes)
    ends = [_end(claim.name, end, shape, where) for end in (claim.low, claim.high)]
    try:
        return Property(name=claim.name, low=ends[0], high=ends[1], rows=rows)
    except UserError as error:
        raise ConfigError(error.what, where=where) from None


def _end(
    name: str, end: float | list[float], shape: tuple[int, ...], where: str
) -> NDArray[np.float32]:
    values = np.asarray(end, dtype=np.float32)
    if values.size not in {1, prod(shape)} or not np.isfinite(values).all():
        raise ConfigError(
            f"{name!r} has {values.size} ends, or one that is no number",
            where=where,
            hint=f"one number, or {prod(shape)}",
        )
    return np.broadcast_to(values.reshape(-1), (prod(shape),)).reshape(shape).copy()
