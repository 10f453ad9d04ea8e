"""The tables' history, as Alembic keeps it; revision by revision, each in one transaction."""
