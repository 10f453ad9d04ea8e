"""Metrics of a watch for Prometheus, on loopback, in a registry of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from hauberk.monitor.gauge import GaugeMonitor
from hauberk.monitor.suspicion import SuspicionMonitor

if TYPE_CHECKING:
    from hauberk.monitor.station import Station


class Metrics:
    """``hauberk_watch_…``: records, findings by rule, evidence against its limit, accuracy."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.records = Counter(
            "hauberk_watch_records", "Records that the monitors took.", registry=self.registry
        )
        self.findings = Counter(
            "hauberk_watch_findings", "Findings by rule.", ("rule",), registry=self.registry
        )
        self.evidence = Gauge(
            "hauberk_watch_evidence_ratio",
            "Evidence of an attack, as a share of its limit.",
            registry=self.registry,
        )
        self.accuracy = Gauge(
            "hauberk_watch_estimated_accuracy",
            "Accuracy as estimated without labels.",
            ("bound",),
            registry=self.registry,
        )
        self._seen: dict[str, int] = {}

    def serve(self, port: int) -> None:
        """Answer scrapes on loopback, in a thread of its own."""
        start_http_server(port, addr="127.0.0.1", registry=self.registry)

    def show(self, station: Station) -> None:
        """Take over what a station knows now."""
        self._count(self.records, "records", station.records)
        for rule, number in station.found.items():
            self._count(self.findings.labels(rule=rule), rule, number)
        for monitor in station.monitors.values():
            if isinstance(monitor, SuspicionMonitor):
                self.evidence.set(max(0.0, monitor.evidence() / monitor.limit()))
            elif isinstance(monitor, GaugeMonitor) and (latest := monitor.accuracy()):
                for bound, value in zip(
                    ("estimate", "low", "high"), (latest[0], *latest[1]), strict=True
                ):
                    self.accuracy.labels(bound=bound).set(value)

    def _count(self, counter: Counter, name: str, number: int) -> None:
        # A station of a new pair counts from 0: its records are as many more.
        before = self._seen.get(name, 0)
        counter.inc(number - before if number >= before else number)
        self._seen[name] = number
