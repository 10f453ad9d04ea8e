"""What the pickle machine keeps on its stack: only what decides which name is called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hauberk.vet.names import Trust

MOST_ITEMS = 64


class Opaque:
    """A value that cannot name a callable."""

    __slots__ = ()


OPAQUE = Opaque()


@dataclass(frozen=True, slots=True)
class Ref:
    """A name that the unpickler looked up."""

    module: str
    name: str
    trust: Trust

    @property
    def full(self) -> str:
        """``module.name``."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes, or a long text, by their place in the file."""

    start: int
    length: int
    text: bool = False


@dataclass(slots=True)
class Made:
    """An object that a call made: by whom, with which arguments, then which state."""

    by: Ref
    args: Any = ()
    state: Any = None


@dataclass(slots=True)
class Bag:
    """A dict, as far as its keys are short texts."""

    items: dict[str, Any] = field(default_factory=dict)

    def put(self, key: Any, value: Any) -> None:
        """Keep an entry, unless there are many."""
        if isinstance(key, str) and (len(self.items) < MOST_ITEMS or key in self.items):
            self.items[key] = value


def pack(items: list[Any]) -> Any:
    """A tuple, or what stands for one that is long or says nothing."""
    if len(items) > MOST_ITEMS or all(one is OPAQUE for one in items):
        return OPAQUE if items else ()
    return tuple(items)
