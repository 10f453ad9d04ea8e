"""One machine: files, SQLite and subprocesses."""
