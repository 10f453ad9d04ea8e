"""Properties of reading pickles: a call is found at any place; the unpickler is the oracle."""

import io
import pickle
import pickletools
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hauberk.testing.vet_corpus import malicious
from hauberk.testing.vet_payloads import pickles
from hauberk.vet.case import Case
from hauberk.vet.finding import Outcome
from hauberk.vet.pickle_machine import Machine
from hauberk.vet.pickle_scan import scan
from hauberk.vet.run import inspect, vet
from hauberk.vet.source import Memory

few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)
SAMPLES = [one.data for one in malicious() if len(one.data) < 100_000]
PICKLES = [one.data for one in pickles() if len(one.data) < 100_000]


class Listener(pickle.Unpickler):
    """The real unpickler, for which every name is one and the same harmless object."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.names: set[tuple[str, str]] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.names.add((module, name))
        return _Nothing

    def persistent_load(self, pid: Any) -> Any:
        return None


class _Nothing:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take anything."""

    def __setstate__(self, state: Any) -> None:
        """Keep nothing."""


def asked(data: bytes) -> set[tuple[str, str]]:
    listener = Listener(data)
    with suppress(Exception):  # damaged pickles fail in any way; what they asked for counts
        listener.load()
    return listener.names


def seen(data: bytes) -> set[tuple[str, str]]:
    case = Case(size=len(data), inspect=inspect)
    machine = Machine(Memory(data), 0, case)
    machine.run()
    found = {*scan(Memory(data), 0, case).names, *machine.refs}
    return {pair for name in found for pair in (name, _new(name))}


def _new(pair: tuple[str, str]) -> tuple[str, str]:
    """The name as Python 3 has it: the unpickler translates old ones before it asks."""
    import _compat_pickle as old

    if pair in old.NAME_MAPPING:
        return old.NAME_MAPPING[pair]
    return old.IMPORT_MAPPING.get(pair[0], pair[0]), pair[1]


@few
@given(trees, st.integers(0, 5))
def test_plain_data_is_clean(tree: object, protocol: int) -> None:
    assert vet(Memory(pickle.dumps(tree, protocol)), "x.pkl").outcome is Outcome.CLEAN


@few
@given(trees, st.integers(0, 5), st.data())
def test_a_call_is_found_at_any_place(tree: object, protocol: int, data: st.DataObject) -> None:
    plain = pickle.dumps(tree, protocol)
    places = [at for op, _, at in pickletools.genops(plain) if at and op.name != "FRAME"]
    at = data.draw(st.sampled_from(places))
    bad = plain[:at] + b"cos\nsystem\n0" + plain[at:]
    assert vet(Memory(bad), "x.pkl").outcome is Outcome.MALICIOUS


@few
@given(st.sampled_from(PICKLES), st.data())
def test_every_name_that_the_unpickler_asks_for_is_seen(sample: bytes, data: st.DataObject) -> None:
    raw = bytearray(sample)
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert asked(bytes(raw)) <= seen(bytes(raw))


@few
@given(st.sampled_from(SAMPLES), st.data())
def test_no_mutation_raises(sample: bytes, data: st.DataObject) -> None:
    raw = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, max(0, len(raw) - 1)))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    result = vet(Memory(bytes(raw)), "x.bin")
    assert not [one for one in result.findings if "examiner failed" in one.message]
