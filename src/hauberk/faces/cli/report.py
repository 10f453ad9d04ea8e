"""``hauberk report``: what happened to a service, as a page, a table or data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.faces.cli import options

if TYPE_CHECKING:
    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output


@click.command()
@click.option("--framework", metavar="NAME", help="The evidence for a framework's clauses.")
@click.option("--card", metavar="KIND", help="A model's or its data's card: model or data.")
@click.option("--effects", is_flag=True, help="What each ATLAS mitigation was measured to do.")
@click.option("--incidents", is_flag=True, help="Every incident: when, who, how it ended.")
@click.option("--tasks", is_flag=True, help="Who does what, and which tasks have evidence.")
@click.option("--of", "subject", metavar="MODEL", help="The model, by digest or name.")
@click.option("--as-of", metavar="DATE", help="The ledger as it was at the end of that day, UTC.")
@click.option("--governance", type=click.Path(dir_okay=False, path_type=Path), help="For cards.")
@click.option("--oscal", is_flag=True, help="With --framework: OSCAL assessment results.")
@click.option("--navigator", is_flag=True, help="With --framework atlas: a Navigator layer.")
@options.spec("model.name")
@options.state
@options.output("table", "json", "md", "html")
def command(*, spec: Spec, state: Path, output: Output, **asked: Any) -> int:
    """Render the newest incident of a state directory from its journal and ledger.

    With --framework, --card, --effects, --incidents or --tasks: what the ledger's evidence shows.
    The same ledger and the same day give the same bytes.
    """
    if any(asked[name] for name in ("framework", "card", "effects", "incidents", "tasks")):
        from hauberk.faces.cli.proof import told

        return told(state, output, **asked)
    from hauberk.adapters.http.traffic import read_shots
    from hauberk.adapters.local.account import Account
    from hauberk.adapters.local.home import Home
    from hauberk.govern.page import page
    from hauberk.govern.report_text import markdown, table

    home = Home.open(state)
    shots = [shot for log in sorted((state / "shots").glob("*.jsonl")) for shot in read_shots(log)]
    account = Account(home=home, spec=spec, shots=shots)
    report = account.report(
        title=f"Closed loop of {spec.model.name}",
        at=max((turn.at for turn in account.turns()), default=time.time()),
        conditions={"data": spec.data.source, "threat": f"{spec.threat.norm}:{spec.threat.eps:g}"},
    )
    if output.form == "json":
        output.write(report.to_json().decode())
    else:
        output.write({"table": table, "md": markdown, "html": page}[output.form](report))
    return 0 if report.headline.outcome != "halted" else 1
