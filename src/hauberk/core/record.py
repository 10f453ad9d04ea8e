"""Record: what the gateway tells the monitors about one answered sample."""

from __future__ import annotations

from typing import Literal

import msgspec

Route = Literal["primary", "canary", "twin"]
Outcome = Literal["pass", "flag", "abstain", "refuse"]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sample of one request, without its payload.

    ``p_value`` is the conformal p-value of the suspicion under clean traffic and
    ``p_benign`` the largest one over clean traffic and the calibrated benign shifts: only a small
    ``p_benign`` speaks of an attack. ``features`` are the drift statistics of the input, in the
    order of ``guard.features.NAMES``. ``at`` is in seconds since the epoch; ``policy`` is the id of
    the policy that let the request in, ``tenant`` whose client the principal is. ``p_hedges`` are
    benign p-values of single sensors, in the order of the calibration's ``hedges``. ``confidence``
    is the largest probability that the model gives, ``fingerprint`` a keyed one of the input.
    """

    id: str
    seq: int
    at: float
    principal: str
    digest: str
    route: Route
    outcome: Outcome
    label: int
    twin_label: int | None = None
    score: float | None = None
    p_value: float | None = None
    p_benign: float | None = None
    features: tuple[float, ...] = ()
    latency_ms: float = 0.0
    policy: str = ""
    tenant: str = ""
    p_hedges: tuple[float, ...] = ()
    confidence: float | None = None
    fingerprint: str = ""
