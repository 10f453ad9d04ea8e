"""Meters: what an operator sees of the gateway in Prometheus, in a registry of its own."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, generate_latest

from hauberk.core.digest import short
from hauberk.faces.gateway.tallies import Counts, Sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.core.record import Record
    from hauberk.faces.gateway.lineup import Lineup

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_P = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass
class Count:
    """What was answered so far, for the statistics extension; times in seconds."""

    rows: int = 0
    good: int = 0
    bad: int = 0
    good_seconds: float = 0.0
    bad_seconds: float = 0.0

    def add(self, seconds: float, *, good: bool) -> None:
        """One request more."""
        if good:
            self.good += 1
            self.good_seconds += seconds
        else:
            self.bad += 1
            self.bad_seconds += seconds


class Meters:
    """Counters, gauges and histograms named ``hauberk_…``; times in seconds."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.count = Count()
        own = self._registry
        self.requests = Counts(
            "hauberk_requests", "Inference requests by code and route.", ("code", "route"), own
        )
        self.rows = Counts("hauberk_rows", "Rows by outcome and route.", ("outcome", "route"), own)
        self.seconds = Sizes("hauberk_request_seconds", "From headers to answer.", _SECONDS, own)
        self.suspicion = Sizes(
            "hauberk_benign_p",
            "p-value of a row over clean traffic and benign shifts.",
            _P,
            own,
        )
        self.in_flight = Gauge("hauberk_in_flight", "Requests being answered.", registry=own)
        self.flying = 0
        self.unsealed = Counter(
            "hauberk_seal_dropped", "Requests that the sealed log misses.", registry=own
        )
        self.dropped = Counter(
            "hauberk_tap_dropped", "Records that the monitors miss.", registry=own
        )
        self.queued = Gauge("hauberk_tap_queued", "Records waiting to be written.", registry=own)
        self.untold = Gauge(
            "hauberk_untold_records", "Records that other gateways' watch misses yet.", registry=own
        )
        self.cut_off = Gauge(
            "hauberk_cut_off", "1 while it is contained for want of orders.", registry=own
        )
        self.ready = Gauge("hauberk_ready", "1 while requests are answered.", registry=own)
        self._screened = {
            how: counter.labels(how)
            for counter in [
                Counter(
                    "hauberk_screened",
                    "Requests by how they were screened: inline, after the answer, or not.",
                    ("how",),
                    registry=own,
                )
            ]
            for how in ("inline", "after", "sampled-out")
        }
        self._payloads = Counter(
            "hauberk_payloads",
            "Events of the payload logger: joined, repeated, lost, dropped or unreadable.",
            ("what",),
            registry=own,
        )
        self.unscreened = Counter(
            "hauberk_screen_dropped", "Answered requests that nobody screened.", registry=own
        )
        self.upstream = Enum(
            "hauberk_upstream_circuit",
            "The state of the upstream's circuit.",
            states=["closed", "half-open", "open"],
            registry=own,
        )
        self.served = Gauge(
            "hauberk_served",
            "1 for each model in memory, 0 if it is withheld.",
            ("part", "digest", "mode"),
            registry=own,
        )

    def answered(self, code: int, route: str, seconds: float) -> None:
        """Count one inference request."""
        self.requests.add(code, route)
        self.seconds.add(seconds)
        self.count.add(seconds, good=code < HTTPStatus.BAD_REQUEST)

    def screened(self, how: str) -> None:
        """Count a request by how it is screened."""
        self._screened[how].inc()

    def payload(self, what: str, count: int) -> None:
        """Count events of the payload logger by what became of them."""
        self._payloads.labels(what).inc(count)

    def told(self, records: Sequence[Record]) -> None:
        """Count the rows of one request."""
        self.count.rows += len(records)
        for record in records:
            self.rows.add(record.outcome, record.route)
            if record.p_benign is not None:
                self.suspicion.add(record.p_benign)

    def changed(self, lineup: Lineup) -> None:
        """Show another lineup."""
        self.served.clear()
        for part, model in lineup.models.items():
            fit = model.digest not in lineup.withheld
            self.served.labels(part, short(model.digest), lineup.routing.mode).set(fit)

    def page(self) -> bytes:
        """All of them in Prometheus's text format."""
        self.in_flight.set(self.flying)
        return generate_latest(self._registry)
