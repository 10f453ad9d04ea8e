"""Reading in pieces gives the bytes, in any order, whatever holds them."""

import bz2
import gzip
import lzma
import random
import zlib

import pytest

from hauberk.vet.case import Broken, Case, LimitReached, Limits
from hauberk.vet.run import inspect
from hauberk.vet.source import Buffered, Inflated, Memory, Part, Source
from hauberk.vet.unpack import opened

DATA = random.Random(0).randbytes(3_000_000) + bytes(3_000_000)
PACKED = {
    "zlib": zlib.compress(DATA),
    "gzip": gzip.compress(DATA[:1_000_000]) + gzip.compress(DATA[1_000_000:]),
    "bzip2": bz2.compress(DATA),
    "xz": lzma.compress(DATA, preset=0),
}


def case(size: int, **limits: int) -> Case:
    return Case(size=size, inspect=inspect, limits=Limits(**limits))


def check(source: Source) -> None:
    rng = random.Random(1)
    assert source.size == len(DATA)
    for _ in range(30):
        at, length = rng.randrange(len(DATA) + 10), rng.choice([0, 1, 100, 300_000])
        assert source.read(at, length) == DATA[at : at + length]


def test_plain_sources() -> None:
    check(Memory(DATA))
    check(Buffered(Memory(DATA)))
    check(Part(Memory(b"xx" + DATA + b"yy"), 2, len(DATA)))


@pytest.mark.parametrize("kind", PACKED)
def test_compressed_sources(kind: str) -> None:
    body = Memory(PACKED[kind])
    source = opened(kind, body, case(1 << 40))
    assert isinstance(source, Inflated)
    assert source.read(5_000_000, 10) == DATA[5_000_000:5_000_010]
    check(source)


@pytest.mark.parametrize("kind", PACKED)
def test_a_cut_stream_is_broken(kind: str) -> None:
    source = opened(kind, Memory(PACKED[kind][:-40]), case(1 << 40))
    with pytest.raises(Broken):
        _ = source.size


def test_the_budget_holds() -> None:
    source = opened("zlib", Memory(PACKED["zlib"]), case(1, inflate_floor=1_000_000))
    with pytest.raises(LimitReached):
        _ = source.size
