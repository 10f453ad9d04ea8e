from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.errors import DataError
from hauberk.guard.packing import LIMIT, pack, unpack

FACTS = {"version": 1, "names": ["ä", "b"]}
ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.zeros((0, 4))}
GOOD = pack(FACTS, ARRAYS)


def test_round_trip_and_same_bytes() -> None:
    facts, arrays = unpack(GOOD, ("a", "b"))
    assert facts == FACTS
    for key, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[key], array)
        assert arrays[key].flags.writeable
    assert pack(facts, arrays) == GOOD


def test_numpy_reads_it_without_pickles() -> None:
    with np.load(io.BytesIO(GOOD), allow_pickle=False) as archive:
        assert set(archive) == {"facts", "a", "b"}


def npy(array: Any, **options: Any) -> bytes:
    body = io.BytesIO()
    np.lib.format.write_array(body, np.asarray(array), **options)
    return body.getvalue()


def archive(
    members: dict[str, bytes] | None = None, *, compression: int = zipfile.ZIP_STORED
) -> bytes:
    with zipfile.ZipFile(io.BytesIO(GOOD)) as good:
        bodies = {name: good.read(name) for name in good.namelist()} | (members or {})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as out:
        for name, body in bodies.items():
            out.writestr(name, body)
    return buffer.getvalue()


HUGE = npy(np.zeros(1)).replace(b"(1,)", b"(9999999999,)").replace(b" " * 12, b"", 1)
BAD = {
    "empty": b"",
    "text": b"not a zip",
    "cut": GOOD[: len(GOOD) // 2],
    "tail cut": GOOD[:-10],
    "too large": GOOD + b"\0" * LIMIT,
    "compressed": archive(compression=zipfile.ZIP_DEFLATED),
    "one more": archive({"c.npy": npy(np.zeros(1))}),
    "pickled": archive({"a.npy": npy(np.array([{}], dtype=object), allow_pickle=True)}),
    "raw pickle": archive({"a.npy": pickle.dumps([1.0])}),
    "claims too much": archive({"a.npy": HUGE}),
    "integers": archive({"a.npy": npy(np.arange(6))}),
    "column order": archive({"a.npy": npy(np.asfortranarray(np.zeros((2, 3))))}),
    "version 2": archive({"a.npy": npy(np.zeros(3), version=(2, 0))}),
    "empty member": archive({"a.npy": b""}),
    "header only": archive({"a.npy": npy(np.zeros(3))[:40]}),
    "no facts": archive({"facts.npy": npy(np.frombuffer(b"[1]", dtype=np.uint8))}),
    "no json": archive({"facts.npy": npy(np.frombuffer(b"{", dtype=np.uint8))}),
    "deep json": archive({"facts.npy": npy(np.frombuffer(b"[" * 100_000, dtype=np.uint8))}),
    "latin": archive({"facts.npy": npy(np.frombuffer(b'"\xff"', dtype=np.uint8))}),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_refuses_whatever_is_not_of_the_form(data: bytes) -> None:
    with pytest.raises(DataError):
        unpack(data, ("a", "b"))


def test_refuses_other_keys() -> None:
    with pytest.raises(DataError, match="other arrays"):
        unpack(GOOD, ("a",))


@settings(deadline=None, max_examples=150)
@given(at=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255))
def test_a_changed_byte_is_an_error_or_harmless(at: int, value: int) -> None:
    data = bytearray(GOOD)
    data[at] = value
    try:
        facts, arrays = unpack(bytes(data), ("a", "b"))
    except DataError:
        return
    assert facts == FACTS
    assert all(np.array_equal(arrays[key], ARRAYS[key]) for key in ARRAYS)
