"""Ledger and journal in tables, whatever the database: SQLite or PostgreSQL."""
