"""``hauberk vet PATH…``: model files, settings and packages, examined and never run."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.adapters.local.disk_source import files, opened
from hauberk.core.errors import UserError
from hauberk.core.evidence import Severity
from hauberk.faces.cli import options, vetted
from hauberk.vet.advisory import Known
from hauberk.vet.finding import Coverage, Finding, Outcome, Vetted
from hauberk.vet.run import vet
from hauberk.vet.together import together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hauberk.faces.cli.output import Output
    from hauberk.vet.table_schema import Schema

_MOST_LISTED = 1_000_000
_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("--environment", type=_FOLDER, multiple=True, help="Packages installed in a folder.")
@click.option(
    "--data", "sources", multiple=True, metavar="SOURCE", help="Samples: digits, idx:DIR…"
)
@click.option("--schema", type=_FILE, help="What the rows of tables should hold, as TOML.")
@click.option("--quarantine", type=_FOLDER, help="Write there what is kept and what is set apart.")
@click.option("--card", type=_FILE, help="Write the draft of a data card, as JSON.")
@click.option("--advisories", type=_FILE, help="An index of advisories. [default: that of --state]")
@click.option("--max-age", type=float, default=30.0, help="Days until an index is too old.")
@click.option("--online", is_flag=True, help="Ask pip-audit instead of an index.")
@click.option("--waivers", type=_FILE, help="What may be let go, by whom, until when.")
@click.option("--baseline", type=_FILE, help="What was known before, and is not told as new.")
@click.option("--write-baseline", type=_FILE, help="Write what is found now as a baseline.")
@click.option("--owner", default="", help="Who answers for the baseline that is written.")
@click.option("--days", type=int, default=90, help="How long that baseline holds.")
@click.option("--vex", type=_FILE, help="Write the holes in packages as CycloneDX VEX.")
@click.option("--record", is_flag=True, help="Enter what was found into the ledger.")
@options.state
@options.output("table", "json", "sarif", "junit", "md")
def command(*, paths: tuple[str, ...], state: Path, output: Output, **given: Any) -> int:
    """Check files before they are let in; folders are walked, `-` reads names from stdin.

    Nothing is executed, imported or unpickled. Exit 0: all clean; 1: something is malicious or
    for review.
    """
    if not (paths or given["environment"] or given["sources"]):
        raise UserError("nothing to vet", hint="name files or folders, --environment or --data")
    now = time.time()
    known = _known(given["advisories"], state, given["max_age"], now)
    found = _found(paths, given, known)
    if given["online"]:
        known = _online(found, given["max_age"], now)
        found = _found(paths, given, known)
    if not found:
        raise UserError("no files there", where=", ".join(paths)[:200])
    _write(found, given, output)
    if any(given[key] for key in ("waivers", "baseline", "write_baseline", "vex", "record")):
        from hauberk.faces.cli.vet_decided import decided

        found = decided(found, given, state, output, at=now)
    if output.form == "json":
        output.data({"files": [vetted.plain(one) for one in found]})
    elif output.form == "table":
        output.write(vetted.table(found))
    else:
        told = [one for file in found for one in vetted.evidence(file)]
        output.evidence(told, heading="Vetting")
    output.say(vetted.summary(found))
    return int(any(one.outcome is not Outcome.CLEAN for one in found))


def _found(paths: tuple[str, ...], given: dict[str, Any], known: Known) -> list[Vetted]:
    schema = None
    if given["schema"]:
        from hauberk.faces.cli.vet_data import schema_in

        schema = schema_in(given["schema"])
    found = [examine(path, known, schema) for path in files(_named(paths))]
    if sum("table" in one.traits for one in found) > 1:
        from hauberk.faces.cli.vet_data import across

        found = across(found, schema)
    for folder in given["environment"]:
        from hauberk.adapters.local.site_packages import vet_environment

        found += vet_environment(folder, known)
    for source in given["sources"]:
        from hauberk.faces.cli.vet_data import vet_samples

        found.append(vet_samples(source))
    return together(found)


def _write(found: list[Vetted], given: dict[str, Any], output: Output) -> None:
    """What was asked for beside the result: rows set apart, and cards."""
    if given["quarantine"]:
        from hauberk.faces.cli.vet_data import write_quarantine

        write_quarantine(found, given["quarantine"], output)
    if given["card"]:
        from hauberk.adapters.local.files import write_file
        from hauberk.govern.formats import as_json

        cards = {one.path: one.card for one in found if one.card is not None}
        write_file(given["card"], as_json(cards).encode(), mode=0o644)
        output.say(f"wrote {given['card']}")


def examine(path: Path, known: Known | None = None, schema: Schema | None = None) -> Vetted:
    """The findings of one file; what cannot be opened is for review."""
    try:
        with opened(path) as source:
            return vet(source, str(path), known=known, schema=schema)
    except (OSError, UserError) as error:
        told = getattr(error, "strerror", None) or getattr(error, "what", None) or str(error)
        finding = Finding(
            rule="HB-V003", severity=Severity.MEDIUM, message=f"it cannot be opened: {told}"
        )
        return Vetted(path=str(path), kind="unread", coverage=Coverage.PARTIAL, findings=(finding,))


def _known(path: Path | None, state: Path, days: float, at: float) -> Known:
    """The index that is named, or that of the state directory if it has one."""
    if path is None and not (state / "advisories.db").is_file():
        return Known(at=at, days=days)
    from hauberk.adapters.local.advisories import Advisories

    if path is not None and not path.is_file():
        raise UserError(
            "no such index", where=str(path), hint="`hauberk advisories import FILE` makes one"
        )
    return Known(index=Advisories(path or state / "advisories.db"), at=at, days=days)


def _online(found: Iterable[Vetted], days: float, at: float) -> Known:
    """What pip-audit answers about the exact versions that were asked for."""
    from hauberk.adapters.pip_audit import ask

    traits = [trait for file in found for trait in file.traits if trait.startswith("package ")]
    pairs = sorted({trait.removeprefix("package ").partition("==")[::2] for trait in traits})
    return Known(index=ask(pairs, at=at), at=at, days=days)


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
