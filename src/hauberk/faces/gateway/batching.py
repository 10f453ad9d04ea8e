"""Micro-batching: requests that come while a model runs are run together, and none waits long."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.faces.gateway.served import Runner


@dataclass
class _Group:
    """Rows that will be run together; the first to come runs them for all."""

    parts: list[NDArray[np.float32]] = field(default_factory=list)
    rows: int = 0
    out: NDArray[np.float32] | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def add(self, x: NDArray[np.float32]) -> slice:
        """Add rows; where theirs will be found."""
        place = slice(self.rows, self.rows + len(x))
        self.parts.append(x)
        self.rows = place.stop
        return place


class Batching:
    """A runner over another. A model that is free runs at once, so a lone client never waits.

    While it runs, what comes gathers in a group of at most ``rows`` rows, which is run when the
    model is free again, or ``seconds`` after it was begun. If a group fails, each of its requests
    is run alone, so that one does not fail for another's input.
    """

    def __init__(self, run: Runner, *, rows: int, seconds: float) -> None:
        self.run, self._rows, self._seconds = run, rows, seconds
        self._group: _Group | None = None
        self._busy = 0
        self._free = threading.Condition()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.run.input_shape

    @property
    def classes(self) -> int:
        """How many logits a row gets."""
        return self.run.classes

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``(batch, classes)``."""
        if len(x) >= self._rows:
            return self.run(x)
        with self._free:
            group = self._group
            leads = group is None or group.rows + len(x) > self._rows
            if group is None or leads:
                group = self._group = _Group()
            place = group.add(x)
        if leads:
            self._lead(group)
        else:
            group.done.wait()
        if group.out is None:
            return self.run(x)
        return group.out[place]

    def _lead(self, group: _Group) -> None:
        with self._free:
            self._free.wait_for(
                lambda: not self._busy or group.rows >= self._rows, timeout=self._seconds
            )
            self._busy += 1
            if self._group is group:
                self._group = None
        try:
            out = self.run(group.parts[0] if len(group.parts) == 1 else np.concatenate(group.parts))
            if len(out) == group.rows:
                group.out = out
        except Exception:
            # One bad request must not fail its neighbours: without `out` each is run alone.
            if len(group.parts) == 1:
                raise
        finally:
            with self._free:
                self._busy -= 1
                self._free.notify_all()
            group.done.set()
