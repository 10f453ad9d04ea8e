"""Large files of each format, and files of very many tiny tensors, for timing."""

from __future__ import annotations

import json
import os
import pickle
import struct
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from hauberk.testing.vet_pieces import h5

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Call:
    """Pickled, it is a call that prints one word; it is never loaded here."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("echo vetted",)


_PIECE = np.random.default_rng(0).integers(0, 256, 1 << 20, dtype=np.uint8)


def large(folder: Path, size: int) -> list[Path]:
    """One file of about ``size`` bytes in each format."""
    writers: dict[str, Callable[[BinaryIO, int], None]] = {
        "zip.pt": _torch, "arrays.pkl": _pickle, "arrays.joblib": _joblib, "a.npy": _npy,
        "a.safetensors": _safetensors, "a.onnx": _onnx, "a.gguf": _gguf, "a.h5": _h5, "a.tar": _tar,
    }  # fmt: skip
    made = []
    for name, write in writers.items():
        with (folder / name).open("wb") as file:
            write(file, size)
        made.append(folder / name)
    return made


def twins(folder: Path) -> dict[str, Path]:
    """A small file of the same make as each file of pickles, with a call at its end.

    Who does not find the call has not really opened the file, and its time says nothing.
    """
    import joblib  # noqa: PLC0415 - slow to load
    import torch  # noqa: PLC0415 - slow to load

    many = {f"layer.{n}.weight": torch.zeros(2) for n in range(100)}
    arrays = [np.tile(_PIECE, 1) for _ in range(3)]
    made = {name: folder / f"twin-{name}" for name in (
        "zip.pt", "arrays.pkl", "arrays.joblib", "tiny.pt", "tiny-legacy.pt", "tiny.pkl",
    )}  # fmt: skip
    torch.save({**many, "last": Call()}, made["zip.pt"])
    torch.save({**many, "last": Call()}, made["tiny.pt"])
    torch.save(
        {**many, "last": Call()}, made["tiny-legacy.pt"], _use_new_zipfile_serialization=False
    )
    made["arrays.pkl"].write_bytes(pickle.dumps([*arrays, Call()], 4))
    made["tiny.pkl"].write_bytes(pickle.dumps([np.zeros(2) for _ in range(100)] + [Call()]))
    joblib.dump([*arrays, Call()], made["arrays.joblib"])
    return made


def tiny(folder: Path, count: int) -> list[Path]:
    """The same ``count`` tensors of two numbers, as four libraries save them."""
    import torch  # noqa: PLC0415 - slow to load
    from safetensors.torch import save_file  # noqa: PLC0415

    tensors = {f"layer.{n}.weight": torch.zeros(2) for n in range(count)}
    torch.save(tensors, folder / "tiny.pt")
    torch.save(tensors, folder / "tiny-legacy.pt", _use_new_zipfile_serialization=False)
    save_file(tensors, folder / "tiny.safetensors")
    with (folder / "tiny.pkl").open("wb") as file:
        pickle.dump({name: np.zeros(2) for name in tensors}, file)
    return [folder / n for n in ("tiny.pt", "tiny-legacy.pt", "tiny.safetensors", "tiny.pkl")]


def _fill(file: BinaryIO, size: int) -> None:
    raw = _PIECE.tobytes()
    while size > 0:
        file.write(raw[:size])
        size -= len(raw)


def _torch(file: BinaryIO, size: int) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02ccollections\nOrderedDict\n)R.")
        with archive.open("a/data/0", "w", force_zip64=True) as member:
            _fill(member, size)  # type: ignore[arg-type]  # it writes


def _pickle(file: BinaryIO, size: int) -> None:
    pickle.dump([np.tile(_PIECE, size // 10 >> 20) for _ in range(10)], file, 4)


def _joblib(file: BinaryIO, size: int) -> None:
    import joblib  # noqa: PLC0415

    joblib.dump([np.tile(_PIECE, size // 10 >> 20) for _ in range(10)], file)


def _npy(file: BinaryIO, size: int) -> None:
    np.save(file, np.tile(_PIECE, size >> 20))


def _safetensors(file: BinaryIO, size: int) -> None:
    entry = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    head = json.dumps({"a": entry}).encode()
    file.write(struct.pack("<Q", len(head)) + head)
    _fill(file, size)


def _onnx(file: BinaryIO, size: int) -> None:
    node = _field(1, _field(1, b"x") + _field(2, b"y") + _field(4, b"Relu"))
    front = node + _field(2, b"g") + _field(11, _field(1, b"x"))
    tensor = b"\x08" + _varint(size) + b"\x10\x02" + _field(8, b"w")
    inner = len(tensor) + len(_head(9, size)) + size
    outer = len(front) + len(_head(5, inner)) + inner
    file.write(b"\x08\x08" + _head(7, outer) + front + _head(5, inner) + tensor + _head(9, size))
    _fill(file, size)
    file.write(_field(8, _field(1, b"") + b"\x10\x11"))


def _gguf(file: BinaryIO, size: int) -> None:
    def text(raw: bytes) -> bytes:
        return struct.pack("<Q", len(raw)) + raw

    pair = text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
    tensor = text(b"w") + struct.pack("<IQIQ", 1, size, 24, 0)
    file.write(b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + pair + tensor)
    file.write(bytes(-file.tell() % 32))
    _fill(file, size)


def _h5(file: BinaryIO, size: int) -> None:
    file.write(h5(json.dumps({"class_name": "Sequential", "config": {"layers": []}})))
    _fill(file, size)


def _tar(file: BinaryIO, size: int) -> None:
    info = tarfile.TarInfo("storages")
    info.size = size
    file.write(info.tobuf())
    _fill(file, size)
    file.write(bytes(-size % 512 + 1024))


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _head(number: int, length: int) -> bytes:
    return _varint(number << 3 | 2) + _varint(length)


def _field(number: int, data: bytes) -> bytes:
    return _head(number, len(data)) + data
