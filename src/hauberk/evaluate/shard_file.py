"""The result of one shard as bytes and back: a numpy archive without a pickle."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hauberk.core.errors import DataError
from hauberk.core.features import Features
from hauberk.core.model import Access
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.gradient import GradientHealth
from hauberk.evaluate.probes import Probes
from hauberk.evaluate.result import AttackResult, Example, Found, Robustness

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORM = 2
_PICTURES = ("clean", "adversarial")


def encode(result: Robustness) -> bytes:
    """The archive of a result."""
    threat, health, probes = result.threat, result.gradient, result.probes
    facts = {
        "form": _FORM,
        "name": result.name,
        "dataset": result.dataset,
        "threat": {
            **vars(threat),
            "access": int(threat.access),
            "features": asdict(threat.features) if threat.features else None,
        },
        "seed": result.seed,
        "eps": result.eps,
        "gradient": None if health is None else vars(health),
        "probes": None if probes is None else vars(probes),
        "attacks": [
            {
                "name": one.name,
                "needs": int(one.needs),
                "parameters": one.parameters,
                "seconds": one.seconds,
            }
            for one in result.attacks
        ],
        "examples": [
            {name: value for name, value in vars(one).items() if name not in _PICTURES}
            for one in result.examples
        ],
        "found": [{"attack": one.attack, "eps": one.eps} for one in result.found],
    }
    arrays: dict[str, NDArray[Any]] = {
        "facts": np.frombuffer(json.dumps(facts).encode(), np.uint8),
        "clean": result.clean,
    }
    for number, attack in enumerate(result.attacks):
        arrays[f"correct{number}"], arrays[f"alone{number}"] = attack.correct, attack.alone
    for number, example in enumerate(result.examples):
        for name in _PICTURES:
            arrays[f"{name}{number}"] = getattr(example, name)
    for number, found in enumerate(result.found):
        arrays[f"image{number}"], arrays[f"rows{number}"] = found.image, found.rows
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # stub takes bool for arrays
    return buffer.getvalue()


def decode(data: bytes) -> Robustness:
    """The result in an archive.

    Raises:
        DataError: if it is damaged.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        facts = json.loads(arrays["facts"].tobytes())
        if facts["form"] != _FORM:
            raise DataError(f"a shard of form {facts['form']}, not {_FORM}")
        return _result(facts, arrays)
    except (KeyError, ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"a damaged shard: {error}") from None


def _result(facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Robustness:
    threat, health, probes = facts["threat"], facts["gradient"], facts["probes"]
    attacks = tuple(
        AttackResult(
            name=one["name"],
            needs=Access(one["needs"]),
            parameters=one["parameters"],
            correct=arrays[f"correct{number}"],
            alone=arrays[f"alone{number}"],
            seconds=one["seconds"],
        )
        for number, one in enumerate(facts["attacks"])
    )
    return Robustness(
        name=facts["name"],
        dataset=facts["dataset"],
        threat=ThreatModel(
            **{
                **threat,
                "access": Access(threat["access"]),
                "atlas": tuple(threat["atlas"]),
                "features": _features(threat.get("features")),
            }
        ),
        seed=facts["seed"],
        clean=arrays["clean"],
        eps=tuple(facts["eps"]),
        attacks=attacks,
        gradient=None if health is None else GradientHealth(**health),
        probes=None if probes is None else Probes(**probes),
        examples=tuple(
            Example(
                **one, clean=arrays[f"clean{number}"], adversarial=arrays[f"adversarial{number}"]
            )
            for number, one in enumerate(facts["examples"])
        ),
        found=tuple(
            Found(**one, image=arrays[f"image{number}"], rows=arrays[f"rows{number}"])
            for number, one in enumerate(facts["found"])
        ),
    )


def _features(facts: dict[str, Any] | None) -> Features | None:
    return None if facts is None else msgspec.convert(facts, Features)
