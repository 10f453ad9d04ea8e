"""Files of the pickle family: one pickle or several, and whatever follows the last one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.names import Trust, judge, name_text
from hauberk.vet.opcodes import MAGIC
from hauberk.vet.pickle_scan import scan
from hauberk.vet.source import Memory, Part
from hauberk.vet.values import Blob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hauberk.vet.case import Case
    from hauberk.vet.pickle_machine import Machine
    from hauberk.vet.source import Source

_MOST_PICKLES = 64
_LEGACY = 5  # magic, protocol, system, the object and the keys of its storages
_CHUNK = 1 << 20
_NAMED = re.compile(rb"[ci]([A-Za-z_][\w.]{0,80})\n([A-Za-z_][\w.]{0,80})\n")
_PAIRED = re.compile(
    rb"\x8c[\x01-\x50]([A-Za-z_][\w.]{0,80})\x94?\x8c[\x01-\x50]([A-Za-z_][\w.]{0,80})\x94?\x93"
)
_BLANK = b"\0 \t\r\n"


def vet_pickle(source: Source, case: Case, where: str, depth: int) -> None:
    """Read the pickles of a source one after the other, and look at what follows them."""
    at = 0
    legacy = source.read(0, len(MAGIC)) == MAGIC
    for number in range(_MOST_PICKLES):
        end = _one(source, at, case, where, depth)
        if end is None:
            return
        at = end
        rest = source.read(at, 64)
        if not rest or (legacy and number + 1 == _LEGACY):
            return
        if not _looks_like_one(rest):
            _behind(source, at, case, where)
            return
    case.gap(f"more than {_MOST_PICKLES} pickles in a row", where)


def is_pickle(source: Source, case: Case) -> bool:
    """Whether bytes without a mark read as a pickle: in full, or up to a harmful name.

    Protocols 0 and 1 have no mark, and any text may begin like one.
    """
    found = scan(source, 0, case)
    if Trust.HARMFUL in found.names.values():
        return True
    if found.end is None or not (found.names or found.end == source.size):
        return False
    machine = _machine(source, 0, case)  # texts that happen to hold a full stop take from no stack
    machine.run()
    return machine.end is not None and bool(machine.stack)


def broken_storage(source: Source, case: Case) -> bool:
    """Whether raw bytes that merely begin like a pickle can be taken for numbers."""
    found = scan(source, 0, case)
    return Trust.HARMFUL not in found.names.values() and not (found.end and found.names)


def _one(source: Source, at: int, case: Case, where: str, depth: int) -> int | None:
    """Judge one pickle; return where it ends, None where it breaks off."""
    found = scan(source, at, case)
    if found.inert:
        return found.end
    machine = _machine(source, at, case)
    machine.run()
    names = {**found.names, **{pair: ref.trust for pair, ref in machine.refs.items()}}
    if machine.forked:  # the pass took an array for opcodes
        names = {pair: ref.trust for pair, ref in machine.refs.items()}
    _judge(names, case, where)
    for rule, message, place, severity in machine.events:
        case.find(rule, message, f"{where}@{place}", severity)
    _built_code(machine, case, where)
    for number, blob in enumerate(machine.inside):
        inner = Part(source, blob.start, blob.length) if isinstance(blob, Blob) else Memory(blob)
        case.inspect(inner, case, f"{where}!tensor[{number}]", depth + 1)
    if machine.broken or machine.end is None:
        case.find("HB-V004", f"the pickle is broken: {machine.broken}", f"{where}@{machine.place}")
        case.gap("what follows the break was not read in order", where)
        carve(source, machine.place, case, where)
        return None
    return machine.end


def _machine(source: Source, at: int, case: Case) -> Machine:
    """The exact reading, imported where the fast pass does not do."""
    from hauberk.vet.pickle_machine import Machine  # noqa: PLC0415 - most files do without

    return Machine(source, at, case)


def _judge(names: Mapping[tuple[str, str], Trust], case: Case, where: str) -> None:
    for (module, name), trust in names.items():
        if trust is Trust.HARMFUL:
            case.find("HB-V001", f"loading it calls {module}.{name}", where)
        elif trust is Trust.UNKNOWN and module != "?":
            case.find(
                "HB-V002", f"loading it calls {module}.{name}, which nobody vouches for", where
            )


def _built_code(machine: Machine, case: Case, where: str) -> None:
    """Functions that the file brings along: what they use decides."""
    from hauberk.vet.pickle_calls import BUILDERS  # noqa: PLC0415 - as the machine

    if not BUILDERS & machine.refs.keys():
        return
    if machine.risky:
        used = ", ".join(sorted(machine.risky))
        case.find("HB-V001", f"it brings code that uses {used}", where)
    else:
        case.find("HB-V002", "it brings code of its own", where, Severity.HIGH)


def _looks_like_one(rest: bytes) -> bool:
    return rest[0] == 0x80 or rest[:1] in b"c(]}NIKMJ" or bool(_NAMED.match(rest))


def _behind(source: Source, at: int, case: Case, where: str) -> None:
    """Bytes behind the last STOP: no unpickler reads them, some loader might."""
    if not source.read(at, _CHUNK).strip(_BLANK):
        return
    if not carve(source, at, case, where):
        case.find("HB-V005", "bytes follow the end of the pickle", f"{where}@{at}")


def carve(source: Source, at: int, case: Case, where: str) -> bool:
    """Look for harmful names in bytes that have no order."""
    found = False
    while piece := source.read(at, _CHUNK + 512):
        for match in (*_NAMED.finditer(piece), *_PAIRED.finditer(piece)):
            module, name = name_text(match[1]), name_text(match[2])
            if judge(module, name) is Trust.HARMFUL:
                found = True
                case.find("HB-V001", f"hidden in it is a call of {module}.{name}", f"{where}@{at}")
        if len(piece) < _CHUNK:
            break
        at += _CHUNK
    return found
