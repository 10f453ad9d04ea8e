"""Counts that every request adds to: plain numbers, which Prometheus' library reads when asked.

The library's own take a lock and several calls each, as much as a small model takes to run.
"""

from __future__ import annotations

from bisect import bisect_left
from threading import Lock
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import CollectorRegistry, Metric


class Counts(Collector):
    """A counter by two labels."""

    def __init__(
        self, name: str, text: str, labels: tuple[str, str], registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._of: dict[tuple[object, str], int] = {}
        self._lock = Lock()
        registry.register(self)

    def add(self, one: object, other: str) -> None:
        """Count one more of two values."""
        key = (one, other)
        with self._lock:
            self._of[key] = self._of.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """As the library takes them."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        with self._lock:
            found = list(self._of.items())
        for key, count in found:
            family.add_metric([str(one) for one in key], count)
        yield family


class Sizes(Collector):
    """A histogram whose buckets end at ``ends``."""

    def __init__(
        self, name: str, text: str, ends: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._ends = name, text, tuple(ends)
        self._counts, self._sum = [0] * (len(self._ends) + 1), 0.0
        self._lock = Lock()
        registry.register(self)

    def add(self, value: float) -> None:
        """Count a value."""
        place = bisect_left(self._ends, value)
        with self._lock:
            self._counts[place] += 1
            self._sum += value

    def collect(self) -> Iterator[Metric]:
        """As the library takes it: what each bucket and those before it hold."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        buckets, sofar = [], 0
        for end, count in zip((*map(str, self._ends), "+Inf"), counts, strict=True):
            sofar += count
            buckets.append((end, float(sofar)))
        yield HistogramMetricFamily(self._name, self._text, buckets=buckets, sum_value=total)
