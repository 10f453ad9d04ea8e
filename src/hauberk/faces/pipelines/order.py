"""What a run of the pipeline is for, and its journal: each step done once, whoever asks again."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.adapters.local.files import locked, make_folder
from hauberk.adapters.local.home import Home
from hauberk.core.digest import canonical_json, digest_bytes, digest_json
from hauberk.core.errors import ConfigError, DataError, UserError
from hauberk.core.spec import Spec, parse_spec

if TYPE_CHECKING:
    from collections.abc import Callable

Facts = dict[str, Any]
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
# What training and judging depend on. The rest stays where the steps run: nothing of who may ask,
# and no address with a password in it, is shown as a parameter of a run.
_PASSED = ("model", "data", "threat", "detect", "harden", "loop", "gate")


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of the journal: a step that was done, for which order, from which facts."""

    step: str
    order: str
    inputs: str
    facts: Facts


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One incident of one service: ``number`` seeds its training as the loop's n-th incident is.

    ``config`` is what the spec says, as JSON; ``state`` the service's state directory where the
    step runs.
    """

    incident: str
    number: int
    config: str
    state: str

    @classmethod
    def of(cls, spec: Spec, *, incident: str, number: int, state: Path) -> Order:
        """An order to harden the model that a state directory serves.

        Raises:
            UserError: if the incident's name or number is none.
        """
        # Without the defaults: a later version with one setting more finds the same order.
        given, usual = msgspec.to_builtins(spec), msgspec.to_builtins(Spec())
        passed = {
            name: {key: value for key, value in given[name].items() if value != usual[name][key]}
            for name in _PASSED
        }
        config = canonical_json({name: keys for name, keys in passed.items() if keys}).decode()
        order = cls(incident=incident, number=number, config=config, state=str(state))
        order.check()
        return order

    def check(self) -> None:
        """See that the incident has a name that files and jobs can bear.

        Raises:
            UserError: if it has not.
        """
        if not _ID.match(self.incident) or not 1 <= self.number < 2**31:
            raise UserError(
                f"not an incident: {self.incident[:80]!r}, number {self.number}",
                hint="a-z, 0-9 and '-', at most 63; numbers from 1",
            )

    @property
    def digest(self) -> str:
        """What makes two orders the same; where the state lies does not."""
        return digest_bytes(f"{self.incident}\n{self.number}\n{self.config}".encode())

    @property
    def spec(self) -> Spec:
        """The settings.

        Raises:
            ConfigError: if they are none.
        """
        try:
            tree = json.loads(self.config)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"cannot be read: {error}", where="config") from None
        return parse_spec(tree if isinstance(tree, dict) else {}, where="config")

    @property
    def home(self) -> Home:
        """The service's home.

        Raises:
            ConfigError: if none was set up there.
        """
        return Home.open(Path(self.state))

    def done(self) -> dict[str, Step]:
        """The steps that were done, by name.

        Raises:
            DataError: if the incident was begun with another order, or the journal is unreadable.
        """
        steps = {}
        for number, line in enumerate(self.home.journal.read(self._service)):
            try:
                step = msgspec.json.decode(line, type=Step)
            except (msgspec.DecodeError, RecursionError):
                raise DataError("not a step", where=f"journal: {self.incident} {number}") from None
            if step.order != self.digest:
                raise DataError(
                    "this incident was begun with other settings",
                    where=self.incident,
                    hint="a run with other settings is another incident",
                )
            steps[step.step] = step
        return steps

    def once(self, step: str, before: Facts, do: Callable[[], Facts]) -> Facts:
        """The facts after a step: those that the journal has, or those of doing it now.

        On one machine a step that a killed run left behind is waited for, not done beside it.

        Raises:
            DataError: if the step was done from other facts.
        """
        self.check()
        folder = Path(self.state) / "pipelines"
        make_folder(folder)
        with locked(folder / f"{self.incident}.lock"):
            inputs = digest_json(before)
            if known := self.done().get(step):
                if known.inputs != inputs:
                    raise DataError(f"{step} was done from other facts", where=self.incident)
                return known.facts
            facts = {**before, **do()}
            line = Step(step=step, order=self.digest, inputs=inputs, facts=facts)
            self.home.journal.write(self._service, msgspec.json.encode(line), at=time.time())
        return facts

    @property
    def _service(self) -> str:
        return f"pipeline:{self.incident}"
