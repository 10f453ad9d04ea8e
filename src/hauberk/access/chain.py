"""Chain: sealed entries in an order that cannot be changed unseen, with signed checkpoints.

Each line holds a link, the digest of the link before it and of its own content; a checkpoint signs
the count and the link so far and becomes a link itself. Whoever lacks the signing key can neither
change, drop, insert nor reorder a line; what is cut off at the end shows against a checkpoint kept
elsewhere (:class:`Head`).
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hauberk.core.errors import HauberkError
from hauberk.core.ports import Envelope  # noqa: TC001 - read at run time by msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

GENESIS = hashlib.sha256(b"hauberk sealed log 1").digest()
KIND = "https://hauberk.dev/sealed-log/v1"
Fault = Literal["altered", "missing", "order", "unreadable", "forged", "truncated", "unsealed"]
_MOST_FLAWS = 1000


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``n``-th entry, from 1: a box under the data key ``key``; ``link`` in hex."""

    n: int
    key: str
    box: bytes
    link: str


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signed statement of the ``count`` and ``link`` so far."""

    count: int
    checkpoint: Envelope


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """How far a log had come: ``count`` entries, the last link in hex."""

    count: int
    link: str


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong: what, in which line (``file:line``), at which entry."""

    fault: Fault
    where: str
    entry: int

    def __str__(self) -> str:
        return f"{self.where}: entry {self.entry}: {self.fault}"


_ENCODER = msgspec.json.Encoder()
_LINES = msgspec.json.Decoder(Entry)
_MARKS = msgspec.json.Decoder(Checkpoint)


def about(n: int, key: str) -> bytes:
    """The words bound to an entry's box: its place and its key."""
    return f"{n}|{key}".encode()


def link(before: bytes, n: int, key: str, box: bytes) -> bytes:
    """The link of an entry after another."""
    return hashlib.sha256(b"%b%d|%d|%b|%b" % (before, n, len(key), key.encode(), box)).digest()


def link_mark(before: bytes, envelope: Envelope) -> bytes:
    """The link of a checkpoint after an entry."""
    return hashlib.sha256(before + b"checkpoint" + msgspec.json.encode(envelope)).digest()


def statement(count: int, top: bytes, at: float, *, key: str) -> dict[str, Any]:
    """What a checkpoint says; ``key`` is the id of the one that signs it."""
    return {"_type": KIND, "count": count, "link": top.hex(), "at": at, "key": key}


def is_spelled(envelope: Envelope, key: str) -> bool:
    """Whether an envelope is written as :func:`statement`'s signer writes it, byte for byte.

    A signature covers neither the key id beside it nor the unused bits of base64's last letter.
    No link follows the last checkpoint, so a change there would not be seen by the chain either.
    """
    if [set(one) for one in envelope.signatures] != [{"keyid", "sig"}]:
        return False
    (one,) = envelope.signatures
    texts = (envelope.payload, one["sig"])
    return one["keyid"] == key and all(b64encode(b64decode(t)).decode() == t for t in texts)


def parse(line: bytes) -> Entry | Checkpoint | None:
    """The content of a line with its newline; None if it has none, or is spelled otherwise."""
    decoder: Any = _MARKS if line.startswith(b'{"count"') else _LINES
    try:
        found: Entry | Checkpoint = decoder.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    # One spelling alone, lest a changed byte means the same and is not seen.
    return found if _ENCODER.encode(found) + b"\n" == line else None


@dataclass
class Audit:
    """Checks a log line by line; after a flaw it goes on from what the next line says.

    ``verify`` returns the statement of a signed envelope or raises; ``head`` is what the log had
    come to, if that is known. ``count`` is the highest entry that was read, ``sealed`` the highest
    that a good checkpoint covers.
    """

    verify: Callable[[Envelope], dict[str, Any]]
    head: Head | None = None
    count: int = 0
    sealed: int = 0
    flaws: list[Flaw] = field(default_factory=list)
    # After an altered entry two links are possible: the one that it states and the one that its
    # content has. None are known after a line that cannot be read.
    _tops: tuple[bytes, ...] = (GENESIS,)
    _last: str = "the log"

    def read(self, lines: Iterable[tuple[str, bytes]]) -> Audit:
        """Check all lines, each with its place, up to a thousand flaws."""
        for where, line in lines:
            self._last = where
            found = parse(line)
            if found is None:
                self._note("unreadable", self.count + 1)
                self._tops = ()
            elif isinstance(found, Entry):
                self._entry(found)
            else:
                self._mark(found)
            if len(self.flaws) > _MOST_FLAWS:
                return self
        if self.count > self.sealed and not self.flaws:
            self._note("unsealed", self.sealed + 1)
        if self.head is not None and self.head.count > self.count:
            self._note("truncated", self.count + 1)
        return self

    def _entry(self, entry: Entry) -> None:
        expected, stated = self.count + 1, _hex(entry.link)
        links = {link(top, entry.n, entry.key, entry.box) for top in self._tops}
        self._tops = (stated,)
        if entry.n < expected:
            self._note("order", entry.n)
        elif entry.n > expected and links:
            self._note("missing", expected)
        elif links and stated not in links:
            self._note("altered", entry.n)
            self._tops = (stated, *links)
        self.count = max(self.count, entry.n)

    def _mark(self, mark: Checkpoint) -> None:
        tops, self._tops = self._tops, tuple(link_mark(t, mark.checkpoint) for t in self._tops)
        try:
            said = self.verify(mark.checkpoint)
        except HauberkError:
            self._note("forged", mark.count)
            return
        top = _hex(str(said.get("link", "")))
        self._tops = (link_mark(top, mark.checkpoint),)
        # Older statements name no key.
        if not is_spelled(mark.checkpoint, str(said.get("key", _keyid(mark.checkpoint)))):
            self._note("forged", mark.count)
        elif said.get("_type") != KIND or (said.get("count"), mark.count) != (
            self.count,
            self.count,
        ):
            if not any(flaw.fault in {"missing", "order", "unreadable"} for flaw in self.flaws):
                self._note("forged", mark.count)
        elif tops and top not in tops:
            if not self.flaws:
                self._note("forged", mark.count)
        else:
            self.sealed = self.count
            head = self.head
            if head is not None and head.count == self.count and head.link != top.hex():
                self._note("forged", self.count)

    def _note(self, fault: Fault, entry: int) -> None:
        self.flaws.append(Flaw(fault, self._last, entry))


def _keyid(envelope: Envelope) -> str:
    return envelope.signatures[0].get("keyid", "")


def _hex(text: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        return b""
    return data if data.hex() == text else b""


def numbered(name: str, lines: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Lines with their places: ``name:1``, ``name:2`` and so on."""
    for number, line in enumerate(lines, start=1):
        yield f"{name}:{number}", line
