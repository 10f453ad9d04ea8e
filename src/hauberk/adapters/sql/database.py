"""What ledger and journal need of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Answer(Protocol):
    """What a query found."""

    def fetchone(self) -> Any:
        """The next row; None after the last."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""


class Connection(Protocol):
    """A connection within a transaction; ``?`` stands for a value."""

    def execute(self, query: str, values: tuple[Any, ...] = (), /) -> Answer:
        """Run one statement."""


class SqlDatabase(Protocol):
    """A database that several processes share, in which only the ledger's owner writes.

    ``place`` names it in messages. Where ``repeats`` holds, :meth:`transact` may run its function
    again although the first run was committed, since the answer was lost: write so that the second
    finds what the first left.
    """

    @property
    def place(self) -> str:
        """Where it is, without secrets."""

    @property
    def repeats(self) -> bool:
        """Whether a transaction may be run again after it was committed."""

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Raises:
            Untrusted: if what is stored is damaged.
            EnvironmentFault: if it cannot be read.
        """

    def transact(self, act: Callable[[Connection], T]) -> T:
        """Run ``act`` in a transaction that no other writer interleaves; durable on return.

        Raises:
            Untrusted: if what is stored is damaged.
            EnvironmentFault: if the database is full, locked or does not answer.
        """

    def damage(self) -> str:
        """What a check of the stored pages found; empty if nothing."""

    def close(self) -> None:
        """Close the connection; the next use opens another."""
