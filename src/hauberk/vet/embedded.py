"""Content within a cell that is meant for the program that opens it, not for the model."""

from __future__ import annotations

import re

_HIDDEN = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
# A cell that a spreadsheet would compute.
_FORMULA = re.compile(
    r"""(?isx)
    [=@] (?=[A-Z_+\-('"]) [^=] .* [(|!] .*
  | [=+\-@] \s* (cmd|dde|hyperlink|webservice|import\w+) \b .*
  | = \d+ [+*/-] \d+ .*
    """
)
_FORMS = (
    ("a script", r"<\s*/?\s*(script|iframe|object|embed|svg|img|body)\b[^>]*>|javascript:"),
    ("a script", r"\bon(error|load|click|mouseover)\s*="),
    ("a pickle", r"\b(?-i:gASV[A-Za-z0-9+/]{8}|gAN[A-Za-z0-9+/]{12})"),
    ("a program in base64", r"\b(?-i:TVqQAA|f0VMRg)[A-Za-z0-9+/]{8}"),
    ("a data link", r"\bdata:[\w.+-]+/[\w.+-]+;base64,"),
    ("a command", r"\$\([^)]+\)|`[^`]*\b(id|whoami|curl|wget|sh|rm|cat|nc)\b[^`]*`"),
    ("a command", r"[;&|]\s*(rm\s+-|curl\s|wget\s|nc\s|bash\s|sh\s-|powershell)"),
    ("a path that leads elsewhere", r"/etc/passwd|\.\./\.\./|\.\.\\\.\.\\"),
    ("SQL", r"['\"]\s*;\s*(drop|delete|insert|update|alter)\b|\bunion\s+(all\s+)?select\b"),
    ("SQL", r"['\"]\s*or\s+['\"]?1['\"]?\s*=\s*['\"]?1"),
    ("a template", r"\{\{.*(__\w+__|config|self|request|lipsum|cycler).*\}\}|\{%.*%\}|\$\{jndi:"),
    ("Python", r"__(import|class|globals|builtins|subclasses)__|\b(eval|exec)\s*\("),
    ("Python", r"\bos\.(system|popen)\b|\bsubprocess\."),
    (
        "an order to a model",
        r"\b(ignore|disregard|forget)\b.{0,20}\b(previous|prior|above|earlier|all)\b"
        r".{0,20}\b(instruction|prompt|rule)s?\b",
    ),
    ("an order to a model", r"<\|(im_start|system|endoftext)\|>|\[/?INST\]"),
    ("characters that do not show", f"[{_HIDDEN}\U000e0000-\U000e007f]"),
)
_COMPILED = tuple((what, re.compile(form, re.IGNORECASE | re.DOTALL)) for what, form in _FORMS)
_PLAIN = re.compile(r"[\w .,-]*")  # nothing above fits a cell of these alone, but for the next
_WORDS = re.compile(r"gA|TVqQ|f0VM|__|ignore|disregard|forget|union", re.IGNORECASE)


def embedded(cell: str) -> str:
    """What a cell holds besides data; empty if nothing."""
    if _PLAIN.fullmatch(cell) and not _WORDS.search(cell):
        return ""
    if _FORMULA.fullmatch(cell):
        return "a formula"
    return next((what for what, form in _COMPILED if form.search(cell)), "")
