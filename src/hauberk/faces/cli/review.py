"""``hauberk review``: people label the requests most worth it, and their labels decide."""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING, Any

import click

from hauberk.core.errors import UserError
from hauberk.faces.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from hauberk.adapters.local.home import Home
    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output
    from hauberk.monitor.queue import Case
    from hauberk.monitor.review import ReviewTest

_SHADES = " .:-=+*#%@"
_WIDE = 48
_ALONE = click.option(
    "--alone", is_flag=True, help="One reviewer's word is enough: for low stakes."
)
_BY = click.option("--by", default="", help="Who labels. [default: the user]")


@click.group(invoke_without_command=True)
@click.pass_context
@options.spec("model.name")
@options.state
@options.output("table", "json")
@_ALONE
@_BY
def command(ctx: click.Context, **given: Any) -> int:
    """Label requests in the terminal; alone, it goes through the queue.

    The labels confirm the open incident or dismiss it by a betting test, and the loop goes on by
    the verdict. What is labelled never trains a model by itself.
    """
    if ctx.invoked_subcommand is None:
        return _through(given)
    return 0


@command.command()
@click.option("--count", type=click.IntRange(1, 500), default=20, show_default=True)
@options.spec("model.name")
@options.state
@options.output("table", "json", "md")
def queue(*, count: int, spec: Spec, state: Path, output: Output) -> int:
    """List the cases most worth a label: the strangest and random ones, in turn."""
    rows = [_row(case) for case in _queue(_home(state), spec, count)]
    output.listing(["case", "why", "client", "answer", "twin", "p", "at"], rows)
    return 0


