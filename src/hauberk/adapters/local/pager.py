"""Pages to a person as lines of a file, each incident's message once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from hauberk.adapters.local.files import (
    PRIVATE,
    append_lines,
    drop_torn_line,
    faults,
    locked,
    make_folder,
)

if TYPE_CHECKING:
    from pathlib import Path

MAX_TEXT = 4000


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One page; ``at`` in seconds since the epoch."""

    at: float
    incident: str
    message: str


@dataclass(frozen=True)
class FilePager:
    """A :class:`hauberk.core.ports.Pager` that appends to a file of JSON lines.

    A message is cut at :data:`MAX_TEXT` characters, since a page that is refused helps no one.
    """

    path: Path

    def page(self, incident: str, message: str, *, at: float) -> None:
        """Append the page unless it is there; on the disk when this returns.

        Raises:
            EnvironmentFault: if the disk is full.
        """
        line = Line(at=at, incident=incident[:MAX_TEXT], message=message[:MAX_TEXT])
        make_folder(self.path.parent)
        with locked(self.path.with_name(f".{self.path.name}.lock")), faults(self.path):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self.path, flags, PRIVATE)
            try:
                drop_torn_line(descriptor)
                if not any(_same(line, other) for other in self.lines()):
                    append_lines(descriptor, msgspec.json.encode(line) + b"\n")
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def lines(self) -> list[Line]:
        """All pages in order; a line that cannot be read is passed over."""
        try:
            with faults(self.path), self.path.open("rb") as file:
                return [line for text in file if (line := _parse(text))]
        except FileNotFoundError:
            return []


def _same(one: Line, other: Line) -> bool:
    return (one.incident, one.message) == (other.incident, other.message)


def _parse(text: bytes) -> Line | None:
    try:
        return msgspec.json.decode(text, type=Line)
    except (msgspec.DecodeError, RecursionError):
        return None
