"""What a hardening gains and what it costs, measured on one module or over methods and seeds."""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.adapters.models import onnx, weights
from hauberk.adapters.models.int8 import quantised
from hauberk.adapters.models.onnx import OnnxModel
from hauberk.adapters.models.session import Session
from hauberk.adapters.models.torch_model import TorchModel
from hauberk.attack.fgsm import FGSM
from hauberk.attack.pgd import PGD
from hauberk.attack.square import Square
from hauberk.attack.transfer import Transfer
from hauberk.core.digest import digest_bytes
from hauberk.evaluate.compare import compare
from hauberk.evaluate.robustness import evaluate
from hauberk.harden.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from hauberk.attack.attack import Attack
    from hauberk.core.data import Dataset
    from hauberk.core.evidence import Evidence
    from hauberk.core.threat import ThreatModel
    from hauberk.evaluate.result import Robustness
    from hauberk.harden.progress import Progress

_PROBE, _REQUESTS = 64, 300


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What every way of hardening is measured on, and what an hour of the machine costs."""

    data: Dataset
    threat: ThreatModel
    factors: tuple[float, ...] = (0.5, 1.0, 1.5)
    samples: int = 300
    price: float | None = None
    limits: dict[str, float] = field(default_factory=dict)

    @property
    def held_out(self) -> Dataset:
        """At most ``samples`` of the test split, drawn once and for all."""
        test = self.data.split("test")
        if len(test) <= self.samples:
            return test
        rows = np.random.default_rng(0).permutation(len(test))[: self.samples]
        return test.take(np.sort(rows))

    def robustness(self, module: nn.Module, *, seed: int = 0) -> Robustness:
        """Under FGSM, PGD-40 with restarts and Square: more than any method trains against."""
        attacks: dict[str, Attack] = {
            "fgsm": FGSM(),
            "pgd40x2": PGD(steps=40, restarts=2, fast=True),
            "square": Square(queries=200, fast=True),
        }
        return evaluate(
            TorchModel(module, self.data.bounds),
            self.held_out,
            self.threat,
            attacks=attacks,
            eps=[factor * self.threat.eps for factor in self.factors],
            seed=seed,
        )


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained module with what it took: wall and CPU seconds, peak memory, the curve.

    The curve holds ``(epoch, clean, robust)`` as measured on validation data.
    """

    module: nn.Module
    seconds: float
    cpu_seconds: float
    peak_mib: float
    curve: tuple[tuple[int, float, float | None], ...]


def trained(
    fit: Callable[[Run], nn.Module], *, run: Run | None = None, tell: Callable[[Progress], None]
) -> Trained:
    """Call ``fit`` with a run that also watches."""
    curve: list[tuple[int, float, float | None]] = []

    def watch(now: Progress) -> None:
        tell(now)
        if now.clean is not None:
            curve.append((now.epoch, now.clean, now.robust))

    _forget_peak()
    wall, cpu, run = time.monotonic(), time.process_time(), run or Run()
    module = fit(
        Run(checkpoint=run.checkpoint, resume=run.resume, progress=watch, clock=time.monotonic)
    )
    return Trained(
        module=module,
        seconds=time.monotonic() - wall,
        cpu_seconds=time.process_time() - cpu,
        peak_mib=_peak_mib(),
        curve=tuple(curve),
    )


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A hardened module as it would be served: evidence, and plain figures for a page."""

    evidence: tuple[Evidence, ...]
    figures: dict[str, Any]
    exported: bytes
    weights: bytes
    int8: bytes


def examined(made: Trained, terms: Terms, model: TorchModel, before: Robustness | None) -> Examined:
    """Export, check the exports, attack the model and its int8 variant, time its answers.

    ``model`` says the architecture; ``before`` is what the model it is to replace withstood.

    Raises:
        ModelFormatError: if it cannot be exported.
    """
    module, probe = made.module, terms.data.split("validation").x[:_PROBE]
    exported = onnx.export(module, terms.data.shape)
    kept = weights.save(TorchModel(module, terms.data.bounds, model.architecture))
    subject = digest_bytes(exported)
    after = terms.robustness(module)
    evidence = [*after.evidence(subject, **terms.limits), onnx.compare(module, exported, probe)]
    if before is not None:
        evidence += compare(before, after, subject=subject)
    small = quantised(exported, terms.data.split("train").x[:_REQUESTS])
    figures = {
        "digest": subject,
        "weights": digest_bytes(kept),
        "n": after.n,
        "clean": float(after.clean.mean()),
        "robust": float(after.worst(terms.threat.eps).mean()),
        "attacks": {
            one.name: {
                f"{eps:g}": float(right.mean())
                for eps, right in zip(after.eps, one.correct, strict=True)
            }
            for one in after.attacks
        },
        "weights_differ": _weights_differ(module, kept, probe),
        "train_seconds": made.seconds,
        "cpu_seconds": made.cpu_seconds,
        "peak_mib": made.peak_mib,
        "cost": None if terms.price is None else terms.price * made.seconds / 3600,
        "curve": [list(point) for point in made.curve],
        **{f"latency_{key}": value for key, value in _latency(exported, probe).items()},
        "int8": _int8(small, module, terms),
    }
    return Examined(
        evidence=tuple(evidence), figures=figures, exported=exported, weights=kept, int8=small
    )


def _weights_differ(module: nn.Module, kept: bytes, probe: Any) -> float:
    """The largest difference of logits between the module and its weights file, read back."""
    loaded = weights.load(kept).module
    return onnx.compare(loaded, onnx.export(module, probe.shape[1:]), probe).value or 0.0


def _int8(data: bytes, module: nn.Module, terms: Terms) -> dict[str, Any]:
    """The quantised model's own figures: it has no gradients, so points come from its parent."""
    surrogate = TorchModel(module, terms.data.bounds)
    attacks: dict[str, Attack] = {
        "transfer": Transfer(
            surrogates=(surrogate,), steps=40, momentum=0.0, diversity=0.0, kernel=1
        ),
        "square": Square(queries=200),
    }
    model = OnnxModel(Session(data), terms.data.bounds)
    found = evaluate(model, terms.held_out, terms.threat, attacks=attacks)
    return {
        "digest": digest_bytes(data),
        "bytes": len(data),
        "clean": float(found.clean.mean()),
        "robust": float(found.worst(terms.threat.eps).mean()),
        **{
            f"latency_{key}": value
            for key, value in _latency(data, terms.data.split("validation").x[:_PROBE]).items()
        },
    }


def _latency(data: bytes, x: Any) -> dict[str, float]:
    """Milliseconds of one answer at a time, at the median and the 95th percentile."""
    session, times = Session(data), []
    for number in range(_REQUESTS):
        row = x[number % len(x)][None]
        start = time.perf_counter()
        session(row)
        times.append(time.perf_counter() - start)
    p50, p95 = np.percentile(times, [50, 95]) * 1e3
    return {"p50_ms": float(p50), "p95_ms": float(p95)}


def _forget_peak() -> None:
    """Let the peak of memory start anew, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mib() -> float:
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        line = next(one for one in lines if one.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