@command.command()
@click.argument("case")
@click.option("--picture", metavar="FILE", help="Write a PNG that explains the answer.")
@click.option("--with", "method", default="integrated-gradients", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@options.spec("data", "model.architecture")
@options.state
def show(*, case: str, picture: str | None, method: str, seed: int, spec: Spec, state: Path) -> int:
    """Show a case: its input in characters, and what was recorded of it.

    The picture holds the input, the nearest clean samples, and what counted for the answers of the
    served model and of its twin: saliency, integrated-gradients, grad-cam, occlusion, kernel-shap
    or lime. It flags for people, it is no detector.
    """
    from hauberk.adapters.local.reviews import Reviews

    record, x = Reviews(state).input(case)
    click.echo(_drawn(x))
    twin = "-" if record.twin_label is None else str(record.twin_label)
    click.echo(f"answer {record.label}, twin {twin}, client {record.principal[:60]!r}")
    click.echo(f"p over clean and benign traffic {record.p_benign}, score {record.score}")
    if picture is not None:
        _explain(x, picture, method, seed, spec, state)
    return 0


def _explain(
    x: NDArray[np.float32], to: str, method: str, seed: int, spec: Spec, state: Path
) -> None:
    from pathlib import Path as File

    from hauberk.adapters.local.case_picture import explain
    from hauberk.adapters.local.files import write_file
    from hauberk.adapters.local.setup import shop_of
    from hauberk.adapters.local.watching import watched

    home = _home(state)
    found = explain(shop_of(home, spec), watched(home).routing, x, method=method, seed=seed)
    write_file(File(to), found.png, mode=0o644)
    for name, firm in found.stability.items():
        error = found.completeness[name]
        told = "not promised" if error is None else f"{error:.3f}"
        click.echo(f"{name}: completeness error {told}, noise stability {firm:.2f}")


@command.command()
@click.argument("case")
@click.argument("truth", type=int)
@_BY
@_ALONE
@options.spec("model.name")
@options.state
@options.output("table", "json")
def label(
    *,
    case: str,
    truth: int,
    by: str,
    alone: bool,
    spec: Spec,
    state: Path,
    output: Output,
) -> int:
    """Say that the true class of CASE is TRUTH."""
    home = _home(state)
    chosen = {one.name: one.stratum for one in _queue(home, spec, 500)}
    _given(home, spec, case, truth, by=by, stratum=chosen.get(case, ""))
    return _told(home, spec, output, alone=alone)


@command.command()
@_ALONE
@options.spec("model.name")
@options.state
@options.output("table", "json")
def status(*, alone: bool, spec: Spec, state: Path, output: Output) -> int:
    """Say how far the test of the labels is. Exit code 1 where the incident is confirmed."""
    return _told(_home(state), spec, output, alone=alone)


def _through(given: dict[str, Any]) -> int:
    """Ask for a label for each case of the queue, until there is none or the test ends."""
    spec, state, output = given["spec"], given["state"], given["output"]
    home = _home(state)
    from hauberk.adapters.local.reviews import Reviews

    reviews, by = Reviews(home.folder), given["by"] or getpass.getuser()
    mine = {line.case for line in reviews.lines(_incident(home, spec)) if line.reviewer == by}
    for case in _queue(home, spec, 100):
        if case.name in mine:
            continue
        click.echo(_drawn(reviews.input(case.name)[1]))
        click.echo(f"case {case.name} ({case.stratum}); the answer is withheld until you say")
        said = click.prompt("true class (s skips, q ends)", default="s", show_default=False)
        if said == "q":
            break
        if said.isdecimal():
            _given(home, spec, case.name, int(said), by=by, stratum=case.stratum)
            if _test(home, spec, alone=given["alone"]).outcome() != "open":
                break
    return _told(home, spec, output, alone=given["alone"])


def _given(home: Home, spec: Spec, case: str, truth: int, *, by: str, stratum: str) -> None:
    from hauberk.adapters.local.reviews import Line, Reviews

    if truth < 0:
        raise UserError(f"a class is a number from 0, not {truth}")
    reviews = Reviews(home.folder)
    record, _ = reviews.input(case)
    line = Line(
        at=time.time(),
        incident=_incident(home, spec),
        case=case,
        reviewer=(by or getpass.getuser())[:200],
        label=truth,
        served=record.label,
        stratum=stratum or ("random" if record.outcome == "pass" else "suspect"),
    )
    reviews.add(line)


def _told(home: Home, spec: Spec, output: Output, *, alone: bool) -> int:
    """Tell how far the test is; a verdict goes to the loop."""
    from hauberk.loop.turns import last_turn

    test, last = _test(home, spec, alone=alone), last_turn(home.journal, spec.model.name)
    subject = last[1].state.served.primary if last else ""
    found, outcome = test.verdict(subject, at=time.time()), test.outcome()
    kappa = test.agreement()
    facts = {
        "incident": _incident(home, spec) or None,
        "outcome": outcome,
        "evidence_nats": round(test.nats(), 3),
        "limit_nats": found.limit,
        "labels": test.labels,
        "settled": test.settled[0],
        "wrong": test.settled[1],
        "waiting": len(test.waiting),
        "agreement": None if kappa is None else round(kappa, 3),
    }
    if output.form == "json":
        output.data(facts)
    else:
        output.listing(["key", "value"], [[key, str(value)] for key, value in facts.items()])
    incident = last[1].state.incident if last else None
    if incident and outcome != "open" and not incident.confirmed_by:
        _decide(home, spec, incident.id, outcome, found.spec["reviewers"])
        output.say(f"{incident.id}: {outcome} by {' and '.join(found.spec['reviewers'])}")
    return int(outcome == "confirmed")


def _decide(home: Home, spec: Spec, incident: str, outcome: str, by: list[str]) -> None:
    from hauberk.adapters.local.controller import command as have_taken
    from hauberk.loop.events import Reviewed

    event = Reviewed(
        at=time.time(),
        incident=incident,
        verdict="confirm" if outcome == "confirmed" else "dismiss",
        reviewer=" and ".join(by)[:400],
    )
    have_taken(home, spec, event)


def _test(home: Home, spec: Spec, *, alone: bool) -> ReviewTest:
    from hauberk.adapters.local.reviews import Reviews
    from hauberk.monitor.review import ReviewTest

    test = ReviewTest(second=not alone)
    for line in Reviews(home.folder).lines(_incident(home, spec)):
        test.take(line.spoken())
    return test


def _incident(home: Home, spec: Spec) -> str:
    """The open incident; empty where there is none, as on a warning."""
    from hauberk.loop.turns import last_turn

    last = last_turn(home.journal, spec.model.name)
    incident = last[1].state.incident if last else None
    return incident.id if incident else ""


def _queue(home: Home, spec: Spec, count: int) -> list[Case]:
    """The cases; which ones by chance depends on the incident alone, so all reviewers see them."""
    import numpy as np

    from hauberk.adapters.local.reviews import Reviews
    from hauberk.core.digest import digest_bytes
    from hauberk.monitor.queue import choose

    seed = int(digest_bytes(_incident(home, spec).encode())[-16:], 16)
    kept = Reviews(home.folder).kept()
    return choose(kept, count=count, rng=np.random.default_rng(seed))


def _row(case: Case) -> list[str]:
    record = case.record
    twin = "-" if record.twin_label is None else str(record.twin_label)
    p = "-" if record.p_benign is None else f"{record.p_benign:.3f}"
    when = time.strftime("%H:%M:%S", time.gmtime(record.at))
    return [case.name, case.stratum, record.principal[:32], str(record.label), twin, p, when]


def _drawn(x: NDArray[np.float32]) -> str:
    """An input in characters: an image by its brightness, anything else by its values."""
    import numpy as np

    if x.ndim != 3:
        return ", ".join(f"{value:g}" for value in x.ravel()[:64])
    grey = x.mean(axis=0)
    step = max(1, -(-grey.shape[1] // _WIDE))
    small = grey[:: 2 * step, ::step]  # a character is twice as high as wide
    low, high = float(small.min()), float(small.max())
    places = (small - low) / max(high - low, 1e-9) * (len(_SHADES) - 1)
    rows = np.rint(places).astype(int)
    return "\n".join("".join(_SHADES[value] for value in row) for row in rows)


def _home(state: Path) -> Home:
    from hauberk.adapters.local.home import Home

    return Home.open(state)
