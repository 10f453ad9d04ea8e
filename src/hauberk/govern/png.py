"""PNG files from arrays, for the pictures in a report (ISO/IEC 15948)."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPE = {1: 0, 3: 2}  # channels -> grey or RGB


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of pixels ``(height, width, channels)`` with 1 or 3 channels; the same bytes always.

    Raises:
        ValueError: if the array has another type or shape.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in _COLOUR_TYPE:
        raise ValueError(f"expected uint8 (h, w, 1 or 3), got {pixels.dtype} {pixels.shape}")
    height, width, channels = pixels.shape
    if not height or not width:
        raise ValueError("an empty picture")
    rows = np.zeros((height, 1 + width * channels), dtype=np.uint8)  # filter 0 before each row
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPE[channels], 0, 0, 0)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """The PNG of some pixels as a ``data:`` address."""
    return f"data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
