"""Text that is safe to show: one line, and nothing that steers a terminal."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def one_line(text: str, limit: int = 2000) -> str:
    """The text on one line of at most ``limit`` characters.

    Blanks are joined; control, format and bidirectional characters, which names of files and
    messages of peers may hold, become ``?``.
    """
    joined = " ".join(text[: 4 * limit].split())
    shown = "".join("?" if unicodedata.category(c)[0] == "C" else c for c in joined)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def columns(rows: Sequence[Sequence[str]], *, indent: str = "  ", gap: str = "  ") -> list[str]:
    """Rows as lines with aligned columns; no blanks at the end of a line.

    Raises:
        ValueError: if the rows have different lengths.
    """
    if any(len(above) != len(below) for above, below in pairwise(rows)):
        raise ValueError("rows of different lengths")
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        (indent + gap.join(map(str.ljust, row, widths))).rstrip() if indent or any(row) else ""
        for row in cells
    ]


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; cells are escaped, so that none opens a column, a link or a tag."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(markdown_text, cells)) + " |"

    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)]) + "\n"


def markdown_text(text: str) -> str:
    """The text on one line, escaped for Markdown."""
    shown = one_line(text).replace("&", "&amp;").replace("<", "&lt;")
    return "".join("\\" + c if c in "\\|`*_[]" else c for c in shown)
