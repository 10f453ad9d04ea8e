"""Files to hold a scanner against: malicious by construction, benign as libraries write them.

Every payload is a call that would print one word; none is ever run here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.testing.vet_benign import benign
from hauberk.testing.vet_graphs import graphs
from hauberk.testing.vet_payloads import pickles
from hauberk.testing.vet_pieces import Sample
from hauberk.testing.vet_wrappings import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Sample", "benign", "corpus", "malicious"]


def malicious() -> Iterator[Sample]:
    """Every malicious file."""
    yield from pickles()
    yield from wrapped()
    yield from graphs()


def corpus() -> Iterator[Sample]:
    """All files, malicious and benign."""
    yield from malicious()
    yield from benign()
