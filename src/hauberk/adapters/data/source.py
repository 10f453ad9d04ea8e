"""One text names a dataset: ``digits``, ``idx:DIR``, ``npz:FILE`` and what plug-ins add."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.core.errors import DataError
from hauberk.core.registry import find

if TYPE_CHECKING:
    from hauberk.core.data import Dataset


def load_dataset(source: str) -> Dataset:
    """Load the dataset that ``kind`` or ``kind:argument`` names.

    ``digits`` · ``idx:DIR`` · ``npz:FILE`` · ``folder:DIR`` · ``csv:FILE`` · ``parquet:FILE``.

    Raises:
        UnknownNameError: if there is no such kind.
        DataError: if the data is missing, damaged, too large or not of the declared form.
    """
    kind, _, argument = source.partition(":")
    load = find("data", kind.strip())
    try:
        dataset: Dataset = load(argument)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot be read: {reason}", where=source[:200]) from None
    except MemoryError:
        raise DataError("does not fit into memory", where=source[:200]) from None
    return dataset
