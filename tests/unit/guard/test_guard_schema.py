from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hauberk.core.errors import DataError, UserError
from hauberk.core.model import Bounds
from hauberk.guard.schema import Schema

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = Schema(shape=(2, 3), bounds=Bounds(-1.0, 1.0), max_rows=4)


def rows(n: int = 2, fill: float = 0.0) -> NDArray[np.float32]:
    return np.full((n, 2, 3), fill, dtype=np.float32)


def with_value(value: float) -> NDArray[np.float32]:
    x = rows()
    x[1, 0, 2] = value
    return x


@pytest.mark.parametrize("x", [rows(1), rows(4), rows(fill=-1.0), rows(fill=1.0)])
def test_what_fits_comes_back_as_it_is(x: NDArray[np.float32]) -> None:
    cleaned, suspicion = SCHEMA.inspect(x)
    assert cleaned is x
    assert suspicion.shape == (len(x),)
    assert not suspicion.any()


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (rows().astype(np.float64), "expected float32"),
        (rows(0), "1 to 4 rows"),
        (rows(5), "1 to 4 rows"),
        (np.zeros((2, 3), np.float32), "expected shape"),
        (np.zeros((2, 3, 2), np.float32), "expected shape"),
        (np.zeros((), np.float32), "expected shape"),
        (with_value(np.nan), "NaN or an infinity"),
        (with_value(np.inf), "NaN or an infinity"),
        (with_value(-np.inf), "NaN or an infinity"),
        (with_value(np.nextafter(np.float32(1), np.float32(2))), "outside"),
        (with_value(-1.001), "outside"),
    ],
)
def test_what_does_not_fit_is_refused(x: NDArray[Any], why: str) -> None:
    with pytest.raises(DataError, match=why):
        SCHEMA.inspect(x)


@pytest.mark.parametrize("fields", [{"shape": (0,)}, {"shape": (2,), "max_rows": 0}])
def test_a_schema_that_fits_nothing_is_an_error(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Schema(**fields)
