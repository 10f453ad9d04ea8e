"""The names of the formats in which results are given."""

from __future__ import annotations

from typing import Literal, get_args

Format = Literal["table", "json", "md", "html", "sarif", "junit"]
FORMATS: tuple[Format, ...] = get_args(Format)
