"""Shards of work on a Ray cluster."""
