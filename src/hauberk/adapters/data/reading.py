"""Files of bounded size: what is read is never larger than what was allowed beforehand."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from hauberk.core.errors import DataError

MAX_VALUES = 1 << 28
MAX_FILE = 1 << 30


def existing(argument: str, *, folder: bool = False) -> Path:
    """The file or folder that a source names.

    Raises:
        DataError: if none is named or it does not exist.
    """
    kind = "folder" if folder else "file"
    if not argument.strip() or "\0" in argument:
        raise DataError(f"no {kind} named", where="data source", hint=f"write it as NAME:{kind}")
    path = Path(argument).expanduser()
    if not (path.is_dir() if folder else path.is_file()):
        raise DataError(f"no such {kind}", where=str(path))
    return path


def read_bounded(path: Path, limit: int = MAX_FILE) -> bytes:
    """Content of a file, unpacked if it is gzip; never more than ``limit`` bytes.

    Raises:
        DataError: if there is more, or the packed stream is damaged.
    """
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            content = (gzip.GzipFile(fileobj=file) if packed else file).read(limit + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"damaged gzip stream: {error}", where=str(path)) from None
    if len(content) > limit:
        raise DataError(f"holds more than {limit} bytes", where=str(path))
    return content


def check_values(count: int, where: str) -> None:
    """Refuse a dataset of more than 2²⁸ values (1 GiB as float32).

    Raises:
        DataError: if there are more.
    """
    if count > MAX_VALUES:
        raise DataError(f"{count} values, more than {MAX_VALUES} that are allowed", where=where)
