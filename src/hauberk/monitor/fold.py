"""What every monitor is: a fold over records, replayable, resumable, bounded in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record

T = TypeVar("T")
State = dict[str, Any]
"""What JSON can hold; a monitor restored from it goes on bit for bit as the one that gave it."""


class Monitor(Protocol):
    """Folds records in ascending ``seq``; one that it has seen already changes nothing."""

    def update(self, record: Record, /) -> Evidence | None:
        """Take one record; the evidence, if this record completes some."""

    def state(self) -> State:
        """Everything learned so far."""

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state of a monitor of the same settings.

        Raises:
            DataError: if the state is malformed; the monitor is then as it was before.
        """


def read_counts(state: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, int]:
    """The counts of a state, for the same keys as ``counts``.

    Raises:
        DataError: if one is not a whole number of at least 0.
    """
    read = {key: state["counts"][key] for key in counts}
    if any(type(n) is not int or n < 0 for n in read.values()):
        raise DataError("a count is not a whole number", where="monitor")
    return read


def read_state(state: Mapping[str, Any], read: Callable[[Mapping[str, Any]], T], of: str) -> T:
    """Read a state of the monitor ``of``; whatever is wrong with it becomes a DataError."""
    try:
        return read(state)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise DataError(
            f"not a state of this monitor: {error}",
            where=of,
            hint="settings changed, or the snapshot is damaged: start the monitor afresh",
        ) from None
