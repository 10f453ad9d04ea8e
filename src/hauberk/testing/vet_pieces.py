"""Pieces of model files, put together byte by byte; nothing here is ever run."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from dataclasses import dataclass

SAY = b"echo vetted"


@dataclass(frozen=True)
class Sample:
    """A file by name, its bytes, and what it is."""

    name: str
    data: bytes
    malicious: bool


def text(value: str) -> bytes:
    """SHORT_BINUNICODE."""
    raw = value.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def call(module: str, name: str, argument: bytes = SAY) -> bytes:
    """GLOBAL, one argument, REDUCE: the simplest call."""
    return f"c{module}\n{name}\n".encode() + b"(" + text(argument.decode()) + b"tR"


def pickled(body: bytes, protocol: int = 4) -> bytes:
    """A pickle of these opcodes."""
    return b"\x80" + bytes([protocol]) + body + b"."


def zipped(
    members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED, mode: int | None = None
) -> bytes:
    """A ZIP archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            if mode is not None:
                info.external_attr = mode << 16
            archive.writestr(info, data)
    return out.getvalue()


def torch_zip(data: bytes, **more: bytes) -> bytes:
    """The layout that ``torch.save`` writes."""
    members = {"archive/data.pkl": data, "archive/version": b"3\n", "archive/data/0": bytes(16)}
    return zipped({**members, **{f"archive/{name}": raw for name, raw in more.items()}})


def legacy_torch(data: bytes) -> bytes:
    """The layout before PyTorch 1.6: five pickles in a row, then the storages."""
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
    return magic + b"\x80\x02M\xe9\x03." + b"\x80\x02}." + data + b"\x80\x02]."


def joblib_wrapper(shape: int) -> bytes:
    """The opcodes of joblib's stand-in for an array of bytes, with no padding."""
    return (
        b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}("
        + text("subclass") + b"cnumpy\nndarray\n" + text("shape")
        + b"J" + struct.pack("<i", shape) + b"\x85" + text("order") + text("C")
        + text("dtype") + b"cnumpy\ndtype\n" + text("u1") + b"\x89\x88\x87R"
        + text("allow_mmap") + b"\x89" + b"ub"
    )  # fmt: skip


def onnx_model(
    *, location: str = "", operator: str = "Relu", domain: str = "", source: str = "x"
) -> bytes:
    """A graph of one node, with one tensor whose data may lie outside."""

    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2]) + _varint(len(data)) + data

    tensor = b"\x08\x01\x10\x01" + field(8, b"w")
    if location:
        tensor += field(13, field(1, b"location") + field(2, location.encode())) + b"\x70\x01"
    else:
        tensor += field(9, bytes(4))
    node = (
        field(1, source.encode())
        + field(2, b"y")
        + field(4, operator.encode())
        + field(7, domain.encode())
    )
    graph = (
        field(1, node)
        + field(2, b"g")
        + field(5, tensor)
        + field(11, field(1, b"x"))
        + field(12, field(1, b"y"))
    )
    return b"\x08\x08" + field(2, b"test") + field(7, graph) + field(8, field(1, b"") + b"\x10\x11")


def gguf_model(template: str) -> bytes:
    """A header of two keys, no tensors."""

    def string(raw: bytes) -> bytes:
        return struct.pack("<Q", len(raw)) + raw

    pairs = string(b"general.architecture") + struct.pack("<I", 8) + string(b"llama")
    pairs += string(b"tokenizer.chat_template") + struct.pack("<I", 8) + string(template.encode())
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + pairs


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def saved_model(operation: str) -> bytes:
    """A SavedModel of one operation."""

    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2]) + _varint(len(data)) + data

    node = field(1, b"node") + field(2, operation.encode())
    return b"\x08\x01" + field(2, field(1, b"") + field(2, field(1, node)))


def tensor(begin: int, end: int) -> dict[str, object]:
    """The entry of a safetensors header for some bytes."""
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}


def h5(config: str) -> bytes:
    """A file with an empty root, and behind it what Keras H5 holds as configuration."""
    none, root = b"\xff" * 8, struct.pack("<Q", 48)
    front = b"\x89HDF\r\n\x1a\n\x02\x08\x08\0" + bytes(8) + none + bytes(8) + root + bytes(4)
    return (
        front[:48]
        + b"OHDR\x02\0\0"
        + bytes(41)
        + b"model_config\0"
        + bytes(19)
        + config.encode()
        + bytes(64)
    )


def npy(kind: str, body: bytes) -> bytes:
    """A ``.npy`` of one element of this type."""
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': (1,), }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head.encode() + body


def tar(members: dict[str, bytes]) -> bytes:
    """A TAR archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def lz4_frame(raw: bytes) -> bytes:
    """An LZ4 frame of one stored block."""
    return b"\x04\x22\x4d\x18\x60\x40\x82" + struct.pack("<I", len(raw) | 1 << 31) + raw + bytes(4)
