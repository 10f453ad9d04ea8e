"""Principal: who asks, as far as they have proved it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["client", "operator"]
Proof = Literal["key", "token", "certificate"]
Action = Literal["read", "infer", "load", "control"]
# What each action is: metadata; inference; loading and unloading; routing, status and metrics.
ACTIONS: tuple[Action, ...] = ("read", "infer", "load", "control")


@dataclass(frozen=True)
class Principal:
    """A known client. ``scopes`` narrows its role to some actions; None narrows nothing."""

    name: str
    role: Role = "client"
    tenant: str = "default"
    scopes: frozenset[str] | None = None
    by: Proof = "key"
