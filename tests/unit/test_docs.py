"""The documentation against the code: what it names exists, what exists is named."""

import re
import shlex
from pathlib import Path

import click
import pytest

from hauberk.core.rule import RULES, Rule
from hauberk.core.spec import Spec
from hauberk.faces.cli.config import command as config_command
from hauberk.faces.cli.config import shown
from hauberk.faces.cli.failures import BROKEN_PIPE, INTERRUPTED
from hauberk.faces.cli.glossary import TEXTS
from hauberk.faces.cli.main import VERBS, cli
from hauberk.faces.cli.rule import page
from hauberk.faces.cli.sources import Settings, keys, variable
from hauberk.govern.rows import _ORDER

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
CONTEXT = click.Context(cli)
SECTIONS = "|".join(Spec.__struct_fields__)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    return path.read_text("utf-8")


def command_lines(text: str) -> list[list[str]]:
    """Every ``hauberk …`` in backticks or in a block of code, as words."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in fenced for line in block.splitlines()]
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", rest)]
    found = (line.removeprefix("$ ") for line in lines)
    return [shlex.split(line, comments=True) for line in found if line.startswith("hauberk ")]


def complaint(words: list[str]) -> str:
    """What is wrong with a documented command line; empty if nothing is."""
    command: click.Command | None = cli
    rest = words[1:]
    while isinstance(command, click.Group) and rest and rest[0].islower():
        command = command.get_command(CONTEXT, rest.pop(0))
    if command is None:
        return "no such command"
    flags = {flag for one in command.params for flag in one.opts} | {"--help", "-h", "--version"}
    unknown = [w for w in rest if re.match(r"--?[a-z]", w) and w.split("=")[0] not in flags]
    return f"no such flag: {', '.join(unknown)}" if unknown else ""


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_commands_exist(path: Path) -> None:
    told = {" ".join(words): complaint(words) for words in command_lines(prose(path))}
    assert {line: wrong for line, wrong in told.items() if wrong} == {}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("hauberk nope", "no such command"),
        ("hauberk rule --nope x", "no such flag: --nope"),
        ("hauberk rule HB-E001 --format json", ""),
        ("hauberk VERB --help", ""),
    ],
)
def test_a_wrong_command_would_be_seen(line: str, wrong: str) -> None:
    assert complaint(command_lines(f"`{line}`")[0]) == wrong


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose(path))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_settings_rules_and_targets_exist(path: Path) -> None:
    text = prose(path)
    named = set(re.findall(rf"`((?:{SECTIONS})\.[a-z_]+)`", text))
    assert named - {*keys(), "model.onnx", "model.safetensors"} == set()
    assert set(re.findall(r"\bHB-[A-Z]\d{3}\b", text)) - set(RULES) == set()
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, flags=re.MULTILINE)) - targets == set()


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.code)
def test_every_rule_has_its_page(rule: Rule) -> None:
    text = prose(DOCS / "rules" / f"{rule.code}.md")
    assert text.startswith(page(rule)), "the top is what `hauberk rule CODE --format md` prints"
    parts = re.split(r"\n## .*\n", text.removeprefix(page(rule)))
    assert re.findall(r"\n## (.*)\n", text) == ["What it means", "What to do"]
    assert all(len(part.split()) > 8 for part in parts[1:])


def test_no_page_is_left_of_a_rule_that_is_gone() -> None:
    assert {path.stem for path in (DOCS / "rules").iterdir()} == set(RULES)


def test_codes_in_the_source_are_rules() -> None:
    text = "".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert set(re.findall(r"\bHB-[A-Z]\d{3}\b", text)) == set(RULES)


def test_the_table_of_settings() -> None:
    text = prose(DOCS / "reference" / "settings.md")
    default = Settings(Spec(), {})
    for key in keys():
        name = "" if key == "serve.clients" else f"`{variable(key)}`"
        row = f"| `{key}` | `{shown(key, default.value(key))}` | {TEXTS[key]} | {name} |"
        assert row in text, row
    assert text.count("\n| `") == len(keys())


def test_the_table_of_verbs() -> None:
    text = prose(DOCS / "reference" / "command-line.md").partition("## Results")[0]
    found = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text, flags=re.MULTILINE))
    assert found == {verb: VERBS[verb] for verb in cli.list_commands(CONTEXT)}


def test_the_tables_of_flags_codes_and_statuses() -> None:
    text = prose(DOCS / "reference" / "command-line.md")
    options = {flag: one for one in config_command.params for flag in one.opts}
    for flag, variables in re.findall(r"^\| `(--[a-z]+)`.*?\| `?(\w*)`? \|", text, re.MULTILINE):
        if flag == "--state":
            continue
        envvar = options[flag].envvar or []
        assert variables in ([envvar] if isinstance(envvar, str) else [*envvar, ""]), flag
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", text, flags=re.MULTILINE)}
    assert codes == {0, 1, 2, 3, INTERRUPTED, BROKEN_PIPE}
    for status, _ in _ORDER:
        assert f"| `{status}` |" in text


def test_decisions_are_numbered_and_titled() -> None:
    found = sorted((DOCS / "adr").glob("*.md"))
    assert [int(path.name[:4]) for path in found] == list(range(1, len(found) + 1))
    for path in found:
        assert prose(path).startswith(f"# {int(path.name[:4])}. ")


def test_every_page_is_reached_from_the_index() -> None:
    index = prose(DOCS / "README.md")
    for path in DOCS.rglob("*.md"):
        inside = path.relative_to(DOCS)
        listed = str(inside) in index or inside.parts[0] in {"rules", "adr", "README.md"}
        assert listed, str(inside)
