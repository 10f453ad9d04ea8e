"""Refusals, as the API server words them: a ``Status`` object and its HTTP code."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that is answered by a ``Status`` of failure."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message

    def status(self) -> dict[str, Any]:
        """The object that is sent."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }


def missing(plural: str, name: str) -> Refusal:
    """There is no such object."""
    return Refusal(404, "NotFound", f'{plural} "{name}" not found')


def no_path() -> Refusal:
    """There is no such resource."""
    return Refusal(404, "NotFound", "the server could not find the requested resource")


def exists(plural: str, name: str) -> Refusal:
    """The name is taken."""
    return Refusal(409, "AlreadyExists", f'{plural} "{name}" already exists')


def conflict(plural: str, name: str, why: str) -> Refusal:
    """The object is no longer what the client thinks, or a field has another owner."""
    message = f'Operation cannot be fulfilled on {plural} "{name}": {why}'
    return Refusal(409, "Conflict", message)


def invalid(kind: str, name: str, why: str) -> Refusal:
    """The object contradicts its schema."""
    return Refusal(422, "Invalid", f'{kind} "{name}" is invalid: {why}')


def bad(why: str) -> Refusal:
    """The request cannot be read."""
    return Refusal(400, "BadRequest", why)


def gone() -> Refusal:
    """The watch begins before what is remembered."""
    return Refusal(410, "Expired", "too old resource version")
