"""The model repository extension: which models there are, and loading and unloading them.

What is loaded is always the routing in force, verified anew: a client cannot name a file.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from hauberk.faces.gateway.faults import Conflict, Missing

if TYPE_CHECKING:
    from hauberk.faces.gateway.dataplane import DataPlane


def index(plane: DataPlane) -> list[dict[str, Any]]:
    """One line a model: its name, version, state and the reason of the state."""
    lineup = plane.pool.lineup
    ready = not plane.pool.obstacle
    return [
        {
            "name": plane.name,
            "version": lineup.version if lineup else "",
            "state": "READY" if ready else "UNAVAILABLE",
            "reason": "",
        }
    ]


async def change(plane: DataPlane, model: str, verb: Literal["load", "unload"]) -> dict[str, Any]:
    """Load or unload the model; doing so twice is the same as once.

    Raises:
        Missing: if there is no such model.
        Conflict: if it cannot be loaded; the reason is the operator's, in the status.
    """
    if model != plane.name:
        raise Missing("no such model")
    if verb == "unload":
        plane.pool.unload()
        return {}
    if plane.pool.lineup is None:
        await asyncio.to_thread(plane.pool.restore)
    if plane.pool.obstacle:
        raise Conflict("the model cannot be loaded")
    return {}
