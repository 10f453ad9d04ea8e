"""A person's commands, left as annotations of a ``ModelShield``; the same text is one command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.core.digest import digest_bytes
from hauberk.core.evidence import Severity, Verdict
from hauberk.loop.events import Alarm, Finding, Reviewed, Rollback

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hauberk.adapters.local.inbox import Command
    from hauberk.loop.state import State

ALARM = "hauberk.dev/alarm"
ROLLBACK = "hauberk.dev/rollback"
REVIEW = "hauberk.dev/review"
_MAX_TEXT = 1000


def orders(annotations: Mapping[str, str], state: State, *, at: float) -> Iterator[Command]:
    """The commands that the annotations hold and that were not dealt with.

    ``alarm`` and ``rollback`` say why, ``review`` is ``INCIDENT=confirm`` or ``INCIDENT=dismiss``.
    Who may annotate is decided by the cluster.
    """
    if text := annotations.get(ALARM, "")[:_MAX_TEXT]:
        key = _key("alarm", text)
        if key not in state.seen:
            finding = Finding(
                rule="HB-D001",
                subject=state.served.primary,
                verdict=Verdict.FAIL,
                severity=Severity.CRITICAL,
                message=f"raised by annotation: {text}",
            )
            yield Alarm(at=at, key=key, digest=state.served.primary, finding=finding)
    if text := annotations.get(ROLLBACK, "")[:_MAX_TEXT]:
        key = _key("rollback", text)
        if key not in state.seen:
            yield Rollback(at=at, by="annotation", reason=text, key=key)
    incident, _, verdict = annotations.get(REVIEW, "").partition("=")
    if state.incident and state.incident.id == incident and verdict in {"confirm", "dismiss"}:
        yield Reviewed(
            at=at,
            incident=incident,
            verdict="dismiss" if verdict == "dismiss" else "confirm",
            reviewer="annotation",
        )


def _key(kind: str, text: str) -> str:
    return f"{kind}:{digest_bytes(text.encode())}"
