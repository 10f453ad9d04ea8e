from __future__ import annotations

import numpy as np
import pytest
import torch

from hauberk.core.errors import DataError, UnknownNameError, UserError
from hauberk.guard.calibration import Calibration
from hauberk.guard.fusion import Fusion
from hauberk.guard.pair import Drill, calibrate, look
from hauberk.guard.panel import SENSORS, Panel
from hauberk.guard.sensor import View
from hauberk.testing.sensor_checks import _linear

SHAPE = (3, 12, 12)
X = np.random.default_rng(0).random((400, *SHAPE), dtype=np.float32)
SERVED, TWIN = _linear(SHAPE, seed=100), _linear(SHAPE, seed=101)
LOUD = (X[:100] + 0.3 * np.sign(np.random.default_rng(1).normal(size=(100, *SHAPE)))).astype("f4")
DRILL = Drill(x=X[:100], hostile={"loud": LOUD})


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    return calibrate(SERVED, TWIN, X[100:], rng=np.random.default_rng(2), drill=DRILL)


def test_a_panel_comes_back_from_its_bytes(fitted: Calibration) -> None:
    again = Calibration.from_bytes(fitted.to_bytes())
    assert again.to_bytes() == fitted.to_bytes()
    assert again.panel is not None
    assert fitted.panel is not None
    view = look(SERVED, TWIN, LOUD)
    np.testing.assert_array_equal(again.panel.readings(view), fitted.panel.readings(view))
    assert tuple(again.panel.sensors) == SENSORS


def test_what_it_was_shown_gets_small_p_values_and_clean_traffic_does_not(
    fitted: Calibration,
) -> None:
    assert fitted.panel is not None
    for x, low, high in ((LOUD, 0.0, 0.1), (X[100:], 0.3, 1.0)):
        readings = fitted.panel.readings(look(SERVED, TWIN, x))
        _, benign = fitted.p_values(fitted.panel.score(readings))
        assert low <= np.median(benign) <= high
        hedges = fitted.p_hedges(readings)
        assert hedges.shape == (len(x), 1)
        assert ((hedges > 0) & (hedges <= 1)).all()


def test_the_surrogate_is_the_score(fitted: Calibration) -> None:
    panel = fitted.panel
    assert panel is not None
    exact = panel.score(panel.readings(look(SERVED, TWIN, LOUD)))
    x = torch.from_numpy(LOUD).double().requires_grad_()
    soft = panel.surrogate(look_soft(x))
    np.testing.assert_allclose(soft.detach().numpy(), exact, rtol=1e-2, atol=1e-2)
    (slope,) = torch.autograd.grad(soft.sum(), x)
    assert slope.isfinite().all()
    assert (slope != 0).any()


def look_soft(x: torch.Tensor) -> View:
    return View(x=x, primary=SERVED(x), twin=TWIN(x), ask=SERVED)


def test_a_hedge_of_a_sensor_that_is_not_there_is_refused(fitted: Calibration) -> None:
    from dataclasses import replace

    with pytest.raises(DataError, match="hedge"):
        replace(fitted, hedges=("squeezing",))


@pytest.mark.parametrize("names", [(), ("twin", "twin")])
def test_a_panel_needs_different_sensors(names: tuple[str, ...]) -> None:
    view = look(SERVED, TWIN, X[:50])
    with pytest.raises(UserError):
        Panel.fit(names, view, {}, {"loud": view})


def test_an_unknown_sensor_is_named_with_its_neighbour() -> None:
    view = look(SERVED, TWIN, X[:50])
    with pytest.raises(UnknownNameError, match="twim"):
        Panel.fit(("twim",), view, {}, {"loud": view})


def test_fusion_learns_a_product_and_weighs_the_worst_family() -> None:
    rng = np.random.default_rng(0)

    def cloud(noise: float, doubt: float) -> np.ndarray:
        return rng.normal(size=(300, 2)) * 0.3 + [noise, doubt]

    benign = [cloud(0, 0), cloud(3, 0), cloud(0, 3)]
    fusion = Fusion.fit(benign, [cloud(3, 3)])
    worst = max(np.quantile(fusion.score(part), 0.95) for part in benign)
    assert np.quantile(fusion.score(cloud(3, 3)), 0.2) > worst


@pytest.mark.parametrize(
    ("centre", "scale", "weights"),
    [(2, 2, 5), (2, 1, 6), (1, 1, 6)],
)
def test_fusion_of_other_sizes_is_refused(centre: int, scale: int, weights: int) -> None:
    with pytest.raises(DataError):
        Fusion(centre=np.zeros(centre), scale=np.ones(scale), weights=np.zeros(weights))


def test_nothing_to_learn_from() -> None:
    with pytest.raises(DataError):
        Fusion.fit([np.zeros((3, 2))], [])
