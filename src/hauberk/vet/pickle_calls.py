"""What a call within a pickle gives, where that decides which name is called next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hauberk.core.evidence import Severity
from hauberk.vet.harmful import words
from hauberk.vet.names import Trust
from hauberk.vet.values import OPAQUE, Blob, Made, Ref

if TYPE_CHECKING:
    from hauberk.vet.pickle_machine import Machine

# Names that code built by a pickle has no good reason to use.
RISKY = words(
    """
    system popen Popen exec eval __import__ subprocess check_output check_call urlopen socket
    b64decode execve spawnv posix_spawn import_module __subclasses__ pty ctypes rmtree
    """
)
# Callables that build functions from the code in the file.
BUILDERS = frozenset(
    {
        ("dill._dill", "_create_function"),
        ("dill._dill", "_create_code"),
        ("dill.dill", "_create_function"),
        ("dill", "_create_function"),
        ("cloudpickle.cloudpickle", "_make_function"),
        ("cloudpickle.cloudpickle", "_builtin_type"),
        ("cloudpickle.cloudpickle", "_fill_function"),
        ("cloudpickle.cloudpickle_fast", "_make_function"),
        ("joblib.externals.cloudpickle.cloudpickle", "_make_function"),
        ("ray.cloudpickle.cloudpickle", "_make_function"),
    }
)
_LONGEST_INSIDE = 64 << 20


def called(machine: Machine, callee: Any, args: Any) -> Any:
    """The value of ``callee(*args)``, as far as it matters."""
    if isinstance(callee, Made):
        callee = callee.by
        if callee.full != "functools.partial":
            machine.event("HB-V004", f"it calls what {callee.full} returned", Severity.MEDIUM)
        return OPAQUE
    if not isinstance(callee, Ref):
        machine.event("HB-V004", "it calls a value that another call returned", Severity.MEDIUM)
        return OPAQUE
    items = args if isinstance(args, tuple) else ()
    special = _SPECIAL.get((callee.module, callee.name))
    if special:
        return special(machine, callee, items)
    if callee.trust is Trust.INERT and callee.name != "dtype":
        return OPAQUE
    return Made(callee, items)


def _type(machine: Machine, callee: Ref, args: tuple[Any, ...]) -> Any:
    """The type of None is written so; any other use makes classes."""
    if args != (None,):
        machine.event("HB-V002", "it makes a class of its own", Severity.MEDIUM)
    return OPAQUE


def _getattr(machine: Machine, callee: Ref, args: tuple[Any, ...]) -> Any:
    """An attribute of a name is a longer name."""
    if len(args) >= 2 and isinstance(args[0], Ref) and isinstance(args[1], str):
        return machine.ref(args[0].module, f"{args[0].name}.{args[1]}")
    if len(args) >= 2 and isinstance(args[1], str) and not args[1].startswith("_"):
        return Made(callee, args)
    machine.event("HB-V004", "it looks up an attribute whose name it computes", Severity.HIGH)
    return OPAQUE


def _class_of_first(machine: Machine, callee: Ref, args: tuple[Any, ...]) -> Any:
    """Copyreg builds an object of the class that comes first."""
    return Made(args[0], args[1:]) if args and isinstance(args[0], Ref) else Made(callee, args)


def _encode(machine: Machine, callee: Ref, args: tuple[Any, ...]) -> Any:
    """Text that protocol 2 writes in place of bytes."""
    if len(args) == 2 and args[1] in {"latin1", "latin-1"}:
        if isinstance(args[0], str):
            return args[0].encode("latin-1", "replace")
        if isinstance(args[0], Blob) and args[0].length <= _LONGEST_INSIDE:
            raw = machine.source.read(args[0].start, args[0].length)
            return raw.decode("utf-8", "replace").encode("latin-1", "replace")
    return OPAQUE


def _load_inside(machine: Machine, callee: Ref, args: tuple[Any, ...]) -> Any:
    """A tensor that was pickled on its own: a whole file within the file."""
    if args and isinstance(args[0], Blob | bytes):
        machine.inside.append(args[0])
    else:
        machine.event("HB-V004", "it loads a file that it computes", Severity.HIGH)
    return OPAQUE


def _load_type(machine: Machine, callee: Ref, args: tuple[Any, ...]) -> Any:
    """What dill calls a type by its name."""
    name = args[0] if len(args) == 1 and isinstance(args[0], str) else ""
    if name.endswith("Type") and name != "NoneType":
        return machine.ref("types", name)
    return machine.ref("builtins", name) if name else Made(callee, args)


_SPECIAL = {
    ("dill._dill", "_load_type"): _load_type,
    ("dill.dill", "_load_type"): _load_type,
    ("builtins", "type"): _type,
    ("__builtin__", "type"): _type,
    ("builtins", "getattr"): _getattr,
    ("__builtin__", "getattr"): _getattr,
    ("copyreg", "_reconstructor"): _class_of_first,
    ("copy_reg", "_reconstructor"): _class_of_first,
    ("copyreg", "__newobj__"): _class_of_first,
    ("_codecs", "encode"): _encode,
    ("torch.storage", "_load_from_bytes"): _load_inside,
}
