"""Our own programs as child processes: started, awaited, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hauberk.core.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

HAUBERK = (sys.executable, "-m", "hauberk")


@dataclass(kw_only=True)
class Program:
    """One running ``hauberk`` command; its output goes to ``log``."""

    arguments: tuple[str, ...]
    log: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls, arguments: Sequence[str], *, log: Path, environment: dict[str, str] | None = None
    ) -> Program:
        """Start ``hauberk ARGUMENTS`` in a session of its own, so that Ctrl-C reaches only us."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*HAUBERK, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        return cls(arguments=tuple(arguments), log=log, process=process)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait for ``ready()``.

        Raises:
            EnvironmentFault: if the process ends first or the time runs out; with its last line.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.alive or time.monotonic() > deadline:
                how = "is not ready in time" if self.alive else "ended"
                raise EnvironmentFault(
                    f"`hauberk {self.arguments[0]}` {how}: {self.last_line()}",
                    hint=f"its output is in {self.log}",
                )
            time.sleep(0.02)

    def last_line(self) -> str:
        """The last line that it printed."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "no output"

    def stop(self, *, seconds: float = 15.0) -> int:
        """Ask it to end, and insist when it does not; return its exit status."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.wait()

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        if self.alive:
            self.process.kill()
        self.process.wait()
