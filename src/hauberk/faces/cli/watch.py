"""``hauberk watch``: follow the monitors of a running gateway, or replay a recorded stream."""

from __future__ import annotations

import signal
import threading
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from hauberk.faces.cli import options, watch_budget

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hauberk.adapters.http.watch_metrics import Metrics
    from hauberk.adapters.local.cloud_events import Sink
    from hauberk.adapters.local.home import Home
    from hauberk.adapters.local.watch_monitors import Usual
    from hauberk.adapters.local.watching import Watched
    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record
    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output
    from hauberk.monitor.station import Station

_PAUSE, _BATCH, _SAVE = 0.2, 4096, 2.0
_usual = click.option(
    "--usual",
    type=click.Path(exists=True, path_type=Path),
    help="Benign records: what each tenant's usual queries are like, for the campaign monitor.",
)


@click.group(invoke_without_command=True)
@click.pass_context
@click.option("--once", is_flag=True, help="Read what is there, and end.")
@click.option("--events", type=click.Path(path_type=Path), help="Append CloudEvents to FILE.")
@click.option("--webhook", default="", help="Post CloudEvents to URL.")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve Prometheus metrics.")
@click.option("--throttle", is_flag=True, help="Slow clients down whose queries are a campaign.")
@_usual
@options.spec("model.name")
@options.state
@options.output("table", "json")
def command(ctx: click.Context, **given: Any) -> int:
    """Follow the monitors of the running gateways; each finding is a line.

    It goes on where it ended, as another replica of it would. Where the gateways share their state,
    any number of watches may run: one works, the others stand by. Exit code 1 where something
    failed.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    sinks = _sinks(given.pop("events"), given.pop("webhook"))
    return _follow(sinks, **given)


command.add_command(watch_budget.command, "budget")


@command.command()
@click.argument("log", type=click.Path(exists=True, path_type=Path))
@click.option("--monitor", "only", multiple=True, help="Only this monitor; again for more.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@_usual
@options.spec("model.name")
@options.state
@options.output("json", "table")
def replay(
    *,
    log: Path,
    only: tuple[str, ...],
    limit: int,
    usual: Path | None,
    spec: Spec,
    state: Path,
    output: Output,
) -> int:
    """Fold a recorded stream through the monitors: the same findings, bit for bit.

    LOG is a file of JSON lines, or a folder of them as the gateway writes it. ``mark`` is a digest
    over all findings in order.
    """
    from hauberk.adapters.local.home import Home
    from hauberk.adapters.local.watch_monitors import Usual, every_monitor
    from hauberk.adapters.local.watching import batches, lines
    from hauberk.core.errors import UnknownNameError
    from hauberk.monitor.alike import MOST
    from hauberk.monitor.station import MONITORS, Station

    for name in only:
        if name not in MONITORS:
            raise UnknownNameError(name, MONITORS, kind="monitor")
    made = every_monitor(Home.open(state), _pair(state), spec, Usual.of(usual), output.say)
    _warn_of_repeats(islice(lines(log), MOST), spec, usual is not None, output)
    station = Station(monitors={k: one for k, one in made.items() if not only or k in only})
    found: list[tuple[int, Evidence]] = []
    began = time.perf_counter()
    for batch in batches(lines(log), _BATCH):
        every = [(record.seq, evidence) for record, evidence in station.fold_all(batch)]
        found += every[: limit - len(found)]
    seconds = time.perf_counter() - began
    output.say(
        f"{station.records} records in {seconds:.1f} s, {station.records / seconds:,.0f} a second"
    )
    if output.form == "json":
        facts = {
            "records": station.records,
            "found": station.found,
            "mark": station.mark,
            "kind": _kind([evidence for _, evidence in found]),
            "findings": [{"seq": seq, "rule": e.rule, "message": e.message} for seq, e in found],
        }
        output.data(facts)
    else:
        rows = [[str(seq), evidence.rule, evidence.message] for seq, evidence in found]
        output.listing(["seq", "rule", "what"], rows)
    return int(bool(station.found))


def _follow(
    sinks: Sequence[Sink],
    *,
    once: bool,
    metrics_port: int | None,
    throttle: bool,
    usual: Path | None,
    spec: Spec,
    state: Path,
    output: Output,
) -> int:
    from hauberk.adapters.local.home import Home
    from hauberk.adapters.local.watch_monitors import Usual

    home = Home.open(state)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watch = _Watch(home, spec, sinks, output, throttle=throttle, usual=Usual.of(usual))
    if metrics_port:
        from hauberk.adapters.http.watch_metrics import Metrics

        watch.metrics = Metrics()
        watch.metrics.serve(metrics_port)
    while not stop.is_set():
        quiet = not watch.attempt()
        if quiet and once:
            break
        if quiet:
            stop.wait(_PAUSE)
    watch.end()
    if output.form == "json":
        output.data({"records": watch.station.records, "found": watch.station.found})
    return int(bool(watch.station.found))


class _Watch:
    """One process that follows one state directory."""

    def __init__(
        self,
        home: Home,
        spec: Spec,
        sinks: Sequence[Sink],
        output: Output,
        *,
        throttle: bool,
        usual: Usual,
    ) -> None:
        from hauberk.adapters.local.shared_watch import SharedWatch
        from hauberk.adapters.local.sharing import Reach

        self.home, self.spec, self.sinks, self.output = home, spec, sinks, output
        self.throttle, self.usual = throttle, usual
        reach = Reach(home, spec)
        self.records = reach.records
        self.shared = SharedWatch(reach.state, uuid4().hex) if reach.state else None
        self.metrics: Metrics | None = None
        self.key, self.station = "", _no_station()
        self.saved = 0.0
        self.told: set[str] = set()
        self.seen: list[Record] | None = []
        self.owed: list[tuple[str, str, str, float]] = []

    def attempt(self) -> bool:
        """A round; where the shared state cannot be had, that is said once and tried again."""
        from hauberk.core.errors import EnvironmentFault

        try:
            return self.round()
        except EnvironmentFault as error:
            if self.shared is None:
                raise
            self.say_once(str(error))
            return False

    def round(self) -> bool:
        """Take what was answered since; whether there was anything."""
        self.settle()
        self.adopt()
        if self.shared and not self.shared.holds(self.key, self.station, at=time.time()):
            return False
        batch = self.records.read(self.station.seq, _BATCH)
        self.look(batch)
        for _, evidence in self.station.fold_all(batch):
            self.tell(evidence)
        self.settle()
        if (batch or self.shared) and time.monotonic() - self.saved > _SAVE:
            self.save()
        if self.metrics is not None:
            self.metrics.show(self.station)
        return bool(batch)

    def look(self, batch: list[Record]) -> None:
        """Once there are records enough: whether they repeat each other."""
        if self.seen is None:
            return
        self.seen += batch
        if len(self.seen) >= _BATCH:
            known = bool(self.usual.bases)
            _warn_of_repeats(self.seen, self.spec, known, self.output)
            self.seen = None

    def adopt(self) -> None:
        """Watch the pair that is in force: another one is watched from its first record on."""
        from hauberk.adapters.local.watch_monitors import every_monitor
        from hauberk.adapters.local.watching import resume
        from hauberk.core.digest import digest_json
        from hauberk.monitor.station import Station

        pair = _pair(self.home.folder)
        key = digest_json([pair.routing.primary, pair.routing.twin, pair.routing.calibration])
        if key == self.key:
            return
        seq = self.station.seq
        state = self.shared.state if self.shared else None
        made = every_monitor(self.home, pair, self.spec, self.usual, self.say_once, shared=state)
        self.key, self.station = key, Station(monitors=made, seq=seq)
        if self.shared is None and resume(self.path, key, self.station):
            self.output.say(f"goes on after record {self.station.seq}")

    @property
    def path(self) -> Path:
        """Where the state is kept."""
        return self.home.folder / "watch.state"

    def save(self) -> None:
        """Keep the state for the next start, and for who stands by."""
        from hauberk.adapters.local.watching import save

        self.saved = time.monotonic()
        if self.shared is None:
            save(self.path, self.key, self.station)
        elif not self.shared.save(self.key, self.station, at=time.time()):
            self.output.say("another watch has taken over; standing by")

    def end(self) -> None:
        """Keep the state, and let another watch take over."""
        from hauberk.core.errors import EnvironmentFault

        try:
            if self.shared:
                self.shared.release(self.key, self.station)
            else:
                self.save()
        except EnvironmentFault as error:
            self.output.say(str(error))

    def tell(self, evidence: Evidence) -> None:
        """A line, an event, and where wanted a slower client."""
        from hauberk.adapters.local.cloud_events import event
        from hauberk.core.errors import HauberkError

        at = float(evidence.spec.get("at", time.time()))
        if self.output.form == "table":
            when = time.strftime("%H:%M:%S", time.gmtime(at))
            click.echo(f"{when} {evidence.rule} {evidence.message}")
        if self.throttle and evidence.spec.get("scope") == "client":
            whose = str(evidence.spec["tenant"]), str(evidence.spec["whose"])
            self.owed.append((*whose, evidence.message, at))
        for sink in self.sinks:
            try:
                sink.send([event(evidence, source=f"/hauberk/{self.spec.model.name}", at=at)])
            except HauberkError as error:
                self.say_once(str(error))

    def settle(self) -> None:
        """Throttle who is to be throttled; what cannot be written now is owed in the next round."""
        from hauberk.adapters.local.throttles import SharedThrottles, Throttles

        home, shared = self.home.folder, self.shared
        throttles = SharedThrottles(shared.state) if shared else Throttles(home)
        while self.owed:
            tenant, principal, why, at = self.owed[0]
            throttles.hold(tenant, principal, why, at=at)
            self.owed.pop(0)

    def say_once(self, what: str) -> None:
        """Say what stands in the way, the first time."""
        if what not in self.told:
            self.told.add(what)
            self.output.say(what)


def _warn_of_repeats(
    records: Iterable[Record],
    spec: Spec,
    known: bool,  # noqa: FBT001
    output: Output,
) -> None:
    """Say where requests repeat each other and nothing says that they may."""
    from hauberk.monitor.alike import alike

    if known or spec.detect.repeats > 1:
        return
    for tenant, found in alike(records).items():
        output.say(
            f"{found.share:.0%} of the requests of {tenant!r} are like one shortly before, "
            f"about {found.repeats:.0f} in a row: if that is usual, set detect.repeats or give "
            "--usual, or there will be false alarms; if not, someone searches the model"
        )


def _no_station() -> Station:
    from hauberk.monitor.station import Station

    return Station(monitors={}, seq=0)


def _sinks(events: Path | None, webhook: str) -> list[Sink]:
    from hauberk.adapters.local.cloud_events import FileSink, Webhook

    made: list[Sink] = [FileSink(events)] if events else []
    return [*made, Webhook(webhook)] if webhook else made


def _kind(found: list[Evidence]) -> dict[str, str]:
    from hauberk.monitor.kind import read

    reading = read(found)
    return {"kind": reading.kind, "reason": reading.reason}


def _pair(state: Path) -> Watched:
    from hauberk.adapters.local.home import Home
    from hauberk.adapters.local.watching import watched

    return watched(Home.open(state))
