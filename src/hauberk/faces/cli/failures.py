"""Failures in one line each: what, where, a hint, and the exit code."""

from __future__ import annotations

import errno
import os
import re
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hauberk.core.errors import HauberkError
from hauberk.govern.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
BROKEN_PIPE = 141  # 128 + SIGPIPE
_NEAR = re.compile(r" \(?Did you mean (?:one of: )?([^?]*)\?\)?$")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Failure:
    """What a person reads of an error; nothing is printed where ``text`` is empty."""

    code: int
    text: str
    hint: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """One line for the failure and, where there is one, one for the hint."""
        if not self.text:
            return ()
        return (one_line(self.text), *((f"hint: {one_line(self.hint)}",) if self.hint else ()))


def explain(error: BaseException) -> Failure:
    """Put any error that ends the program into words."""
    if isinstance(error, HauberkError):
        return Failure(error.exit_code, f"error: {error}", error.hint)
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Failure(INTERRUPTED, "interrupted", "the same command resumes")
    if isinstance(error, BrokenPipeError):
        return Failure(BROKEN_PIPE, "")
    system = _system(error)
    if system is not None:
        return system
    return Failure(
        3,
        f"internal error: {type(error).__name__}: {error}{_place(error)} "
        "(HAUBERK_DEBUG=1 shows the traceback)",
    )


def tell(error: BaseException, environ: Mapping[str, str] = os.environ) -> int:
    """Print a failure to stderr and return its exit code."""
    if environ.get("HAUBERK_DEBUG") == "1" and not isinstance(error, BrokenPipeError):
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    failure = explain(error)
    for line in failure.lines:
        click.echo(line, err=True)
    return failure.code


def _system(error: BaseException) -> Failure | None:
    """What the machine said no to; None if it was not the machine."""
    if isinstance(error, OSError) and error.errno in _FULL:
        where = f"{error.filename}: " if error.filename else ""
        return Failure(2, f"error: {where}disk full", "free some space and repeat the command")
    if isinstance(error, OSError) and error.filename and error.strerror:
        return Failure(2, f"error: {error.filename}: {error.strerror.lower()}")
    if isinstance(error, UnicodeEncodeError):
        return Failure(2, "error: a name or a value is not valid UTF-8")
    if isinstance(error, MemoryError):
        return Failure(2, "error: out of memory", "use fewer samples or a smaller batch")
    return None


def _usage(error: click.ClickException) -> Failure:
    context = getattr(error, "ctx", None)
    where = f"{context.command_path}: " if context else ""
    message = error.format_message().rstrip(".")
    told = _NEAR.search(message)
    hint = f"did you mean {told[1]}?" if told else getattr(error, "hint", "")
    message = _NEAR.sub("", message)
    if not hint and context:
        hint = f"`{context.command_path} --help` shows the usage"
    text = message.rstrip(".")
    return Failure(2, f"error: {where}{text[:1].lower()}{text[1:]}", str(hint))


def _place(error: BaseException) -> str:
    """The innermost frame, as a name of a file without its folder, and a line."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
