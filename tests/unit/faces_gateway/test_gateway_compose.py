from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save

from hauberk.adapters.local.home import Home
from hauberk.core.errors import DataError, Untrusted
from hauberk.core.model import Bounds
from hauberk.core.spec import parse_spec
from hauberk.faces.gateway.compose import local_world, model_bounds
from hauberk.faces.gateway.server import counts_alone

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "sha256:" + "1" * 64


def entered(folder: Path, metadata: dict[str, str] | None) -> Home:
    home = Home.create(folder)
    weights = home.store.put(save({"w": np.zeros(1, np.float32)}, metadata=metadata))
    home.ledger.append("model", DIGEST, {"weights": weights}, at=1.0)
    return home


@pytest.mark.parametrize(
    ("metadata", "bounds"),
    [
        ({"hauberk": json.dumps({"bounds": [-1.0, 2.5]})}, Bounds(-1.0, 2.5)),
        ({"hauberk": json.dumps({"architecture": "cnn"})}, Bounds()),
        (None, Bounds()),
    ],
)
def test_the_bounds_are_those_in_the_weights(
    tmp_path: Path, metadata: dict[str, str] | None, bounds: Bounds
) -> None:
    assert model_bounds(entered(tmp_path, metadata), DIGEST) == bounds


def test_a_model_without_weights_has_the_usual_bounds(tmp_path: Path) -> None:
    assert model_bounds(Home.create(tmp_path), DIGEST) == Bounds()


@pytest.mark.parametrize(
    "declared", ["[]", "{", '{"bounds": 3}', '{"bounds": [1, 2, 3]}', '{"bounds": ["a", "b"]}']
)
def test_a_header_that_cannot_be_read_is_an_error(tmp_path: Path, declared: str) -> None:
    with pytest.raises(DataError, match="no bounds"):
        model_bounds(entered(tmp_path, {"hauberk": declared}), DIGEST)


def test_weights_that_are_no_safetensors_are_an_error(tmp_path: Path) -> None:
    home = Home.create(tmp_path)
    home.ledger.append("model", DIGEST, {"weights": home.store.put(b"\x80\x04\x95")}, at=1.0)
    with pytest.raises(DataError):
        model_bounds(home, DIGEST)


def test_the_world_refuses_what_nobody_signed(tmp_path: Path) -> None:
    home = Home.create(tmp_path)
    world = local_world(home)
    with pytest.raises(Untrusted):
        world.verify(home.store.put(b"a model"))


@pytest.mark.parametrize(
    ("quota", "share", "alone"),
    [
        ({}, {}, False),
        ({"rows_per_day": 5.0}, {}, True),
        ({"rows_per_day": 5.0, "backend": "sqlite"}, {}, True),
        ({"rows_per_day": 5.0, "backend": "sqlite"}, {"backend": "redis"}, True),
        ({"rows_per_day": 5.0, "backend": "sqlite"}, {"backend": "sqlite"}, False),
        ({"concurrent": 5, "backend": "redis"}, {}, False),
    ],
)
def test_a_replica_that_counts_for_itself_says_so(
    quota: dict[str, Any], share: dict[str, Any], alone: bool
) -> None:
    assert bool(counts_alone(parse_spec({"quota": quota, "share": share}))) == alone
