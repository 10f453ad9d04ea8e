"""How far long work is: one bar with an ETA on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import click

from hauberk.govern.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVERY = 5.0  # seconds between two plain lines


class Advance(Protocol):
    """Called with how much is done, and the total where it is known only now."""

    def __call__(self, done: int, total: int | None = None, /) -> None: ...


@contextmanager
def shown(label: str, total: int | None, *, quiet: bool) -> Iterator[Advance]:
    """Show progress on stderr while the block runs."""
    if quiet:
        yield lambda done, total=None: None
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from hauberk.faces.cli.bar import bar

        with bar(one_line(label), total) as advance:
            yield advance
    else:
        lines = Lines(label=one_line(label), total=total)
        yield lines
        lines.end()


@dataclass(kw_only=True)
class Lines:
    """Plain lines, at most one every few seconds, for logs."""

    label: str
    total: int | None
    clock: Callable[[], float] = time.monotonic
    _start: float = field(init=False)
    _last: float = field(init=False)
    _done: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._start = self._last = self.clock()

    def __call__(self, done: int, total: int | None = None, /) -> None:
        self._done, self.total = done, total or self.total
        now = self.clock()
        if now - self._last >= EVERY:
            self._last = now
            click.echo(self.line(now), err=True)

    def line(self, now: float) -> str:
        """``label 340/1000 34 % 12 s left``."""
        if not self.total:
            return f"{self.label} {self._done}"
        share = min(1.0, self._done / self.total)
        text = f"{self.label} {self._done}/{self.total} {share:.0%}"
        if share > 0:
            text += f" {(now - self._start) * (1 - share) / share:.0f} s left"
        return text

    def end(self) -> None:
        """The last line: what was done and how long it took."""
        click.echo(f"{self.label} done in {self.clock() - self._start:.1f} s", err=True)
