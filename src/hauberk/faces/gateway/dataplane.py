"""The data plane: what the gateway does with a request, free of transport and encoding."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass, field
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hauberk import __version__
from hauberk.adapters.upstream.remote import RemoteModel
from hauberk.core.digest import short
from hauberk.core.errors import DataError, HauberkError
from hauberk.core.record import Record
from hauberk.faces.gateway.afterwards import Afterwards
from hauberk.faces.gateway.answered import Answered, Round, Screened
from hauberk.faces.gateway.cleaning import as_it_came
from hauberk.faces.gateway.faults import BadRequest, Fault, Missing, NotNow, fault_of
from hauberk.faces.gateway.outputs import Blunt
from hauberk.faces.gateway.pace import Pace
from hauberk.faces.gateway.sampling import Sampling
from hauberk.faces.gateway.tensors import Response, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from hauberk.core.record import Outcome, Route
    from hauberk.faces.gateway.cleaning import Cleaner
    from hauberk.faces.gateway.entrance import Visit
    from hauberk.faces.gateway.lineup import Lineup
    from hauberk.faces.gateway.pool import Pool
    from hauberk.faces.gateway.screen import Suspicion
    from hauberk.faces.gateway.served import Served
    from hauberk.faces.gateway.tensors import Request

INPUT, LABEL = "x", "label"
OUTPUTS = ("logits", LABEL, "probabilities")
# What clients of other servers call a model's only input, and its prediction.
ANY_INPUT, PREDICTION = "input-0", "output-0"
ABSTAINED = -1
_UNSCREENED = Screened()
_WORSE: tuple[Outcome, ...] = ("pass", "flag", "abstain")


class Sink(Protocol):
    """Takes what is told about answered rows; must not block."""

    def __call__(
        self,
        records: Sequence[Record],
        flagged: dict[int, NDArray[np.float32]],
        x: NDArray[np.float32] | None = None,
        /,
    ) -> None:
        """Records of one request, and by position the inputs of those that were flagged.

        ``x`` are the inputs of the last of the records, whose drift statistics are still to come.
        """


@dataclass(frozen=True, kw_only=True)
class DataPlane:
    """Answers requests by the lineup in force and tells the tap about each row.

    A row whose p-value over clean traffic and benign shifts is at most ``flag_p`` is flagged. In
    ``abstain`` mode the response then holds ``label`` alone, -1 in the flagged rows, and so it
    does for all rows if nothing can screen them; there ``pace`` does not count. The inputs of
    flagged rows are kept for review, and those of a ``sampling`` of the other requests. ``key``
    makes the choice of the canary's, which goes by their ids, unforeseeable to clients, who choose
    the ids. The suspicion itself never leaves.
    """

    name: str
    pool: Pool
    tell: Sink
    failed: Callable[[str], None]
    flag_p: float = 0.05
    key: bytes = b""
    consent: str = ""
    sampling: Sampling = field(default_factory=partial(Sampling, random.random))
    clean: Cleaner = as_it_came
    blunt: Blunt = field(default_factory=Blunt)
    pace: Pace = field(default_factory=Pace)
    afterwards: Afterwards = field(default_factory=Afterwards)
    clock: Callable[[], float] = time.time

    def server(self) -> dict[str, Any]:
        """The server's metadata; with the owner's consent to a red team, if there is one."""
        consent = {"hauberk_consent": self.consent} if self.consent else {}
        return {
            "name": "hauberk",
            "version": __version__,
            "extensions": [
                "binary_tensor_data",
                "model_repository",
                "model_configuration",
                "statistics",
                "hauberk_routing",
            ],
            **consent,
        }

    def metadata(self, model: str, version: str | None = None) -> dict[str, Any]:
        """The model's metadata.

        Raises:
            Missing: if there is no such model or version.
            NotNow: if no model is in force.
        """
        lineup = self._lineup(model, version)
        schema, run = lineup.primary.schema, lineup.primary.run
        classes = run.classes
        return {
            "name": self.name,
            "versions": [lineup.version],
            "platform": run.platform if isinstance(run, RemoteModel) else "onnxruntime_onnx",
            "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, *schema.shape]}],
            "outputs": [
                {"name": "logits", "datatype": "FP32", "shape": [-1, classes]},
                {"name": LABEL, "datatype": "INT64", "shape": [-1]},
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]},
            ],
            "parameters": {
                "hauberk_low": schema.bounds.low,
                "hauberk_high": schema.bounds.high,
                "hauberk_max_rows": schema.max_rows,
            },
        }

    def ready(self, model: str | None = None, version: str | None = None) -> None:
        """Return if requests are answered now.

        Raises:
            Missing: if there is no such model or version.
            NotNow: if not; without the reason, which is the operator's.
        """
        self._lineup(self.name if model is None else model, version)
        if self.pool.obstacle:
            raise NotNow("the model is not ready")

    def infer(
        self,
        request: Request,
        *,
        model: str,
        version: str | None,
        visit: Visit,
        started: float,
    ) -> Response:
        """Answer one request; ``started`` is when it arrived, by ``time.perf_counter``.

        Raises:
            Missing: if there is no such model or version.
            BadRequest: if the tensors are not what the model takes.
            NotNow: if no model may answer now.
            TooMany: if the quota does not cover the rows.
            Fault: if the model failed.
        """
        lineup = self._lineup(model, version)
        x = _check(request, lineup)
        visit.rows(len(x))
        x = self.clean(x, lineup.primary.schema.bounds)
        name = request.id or token_hex(16)
        round_ = Round(x, self.failed)
        route, answerer, logits, refusals = self._answer(lineup, round_, name)
        answered = Answered(lineup, round_, visit, name, route, answerer.digest, logits)
        must = lineup.routing.mode == "abstain"
        how = "inline" if lineup.screen is None else self.pace.choose(must=must)
        later = how == "after" and self.afterwards.put(
            partial(self._screen_after, answered, refusals, time.perf_counter() - started)
        )
        screened = self._screened(answered) if how == "inline" else Screened()
        outcomes = self._outcomes(lineup, screened.suspicion, len(x))
        if not later:
            latency = time.perf_counter() - started
            self._tell(answered, refusals, screened, outcomes, latency)

        labels = answered.labels
        abstained = "abstain" in outcomes
        if abstained:
            labels = np.where([how == "abstain" for how in outcomes], ABSTAINED, labels)
        return Response(
            model=self.name,
            version=short(answerer.digest),
            id=name,
            outputs=_outputs(request, logits, labels, self.blunt, abstained=abstained),
            parameters={
                "hauberk_outcome": max(outcomes, key=_WORSE.index),
                "hauberk_digest": answerer.digest,
                "hauberk_route": route,
            },
        )

    def look(self, x: NDArray[np.float32], logits: NDArray[np.float32] | None) -> Suspicion | None:
        """How suspect rows are that another server answered; None if our pair cannot tell.

        ``logits`` are those of its answer; without any, our copy of the model is asked.
        """
        lineup = self.pool.lineup
        if lineup is None or lineup.screen is None:
            return None
        try:
            lineup.primary.schema.inspect(x)
        except DataError:
            return None
        round_ = Round(x, self.failed)
        if logits is not None and logits.shape == (len(x), lineup.primary.run.classes):
            round_.give(lineup.primary, logits)
        return self._screen(lineup, round_)

    def _screened(self, answered: Answered) -> Screened:
        """How suspect the rows are, and the twin's logits; the pace learns how long it took."""
        begun = time.perf_counter()
        lineup, round_ = answered.lineup, answered.round
        if lineup.screen is None and lineup.twin is None:
            return _UNSCREENED
        suspicion = self._screen(lineup, round_)
        twin = round_.logits(lineup.fit(lineup.twin))
        if lineup.screen is not None:
            self.pace.took(time.perf_counter() - begun)
        return Screened(suspicion, twin)

    def _screen_after(self, answered: Answered, refusals: Sequence[Record], latency: float) -> None:
        """Screen what was answered; what is suspect is flagged, though its sender was not told."""
        screened = self._screened(answered)
        outcomes = self._outcomes(answered.lineup, screened.suspicion, len(answered.round.x))
        self._tell(answered, refusals, screened, outcomes, latency)

    def _tell(
        self,
        answered: Answered,
        refusals: Sequence[Record],
        screened: Screened,
        outcomes: Sequence[Outcome],
        latency: float,
    ) -> None:
        x = answered.round.x
        at = self.clock()
        records = answered.records(screened, outcomes, at=at, latency_ms=latency * 1e3)
        drawn = self.sampling(at)
        flagged = {
            len(refusals) + row: x[row].copy()
            for row, how in enumerate(outcomes)
            if drawn or how != "pass"
        }
        self.tell([*refusals, *records], flagged, x)

    def _lineup(self, model: str, version: str | None) -> Lineup:
        if model != self.name:
            raise Missing("no such model")
        lineup = self.pool.lineup
        if lineup is None:
            raise NotNow("the model is not ready")
        if version is not None and version != lineup.version:
            raise Missing("no such version")
        return lineup

    def _answer(
        self, lineup: Lineup, round_: Round, name: str
    ) -> tuple[Route, Served, NDArray[np.float32], list[Record]]:
        """Who answers, and the logits; a canary that fails is stood in for, and recorded."""
        refusals: list[Record] = []
        # The share matters to a canary alone.
        seats = [lineup.choose(_share(self.key, name) if lineup.canary else 1.0)]
        if seats[0][0] == "canary":
            seats.append(lineup.steady)
        for route, model in seats:
            if model is None:
                raise NotNow("the model was withdrawn")
            logits = round_.logits(model)
            if logits is not None:
                return route, model, logits, refusals
            refusals.append(
                Record(
                    id=name,
                    seq=0,
                    at=self.clock(),
                    principal="",
                    digest=model.digest,
                    route=route,
                    outcome="refuse",
                    label=ABSTAINED,
                )
            )
        self.tell(refusals, {})
        if round_.trouble is not None:
            raise fault_of(round_.trouble)
        raise Fault("the model failed on this input")

    def _screen(self, lineup: Lineup, round_: Round) -> Suspicion | None:
        if lineup.screen is None:
            return None
        primary = round_.logits(lineup.fit(lineup.primary))
        twin = round_.logits(lineup.fit(lineup.twin))
        if primary is None or twin is None:
            return None
        try:
            return lineup.screen.suspicion(primary, twin, round_.x, lineup.primary.logits)
        except HauberkError as error:
            self.failed(str(error))
            return None

    def _outcomes(self, lineup: Lineup, suspicion: Suspicion | None, rows: int) -> list[Outcome]:
        abstains = lineup.routing.mode == "abstain"
        if suspicion is None:  # unscreened is not clean
            return ["abstain" if abstains else "pass"] * rows
        mark: Outcome = "abstain" if abstains else "flag"
        return [mark if p <= self.flag_p else "pass" for p in suspicion.p_benign]


