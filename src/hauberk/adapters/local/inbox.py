"""Commands for the controller, left as files: whoever may write the state directory may command."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from hauberk.adapters.local.files import make_folder, read_file, write_file
from hauberk.loop.events import Alarm, Reviewed, Rollback

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Command = Alarm | Reviewed | Rollback
_MAX = 1 << 16
_MOST = 1000


@dataclass(frozen=True)
class Inbox:
    """A folder of commands, taken in the order in which they were left."""

    folder: Path

    def leave(self, command: Command) -> Path:
        """Leave a command; it is on the disk when this returns."""
        make_folder(self.folder)
        path = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex}.json"
        write_file(path, msgspec.json.encode(command))
        return path

    def waiting(self) -> Iterator[tuple[Path, Command | None]]:
        """The commands that wait, oldest first; None for a file that holds none."""
        if not self.folder.is_dir():
            return
        for path in sorted(self.folder.glob("*.json"))[:_MOST]:
            try:
                text = read_file(path, limit=_MAX)
                yield path, msgspec.json.decode(text or b"", type=Command)
            except (msgspec.DecodeError, RecursionError):
                yield path, None
