"""``hauberk demo``: the whole loop here and now, on real data and with real programs."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.core.errors import UserError
from hauberk.core.interval import wilson
from hauberk.faces.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.adapters.local.account import Account
    from hauberk.adapters.local.rehearsal import Rehearsal
    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output
    from hauberk.govern.report import LoopReport

_MARKER = "demo.json"


@click.command()
@click.option(
    "--clean-requests",
    type=click.IntRange(100, 10**7),
    default=10_000,
    show_default=True,
    help="Untouched requests sent first, to count false alarms.",
)
@click.option("--attack", default="fgsm", show_default=True, help="What the attacker sends.")
@click.option(
    "--attack-rate",
    type=click.FloatRange(1, 10_000),
    default=40.0,
    show_default=True,
    help="Hostile requests a second.",
)
@click.option(
    "--patience",
    type=click.FloatRange(1),
    default=1800.0,
    show_default=True,
    help="Seconds to wait for the loop.",
)
@options.spec("data", "threat", "seed", "model.architecture")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=".hauberk/demo",
    show_default=True,
    help="Directory of the run.",
)
@options.output("table", "json", "md", "html")
def command(
    *,
    clean_requests: int,
    patience: float,
    spec: Spec,
    state: Path,
    output: Output,
    **volley: Any,
) -> int:
    """Serve a model, attack it, and watch the loop notice, contain, harden, judge and promote.

    The programs are the ones for production, as processes on this machine. Interrupted, the same
    command goes on; a finished run is replaced.
    """
    from hauberk.adapters.local.account import Account
    from hauberk.adapters.local.home import Home
    from hauberk.adapters.local.rehearsal import Rehearsal

    _make_room(state, spec)
    home = Home.create(state, spec.state)
    with Rehearsal(home=home, spec=_hurried(spec)) as rehearsal:
        alarms = _play(rehearsal, output, clean=clean_requests, patience=patience, **volley)
        account = Account(home=home, spec=rehearsal.spec, shots=rehearsal.shots())
        report = _report(account, alarms, clean_requests)
        (state / _MARKER).write_text('{"finished": true}\n')
    return _show(report, account, state, output)


def _hurried(spec: Spec) -> Spec:
    """A rehearsal wants no cool-down."""
    from msgspec.structs import replace

    return replace(spec, loop=replace(spec.loop, cooldown=0.0))


def _make_room(state: Path, spec: Spec) -> None:
    """Begin anew unless the last run in this place was interrupted and was of the same spec."""
    from hauberk.core.digest import canonical_json

    marker = state / _MARKER
    import msgspec

    wanted = canonical_json(msgspec.to_builtins(spec)).decode() + "\n"
    if state.exists() and any(state.iterdir()):
        if not marker.exists():
            raise UserError(
                "the directory is not empty, and no rehearsal's",
                where=str(state),
                hint="--state names another",
            )
        if marker.read_text() == wanted:
            return
        shutil.rmtree(state)
    state.mkdir(parents=True, exist_ok=True)
    marker.write_text(wanted)


def _play(
    rehearsal: Rehearsal,
    output: Output,
    *,
    clean: int,
    patience: float,
    attack: str,
    attack_rate: float,
) -> int:
    """The run itself; returns how many false alarms the clean stream raised."""
    _prepare(rehearsal, output)
    rehearsal.start_gateway()
    rehearsal.start_controller()
    output.say(f"gateway at {rehearsal.url}, controller running")
    before = rehearsal.turn()
    fresh = before is not None and before.state.incidents == 0
    with output.progress("clean requests", clean) as advance:
        rehearsal.send_clean(clean, advance)
    rehearsal.wait_for(lambda _: rehearsal.read_up_to_date(), seconds=60)
    turn = rehearsal.turn()
    alarms = turn.state.incidents if fresh and turn else 0
    output.say(f"{clean} clean requests: {alarms} false alarms; now the attack ({attack})")
    attacker = rehearsal.start_attacker(attack=attack, rate=attack_rate)
    rehearsal.keep_sending(rate=attack_rate / 4)
    attacker.wait_until(
        lambda: bool((now := rehearsal.turn()) and now.state.incidents > alarms), seconds=patience
    )
    _follow(rehearsal, output, patience)
    return alarms


def _prepare(rehearsal: Rehearsal, output: Output) -> None:
    from contextlib import ExitStack

    with ExitStack() as stack:
        bars: dict[str, Callable[..., None]] = {}

        def advance(label: str, done: int, total: int) -> None:
            if label not in bars:
                bars[label] = stack.enter_context(output.progress(label, total))
            bars[label](done, total)

        rehearsal.prepare(advance)


def _follow(rehearsal: Rehearsal, output: Output, patience: float) -> None:
    """Say each phase as it comes, until the incident is closed or halted."""
    told = ""

    def over(turn: Any) -> bool:
        nonlocal told
        state = turn.state
        if state.phase != told:
            told = state.phase
            output.say(f"{time.strftime('%H:%M:%S', time.gmtime(turn.at))} UTC {told}")
        return told == "halted" or (told == "serving" and state.incident is None)

    rehearsal.wait_for(over, seconds=patience)


def _report(account: Account, alarms: int, clean_requests: int) -> LoopReport:
    from msgspec.structs import replace

    spec = account.spec
    conditions = {
        "data": spec.data.source,
        "threat": f"{spec.threat.norm}, eps {spec.threat.eps:g}",
        "seed": str(spec.harden.seed),
        "held-out samples": str(account.figures()[0]["n"] if account.figures() else 0),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {sys.version.split()[0]}",
    }
    report = account.report(
        title=f"Closed loop on {spec.data.source}", at=time.time(), conditions=conditions
    )
    headline = replace(report.headline, false_alarms=alarms, clean_requests=clean_requests)
    return replace(report, headline=headline)


def _show(report: LoopReport, account: Account, state: Path, output: Output) -> int:
    from hauberk.adapters.local.files import write_file
    from hauberk.govern.page import page
    from hauberk.govern.report_text import markdown, table

    path = state / "report.html"
    html = page(report)
    write_file(path, html.encode(), mode=0o644)
    write_file(state / "report.json", report.to_json(), mode=0o644)
    if output.form == "json":
        output.data(_figures(report, account, path))
    elif output.form == "html":
        output.write(html)
    else:
        output.write((markdown if output.form == "md" else table)(report))
    output.say(f"report: {path}")
    return 0 if report.headline.outcome == "recovered" and not report.headline.false_alarms else 1


def _figures(report: LoopReport, account: Account, path: Path) -> dict[str, Any]:
    """The figures as one flat object; fractions with their 95 % intervals."""
    head, eps = report.headline, account.spec.threat.eps
    rows = {(row["attack"], row["eps"]): row for row in account.figures()}
    found: dict[str, Any] = {}
    for name, attack, which in (
        ("clean", "clean", "before"),
        ("under_attack", "fgsm", "before"),
        ("clean_after", "clean", "after"),
        ("fgsm_after", "fgsm", "after"),
        ("pgd40_after", f"pgd40x{account.spec.gate.restarts}", "after"),
    ):
        row = rows.get((attack, 0.0 if attack == "clean" else eps))
        found[name] = row[which] / row["n"] if row else None
        found[f"{name}_interval"] = list(wilson(row[which], row["n"])) if row else None
    return {
        **found,
        "clean_drop": found["clean"] - found["clean_after"] if rows else None,
        "clean_drop_interval": account.drop(),
        "train_seconds": head.training_seconds,
        "detection_delay": head.detection_requests,
        "false_alarms": head.false_alarms,
        "clean_requests": head.clean_requests,
        "contained_seconds": head.containment_seconds,
        "recovered_seconds": head.recovery_seconds,
        "outcome": head.outcome,
        "digest_before": report.provenance.get("before"),
        "digest_after": report.provenance.get("after"),
        "policy": report.provenance.get("policy"),
        "report": str(path),
    }
