"""Times as people write them on the command line."""

from __future__ import annotations

import click

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str | None) -> float | None:
    """A time as ``90``, ``90s``, ``5m`` or ``1h``, in seconds."""
    if text is None:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        found = float(number) * _UNITS[unit]
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise click.BadParameter(f"not a time: {text!r}; write it as 90s, 5m or 1h")
    return found
