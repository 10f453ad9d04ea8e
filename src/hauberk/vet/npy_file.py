"""NumPy's ``.npy``: a header of Python literals, then numbers, or a pickle of objects."""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.source import Inflated, Part

if TYPE_CHECKING:
    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

_OBJECTS = re.compile(r"""['"][<>|=]?O\d*['"]""")
_PLAIN = re.compile(r"""['"]descr['"]:\s*['"][<>|=]?([biufcSUVmM?])(\d+)?(?:\[\w+\])?['"]""")
_SHAPE = re.compile(r"""['"]shape['"]:\s*\(([\d,\sL]*)\)""")


def vet_npy(source: Source, case: Case, where: str, depth: int) -> None:
    """Check the header and, for arrays of objects, the pickle."""
    head = source.read(0, 12)
    major = head[6] if len(head) > 8 else 0
    wide = 2 if major == 1 else 4
    length = int.from_bytes(head[8 : 8 + wide], "little")
    if major not in {1, 2, 3} or length > 1 << 20:
        case.find("HB-V016", "the header of the array is not sound", where, Severity.HIGH)
        case.gap("the array was not read", where)
        return
    data = 8 + wide + length
    text = source.read(8 + wide, length).decode("latin-1")
    if "__" in text or "(lambda" in text or not text.rstrip().endswith("}"):
        case.find("HB-V016", "the header of the array is not a plain literal", where, Severity.HIGH)
    if _OBJECTS.search(text):
        from hauberk.vet.pickle_file import vet_pickle  # noqa: PLC0415 - rarely needed

        vet_pickle(Part(source, data, source.size - data), case, where, depth)
        return
    plain, shape = _PLAIN.search(text), _SHAPE.search(text)
    if plain and shape and not isinstance(source, Inflated):
        width = int(plain[2] or 1) * (4 if plain[1] == "U" else 1)
        count = prod(int(n.strip(" L")) for n in shape[1].split(",") if n.strip())
        if data + count * width != source.size:
            case.find("HB-V016", "the array's size does not fit its header", where)
