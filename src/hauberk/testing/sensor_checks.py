"""What every sensor must hold; for authors of sensors too.

Each suite maps a name to a check; a check takes the sensor's class, and raises AssertionError
where the sensor falls short::

    @pytest.mark.parametrize("check", sensor_checks().values(), ids=sensor_checks())
    def test_my_sensor(check):
        check(MySensor)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hauberk.core.errors import DataError
from hauberk.guard.sensor import View

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.guard.sensor import Sensor

SensorCheck = Callable[[Any], None]
CLASSES = 5


def sensor_checks() -> dict[str, SensorCheck]:
    """The checks of a :class:`hauberk.guard.sensor.Sensor`."""
    return {
        "one-finite-score-each": _scores,
        "a-row-does-not-matter-to-another": _independent,
        "repeats": _repeats,
        "leaves-the-input-alone": _pure,
        "comes-back-from-its-parts": _rebuilt,
        "surrogate-is-the-score": _surrogate,
        "surrogate-has-a-gradient": _gradient,
        "takes-vectors": _vectors,
        "refuses-nan": _nan,
    }


def toy_view(n: int = 24, *, shape: tuple[int, ...] = (3, 12, 12), seed: int = 0) -> View:
    """A view of random inputs by two linear models of 5 classes."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, *shape), dtype=np.float32)
    served, twin = (_linear(shape, seed=one) for one in (100, 101))
    return View(x=x, primary=served(x), twin=twin(x), ask=served)


def fitted(kind: Any) -> Sensor:
    """A sensor as a panel would make it."""
    made: Sensor = kind.fit(toy_view(200, seed=1)) if hasattr(kind, "fit") else kind()
    return made


def _linear(shape: tuple[int, ...], *, seed: int) -> Callable[[Any], Any]:
    weights = np.random.default_rng(seed).normal(size=(int(np.prod(shape)), CLASSES))
    weights = (weights * 3 / np.sqrt(len(weights))).astype(np.float32)

    def answer(x: Any) -> Any:
        flat = x.reshape(x.shape[0], -1)
        return flat @ (weights if isinstance(x, np.ndarray) else x.new_tensor(weights))

    return answer


def _expect(*, holds: bool, that: str) -> None:
    if not holds:
        raise AssertionError(that)


def _scores(kind: Any) -> None:
    scores = fitted(kind).score(toy_view())
    _expect(holds=scores.shape == (24,), that=f"scores of shape {scores.shape}")
    _expect(holds=bool(np.isfinite(scores).all()), that="a score is not finite")
    _expect(holds=len(np.unique(scores)) > 1, that="every input gets the same score")


def _independent(kind: Any) -> None:
    sensor, view = fitted(kind), toy_view()
    half = View(x=view.x[:7], primary=view.primary[:7], twin=view.twin[:7], ask=view.ask)
    close = np.allclose(sensor.score(view)[:7], sensor.score(half), rtol=1e-5, atol=1e-6)
    _expect(holds=close, that="a score depends on the other rows")


def _repeats(kind: Any) -> None:
    one, two = fitted(kind), fitted(kind)
    same = np.array_equal(one.score(toy_view()), two.score(toy_view()))
    _expect(holds=same, that="the same input gets another score")


def _pure(kind: Any) -> None:
    view = toy_view()
    before = [array.copy() for array in (view.x, view.primary, view.twin)]
    fitted(kind).score(view)
    after = (view.x, view.primary, view.twin)
    same = all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    _expect(holds=same, that="the input was changed")


def _rebuilt(kind: Any) -> None:
    sensor = fitted(kind)
    parts = {k: np.ascontiguousarray(v, dtype="<f8") for k, v in sensor.parts().items()}
    again = kind.of(parts)
    same = np.array_equal(sensor.score(toy_view()), again.score(toy_view()))
    _expect(holds=same, that="its parts give another sensor")


def _tensors(view: View, *, slope: bool = False) -> View:
    x = torch.from_numpy(view.x).double().requires_grad_(slope)
    served, twin = (_linear(view.x.shape[1:], seed=one) for one in (100, 101))
    return View(x=x, primary=served(x), twin=twin(x), ask=served)


def _surrogate(kind: Any) -> None:
    sensor, view = fitted(kind), toy_view()
    exact, soft = sensor.score(view), sensor.surrogate(_tensors(view)).detach().numpy()
    close = np.allclose(exact, soft, rtol=1e-3, atol=1e-4)
    _expect(holds=close, that="the surrogate is another function than the score")


def _gradient(kind: Any) -> None:
    view = _tensors(toy_view(), slope=True)
    (slope,) = torch.autograd.grad(fitted(kind).surrogate(view).sum(), view.x)
    useful = bool(slope.isfinite().all() and (slope != 0).any())
    _expect(holds=useful, that="the surrogate has no useful gradient")


def _vectors(kind: Any) -> None:
    learned = toy_view(200, shape=(30,), seed=1)
    sensor = kind.fit(learned) if hasattr(kind, "fit") else kind()
    scores: NDArray[np.float64] = sensor.score(toy_view(shape=(30,)))
    _expect(holds=bool(np.isfinite(scores).all()), that="no score of a vector")


def _nan(kind: Any) -> None:
    sensor, view = fitted(kind), toy_view()
    for x, primary in ((view.x * np.nan, view.primary * np.nan), (view.x * np.nan, view.primary)):
        bad = View(x=x.astype(np.float32), primary=primary, twin=view.twin, ask=view.ask)
        with np.errstate(invalid="ignore"):
            try:
                scores = sensor.score(bad)
            except DataError:
                continue
        _expect(holds=bool(np.isfinite(scores).all()), that="NaN became a score")
