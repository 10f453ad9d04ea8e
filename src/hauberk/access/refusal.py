"""Refusals: a stranger, someone who may not, someone who asked too much."""

from __future__ import annotations

from hauberk.core.errors import Refused


class Stranger(Refused):
    """Nobody that we know; the message does not say what was nearly right."""


class UnknownKey(Stranger):
    """A token names a key that is not in the key set; it may be newer than the set."""


class NotAllowed(Refused):
    """Known, but the policy says no; ``policy`` is the id of the one that did."""

    def __init__(self, what: str, *, policy: str = "") -> None:
        super().__init__(what)
        self.policy = policy


class Exhausted(Refused):
    """More than the quota; asking again after ``wait`` seconds may succeed."""

    def __init__(self, what: str, *, wait: float) -> None:
        super().__init__(what)
        self.wait = wait
