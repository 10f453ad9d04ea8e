"""Secrets that stand in texts: keys by their form, passwords by the name beside them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hauberk.vet.case import Case

# What it is, and the form that its maker gives it.
_FORMS = (
    ("an AWS access key", re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b")),
    ("a private key", re.compile(r"-----BEGIN ((RSA|EC|DSA|OPENSSH|PGP) )?PRIVATE KEY")),
    ("a GitHub token", re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{60})")),
    ("a GitLab token", re.compile(r"\bglpat-[\w-]{20,}")),
    ("a Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")),
    ("an OpenAI key", re.compile(r"\bsk-(proj-)?[A-Za-z0-9_-]{32}")),
    ("a Google API key", re.compile(r"\bAIza[\w-]{35}\b")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[\w-]{10,}")),
    ("a PyPI token", re.compile(r"\bpypi-AgEI[\w-]{50,}")),
    ("a JSON web token", re.compile(r"\beyJ[\w-]{10,500}\.eyJ[\w-]{10,2000}\.[\w-]{10}")),
    (
        "a password in a URL",
        re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@'\"${}<]{1,80}:([^\s/:@'\"${}<]{6,80})@"),
    ),
)
_ASSIGNED = re.compile(
    r"""(?ix)\b[\w.-]{0,40}?(password|passwd|secret|token(?!i[sz])|api_?key|access_?key|private_?key)
    [\w.-]{0,40}
    ['"]?\s*[:=]\s*['"]?(?P<value>[^\s'",;#]{8,200})"""
)
# Values that stand in for a secret instead of being one.
_STAND_IN = re.compile(
    r"""(?ix)[<$%{*\[(]|\.\.\.|example|changeme|placeholder|your[-_]|xxx|dummy|redacted|none\b|null\b
    |true\b|false\b|os\.|env|getenv|secret(name|ref|key)|valuefrom|file:|/|\w+\("""
)


def find_secrets(text: str, case: Case, where: str) -> None:
    """Name each kind of secret once, with its line; the secret itself is never shown."""
    for what, form in _FORMS:
        match = form.search(text)
        if match and "EXAMPLE" not in match[0]:
            case.find("HB-V109", f"{what} stands in line {_line(text, match)}", where)
    for match in _ASSIGNED.finditer(text):
        value = match["value"]
        if not _STAND_IN.search(value) and _random(value):
            case.find("HB-V109", f"a secret stands in line {_line(text, match)}", where)
            return


def is_secret(value: str) -> bool:
    """Whether a value is a secret itself, and not what stands for one."""
    return len(value) >= 8 and not _STAND_IN.search(value) and _random(value)


def _random(value: str) -> bool:
    """Whether a value mixes letters and digits as secrets do, and words do not."""
    kinds = (str.isdigit, str.islower, str.isupper)
    return sum(any(kind(c) for c in value) for kind in kinds) >= 2 and len(set(value)) > 6


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1
