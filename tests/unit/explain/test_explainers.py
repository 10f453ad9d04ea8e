from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from hauberk.core.errors import DataError, UserError
from hauberk.core.registry import BUILT_IN, find
from hauberk.explain.attribution import stability
from hauberk.explain.grid import parts
from hauberk.explain.picture import nearest, picture

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = list(BUILT_IN["explain"])


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    state = torch.random.get_rng_state()
    yield
    assert torch.equal(torch.random.get_rng_state(), state)  # nothing ambient was touched


def corner() -> nn.Module:
    """A network whose first logit looks at the upper left quarter alone."""
    weight = torch.zeros(2, 2, 12, 12)
    weight[0, 0, :6, :6] = 1.0
    weight[1, 1, 6:, 6:] = 1.0
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        conv, dense = nn.Conv2d(1, 2, 3, padding=1), nn.Linear(2 * 144, 2)
        conv.weight.fill_(0.1)
        conv.bias.zero_()  # type: ignore[union-attr]
        dense.weight.copy_(weight.reshape(2, -1))
        dense.bias.zero_()
    return nn.Sequential(conv, nn.ReLU(), nn.Flatten(), dense).eval()


X = torch.from_numpy(np.random.default_rng(0).random((1, 1, 12, 12), dtype=np.float32))


def small(name: str) -> Any:
    kind = find("explain", name)
    few = {
        "kernel-shap": {"side": 4, "samples": 80},
        "lime": {"side": 4, "samples": 80},
        "occlusion": {"side": 3},
    }
    return kind(**few.get(name, {}))


@pytest.mark.parametrize("name", NAMES)
def test_what_counted_is_found_in_the_shape_of_the_input(name: str) -> None:
    found = small(name)(corner(), X, 0, seed=1)
    assert found.values.shape == (1, 12, 12)
    assert found.method == name
    if name == "grad-cam":  # weighs whole channels, and both see the whole input here
        return
    inside = np.abs(found.values[0, :6, :6]).mean()
    assert inside > 3 * np.abs(found.values[0, 7:, 7:]).mean()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_values(name: str) -> None:
    one, two = (small(name)(corner(), X, 0, seed=7).values for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_sums_are_held_against_what_the_logit_gained() -> None:
    for name in ("integrated-gradients", "kernel-shap"):
        error = small(name)(corner(), X, 0, seed=1).completeness
        assert error is not None
        assert error < 0.05
    assert small("saliency")(corner(), X, 0, seed=1).completeness is None


def test_a_smooth_model_is_explained_alike_under_noise_and_chance_is_not() -> None:
    class Chance:
        def __call__(self, module: nn.Module, x: torch.Tensor, target: int, /, *, seed: int) -> Any:
            from hauberk.explain.attribution import Attribution

            rng = np.random.default_rng(int(x.double().sum().item() * 1e6))
            values = rng.random(tuple(x.shape[1:]))
            return Attribution(method="chance", target=target, values=values)

    firm = stability(small("integrated-gradients"), corner(), X, 0, seed=0)
    assert firm > 0.9
    assert abs(stability(Chance(), corner(), X, 0, seed=0)) < 0.3


def test_vectors_are_explained_by_what_does_not_need_images() -> None:
    with torch.random.fork_rng(devices=[]):
        dense = nn.Sequential(nn.Linear(6, 2)).eval()
    x = torch.ones(1, 6)
    for name in ("saliency", "integrated-gradients", "occlusion", "kernel-shap", "lime"):
        assert find("explain", name)()(dense, x, 1, seed=0).values.shape == (6,)
    with pytest.raises(UserError, match="convolution"):
        find("explain", "grad-cam")()(dense, x, 1, seed=0)


def test_parts_are_dense_blocks() -> None:
    found = parts(torch.zeros(1, 3, 5, 9), 4)
    assert found.shape == (1, 3, 5, 9)
    assert sorted(set(found.ravel().tolist())) == list(range(int(found.max()) + 1))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("kernel-shap", {"samples": 2}),
        ("lime", {"side": 0}),
        ("occlusion", {"side": 1}),
        ("integrated-gradients", {"steps": 1}),
    ],
)
def test_refuses_senseless_settings(name: str, wrong: dict[str, int]) -> None:
    with pytest.raises(UserError):
        find("explain", name)(**wrong)


def test_a_case_is_one_picture() -> None:
    x = X[0].numpy()
    among = np.stack([x + 0.5, x, x + 0.1]).astype(np.float32)
    assert nearest(x, among, 2).tolist() == [1, 2]
    made = picture(x, among[:2], [x.astype(np.float64), -x.astype(np.float64)])
    assert made.shape == (96, 5 * 96 + 4 * 4, 3)
    assert made.dtype == np.uint8
    red, blue = made[:, -2 * 96 - 4 : -96 - 4], made[:, -96:]
    assert red[..., 0].sum() > red[..., 2].sum()
    assert blue[..., 2].sum() > blue[..., 0].sum()
    with pytest.raises(DataError):
        picture(np.zeros(4, dtype=np.float32), among, [])
