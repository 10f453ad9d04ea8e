"""``hauberk watch budget``: how many answers a copy takes; a watch holds clients to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hauberk.faces.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output


@click.command()
@click.option(
    "--fidelity",
    type=click.FloatRange(0.0, 1.0, min_open=True),
    default=0.8,
    show_default=True,
    help="Share of other inputs on which the copy is to agree.",
)
@click.option(
    "--share",
    type=click.FloatRange(0.0, 1.0, min_open=True),
    default=0.5,
    show_default=True,
    help="Part of the answers that this takes after which a client counts.",
)
@click.option(
    "--days",
    type=click.FloatRange(0.0, 3650.0, min_open=True),
    default=1.0,
    show_default=True,
    help="Time in which as much is forgotten.",
)
@click.option("--seeds", type=click.IntRange(1, 20), default=3, show_default=True)
@click.option("--steps", type=click.IntRange(1, 100_000), default=300, show_default=True)
@options.spec("model.name")
@options.state
@options.output("table", "json")
def command(
    *,
    fidelity: float,
    share: float,
    days: float,
    seeds: int,
    steps: int,
    spec: Spec,
    state: Path,
    output: Output,
) -> int:
    """Measure how many answers a copy of the model in service takes; the watch holds clients to it.

    The model is copied from samples of its own data, by more than one network, with the answers as
    clients see them (`serve.round_digits`, `serve.top_k`). The fewest queries count. Exit code 1
    where no copy came so far.
    """
    from hauberk.adapters.local import budget_file, copying
    from hauberk.adapters.local.home import Home
    from hauberk.adapters.local.setup import shop_of
    from hauberk.adapters.local.watching import watched
    from hauberk.core.evidence import Verdict
    from hauberk.faces.gateway.outputs import Blunt
    from hauberk.monitor.budget import Budget

    home = Home.open(state)
    digest, shop = watched(home).routing.primary, shop_of(home, spec)
    blunt = Blunt(digits=spec.serve.round_digits, top_k=spec.serve.top_k)
    told = [f"{blunt.digits} digits"] if blunt.digits is not None else []
    told += [f"the first {blunt.top_k} classes"] if blunt.top_k is not None else []
    answers = "probabilities" + (f" ({', '.join(told)})" if told else "")
    found = copying.measured(
        shop, digest, blunt.probabilities, fidelity=fidelity, seeds=seeds, steps=steps
    )
    evidence = copying.evidence(found, digest, fidelity=fidelity, answers=answers)
    shop.enter([evidence])
    if evidence.value is not None:
        made = Budget(
            digest=digest,
            queries=evidence.value,
            fidelity=fidelity,
            share=share,
            days=days,
            answers=answers,
        )
        budget_file.keep(home.folder, made)
    output.say(evidence.message)
    if output.form == "json":
        output.data({"queries": evidence.value, "message": evidence.message, **evidence.spec})
    else:
        rows = [
            [one.copyist, str(one.seed), str(count), f"{agreed:.3f}"]
            for one in found
            for count, agreed in one.points
        ]
        output.listing(["copyist", "seed", "queries", "agreement"], rows)
    return int(evidence.verdict is not Verdict.PASS)
