"""One text names a dataset: ``digits``, ``idx:DIR``, ``npz:FILE`` and what plug-ins add."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hauberk.core.errors import DataError
from hauberk.core.registry import find

if TYPE_CHECKING:
    from hauberk.core.data import Dataset
    from hauberk.core.samples import Samples


def load_dataset(source: str) -> Dataset:
    """Load the dataset that ``kind`` or ``kind:argument`` names.

    ``digits`` · ``idx:DIR`` · ``npz:FILE`` · ``folder:DIR`` · ``csv:FILE`` · ``parquet:FILE``.

    Raises:
        UnknownNameError: if there is no such kind.
        DataError: if the data is missing, damaged, too large or not of the declared form.
    """
    dataset: Dataset = _loaded("data", source)
    return dataset


def load_samples(source: str) -> Samples:
    """Load inputs with targets of another form than one label: ``coco:FILE``, ``npz:FILE``.

    Raises:
        UnknownNameError: if there is no such kind.
        DataError: if the data is missing, damaged, too large or not of the declared form.
    """
    samples: Samples = _loaded("samples", source)
    return samples


def _loaded(group: str, source: str) -> Any:
    kind, _, argument = source.partition(":")
    load = find(group, kind.strip())
    try:
        return load(argument)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot be read: {reason}", where=source[:200]) from None
    except MemoryError:
        raise DataError("does not fit into memory", where=source[:200]) from None
