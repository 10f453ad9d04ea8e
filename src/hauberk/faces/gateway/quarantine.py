"""Quarantine: the newest flagged inputs, kept for the people who review them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from hauberk.adapters.local.files import PRIVATE, faults, make_folder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from hauberk.core.record import Record


class Quarantine:
    """At most ``limit`` files ``<seq>.npz``, the oldest dropped first.

    Each holds ``x``, one row as float32, and ``record``, the JSON bytes of its record; no pickle.
    Files are the owner's alone. They are not synced: a crash of the machine may lose the newest.
    """

    def __init__(self, folder: Path, *, limit: int = 512) -> None:
        self._folder, self._limit = folder, limit
        make_folder(folder)
        names = (path.stem for path in folder.glob("*.npz"))
        self._kept = sorted(int(name) for name in names if name.isdecimal())

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, record: Record, x: NDArray[np.float32]) -> None:
        """Keep one input.

        Raises:
            EnvironmentFault: if the system refuses.
        """
        buffer = io.BytesIO()
        text = np.frombuffer(msgspec.json.encode(record), dtype=np.uint8)
        np.savez(buffer, x=x, record=text)
        path = self._path(record.seq)
        draft = path.with_suffix(".draft")
        with faults(path):
            draft.touch(mode=PRIVATE)
            draft.write_bytes(buffer.getbuffer())
            draft.replace(path)
            self._kept.append(record.seq)
            while len(self._kept) > self._limit:
                self._path(self._kept.pop(0)).unlink(missing_ok=True)

    def _path(self, seq: int) -> Path:
        return self._folder / f"{seq:012d}.npz"