def _check(request: Request, lineup: Lineup) -> NDArray[np.float32]:
    if len(request.inputs) != 1 or request.inputs[0].name not in {INPUT, ANY_INPUT}:
        raise BadRequest(f"expected one input named {INPUT!r}", where="inputs")
    for wanted in request.wanted:
        if wanted.name not in {*OUTPUTS, PREDICTION}:
            raise BadRequest(f"no such output; known: {', '.join(OUTPUTS)}", where="outputs")
    x = request.inputs[0].data
    try:
        lineup.primary.schema.check(x)
    except DataError as error:
        raise BadRequest(str(error), hint=error.hint) from None
    return x


def _outputs(
    request: Request,
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    blunt: Blunt,
    *,
    abstained: bool,
) -> tuple[Tensor, ...]:
    """What was asked for; the label alone where the gateway abstains on a row."""
    names = [wanted.name for wanted in request.wanted] or ["logits"]
    if abstained:
        names = [name for name in names if name in {LABEL, PREDICTION}] or [LABEL]
    if names == ["logits"]:
        return (Tensor("logits", blunt.logits(logits)),)
    made: dict[str, Callable[[], NDArray[Any]]] = {
        "logits": lambda: blunt.logits(logits),
        "probabilities": lambda: blunt.probabilities(logits),
    }
    return tuple(Tensor(name, made[name]() if name in made else labels) for name in names)


def _share(key: bytes, name: str) -> float:
    """The request's place in [0, 1), even over ids, foreseeable only with the key."""
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=key).digest()
    return int.from_bytes(digest) / 2**64
