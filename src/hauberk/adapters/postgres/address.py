"""Where a PostgreSQL database is, and how it may be reached: never in the clear by default."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from hauberk.core.errors import ConfigError

if TYPE_CHECKING:
    from types import ModuleType

    import psycopg

SCHEMES = ("postgresql://", "postgres://")
_EXTRA = "pip install 'hauberk[postgres]'"


def load_driver() -> ModuleType:
    """The psycopg module.

    Raises:
        ConfigError: if it is not installed.
    """
    try:
        import psycopg  # noqa: PLC0415 - of an extra
    except ImportError:
        raise ConfigError("psycopg is not installed", where="state.ledger", hint=_EXTRA) from None
    return psycopg


@dataclass(frozen=True)
class Address:
    """A libpq connection URL, read; its parameters may hold a password and are never shown."""

    parameters: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read ``postgresql://[user[:password]@]host[:port]/database[?parameter=value…]``.

        Beyond this machine the server's certificate is verified unless ``sslmode`` says otherwise.

        Raises:
            ConfigError: if it is no such URL, or names no database.
        """
        driver = load_driver()
        try:
            if not url.startswith(SCHEMES):
                raise ValueError("no postgresql:// URL")
            given = driver.conninfo.conninfo_to_dict(url)
        except (ValueError, driver.Error):
            raise ConfigError(
                "not a PostgreSQL URL",  # the text of the fault may repeat the password
                where="state.ledger",
                hint="postgresql://user@host/database; passwords belong into a passfile",
            ) from None
        if not given.get("dbname"):
            raise ConfigError("the URL names no database", where="state.ledger")
        if not _is_here(str(given.get("host", ""))):
            given.setdefault("sslmode", "verify-full")
            if given["sslmode"] == "verify-full":
                given.setdefault("sslrootcert", "system")
        given.setdefault("connect_timeout", 5)
        given.setdefault("application_name", "hauberk")
        return cls(given)

    @property
    def place(self) -> str:
        """Host, port and database."""
        host, port = self.parameters.get("host", "localhost"), self.parameters.get("port", 5432)
        return f"postgresql://{host}:{port}/{self.parameters['dbname']}"

    def connect(self, driver: ModuleType) -> psycopg.Connection[Any]:
        """A connection that commits each statement outside a transaction."""
        # Dead peers are noticed within half a minute; poolers in between need no prepared ones.
        found: psycopg.Connection[Any] = driver.connect(
            **self.parameters,
            autocommit=True,
            prepare_threshold=None,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
        )
        return found


def _is_here(host: str) -> bool:
    """Whether the server is on this machine: a socket, or loopback."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return all(ip_address(one).is_loopback for one in host.split(","))
    except ValueError:
        return False
