"""What Alembic runs: the revisions, over the connection that it was given, under one lock."""

from alembic import context
from sqlalchemy import text

_LOCK = 0x6861756265726B  # "hauberk"

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    connection = context.config.attributes["connection"]
    # Two that upgrade at once take turns; the second finds nothing to do.
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
