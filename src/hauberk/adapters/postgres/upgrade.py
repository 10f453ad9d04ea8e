"""Bring a database to the revision that this version needs, or print how."""

from __future__ import annotations

import io
from importlib import resources
from typing import Any

from hauberk.adapters.postgres.address import Address, load_driver
from hauberk.adapters.postgres.database import REVISION
from hauberk.core.errors import ConfigError, EnvironmentFault


def upgrade(url: str) -> str:
    """Run the migrations that are missing, as a role that may create tables; the new revision.

    Raises:
        ConfigError: if the tables are of a newer version, or Alembic is not installed.
        EnvironmentFault: if the database refuses; it is then as it was.
    """
    address, driver = Address.parse(url), load_driver()
    command, config, sqlalchemy = _alembic()
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: _transactional(address, driver),
        poolclass=sqlalchemy.pool.NullPool,
    )
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, REVISION)
            connection.commit()
    except (driver.Error, sqlalchemy.exc.DBAPIError) as error:
        why = str(getattr(error, "orig", error)).splitlines()[0][:200]
        raise EnvironmentFault(f"the database refused: {why}", where=address.place) from None
    except command.util.CommandError:
        raise ConfigError(
            "the tables are of a newer version",
            where=address.place,
            hint="install the version of hauberk that made them",
        ) from None
    return REVISION


def statements() -> str:
    """All migrations as SQL, for whoever runs them by hand.

    Raises:
        ConfigError: if Alembic is not installed.
    """
    command, config, _ = _alembic()
    config.output_buffer = io.StringIO()
    command.upgrade(config, REVISION, sql=True)
    return str(config.output_buffer.getvalue())


def _transactional(address: Address, driver: Any) -> Any:
    connection = address.connect(driver)
    connection.autocommit = False
    return connection


def _alembic() -> tuple[Any, Any, Any]:
    try:
        import sqlalchemy  # noqa: PLC0415 - of an extra
        from alembic import command, config  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            "Alembic is not installed", where="state", hint="pip install 'hauberk[postgres]'"
        ) from None
    made = config.Config()
    made.set_main_option("script_location", str(resources.files(f"{__package__}.migrations")))
    return command, made, sqlalchemy
