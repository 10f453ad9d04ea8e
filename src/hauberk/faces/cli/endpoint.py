"""Evaluating a model behind an endpoint: with its owner's consent, by scores or labels."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from hauberk.adapters.data.features_file import read_features
from hauberk.adapters.data.source import load_dataset
from hauberk.adapters.http.client import V2Client
from hauberk.adapters.http.endpoint import EndpointModel
from hauberk.adapters.local.methods import ready
from hauberk.adapters.local.signer import Ed25519Signer
from hauberk.adapters.models.source import open_model
from hauberk.core.errors import ConfigError
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.robustness import evaluate
from hauberk.evaluate.run import Run
from hauberk.govern.consent import check_consent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hauberk.core.data import Dataset
    from hauberk.core.spec import Spec
    from hauberk.evaluate.result import Robustness
    from hauberk.faces.cli.output import Output

_TOKEN = "HAUBERK_TOKEN"  # noqa: S105 - the variable's name
_PLACE = "/v2/models/"


def is_endpoint(model: str) -> bool:
    """Whether a model is named by a URL."""
    return model.startswith(("http://", "https://"))


def attacked(
    url: str,
    names: Sequence[str],
    spec: Spec,
    output: Output,
    *,
    keys: Path,
    samples: int,
    queries: int | None,
    extra: tuple[Path | None, Sequence[str]],
) -> tuple[Robustness, str]:
    """The result, and the digest of the address and of what the endpoint says of its model.

    ``extra`` are the constraints' file and the surrogates.

    Raises:
        NoConsent: if the endpoint's owner has not agreed; nothing was asked of the model.
        UserError: if an attack needs more than the endpoint gives.
    """
    base, name = _address(url, spec.model.name)
    with V2Client(base, name, token=os.environ.get(_TOKEN, "")) as client:
        check_consent(
            str(client.server().get("hauberk_consent", "")),
            Ed25519Signer(keys).verify,
            model=name,
            at=time.time(),
            host=urlsplit(base).hostname,
        )
        whole = load_dataset(spec.data.source)
        data = _drawn(whole.split("test"), samples, spec.harden.seed)
        model = EndpointModel(client, classes=data.classes, bounds=data.bounds)
        laws, surrogates = extra
        threat = ThreatModel(norm=spec.threat.norm, eps=spec.threat.eps, queries=queries)
        if laws is not None:
            threat = replace(threat, features=read_features(str(laws), data.columns))
        methods = ready(
            names,
            model,
            lambda: whole.split("validation"),
            threat,
            task=Classification(),
            seed=spec.harden.seed,
            surrogates=[open_model(one) for one in surrogates],
        )
        with output.progress("samples") as advance:
            result = evaluate(
                model,
                data,
                threat,
                attacks=methods,
                eps=[factor * threat.eps for factor in spec.gate.eps_factors],
                seed=spec.harden.seed,
                run=Run(progress=advance, clock=time.perf_counter),
            )
        return result, model.digest


def _address(url: str, name: str) -> tuple[str, str]:
    base, place, named = url.partition(_PLACE)
    if place and not named.strip("/"):
        raise ConfigError("the address ends before the model's name", where=url)
    return base, named.strip("/") or name


def _drawn(data: Dataset, samples: int, seed: int) -> Dataset:
    if len(data) <= samples:
        return data
    return data.take(np.sort(np.random.default_rng(seed).permutation(len(data))[:samples]))
