from typing import Any

import pytest
import torch

from hauberk.adapters.models.architectures import build
from hauberk.core.errors import ModelFormatError, UnknownNameError

IMAGE = {"in_shape": [1, 28, 28], "classes": 10}


@pytest.mark.parametrize(
    ("name", "params", "parameters"),
    [
        ("cnn", IMAGE, 896e0 - 576 + 18496 + 73856 + 802944 + 1290),
        ("cnn", {"in_shape": [3, 9, 17], "classes": 2, "widths": [4], "hidden": 3}, None),
        ("small-cnn", IMAGE, 312202),
        ("small-cnn", {"in_shape": [3, 32, 32], "classes": 43}, None),
        ("mlp", {"in_shape": [30], "classes": 2}, 30 * 128 + 128 + 128 * 64 + 64 + 64 * 2 + 2),
        ("mlp", {"in_shape": [1, 4, 4], "classes": 2, "widths": []}, 34),
    ],
)
def test_logits_have_the_declared_form(
    name: str, params: dict[str, Any], parameters: float | None
) -> None:
    module = build(name, params)
    x = torch.rand(3, *params["in_shape"])
    assert module(x).shape == (3, params["classes"])
    if parameters is not None:
        assert sum(p.numel() for p in module.parameters()) == parameters


def test_the_seed_decides_the_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        return torch.cat([p.flatten() for p in build("cnn", IMAGE, seed=seed).parameters()])

    torch.manual_seed(1)
    first = weights(5)
    torch.manual_seed(2)
    assert torch.equal(first, weights(5))
    assert not torch.equal(first, weights(6))


def test_without_a_seed_no_storage_is_taken() -> None:
    assert all(p.is_meta for p in build("cnn", IMAGE, seed=None).parameters())


def test_a_wrong_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        build("ccn", IMAGE)
    assert "'cnn'" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("cnn", {}),
        ("cnn", {**IMAGE, "in_shape": [28, 28]}),
        ("cnn", {**IMAGE, "in_shape": [1, 2, 2]}),
        ("cnn", {**IMAGE, "widths": []}),
        ("cnn", {**IMAGE, "widths": [2] * 9}),
        ("cnn", {**IMAGE, "classes": 0}),
        ("cnn", {**IMAGE, "hidden": 1.5}),
        ("small-cnn", {**IMAGE, "in_shape": [1, 12, 28]}),
        ("mlp", {**IMAGE, "widths": [1] * 17}),
        ("mlp", {**IMAGE, "in_shape": [65536, 65536]}),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(ModelFormatError):
        build(name, params)
