"""``hauberk threats``: what threatens a system, and what of it is answered by a check."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.faces.cli import options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hauberk.faces.cli.output import Output
    from hauberk.govern.taken import Taken
    from hauberk.govern.threats import System
    from hauberk.govern.threats_state import Standing

_FILE = click.argument(
    "file", type=click.Path(dir_okay=False, path_type=Path), default=Path("threats.toml")
)


@click.group()
def command() -> None:
    """Describe a system, derive what threatens it, and check what answers it."""


@command.command()
@_FILE
def init(*, file: Path) -> int:
    """Write a commented sample system to FILE [default: threats.toml]; one that is there stays."""
    from hauberk.adapters.local.files import create_file
    from hauberk.core.errors import UserError
    from hauberk.govern import catalogues

    if not create_file(file, catalogues.text("system.toml"), mode=0o644):
        raise UserError("the file is there already", where=str(file), hint="name another")
    click.echo(f"wrote {file}; `hauberk threats check {file}` reads it", err=True)
    return 0


@command.command()
@_FILE
@options.state
@options.output("table", "json", "md", "sarif", "junit")
def check(*, file: Path, state: Path, output: Output) -> int:
    """Derive the threats to the system in FILE and hold them against the ledger's evidence.

    Exit 1 while a threat is OPEN, or only claimed to be mitigated.
    """
    from hauberk.govern.threats_report import HEAD, cells, plain, summary
    from hauberk.govern.threats_state import evidence_of

    system, standings = assessed(file, state)
    if output.form == "json":
        output.data(plain(system, standings))
    elif output.form in {"sarif", "junit"}:
        output.evidence([evidence_of(standings, subject=system.system.name)])
    else:
        output.listing(HEAD, [cells(one) for one in standings])
    output.say(summary(standings))
    return 1 if any(one.finding for one in standings) or not standings else 0


@command.command()
@_FILE
@click.option("--diagram", is_flag=True, help="Only the diagram, as SVG.")
@options.state
@options.output("html", "json", "md")
def report(*, file: Path, diagram: bool, state: Path, output: Output) -> int:
    """Render the risk register of the system in FILE with its diagram."""
    from collections import Counter

    from hauberk.govern.threats_diagram import diagram as drawn
    from hauberk.govern.threats_report import HEAD, cells, page, plain

    system, standings = assessed(file, state)
    if diagram:
        counts = Counter(one.threat.element for one in standings if one.finding)
        output.write(drawn(system, counts))
    elif output.form == "html":
        output.write(page(system, standings))
    elif output.form == "json":
        output.data(plain(system, standings))
    else:
        output.listing(HEAD, [cells(one) for one in standings])
    return 0


@command.command()
@options.output("table", "json", "md")
def controls(*, output: Output) -> int:
    """List the controls that threats can require, and the rule that checks each."""
    from hauberk.govern.crosswalk import controls as listed

    output.listing(("control", "title", "mitigations", "rules"), [list(one) for one in listed()])
    return 0


@command.command()
@click.option(
    "--from", "file", type=click.Path(dir_okay=False, path_type=Path), help="A controls.yaml."
)
@options.output("table", "json", "md")
def crosswalk(*, file: Path | None, output: Output) -> int:
    """List the controls of CoSAI's risk map, and what here answers them.

    The mapping is shipped by ids; --from reads a newer file of CoSAI's own.
    """
    from hauberk.govern.crosswalk import HEAD, read_cosai
    from hauberk.govern.crosswalk import crosswalk as crossed

    told = None if file is None else read_cosai(_yaml(file), where=str(file))
    output.listing(HEAD, [one.cells for one in crossed(told)])
    return 0


def _yaml(file: Path) -> Any:
    import yaml  # type: ignore[import-untyped,unused-ignore]

    from hauberk.adapters.local.files import read_file
    from hauberk.core.errors import ConfigError
    from hauberk.govern.strict import MAX_FILE

    data = read_file(file, limit=MAX_FILE)
    if data is None:
        raise ConfigError("no such file", where=str(file))
    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        told = str(error).splitlines()[0][:200]
        raise ConfigError(f"the YAML cannot be read: {told}", where=str(file)) from None


def assessed(file: Path, state: Path) -> tuple[System, tuple[Standing, ...]]:
    """The system of a file and where its threats stand by the ledger of a state directory.

    Without a state directory there is no evidence, so nothing is verified.
    """
    from hauberk.adapters.local.files import read_file
    from hauberk.core.errors import ConfigError
    from hauberk.faces.cli.atlas import kept
    from hauberk.govern.strict import MAX_FILE
    from hauberk.govern.stride import threats_of
    from hauberk.govern.threats import read_system
    from hauberk.govern.threats_state import assess

    data = read_file(file, limit=MAX_FILE)
    if data is None:
        raise ConfigError("no such file", where=str(file), hint="`hauberk threats init` writes one")
    system = read_system(data, where=str(file))
    found = evidence_in(state)
    return system, assess(threats_of(system, kept(state)), system, found, at=time.time())


def evidence_in(state: Path) -> Mapping[str, Taken]:
    """The newest evidence of each rule about what is served, or about no model at all."""
    from hauberk.adapters.local.home import Home
    from hauberk.govern.taken import newest, taken

    home = Home(state)
    if not home.exists:
        return {}
    home.ledger.verify()
    models = {entry.subject for entry in home.ledger.entries(kind="model")}
    routed = served(state)
    entries = home.ledger.entries(kind="evidence")
    return newest(taken(e for e in entries if e.subject in routed or e.subject not in models))


def served(state: Path) -> set[str]:
    """The digests that the routing names; none where nothing is routed yet."""
    import msgspec

    from hauberk.adapters.local.files import read_file
    from hauberk.core.errors import DataError
    from hauberk.core.ports import Routing

    data = read_file(state / "routing.json", limit=1 << 16)
    if data is None:
        return set()
    try:
        routing = msgspec.json.decode(data, type=Routing)
    except msgspec.DecodeError as error:
        raise DataError(f"not a routing: {error}", where=str(state / "routing.json")) from None
    return {routing.primary}
