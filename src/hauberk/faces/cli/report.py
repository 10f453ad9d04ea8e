"""``hauberk report``: what happened to a service, as a page, a table or data."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from hauberk.faces.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output


@click.command()
@options.spec("model.name")
@options.state
@options.output("table", "json", "md", "html")
def command(*, spec: Spec, state: Path, output: Output) -> int:
    """Render the newest incident of a state directory from its journal and ledger."""
    from hauberk.adapters.http.traffic import read_shots
    from hauberk.adapters.local.account import Account
    from hauberk.adapters.local.home import Home
    from hauberk.govern.page import page
    from hauberk.govern.report_text import markdown, table

    home = Home(state)
    home.operator_token  # noqa: B018 - says in one line that no service was set up here
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
