"""The picture of a case: input, nearest clean samples, and why both models answered as they did."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image

from hauberk.core.errors import UserError
from hauberk.core.registry import find
from hauberk.explain.attribution import stability
from hauberk.explain.picture import nearest, picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hauberk.adapters.local.shop import Shop
    from hauberk.core.ports import Routing
    from hauberk.explain.attribution import Attribution

_NEIGHBOURS, _AMONG = 3, 4000


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A PNG, and by model what is known of its attribution's worth."""

    png: bytes
    completeness: dict[str, float | None]
    stability: dict[str, float]


def explain(
    shop: Shop, routing: Routing, x: NDArray[np.float32], *, method: str, seed: int
) -> Explained:
    """Explain the answer to one input ``(channels, height, width)`` by a method of the registry.

    Raises:
        UserError: if the service has no twin, or captum is not installed.
        UnknownNameError: if there is no such method.
    """
    if routing.twin is None:
        raise UserError("the pair in service has no twin to compare with")
    try:
        explainer = find("explain", method)()
    except ModuleNotFoundError:
        raise UserError("captum is not installed", hint="pip install 'hauberk[explain]'") from None
    row = torch.from_numpy(x[None])
    found: dict[str, Attribution] = {}
    firm = {}
    for name, digest in (("served", routing.primary), ("twin", routing.twin)):
        module = shop.model(digest).module.eval()
        with torch.no_grad():
            target = int(module(row)[0].argmax())
        found[name] = explainer(module, row, target, seed=seed)
        firm[name] = stability(explainer, module, row, target, seed=seed, copies=3)
    clean = shop.data.split("calibration").x[:_AMONG]
    beside = clean[nearest(x, clean, _NEIGHBOURS)]
    image = picture(x, beside, [one.values for one in found.values()])
    out = io.BytesIO()
    Image.fromarray(image).save(out, format="PNG")
    worth = {name: one.completeness for name, one in found.items()}
    return Explained(png=out.getvalue(), completeness=worth, stability=firm)
