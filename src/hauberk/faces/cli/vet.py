"""``hauberk vet PATH…``: model files, settings and packages, examined and never run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.adapters.local.disk_source import files, opened
from hauberk.core.errors import UserError
from hauberk.core.evidence import Severity
from hauberk.faces.cli import options
from hauberk.vet.finding import Coverage, Finding, Outcome, Vetted
from hauberk.vet.run import vet
from hauberk.vet.together import together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hauberk.core.evidence import Evidence
    from hauberk.faces.cli.output import Output

_MOST_LISTED = 1_000_000


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@options.output("table", "json", "sarif", "junit", "md")
def command(*, paths: tuple[str, ...], output: Output) -> int:
    """Check files before they are let in; folders are walked, `-` reads names from stdin.

    Nothing is executed, imported or unpickled. Exit 0: all clean; 1: something is malicious or
    for review.
    """
    found = together([examine(path) for path in files(_named(paths))])
    if not found:
        raise UserError("no files there", where=", ".join(paths)[:200])
    if output.form == "json":
        output.data({"files": [plain(one) for one in found]})
    elif output.form == "table":
        output.write(table(found))
    else:
        output.evidence([one for file in found for one in evidence(file)], heading="Vetting")
    output.say(summary(found))
    return int(any(one.outcome is not Outcome.CLEAN for one in found))


def examine(path: Path) -> Vetted:
    """The findings of one file; what cannot be opened is for review."""
    try:
        with opened(path) as source:
            return vet(source, str(path))
    except (OSError, UserError) as error:
        told = getattr(error, "strerror", None) or getattr(error, "what", None) or str(error)
        finding = Finding(
            rule="HB-V003", severity=Severity.MEDIUM, message=f"it cannot be opened: {told}"
        )
        return Vetted(path=str(path), kind="unread", coverage=Coverage.PARTIAL, findings=(finding,))


def plain(file: Vetted) -> dict[str, Any]:
    """One file as JSON values."""
    return {
        "path": file.path,
        "kind": file.kind,
        "verdict": file.outcome.value,
        "coverage": file.coverage.value,
        "findings": [
            {
                "rule": one.rule,
                "severity": one.severity.value,
                "message": one.message,
                "where": one.where,
            }
            for one in file.findings
        ],
    }


def table(found: Iterable[Vetted]) -> str:
    """One line for each file, and one for each finding below it."""
    from hauberk.govern.text import columns, one_line

    lines = columns(
        [
            ("FILE", "FORMAT", "READ", "VERDICT"),
            *((one.path, one.kind, one.coverage.value, _shown(one.outcome)) for one in found),
        ]
    )
    told = [
        f"  {file.path}: {one.rule} {one.severity.value}: {one.message} ({one.where})"
        for file in found
        for one in file.findings
    ]
    return "\n".join([*lines, *([""] if told else []), *map(one_line, told)]) + "\n"


def evidence(file: Vetted) -> Iterator[Evidence]:
    """What was found as evidence; a clean file is one pass."""
    from hauberk.core.evidence import Evidence, Verdict
    from hauberk.core.rule import RULES

    if file.outcome is Outcome.CLEAN:
        yield Evidence(
            rule="HB-V001", subject=file.path, verdict=Verdict.PASS, message="clean", value=1.0
        )
        return
    for one in file.findings:
        unread = one.rule == "HB-V003"
        if one.severity in {Severity.INFO, Severity.LOW}:
            continue
        yield Evidence(
            rule=one.rule,
            subject=file.path,
            verdict=Verdict.UNKNOWN if unread else Verdict.FAIL,
            message=f"{one.message} ({one.where})",
            value=None if unread else 0.0,
            severity=one.severity,
            atlas=RULES[one.rule].atlas,
        )


def summary(found: Iterable[Vetted]) -> str:
    """How many of which outcome: ``1 malicious, 2 for review, 3 clean``."""
    outcomes = [one.outcome for one in found]
    words = {Outcome.MALICIOUS: "malicious", Outcome.REVIEW: "for review", Outcome.CLEAN: "clean"}
    return ", ".join(f"{outcomes.count(o)} {w}" for o, w in words.items() if outcomes.count(o))


def _shown(outcome: Outcome) -> str:
    return outcome.value if outcome is Outcome.CLEAN else outcome.value.upper()


def _named(paths: tuple[str, ...]) -> Iterator[Path]:
    for path in paths:
        if path != "-":
            yield Path(path)
            continue
        for number, line in enumerate(sys.stdin):
            if number >= _MOST_LISTED:
                raise UserError("too many names", where="stdin")
            if line.rstrip("\n"):
                yield Path(line.rstrip("\n"))
