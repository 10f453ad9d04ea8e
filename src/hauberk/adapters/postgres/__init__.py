"""Ledger and journal in PostgreSQL."""
