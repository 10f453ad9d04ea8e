"""The tree against RFC 6962's own definitions, written anew here, and its published vectors."""

from __future__ import annotations

from hashlib import sha256
from math import log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.errors import UserError
from hauberk.govern import merkle

# The eight inputs and the roots of the reference implementation's own tests.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


class Tree:
    """Subtrees in a list, as the ledger keeps them in a table."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.kept: list[bytes] = []
        for size, data in enumerate(leaves):
            self.kept += merkle.grow(size, merkle.leaf(data), self.read)

    def read(self, level: int, number: int) -> bytes:
        return self.kept[merkle.place(level, number)]


def naive(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\x01" + naive(leaves[:k]) + naive(leaves[k:])).digest()


def leaves(count: int) -> list[bytes]:
    return [b"%d" % n for n in range(count)]


@pytest.mark.parametrize("size", range(1, 9))
def test_the_published_roots(size: int) -> None:
    assert merkle.root(size, Tree(INPUTS).read).hex() == ROOTS[size - 1]


def test_every_root_and_place() -> None:
    tree = Tree(leaves(40))
    assert len(tree.kept) == merkle.count(40)
    assert [merkle.root(n, tree.read) for n in range(41)] == [naive(leaves(n)) for n in range(41)]


def test_every_inclusion_proof_holds_for_its_leaf_alone() -> None:
    tree = Tree(leaves(21))
    for size in range(1, 22):
        top = naive(leaves(size))
        for index in range(size):
            proof = merkle.inclusion(index, size, tree.read)
            assert len(proof) <= log2(size) + 1
            for other in range(size):
                held = merkle.includes(merkle.leaf(b"%d" % other), other, size, proof, top)
                assert held == (other == index)
                assert merkle.includes(merkle.leaf(b"%d" % index), other, size, proof, top) == (
                    other == index
                )


def test_every_consistency_proof() -> None:
    tree = Tree(leaves(21))
    tops = [naive(leaves(size)) for size in range(22)]
    for second in range(1, 22):
        for first in range(1, second + 1):
            proof = merkle.consistency(first, second, tree.read)
            assert merkle.extends(first, second, proof, tops[first], tops[second])
            assert not merkle.extends(first, second, proof, tops[first - 1], tops[second])
            assert not merkle.extends(first, second, proof, tops[first], tops[second - 1])


@given(size=st.integers(2, 70), data=st.data())
@settings(deadline=None, max_examples=40)
def test_a_proof_with_one_bit_changed_does_not_hold(size: int, data: st.DataObject) -> None:
    tree, top = Tree(leaves(size)), naive(leaves(size))
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion(index, size, tree.read)
    number, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    bent = bytearray(proof[number])
    bent[bit // 8] ^= 1 << bit % 8
    wrong = [*proof[:number], bytes(bent), *proof[number + 1 :]]
    at = merkle.leaf(b"%d" % index)
    assert merkle.includes(at, index, size, proof, top)
    assert not merkle.includes(at, index, size, wrong, top)
    assert not merkle.includes(at, index, size, proof[:-1], top)
    assert not merkle.includes(at, index, size, [*proof, top], top)


@given(first=st.integers(1, 40), more=st.integers(1, 30), place=st.integers(0, 39))
@settings(deadline=None, max_examples=40)
def test_a_rewritten_past_is_not_extended(first: int, more: int, place: int) -> None:
    """The old root against a list in which one old leaf differs: no proof of it holds."""
    changed = leaves(first + more)
    changed[place % first] = b"rewritten"
    proof = merkle.consistency(first, first + more, Tree(changed).read)
    top = naive(changed)
    assert not merkle.extends(first, first + more, proof, naive(leaves(first)), top)


def test_odd_asks() -> None:
    tree = Tree(leaves(3))
    for index, size in ((-1, 3), (3, 3), (0, 0)):
        with pytest.raises(UserError):
            merkle.inclusion(index, size, tree.read)
        assert not merkle.includes(merkle.leaf(b"0"), index, size, [], merkle.leaf(b"0"))
    for first, second in ((0, 3), (4, 3), (-1, 0)):
        with pytest.raises(UserError):
            merkle.consistency(first, second, tree.read)
        assert not merkle.extends(first, second, [], b"", b"")
    assert not merkle.extends(3, 5, [], b"", b"")
    assert merkle.root(0, tree.read) == merkle.EMPTY
