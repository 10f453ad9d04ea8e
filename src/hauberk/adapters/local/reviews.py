"""Reviews on disk: the requests that the gateway kept, and what people said of them."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from hauberk.adapters.local.files import (
    PRIVATE,
    append_lines,
    drop_torn_line,
    faults,
    locked,
    make_folder,
    read_file,
)
from hauberk.core.errors import DataError, UserError
from hauberk.core.record import Record
from hauberk.monitor.review import Label

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_LARGEST = 64 * 2**20
_MOST = 4096


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One label; ``incident`` is what it was given for, ``at`` in seconds since the epoch."""

    at: float
    incident: str
    case: str
    reviewer: str
    label: int
    served: int
    stratum: str

    def spoken(self) -> Label:
        """The label as the test takes it."""
        return Label(
            case=self.case,
            reviewer=self.reviewer,
            label=self.label,
            served=self.served,
            stratum="suspect" if self.stratum == "suspect" else "random",
        )


@dataclass(frozen=True)
class Reviews:
    """Cases below ``quarantine`` and labels in ``labels.jsonl`` of a state directory."""

    folder: Path

    def kept(self) -> list[Record]:
        """Records of the requests whose inputs were kept, in order; what is damaged is left out."""
        found = []
        for path in self._files():
            try:
                found.append(_read(path)[0])
            except (DataError, FileNotFoundError):
                continue
        return found

    def input(self, case: str) -> tuple[Record, NDArray[np.float32]]:
        """Record and input of a case.

        Raises:
            UserError: if its input is no longer kept.
            DataError: if the file is damaged.
        """
        path = self.folder / "quarantine" / f"{int(case):012d}.npz" if case.isdecimal() else None
        if path is None or not path.is_file():
            raise UserError(f"no case {case!r} is kept", hint="`hauberk review queue` lists them")
        return _read(path)

    def add(self, line: Line) -> None:
        """Append a label; on the disk when this returns.

        Raises:
            EnvironmentFault: if the disk is full.
        """
        make_folder(self.folder)
        with locked(self._log.with_name(".labels.lock")), faults(self._log):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._log, flags, PRIVATE)
            try:
                drop_torn_line(descriptor)
                append_lines(descriptor, msgspec.json.encode(line) + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def lines(self, incident: str) -> list[Line]:
        """The labels given for an incident, in order.

        Raises:
            DataError: if a line is damaged: a vote must not get lost unseen.
        """
        data = read_file(self._log, limit=_LARGEST)
        found = []
        for number, text in enumerate((data or b"").splitlines(), start=1):
            try:
                line = msgspec.json.decode(text, type=Line)
            except (msgspec.DecodeError, RecursionError):
                raise DataError(f"line {number} is damaged", where=str(self._log)) from None
            if line.incident == incident:
                found.append(line)
        return found

    @property
    def _log(self) -> Path:
        return self.folder / "labels.jsonl"

    def _files(self) -> Iterator[Path]:
        names = sorted((self.folder / "quarantine").glob("*.npz"))
        return iter([path for path in names if path.stem.isdecimal()][-_MOST:])


def _read(path: Path) -> tuple[Record, NDArray[np.float32]]:
    data = read_file(path, limit=_LARGEST)
    try:
        with np.load(io.BytesIO(data or b""), allow_pickle=False) as archive:
            record = msgspec.json.decode(archive["record"].tobytes(), type=Record)
            return record, archive["x"].astype(np.float32)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, msgspec.DecodeError):
        raise DataError("a damaged case", where=str(path)) from None
