"""The journal's lines: each turn, written before it is acted on."""

import msgspec

from hauberk.core.errors import DataError, EnvironmentFault
from hauberk.core.ports import Journal
from hauberk.loop.actions import Action
from hauberk.loop.events import Event
from hauberk.loop.state import State


class Turn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happened, the state after it, and all that is still to be done, in order.

    ``since`` is the ``seq`` of the last record that the monitors before the present ones read.
    """

    at: float
    event: Event
    state: State
    actions: tuple[Action, ...] = ()
    since: int = 0


class Rival(EnvironmentFault):
    """Another process drives the loop of this service."""


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Turn)


def decode(line: bytes, number: int) -> Turn:
    """The turn of a line of the journal.

    Raises:
        DataError: if it holds none.
    """
    try:
        return _DECODER.decode(line)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise DataError(
            f"not a turn: {error}",
            where=f"journal: turn {number}",
            hint="it was written by another version, or altered: restore it from a backup",
        ) from None


def last_turn(journal: Journal, service: str) -> tuple[int, Turn] | None:
    """The newest turn and its number; None before the first.

    Raises:
        DataError: if it cannot be read; the loop does not guess what it was doing.
    """
    lines = journal.read(service)
    return (len(lines) - 1, decode(lines[-1], len(lines) - 1)) if lines else None


def write_turn(journal: Journal, service: str, turn: Turn, *, number: int) -> None:
    """Append a turn durably, as the journal's ``number``-th from 0.

    Raises:
        Rival: if the journal went on without us.
    """
    written = journal.write(service, _ENCODER.encode(turn), at=turn.at)
    if written != number:
        raise Rival(
            f"turn {number} was written by another process",
            where=f"loop of {service}",
            hint="run one `hauberk loop` for a service",
        )
