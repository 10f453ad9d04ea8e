"""What a ledger was at one time, signed, so that it can be kept where its owner cannot reach.

A chain and a tree show what was altered within a ledger. Who holds the file can still cut off its
end or write all of it anew; that shows against a checkpoint kept elsewhere. Leaves are the digests
of entries, so proofs need no entry to be read: an auditor checks what stays sealed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from hauberk.core.digest import check_digest, digest_json, short
from hauberk.core.errors import DataError, Untrusted, UserError
from hauberk.core.ports import Envelope  # noqa: TC001 - read at run time, when decoding
from hauberk.govern import merkle

if TYPE_CHECKING:
    from hauberk.core.ports import Signer

CHECKPOINT = "https://hauberk.dev/ledger/checkpoint/v1"
MAX_FILE = 1 << 22


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ledger's size, the digest of its entry 0, and its Merkle root in hex."""

    size: int
    origin: str
    root: str


class Checkpoint(Head, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A head at a time, in seconds since the epoch."""

    at: float


class Tree(Protocol):
    """A ledger that gives proofs."""

    def verify(self) -> int:
        """Check everything; return the number of entries."""

    def head(self) -> Head:
        """As it is now."""

    def root(self, size: int) -> bytes:
        """Root of the first ``size`` entries."""

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Proof that entry ``index`` is among the first ``size``."""


class Inclusion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Proof that a ledger holds an entry: it stands by itself, without the ledger.

    ``entry`` is the digest of the entry, ``path`` the tree's digests in hex from the leaf up;
    ``body`` may hold the entry, for people.
    """

    entry: str
    index: int
    path: list[str]
    checkpoint: Envelope
    body: dict[str, Any] | None = None


def take_checkpoint(tree: Tree, signer: Signer, *, at: float) -> Envelope:
    """Verify the ledger and sign what it is now.

    Raises:
        Untrusted: if it is broken.
        UserError: if it is empty.
    """
    if not tree.verify():
        raise UserError("an empty ledger has nothing to sign", where="checkpoint")
    checkpoint = Checkpoint(at=at, **msgspec.structs.asdict(tree.head()))
    return signer.sign({"_type": CHECKPOINT, **msgspec.to_builtins(checkpoint)})


def read_checkpoint(envelope: Envelope, signer: Signer) -> Checkpoint:
    """The checkpoint of an envelope that a trusted key signed.

    Raises:
        Untrusted: if no trusted key signed it, or it is no checkpoint.
    """
    statement = dict(signer.verify(envelope))
    if statement.pop("_type", None) != CHECKPOINT:
        raise Untrusted("HB-S002: the signed statement is not a checkpoint")
    try:
        return msgspec.convert(statement, Checkpoint, strict=True)
    except msgspec.ValidationError as error:
        raise Untrusted(f"HB-S002: not a checkpoint: {error}") from None


def check_against(tree: Tree, checkpoint: Checkpoint) -> None:
    """See that a verified ledger goes on from a checkpoint.

    Raises:
        Untrusted: if it is another ledger, was cut off, or was written anew.
    """
    now = tree.head()
    if now.size < checkpoint.size:
        raise _broken(
            f"the ledger was cut off: {now.size} entries, but {checkpoint.size} at the checkpoint"
        )
    if now.origin != checkpoint.origin:
        raise _broken(f"another ledger: the checkpoint is of {short(checkpoint.origin)}")
    if tree.root(checkpoint.size).hex() != checkpoint.root:
        raise _broken(
            f"the ledger was written anew: its first {checkpoint.size} entries are not those of "
            "the checkpoint (a fork)"
        )


def prove(
    tree: Tree, envelope: Envelope, checkpoint: Checkpoint, *, index: int, entry: str
) -> Inclusion:
    """Proof that the entry ``index`` with digest ``entry`` was in the ledger at the checkpoint.

    Raises:
        UserError: if it has no such entry.
    """
    path = tree.inclusion(index, checkpoint.size)
    return Inclusion(
        entry=check_digest(entry), index=index, path=[p.hex() for p in path], checkpoint=envelope
    )


def check_inclusion(proof: Inclusion, signer: Signer) -> Checkpoint:
    """The checkpoint whose ledger held the entry of a proof; no ledger is needed.

    Raises:
        Untrusted: if the checkpoint is not signed by a trusted key, or the proof does not hold.
        DataError: if the proof is malformed.
    """
    checkpoint = read_checkpoint(proof.checkpoint, signer)
    try:
        path = [bytes.fromhex(one) for one in proof.path]
        top = bytes.fromhex(checkpoint.root)
    except ValueError:
        raise DataError("not hex digits", where="proof") from None
    leaf = merkle.leaf(bytes.fromhex(check_digest(proof.entry).removeprefix("sha256:")))
    if len(path) > 64 or not merkle.includes(leaf, proof.index, checkpoint.size, path, top):
        raise _broken(f"the proof does not hold: entry {proof.index} is not {short(proof.entry)}")
    if proof.body is not None:
        told = {key: value for key, value in proof.body.items() if key != "digest"}
        if told.get("index") != proof.index or digest_json(told) != proof.entry:
            raise _broken(f"what the proof tells is not entry {proof.index}")
    return checkpoint


def read_json(data: bytes, kind: type[Any], *, where: str) -> Any:
    """An envelope or a proof from a file's bytes.

    Raises:
        DataError: if the file holds something else.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataError(f"cannot be read: {error}", where=where) from None


def _broken(why: str) -> Untrusted:
    return Untrusted(f"HB-S001: {why}", hint="keep this ledger; restore the one that was signed")
