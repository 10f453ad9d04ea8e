"""Our counts read as the library's own do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from hauberk.faces.gateway.tallies import Counts, Sizes

ENDS = (0.001, 0.5, 2.0)


def page(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return sorted(line for line in lines if "_created" not in line)


@given(
    st.lists(st.tuples(st.sampled_from([200, 429]), st.sampled_from(["primary", "twin"]))),
    st.lists(st.sampled_from([0.0, 0.001, 0.4, 0.5, 0.6, 2.0, 9.0])),
)
def test_they_say_what_the_library_would(keys: list[tuple[int, str]], values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counts = Counts("n", "text.", ("code", "route"), ours)
    sizes = Sizes("s", "text.", ENDS, ours)
    counter = Counter("n", "text.", ("code", "route"), registry=theirs)
    histogram = Histogram("s", "text.", buckets=ENDS, registry=theirs)
    for code, route in keys:
        counts.add(code, route)
        counter.labels(str(code), route).inc()
    for value in values:
        sizes.add(value)
        histogram.observe(value)
    assert page(ours) == page(theirs)
