from __future__ import annotations

import numpy as np
import pytest
import torch

from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.cost import costs
from hauberk.adapters.models.smaller import smaller
from hauberk.adapters.models.torch_model import Architecture
from hauberk.core.errors import UserError

SHAPE = {"in_shape": [1, 28, 28], "classes": 10}


@pytest.mark.parametrize("name", ["cnn", "mlp"])
def test_half_the_width_is_a_network_of_the_same_kind_that_costs_less(name: str) -> None:
    whole = Architecture(name, SHAPE)
    half = smaller(whole, 0.5)
    assert half.name == name
    modules = [build(one.name, one.params) for one in (half, whole)]
    assert modules[0](torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    small, large = costs(modules, (1, 28, 28), times=3)
    shares = small.share(large)
    assert 0 < shares["parameters_share"] < 0.6
    assert 0 < shares["flops_share"] < 0.7
    assert small.ms > 0
    assert costs([build(name, smaller(whole, 1.0).params)], (1, 28, 28), times=1)[0].flops == (
        large.flops
    )


def test_given_widths_are_reduced_and_none_vanishes() -> None:
    few = smaller(Architecture("mlp", {**SHAPE, "widths": [3, 1]}), 0.2)
    assert few.params["widths"] == [1, 1]


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(UserError, match="share"):
        smaller(Architecture("mlp", SHAPE), share)


def test_an_architecture_without_a_width_is_refused() -> None:
    with pytest.raises(UserError, match="no width to reduce"):
        smaller(Architecture("small-cnn", SHAPE), 0.5)


def test_operations_are_counted_of_one_sample() -> None:
    (one,) = costs([build("mlp", {**SHAPE, "widths": [16]})], (1, 28, 28), times=1)
    assert one.flops == 2 * (784 * 16 + 16 * 10)
    assert one.parameters == 784 * 16 + 16 + 16 * 10 + 10
    assert np.isfinite(one.ms)
