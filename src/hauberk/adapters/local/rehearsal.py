"""A rehearsal of the whole loop with our own programs: gateway, controller, clients, attacker."""

from __future__ import annotations

import json
import secrets
import shutil
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import httpx
import numpy as np
from msgspec.structs import replace

from hauberk.adapters.http.client import V2Client
from hauberk.adapters.http.traffic import Aim, Shot, fire, kept, read_shots
from hauberk.adapters.local import work
from hauberk.adapters.local.files import read_file, write_file
from hauberk.adapters.local.programs import Program
from hauberk.adapters.local.setup import set_up, shop_of
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import EnvironmentFault
from hauberk.core.spec import ClientSpec, write_spec
from hauberk.govern.consent import make_consent
from hauberk.harden.run import Run
from hauberk.loop.turns import last_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hauberk.adapters.local.home import Home
    from hauberk.core.data import Dataset
    from hauberk.core.spec import Spec
    from hauberk.harden.progress import Progress
    from hauberk.loop.turns import Turn

CLIENTS = ("ward-7", "mallory")
"""An honest client, and the one who attacks; both hold ordinary tokens."""


@dataclass(kw_only=True)
class Rehearsal:
    """One run in a state directory of its own; killed at any time, it goes on where it was."""

    home: Home
    spec: Spec
    gateway: Program | None = None
    controller: Program | None = None
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        """Give each client a token, agree to be attacked, and write all of it down."""
        self.tokens = {name: self._token(name) for name in CLIENTS}
        clients = tuple(
            ClientSpec(name=name, token_sha256=digest_bytes(token.encode()))
            for name, token in self.tokens.items()
        )
        consent = make_consent(
            self.home.signer,
            model=self.spec.model.name,
            host=self.spec.serve.host,
            not_after=time.time() + 3600.0,
        )
        serve = replace(self.spec.serve, clients=clients, consent=consent, port=0)
        self.spec = replace(self.spec, serve=serve)
        write_file(self.config, write_spec(self.spec).encode())

    @property
    def config(self) -> Path:
        """The settings of this run."""
        return self.home.folder / "hauberk.toml"

    @property
    def weights(self) -> Path:
        """The file that the insider took."""
        return self.home.folder / "insider" / "model.safetensors"

    @property
    def url(self) -> str:
        """Where the gateway listens."""
        found = json.loads((self.home.folder / "gateway.json").read_text())
        return f"http://{self.spec.serve.host}:{found['port']}"

    def prepare(self, progress: Callable[[str, int, int], None]) -> None:
        """Train a model as most are, register it, and make its twin; skipped where it was done."""
        if (self.home.folder / "routing.json").exists():
            return
        shop = shop_of(self.home, self.spec)

        def tell(now: Progress) -> None:
            progress("training a model", now.epoch, now.epochs)

        known = self.home.ledger.entries(kind="model")
        digest = (
            known[0].subject
            if known
            else work.train(
                shop,
                seed=self.spec.harden.seed,
                run=Run(progress=tell, clock=time.monotonic),
            )
        )
        source = self.home.ledger.entries(kind="model", subject=digest)[0].body["weights"]
        self.weights.parent.mkdir(exist_ok=True)
        shutil.copyfile(self.home.store.path(source), self.weights)
        set_up(
            self.home,
            self.spec,
            shop.model(digest),
            by="rehearsal",
            progress=lambda done, total: progress("training its twin", done, total),
        )

    def start_gateway(self) -> None:
        """Start `hauberk serve` and wait until it is ready."""
        (self.home.folder / "gateway.json").unlink(missing_ok=True)
        self.gateway = self._start("serve", "--port", "0")

        def ready() -> bool:
            try:
                return httpx.get(f"{self.url}/v2/health/ready", trust_env=False).is_success
            except (OSError, ValueError, httpx.HTTPError):
                return False

        self.gateway.wait_until(ready, seconds=60)

    def start_controller(self) -> None:
        """Start `hauberk loop run` and wait for its first turn."""
        self.controller = self._start("loop", "run")
        self.controller.wait_until(lambda: self.turn() is not None, seconds=60)

    def turn(self) -> Turn | None:
        """The controller's last turn."""
        last = last_turn(self.home.journal, self.spec.model.name)
        return last[1] if last else None

    def client(self, name: str) -> V2Client:
        """An ordinary client."""
        return V2Client(self.url, self.spec.model.name, token=self.tokens[name])

    def send_clean(self, count: int, progress: Callable[[int, int], None]) -> list[Shot]:
        """Send ``count`` untouched test samples as the honest client; resumes by its log."""
        log = self.log("clean")
        sent = len(read_shots(log))
        with self.client(CLIENTS[0]) as client:
            aims = self._clean(count - sent, seed=1 + sent)
            for number, _ in enumerate(kept(fire(client, aims, name="clean"), log), sent + 1):
                progress(number, count)
        return read_shots(log)

    def start_attacker(self, *, attack: str, rate: float) -> Program:
        """Start `hauberk attack` against the gateway, with the file that the insider took."""
        program = Program.start(
            (
                *("attack", str(self.weights), "--endpoint", self.url, "--attack", attack),
                *("--requests", "1000000", "--rate", str(rate), "--log", str(self.log("attack"))),
                *("--trusted", str(self.home.folder / "keys"), *self._common(), "--quiet"),
            ),
            log=self.home.folder / "logs" / "attack.log",
            environment={"HAUBERK_TOKEN": self.tokens[CLIENTS[1]]},
        )
        self._stack.callback(program.stop)
        return program

    def keep_sending(self, *, rate: float) -> Callable[[], None]:
        """Send clean samples in the background; returns what ends it."""
        ended = threading.Event()

        def run() -> None:
            with self.client(CLIENTS[0]) as client:
                aims = self._clean(10**9, seed=2)
                shots = fire(client, aims, rate=rate, stop=ended.is_set, name="honest")
                for _ in kept(shots, self.log("honest")):
                    pass

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def end() -> None:
            ended.set()
            thread.join(10.0)

        self._stack.callback(end)
        return end

    def wait_for(self, reached: Callable[[Turn], bool], *, seconds: float) -> Turn:
        """Wait for a turn.

        Raises:
            EnvironmentFault: if a program ended, or the time ran out.
        """
        deadline = time.monotonic() + seconds
        while True:
            turn = self.turn()
            if turn and reached(turn):
                return turn
            for program in (self.gateway, self.controller):
                if program and not program.alive:
                    raise EnvironmentFault(
                        f"`hauberk {program.arguments[0]}` ended: {program.last_line()}",
                        hint=f"its output is in {program.log}",
                    )
            if time.monotonic() > deadline:
                phase = turn.state.phase if turn else "not started"
                raise EnvironmentFault(
                    f"the loop is {phase} after {seconds:g} s",
                    where=str(self.home.folder),
                    hint="`hauberk loop journal` shows what it did",
                )
            time.sleep(0.05)

    def read_up_to_date(self) -> bool:
        """Whether the controller has read every record that the gateway wrote."""
        from hauberk.loop.lookout import read_snapshot  # noqa: PLC0415

        snapshot = read_snapshot(self.home.journal.saved(self.spec.model.name))
        return bool(snapshot and snapshot.seq >= self.home.records.last_seq())

    def shots(self) -> list[Shot]:
        """All that the clients saw."""
        return [
            shot for name in ("clean", "attack", "honest") for shot in read_shots(self.log(name))
        ]

    def log(self, name: str) -> Path:
        """Where a client keeps what it saw."""
        return self.home.folder / "shots" / f"{name}.jsonl"

    def close(self) -> None:
        """Stop everything that was started."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, *arguments: str) -> Program:
        program = Program.start(
            (*arguments, *self._common()), log=self.home.folder / "logs" / f"{arguments[0]}.log"
        )
        self._stack.callback(program.stop)
        return program

    def _common(self) -> tuple[str, ...]:
        return ("--config", str(self.config), "--state", str(self.home.folder))

    def _clean(self, count: int, *, seed: int) -> Iterator[Aim]:
        data, rng = self._test(), np.random.default_rng(seed)
        for _ in range(count):
            i = int(rng.integers(len(data)))
            yield Aim(x=data.x[i : i + 1], truth=int(data.y[i]))

    def _test(self) -> Dataset:
        return shop_of(self.home, self.spec).data.split("test")

    def _token(self, name: str) -> str:
        """The client's token, made once; it stands for what a client keeps on its own machine."""
        path = self.home.folder / "clients" / f"{name}.token"
        known = read_file(path, limit=512)
        if known is None:
            path.parent.mkdir(exist_ok=True)
            known = secrets.token_urlsafe(32).encode()
            write_file(path, known)
        return known.decode()
