"""Elsewhere: a model that an upstream runs, in a gateway's world of models that are files.

The description of the upstream is its bytes: their digest is what is routed, recorded and shown. It
is trusted as the configuration is; when that changes, the digest does, and the old one is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hauberk.adapters.local.files import make_folder, write_file
from hauberk.adapters.upstream.description import described
from hauberk.adapters.upstream.remote import RemoteModel
from hauberk.core.digest import digest_bytes
from hauberk.core.model import Bounds

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.core.spec import Spec
    from hauberk.faces.gateway.served import Runner, World


def with_upstream(world: World, spec: Spec, state: Path) -> tuple[World, str]:
    """The world with the spec's upstream in it, and the digest by which it is routed.

    Raises:
        EnvironmentFault: if the description cannot be written.
    """
    upstream, made = described(spec)
    digest = digest_bytes(made)
    make_folder(state)
    path = state / "upstream.json"
    write_file(path, made)

    def verify(asked: str) -> Path:
        return path if asked == digest else world.verify(asked)

    def bounds(asked: str) -> Bounds:
        return Bounds(upstream.low, upstream.high) if asked == digest else world.bounds(asked)

    def start(data: bytes) -> Runner:
        return RemoteModel(upstream) if data == made else world.start(data)

    return replace(world, verify=verify, bounds=bounds, start=start), digest
