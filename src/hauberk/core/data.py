"""Data with an address: a dataset has a digest and a deterministic four-way split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from hauberk.core.errors import DataError
from hauberk.core.model import Bounds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from hauberk.core.features import Column

Split = Literal["train", "validation", "calibration", "test"]
SHARES: dict[Split, float] = {
    "train": 0.60,
    "validation": 0.10,
    "calibration": 0.15,
    "test": 0.15,
}


@dataclass(frozen=True)
class Batch:
    """Inputs ``(batch, ...)``, targets ``(batch,)`` and each sample's index in its dataset.

    The index seeds what is random about a sample, so that a figure does not depend on how the
    samples were batched.
    """

    x: Tensor
    y: Tensor
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Samples ``x`` ``(n, ...)`` float32 within ``bounds`` and labels ``y`` ``(n,)`` int64.

    ``part`` may assign each sample to a split (0…3 in the order of ``SHARES``) where the source
    has an official one; otherwise a stratified split is drawn from the digest. ``columns`` say how
    the rows of a table were encoded.

    Raises:
        DataError: if shapes, types, labels or the range do not fit.
    """

    name: str
    x: NDArray[np.float32]
    y: NDArray[np.int64]
    classes: int
    bounds: Bounds = field(default_factory=Bounds)
    part: NDArray[np.int8] | None = None
    columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.x)
        if n == 0:
            raise DataError("no samples", where=self.name)
        if self.x.dtype != np.float32 or self.y.dtype != np.int64:
            raise DataError(
                f"expected float32 inputs and int64 labels, got {self.x.dtype} and {self.y.dtype}",
                where=self.name,
            )
        if self.y.shape != (n,):
            raise DataError(f"{n} samples but labels of shape {self.y.shape}", where=self.name)
        if not np.isfinite(self.x).all():
            raise DataError("inputs hold NaN or an infinity", where=self.name)
        low, high = float(self.x.min()), float(self.x.max())
        if low < self.bounds.low or high > self.bounds.high:
            raise DataError(
                f"inputs span [{low:g}, {high:g}], outside [{self.bounds.low:g}, "
                f"{self.bounds.high:g}]",
                where=self.name,
                hint="scale the data to the declared bounds",
            )
        if self.y.min() < 0 or self.y.max() >= self.classes:
            raise DataError(f"labels must lie in 0…{self.classes - 1}", where=self.name)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, ``(channels, height, width)`` for images."""
        return tuple(self.x.shape[1:])

    @cached_property
    def digest(self) -> str:
        """SHA-256 over shapes, bounds, inputs and labels."""
        state = hashlib.sha256(
            f"{self.x.shape}|{self.classes}|{self.bounds.low}|{self.bounds.high}".encode()
        )
        state.update(np.ascontiguousarray(self.x).data)
        state.update(np.ascontiguousarray(self.y).data)
        if self.part is not None:
            state.update(np.ascontiguousarray(self.part).data)
        return f"sha256:{state.hexdigest()}"

    @cached_property
    def _parts(self) -> NDArray[np.int8]:
        if self.part is not None:
            return self.part
        rng = np.random.default_rng(int(self.digest[-16:], 16))
        parts = np.empty(len(self), dtype=np.int8)
        edges = np.cumsum(list(SHARES.values()))[:-1]
        for label in np.unique(self.y):
            members = rng.permutation(np.flatnonzero(self.y == label))
            cuts = np.round(edges * len(members)).astype(int)
            for number, group in enumerate(np.split(members, cuts)):
                parts[group] = number
        return parts

    def indices(self, split: Split) -> NDArray[np.int64]:
        """Indices of a split's samples, ascending."""
        return np.flatnonzero(self._parts == list(SHARES).index(split)).astype(np.int64)

    def split(self, split: Split) -> Dataset:
        """The samples of one split, as a dataset named ``name/split``.

        Raises:
            DataError: if the split is empty.
        """
        return self.take(self.indices(split), name=f"{self.name}/{split}")

    def take(self, indices: NDArray[np.int64], *, name: str | None = None) -> Dataset:
        """The samples at ``indices``, in that order.

        Raises:
            DataError: if ``indices`` is empty.
        """
        return Dataset(
            name=name or self.name,
            x=self.x[indices],
            y=self.y[indices],
            classes=self.classes,
            bounds=self.bounds,
            part=None if self.part is None else self.part[indices],
            columns=self.columns,
        )

    def batches(self, size: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """Inputs and labels in order, at most ``size`` samples at a time."""
        for start in range(0, len(self), size):
            yield self.x[start : start + size], self.y[start : start + size]
