"""The programs: command line and gateway."""
