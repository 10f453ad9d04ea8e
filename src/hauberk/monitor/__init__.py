"""A stream of records to evidence; every monitor is a fold."""
