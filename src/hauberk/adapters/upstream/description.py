"""An upstream as bytes, whose digest is what is routed, recorded and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hauberk.core.digest import canonical_json

if TYPE_CHECKING:
    from hauberk.core.spec import Spec, UpstreamSpec


def described(spec: Spec) -> tuple[UpstreamSpec, bytes]:
    """The upstream with the name of its model, and the bytes that stand for it."""
    upstream = msgspec.structs.replace(spec.upstream, model=spec.upstream.model or spec.model.name)
    return upstream, canonical_json({"upstream": msgspec.to_builtins(upstream)})
