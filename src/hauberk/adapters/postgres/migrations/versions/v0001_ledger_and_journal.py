"""Tables of ledger and journal, and the triggers that keep them append-only."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Without a per cent mark or a colon of its own: each way of running it reads those differently.
_TABLES = """
CREATE TABLE ledger (
    number BIGINT PRIMARY KEY CHECK (number >= 0),
    at DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    body TEXT NOT NULL, previous TEXT NOT NULL, digest TEXT NOT NULL,
    once TEXT NOT NULL UNIQUE
);
CREATE INDEX ledger_subject ON ledger (subject, kind);
CREATE TABLE tree (number BIGINT PRIMARY KEY CHECK (number >= 0), hash BYTEA NOT NULL);
CREATE TABLE turns (
    service TEXT NOT NULL, number BIGINT NOT NULL CHECK (number >= 0),
    at DOUBLE PRECISION NOT NULL, turn BYTEA NOT NULL, once TEXT NOT NULL UNIQUE,
    PRIMARY KEY (service, number)
);
CREATE TABLE snapshots (service TEXT PRIMARY KEY, snapshot BYTEA NOT NULL);
CREATE FUNCTION hauberk_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only'; END $$;
"""
_TRIGGER = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {}
FOR EACH STATEMENT EXECUTE FUNCTION hauberk_append_only();
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(_TABLES)
    for table in ("ledger", "tree", "turns"):
        op.execute(_TRIGGER.format(table))


def downgrade() -> None:
    """Refuse: what was promised to be kept is not dropped by a command.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("a ledger is not downgraded; restore a backup instead")
