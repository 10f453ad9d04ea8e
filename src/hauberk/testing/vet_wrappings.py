"""The same payload inside the formats that hold pickles, and in broken archives."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

from hauberk.testing.vet_pieces import (
    Sample,
    call,
    joblib_wrapper,
    legacy_torch,
    lz4_frame,
    npy,
    pickled,
    tar,
    torch_zip,
    zipped,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def wrapped() -> Iterator[Sample]:
    """The same payload inside the formats that hold pickles."""
    payload = pickled(call("os", "system"))

    def bad(name: str, data: bytes) -> Sample:
        return Sample(name, data, malicious=True)

    yield bad("torch.pt", torch_zip(payload))
    yield bad("torch-legacy.pt", legacy_torch(pickled(call("posix", "system"), 2)))
    yield bad("torch-legacy-keys.pt", legacy_torch(pickled(b"N", 2))[:-4] + payload)
    yield bad("torch-hidden-member.pt", torch_zip(pickled(b"}"), extra=payload))
    yield bad(
        "torch-storage-is-pickle.pt",
        zipped({"archive/data.pkl": pickled(b"}"), "archive/data/0": payload}),
    )
    yield bad(
        "torch-deflated.pt", zipped({"archive/data.pkl": payload}, method=zipfile.ZIP_DEFLATED)
    )
    yield bad("renamed.txt", payload)
    yield bad("renamed.safetensors", payload)
    yield bad("renamed.png", torch_zip(payload))
    yield bad("zip-in-zip.zip", zipped({"inner.zip": zipped({"model.pkl": payload})}))
    deep = zipped({"model.pkl": payload})
    for _ in range(12):
        deep = zipped({"more.zip": deep})
    yield bad("zip-very-deep.zip", deep)
    for name, pack in (
        ("zip", zlib.compress), ("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress),
        ("lzma", lambda raw: lzma.compress(raw, lzma.FORMAT_ALONE)),
    ):  # fmt: skip
        yield bad(f"joblib-{name}.joblib", pack(payload))
    yield bad(
        "joblib-old.pkl", b"ZF" + hex(len(payload)).ljust(19).encode() + zlib.compress(payload)
    )
    yield bad(
        "joblib-behind-array.joblib",
        pickled(b"](" + joblib_wrapper(5000) + bytes(range(256)) * 20)[:-1][
            : 2 + len(b"](" + joblib_wrapper(5000)) + 5000
        ]
        + call("os", "system")
        + b"e.",
    )
    inside = payload.ljust(len(payload), b"\0")
    yield bad(
        "joblib-in-array.joblib",
        b"\x80\x04" + joblib_wrapper(len(call("os", "system"))) + call("os", "system") + b".",
    )
    yield bad("joblib-shape-lies.joblib", b"\x80\x04" + joblib_wrapper(1 << 30) + inside)
    yield bad("tar.tar", tar({"model/data.pkl": payload}))
    yield bad("tar-slip.tar", tar({"../../etc/cron.d/x": b"x"}))
    yield bad("tar-gz.tar.gz", gzip.compress(tar({"model.pkl": payload})))
    yield bad("numpy-objects.npy", npy("|O", payload))
    yield bad("numpy-objects.npz", zipped({"a.npy": npy("|O", payload)}))
    yield bad("pickle-then-zip.pkl", pickled(b"N") + torch_zip(payload))
    yield bad("zip-with-prefix.pt", payload + torch_zip(pickled(b"}")))
    yield bad("lz4.joblib", lz4_frame(payload))
    yield from _broken_zips(payload)


def _broken_zips(payload: bytes) -> Iterator[Sample]:
    plain = zipped({"data.pkl": payload})
    central = plain.rfind(b"PK\x01\x02")
    end = plain.rfind(b"PK\x05\x06")

    def bad(name: str, at: int, value: bytes) -> Sample:
        return Sample(
            f"zip-{name}.zip", plain[:at] + value + plain[at + len(value) :], malicious=True
        )

    yield bad("bad-crc", central + 16, b"\1\2\3\4")
    yield bad("encrypted-central", central + 8, b"\x01\0")
    yield bad("encrypted-local", 6, b"\x41\0")
    yield bad("local-name", 30, b"info.txt")
    yield bad("central-method", central + 10, b"\x63\0")
    yield bad("local-method", 8, b"\x08\0")
    yield bad("central-size", central + 20, b"\1\0\0\0\1\0\0\0")
    yield bad("no-end-record", end, b"XXXX")
    yield bad("no-local-mark", 0, b"XXXX")
    yield bad("no-central-mark", central, b"XXXX")
    yield Sample("zip-cut.zip", plain[: central - 1], malicious=True)
    yield Sample("zip-slip.zip", zipped({"../../x.txt": b"x"}), malicious=True)
    yield Sample("zip-absolute.zip", zipped({"/etc/x.txt": b"x"}), malicious=True)
    yield Sample("zip-windows.zip", zipped({"..\\..\\x.txt": b"x"}), malicious=True)
    yield Sample("zip-link.zip", zipped({"a": b"/etc/passwd"}, mode=0o120777), malicious=True)
    bomb = zipped(
        {"data.pkl": b"\x80\x04B" + struct.pack("<I", 300 << 20) + bytes(150 << 20)},
        method=zipfile.ZIP_DEFLATED,
    )
    yield Sample("zip-bomb.zip", bomb, malicious=True)
    hidden = plain[:central] + zipped({"clean.txt": b"hello"})
    yield Sample("zip-hidden-behind-prefix.zip", hidden, malicious=True)
