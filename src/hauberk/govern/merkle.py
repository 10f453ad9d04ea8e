"""The tree over a growing list: roots, and short proofs that it holds an entry and only grew.

RFC 6962, section 2.1. Nothing is kept here: ``read(level, number)`` gives the digest of the
``number``-th complete subtree of ``2**level`` leaves. Complete subtrees never change as the list
grows, so they can be written once, in the order in which they become complete (:func:`place`).
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Read = Callable[[int, int], bytes]

EMPTY = sha256(b"").digest()


def leaf(data: bytes) -> bytes:
    """Digest of a leaf; its prefix keeps a leaf from passing for a node."""
    return sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Digest of two subtrees."""
    return sha256(b"\x01" + left + right).digest()


def count(size: int) -> int:
    """How many complete subtrees a list of ``size`` leaves has, its leaves among them."""
    return 2 * size - size.bit_count()


def place(level: int, number: int) -> int:
    """Where a complete subtree stands, from 0, in the order in which they become complete."""
    return count(((number + 1) << level) - 1) + level


def grow(size: int, new: bytes, read: Read) -> list[bytes]:
    """The subtrees that a new leaf digest completes after ``size`` leaves, in their order."""
    made, number = [new], size
    while number & 1:
        made.append(node(read(len(made) - 1, number - 1), made[-1]))
        number >>= 1
    return made


def root(size: int, read: Read) -> bytes:
    """Root of the first ``size`` leaves."""
    return _range(0, size, read) if size else EMPTY


def inclusion(index: int, size: int, read: Read) -> list[bytes]:
    """Proof that leaf ``index`` is among the first ``size``: at most ``log2(size) + 1`` digests.

    Raises:
        UserError: if there is no such leaf.
    """
    if not 0 <= index < size:
        raise UserError(f"no entry {index} among {size}", where="proof")
    return list(_path(index, 0, size, read))


def consistency(first: int, second: int, read: Read) -> list[bytes]:
    """Proof that the list of ``first`` leaves begins the one of ``second``.

    Raises:
        UserError: unless ``0 < first <= second``.
    """
    if not 0 < first <= second:
        raise UserError(f"cannot go from {first} entries to {second}", where="proof")
    return [] if first == second else list(_growth(first, 0, second, read, whole=True))


def includes(leaf_digest: bytes, index: int, size: int, proof: Sequence[bytes], top: bytes) -> bool:
    """Whether a proof shows that the leaf is the ``index``-th of ``size`` under the root."""
    if not 0 <= index < size:
        return False
    number, last, found = index, size - 1, leaf_digest
    for other in proof:
        if last == 0:
            return False
        if number & 1 or number == last:
            found = node(other, found)
            while not number & 1 and number:  # passed over: these levels have no right side
                number, last = number >> 1, last >> 1
        else:
            found = node(found, other)
        number, last = number >> 1, last >> 1
    return last == 0 and found == top


def extends(first: int, second: int, proof: Sequence[bytes], old: bytes, new: bytes) -> bool:
    """Whether a proof shows that the list under ``old`` begins the one under ``new``."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not proof and old == new
    path = list(proof)
    if first & (first - 1) == 0:  # a whole subtree: its root is the old one itself
        path.insert(0, old)
    if not path:
        return False
    number, last = first - 1, second - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    was = now = path[0]
    for other in path[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            was, now = node(other, was), node(other, now)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            now = node(now, other)
        number, last = number >> 1, last >> 1
    return last == 0 and was == old and now == new


def _range(start: int, end: int, read: Read) -> bytes:
    """Root of the leaves ``start…end``; ``start`` is where a subtree of that width may begin."""
    width = end - start
    level = width.bit_length() - 1
    if width == 1 << level:
        return read(level, start >> level)
    middle = start + (1 << level)
    return node(_range(start, middle, read), _range(middle, end, read))


def _split(start: int, end: int) -> int:
    return start + (1 << (end - start - 1).bit_length() - 1)


def _path(index: int, start: int, end: int, read: Read) -> Iterator[bytes]:
    if end - start == 1:
        return
    middle = _split(start, end)
    if index < middle:
        yield from _path(index, start, middle, read)
        yield _range(middle, end, read)
    else:
        yield from _path(index, middle, end, read)
        yield _range(start, middle, read)


def _growth(first: int, start: int, end: int, read: Read, *, whole: bool) -> Iterator[bytes]:
    """The part of a consistency proof below ``start…end``; ``whole`` while it begins the list."""
    if first == end:
        if not whole:
            yield _range(start, end, read)
        return
    middle = _split(start, end)
    if first <= middle:
        yield from _growth(first, start, middle, read, whole=whole)
        yield _range(middle, end, read)
    else:
        yield from _growth(first, middle, end, read, whole=False)
        yield _range(start, middle, read)
