"""Texts beside a model: Python, TorchScript, templates, YAML; and programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.package_list import vet_packages
from hauberk.vet.secrets import find_secrets
from hauberk.vet.settings_file import vet_settings
from hauberk.vet.templates import template_reaches

if TYPE_CHECKING:
    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

_LONGEST = 4 << 20
_TORCHSCRIPT = re.compile(r"(^|[/!])code/__torch__")
_TOUCHES = re.compile(
    r"ops\.(aten|prim)\.(save|from_file|\w*python\w*)|torch\.(save|from_file|_save)\(|PythonOp"
)
_PYTHON = re.compile(
    r"^(import \w|from [\w.]+ import |def \w+\(|class \w+[(:]|exec\(|eval\(|__import__\("
    r"|if __name__)",
    re.MULTILINE,
)
_YAML_TAG = re.compile(r"!!python/(object|name|module)|!!javax?\.|!python/")
_TABLE_NAME = re.compile(r"(?i)\.(csv|tsv|tab|data|jsonl|ndjson|jsonlines)\Z")
_MARKS = (b",", b";", b"\t", b"|")
_TARGET = re.compile(r"^[ \t]*-?[ \t]*_target_:[ \t]*(\S+)", re.MULTILINE)


def vet_text(source: Source, case: Case, where: str, depth: int) -> None:
    """Examine a text for what would run."""
    if may_be_table(source, where):
        from hauberk.vet.table_file import vet_table  # noqa: PLC0415 - rarely needed

        if vet_table(source, case, where):
            find_secrets(source.read(0, _LONGEST).decode("utf-8", "replace"), case, where)
            return
    raw = source.read(0, _LONGEST + 1)
    text = raw.decode("utf-8", "replace")
    if _TORCHSCRIPT.search(where):
        touch = _TOUCHES.search(text)
        if touch:
            case.find("HB-V009", f"TorchScript touches files: {touch[0]}", where, Severity.CRITICAL)
        return
    if len(raw) > _LONGEST:
        case.gap("a text too long to be read", where)
    find_secrets(text, case, where)
    if not vet_packages(text, case, where):
        vet_settings(text, case, where)
    if "{{" in text or "{%" in text:
        reached = template_reaches(text)
        if reached:
            case.find("HB-V014", f"a template reaches for {reached}", where)
    tag = _YAML_TAG.search(text)
    if tag:
        case.find("HB-V001", f"loading it as YAML makes objects: {tag[0]}", where)
    for match in _TARGET.finditer(text):
        case.find("HB-V015", f"it has {match[1][:120]} instantiated", where)
    if where.endswith((".py", ".pyc", ".sh", ".bat", ".ps1", ".js")) or (
        _PYTHON.search(text) and not where.endswith((".md", ".txt", ".rst", ".ipynb", ".html"))
    ):
        case.find("HB-V015", "it is a program, and programs are not judged here", where)


def may_be_table(source: Source, where: str) -> bool:
    """Whether it is worth a closer look if a text is a table: its first lines are alike."""
    if _TABLE_NAME.search(where):
        return True
    lines = source.read(0, 4096).split(b"\n")[:6]
    if lines[0].lstrip()[:1] == b"{":
        return len(lines) > 4 and all(one.lstrip()[:1] == b"{" for one in lines[:5])
    counts = [[one.count(mark) for mark in _MARKS] for one in lines[:5]]
    return len(lines) > 5 and any(min(column) > 1 for column in zip(*counts, strict=True))


def vet_program(source: Source, case: Case, where: str, depth: int) -> None:
    """Native code and scripts: not judged, and so never clean."""
    case.find("HB-V015", "it is a program, and programs are not judged here", where, Severity.HIGH)


def vet_tflite(source: Source, case: Case, where: str, depth: int) -> None:
    """TensorFlow Lite: operators beyond the built-in ones show by their names."""
    at, size = 0, source.size
    while at < size:
        piece = source.read(at, (1 << 20) + 64)
        for match in re.finditer(rb"Flex(PyFunc|EagerPyFunc|ReadFile|WriteFile)\b", piece):
            name = match[0].decode()
            case.find(
                "HB-V009", f"operator {name} runs code or touches files", where, Severity.CRITICAL
            )
        at += 1 << 20
