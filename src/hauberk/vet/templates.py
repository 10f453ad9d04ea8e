"""Jinja templates that travel with a model: whether they reach for the interpreter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\([0-7]{3})")
_JOINED = re.compile(r"""['"]\s*[~+]\s*['"]|['"]\s+['"]""")
_REACHES = re.compile(
    r"__\w+__|\|\s*attr\b|\b(popen|subprocess|importlib|builtins|getattr|setattr|globals|os\.system"
    r"|os\.environ|mro|func_globals|gi_frame|cr_frame|f_globals|tb_frame)\b"
    r"|\b(eval|exec|compile|open|__import__)\s*\(|\b(lipsum|cycler|joiner|self|request|config|g|url_for"
    r"|get_flashed_messages)\s*(\.|\[)\s*['\"]?_"
)


def template_reaches(text: str) -> str:
    """What a template reaches for that leads out of the sandbox; empty if nothing.

    Escapes are resolved and adjacent texts joined first, since attackers write ``'__cla'~'ss__'``.
    Only what stands within ``{{ }}`` and ``{% %}`` counts.
    """
    code = " ".join(_within(text))
    code = _ESCAPED.sub(
        lambda m: chr(int(m[1] or m[2] or "", 16) if m[1] or m[2] else int(m[3], 8)), code
    )
    match = _REACHES.search(_JOINED.sub("", code))
    return match[0] if match else ""


def _within(text: str) -> Iterator[str]:
    """What stands within the braces, found in one pass however many are left open."""
    for opening, closing in (("{{", "}}"), ("{%", "%}")):
        at = text.find(opening)
        while at >= 0:
            end = text.find(closing, at)
            if end < 0:
                yield text[at:]
                break
            yield text[at + 2 : end]
            at = text.find(opening, end)
