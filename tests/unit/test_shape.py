"""The shape of the house: small files, short signatures, true names, a pinned surface."""

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

import hauberk

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "hauberk"
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST, MEDIAN, PARAMETERS = 500, 150, 8
FORBIDDEN = re.compile(r"utils?|helpers?|common|managers?|base_.*")


def name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def functions(path: Path) -> Iterator[tuple[str, ast.arguments]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.args


def parameters(arguments: ast.arguments) -> list[str]:
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    found = [one.arg for one in named if one.arg not in {"self", "cls"}]
    return found + [one.arg for one in (arguments.vararg, arguments.kwarg) if one]


def test_no_file_is_long_and_most_are_short() -> None:
    lengths = {name(path): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert len(lengths) > 20
    assert {file: n for file, n in lengths.items() if n > LONGEST} == {}
    assert statistics.median(n for n in lengths.values() if n > 1) <= MEDIAN


def test_no_signature_is_long() -> None:
    found = {
        f"{name(path)}:{function}": len(parameters(arguments))
        for path in FILES
        for function, arguments in functions(path)
        if len(parameters(arguments)) > PARAMETERS
    }
    assert found == {}


def test_a_long_signature_would_be_seen() -> None:
    code = "def f(self, a, b, /, c, *, d, e, f, g, h, **i): ...\n"
    (node,) = ast.parse(code).body
    assert isinstance(node, ast.FunctionDef)
    assert len(parameters(node.args)) == 9


def test_files_are_named_after_their_idea() -> None:
    parts = {part for path in FILES for part in path.relative_to(SOURCE).with_suffix("").parts}
    assert {part for part in parts if FORBIDDEN.fullmatch(part)} == set()
    assert FORBIDDEN.fullmatch("base_attack")
    assert FORBIDDEN.fullmatch("helpers")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_says_what_it_is_and_leaves_nothing_open(path: Path) -> None:
    text = path.read_text("utf-8")
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)


def test_every_folder_of_source_is_a_package() -> None:
    folders = {path.parent for path in FILES}
    assert {name(folder) for folder in folders if not (folder / "__init__.py").exists()} == set()


def test_the_public_names_are_pinned() -> None:
    """Whoever changes this list changes what others build on: say so in CHANGELOG.md."""
    assert sorted(getattr(hauberk, "__all__", [])) == PUBLIC


PUBLIC: list[str] = [
    "Access",
    "Bounds",
    "Classification",
    "Dataset",
    "Evidence",
    "GuardedModel",
    "HauberkError",
    "Model",
    "Policy",
    "Severity",
    "Spec",
    "ThreatModel",
    "Verdict",
    "dataset",
    "evaluate",
    "harden",
    "load",
]
