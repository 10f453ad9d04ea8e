"""Findings that somebody lets go, by a waiver or as known before: they stay, but do not count."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.vet.finding import Finding, Vetted


def excuse(file: Vetted, why: Callable[[Finding], str]) -> Vetted:
    """The same result with each finding excused for which ``why`` gives a reason.

    What is malicious is never excused: whoever needs such a file needs another file.
    """
    return replace(file, findings=tuple(_excused(one, why) for one in file.findings))


def _excused(one: Finding, why: Callable[[Finding], str]) -> Finding:
    if one.severity is Severity.CRITICAL or one.excused:
        return one
    return replace(one, excused=why(one))
