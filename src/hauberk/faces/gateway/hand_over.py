"""Hand over: a gateway's own records, told to the state that all gateways share.

The gateway writes its own log first, as ever, and a thread tells the shared state what is new. So
no request waits for it, and while it cannot be had the records wait on the disk.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hauberk.adapters.local.files import create_file, make_folder, read_file
from hauberk.core.errors import HauberkError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hauberk.adapters.local.records import RecordLog
    from hauberk.core.ports import GuardState

_BATCH = 512
_SECONDS = 0.1
_SILENT_SECONDS = 1.0


@dataclass
class HandOver:
    """``log`` is read by this thread alone; ``failed`` is told the reason, once in a row.

    ``behind`` is told how many records wait.
    """

    log: RecordLog
    state: GuardState
    failed: Callable[[str], None] = lambda _: None
    behind: Callable[[int], None] = lambda _: None
    _name: str = field(init=False)
    _start: int = field(init=False)
    _place: int | None = field(default=None, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _told: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._name = log_name(self.log.folder)
        self._start = self.log.last_seq()
        self._thread = threading.Thread(target=self._work, name="hand-over", daemon=True)

    def start(self) -> None:
        """Start telling."""
        self._thread.start()

    def close(self, seconds: float = 5.0) -> None:
        """Tell what is left, and stop; what is not told in time is told at the next start."""
        self._stop.set()
        self._thread.join(seconds)

    def step(self) -> bool:
        """Tell one batch; whether there was any.

        A state that knows nothing of this log lost its memory, or this log is new: what was there
        before this process may have been read already, and is not told again.

        Raises:
            HauberkError: if the log cannot be read, or the shared state cannot be had.
        """
        if self._place is None:
            known = self.state.known(self._name)
            self._place = self._start if known is None else known
            self._start = max(self._start, self._place)
        batch = self.log.read(self._place, _BATCH)
        if not batch:
            return False
        self._place = self._start = self.state.tell(self._name, batch)
        return True

    def _work(self) -> None:
        pause = _SECONDS
        while not self._stop.wait(pause):
            pause = _SECONDS if self._drain() else _SILENT_SECONDS
        self._drain()

    def _drain(self) -> bool:
        try:
            while self.step():
                pass
        except (HauberkError, OSError) as error:
            if str(error) != self._told:
                self._told = str(error)
                self.failed(self._told)
            self._place = None  # what was lost on its way may have counted: ask
            self.behind(self.log.last_seq() - self._start)
            return False
        self._told = ""
        self.behind(0)
        return True


def log_name(folder: Path) -> str:
    """What a log is known by: its folder's own name, made once, since pods' names come again."""
    make_folder(folder)
    path = folder / "name"
    create_file(path, secrets.token_hex(16).encode())
    return (read_file(path, limit=64) or b"").decode("ascii", "replace")
