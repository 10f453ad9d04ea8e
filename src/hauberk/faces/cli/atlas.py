"""``hauberk atlas``: the catalogue of techniques and mitigations, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.faces.cli import options

if TYPE_CHECKING:
    from hauberk.faces.cli.output import Output
    from hauberk.govern.atlas import Catalogue

MAX_FILE = 32 * 2**20
KEPT = "atlas.json"


@click.group()
def command() -> None:
    """List and show MITRE ATLAS techniques and mitigations; import another release."""


@command.command("list")
@click.option("--phase", metavar="PHASE", help="design, development or operations.")
@click.option("--knowledge", metavar="LEVEL", help="black-box, grey-box or white-box.")
@click.option("--tactic", metavar="ID", help="Only techniques of this tactic.")
@click.option("--mitigations", is_flag=True, help="List the mitigations and the checks on them.")
@options.state
@options.output("table", "json", "md")
def listing(
    *,
    phase: str | None,
    knowledge: str | None,
    tactic: str | None,
    mitigations: bool,
    state: Path,
    output: Output,
) -> int:
    """List the techniques by phase, knowledge and tactic."""
    from hauberk.govern import atlas_use
    from hauberk.govern.atlas import NONE_LISTED

    catalogue = kept(state)
    output.say(catalogue.label)
    if mitigations:
        from hauberk.govern.effects import measuring

        rows = [
            [one.id, one.name, ", ".join(measuring(one.id)) or "unmeasured", catalogue.label]
            for one in catalogue.mitigations
        ]
        output.listing(("id", "mitigation", "measured by", "catalogue"), rows)
        return 0
    rows = [
        [
            one.id,
            catalogue.title(one),
            ", ".join(atlas_use.phases(catalogue, one)),
            ", ".join(atlas_use.knowledge(one)),
            ", ".join(m.id for m in catalogue.mitigations_of(one)) or NONE_LISTED,
            catalogue.label,
        ]
        for one in atlas_use.chosen(catalogue, phase=phase, known=knowledge, tactic=tactic)
    ]
    head = ("id", "technique", "phases", "knowledge", "mitigations", "catalogue")
    output.listing(head, rows)
    return 0


@command.command()
@click.argument("ident", metavar="ID")
@options.state
@options.output("table", "json")
def show(*, ident: str, state: Path, output: Output) -> int:
    """Show one technique or mitigation; an id of another release is translated."""
    catalogue = kept(state)
    tree = _mitigation(catalogue, ident) if ".M" in ident else _technique(catalogue, ident)
    if output.form == "json":
        output.data(tree)
        return 0
    lines = [f"{tree['id']}  {tree['name']}  ({tree['catalogue']})", ""]
    lines += [f"  {line}" for line in tree["description"].splitlines()]
    for name, value in tree.items():
        if name not in {"id", "name", "description", "catalogue"}:
            shown = ", ".join(value) if isinstance(value, list) else value
            lines.append(f"  {name.replace('_', ' '):<12}{shown}")
    output.write("\n".join(line.rstrip() for line in lines) + "\n")
    return 0


@command.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@options.state
@options.output("table", "json")
def import_(*, file: Path, state: Path, output: Output) -> int:
    """Read a release of ATLAS from FILE (YAML or JSON) and use it from now on.

    With ``-o`` the catalogue is written there, and nothing else changes.
    """
    from hauberk.adapters.local.files import read_file, write_file
    from hauberk.core.digest import digest_bytes
    from hauberk.core.errors import UserError
    from hauberk.govern.atlas_read import read_catalogue

    data = read_file(file, limit=MAX_FILE)
    if data is None:
        raise UserError("no such file", where=str(file))
    found = read_catalogue(_tree(data, file), source=digest_bytes(data), where=str(file))
    if output.path is not None:
        output.write(found.to_json().decode())
    else:
        write_file(state / KEPT, found.to_json(), mode=0o644)
        output.say(f"wrote {state / KEPT}")
    none = len(found.unmitigated())
    output.say(
        f"{found.label} (format {found.format}): {len(found.tactics)} tactics, "
        f"{len(found.techniques)} techniques, {len(found.mitigations)} mitigations; "
        f"for {none} techniques ATLAS lists none"
    )
    return 0


def kept(state: Path) -> Catalogue:
    """The catalogue that was imported here, or else the one that ships."""
    from hauberk.adapters.local.files import read_file
    from hauberk.govern.atlas import Catalogue, shipped

    data = read_file(state / KEPT, limit=MAX_FILE)
    return shipped() if data is None else Catalogue.from_json(data, where=str(state / KEPT))


def _tree(data: bytes, file: Path) -> Any:
    """JSON by itself; YAML with PyYAML, where it is installed."""
    import json
    from importlib import import_module

    from hauberk.core.errors import DataError, EnvironmentFault

    try:
        if data.lstrip()[:1] == b"{":
            return json.loads(data)
        yaml = import_module("yaml")
    except ImportError:
        raise EnvironmentFault(
            "reading YAML needs PyYAML", where=str(file), hint="pip install pyyaml"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"cannot be read: {error}", where=str(file)) from None
    try:
        # The loader in C where there is one: the file has 450 kB. Both make plain values only.
        return yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"cannot be read: {error}", where=str(file)) from None


def _technique(catalogue: Catalogue, ident: str) -> dict[str, Any]:
    from hauberk.govern import atlas_use
    from hauberk.govern.atlas import NONE_LISTED

    one = catalogue.technique(ident)
    names = {tactic.id: tactic.name for tactic in catalogue.tactics}
    listed = [f"{m.id} {m.name}" for m in catalogue.mitigations_of(one)]
    return {
        "id": one.id,
        "name": catalogue.title(one),
        "catalogue": catalogue.label,
        "description": one.description,
        "tactics": [names.get(tactic, tactic) for tactic in catalogue.tactics_of(one)],
        "phases": list(atlas_use.phases(catalogue, one)),
        "knowledge": list(atlas_use.knowledge(one)),
        "maturity": one.maturity,
        "platforms": list(one.platforms),
        "mitigations": listed or NONE_LISTED,
        "seen_in": [f"{s.id} {s.name}" for s in catalogue.studies if one.id in s.techniques],
    }


def _mitigation(catalogue: Catalogue, ident: str) -> dict[str, Any]:
    from hauberk.govern.effects import measuring

    one = catalogue.mitigation(ident)
    return {
        "id": one.id,
        "name": one.name,
        "catalogue": catalogue.label,
        "description": one.description,
        "categories": list(one.categories),
        "stages": list(one.stages),
        "techniques": list(one.techniques),
        "measured_by": list(measuring(one.id)) or "unmeasured",
    }
