from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor

from hauberk.core.errors import DataError
from hauberk.evaluate.gauging import Traffic, _reach, draw, fit
from hauberk.evaluate.label_free import Atc, Cbpe, Doc
from hauberk.guard.boosting import Trees
from hauberk.guard.features import NAMES
from hauberk.guard.gauge import Gauge
from hauberk.guard.signals import SIGNALS, Window, signals
from hauberk.testing.monitor_checks import toy_calibration

CALIBRATION = toy_calibration(n=300)
RNG = np.random.default_rng


def kind(family: str, wrong: float, *, n: int = 400, seed: int = 0, blind: bool = False) -> Traffic:
    """Requests of which a share is wrong; unless blind, the twin disagrees on those."""
    rng = RNG(seed)
    right = rng.random(n) >= wrong
    seen = np.ones(n, dtype=bool) if blind else right
    score = rng.exponential(1.0, n) + 8.0 * ~seen
    p, p_benign = CALIBRATION.p_values(score)
    window = Window(
        agrees=seen,
        confidence=np.full(n, 0.95),
        score=score,
        p=p,
        p_benign=p_benign,
        p_twin=p_benign,
        features=rng.normal(size=(n, len(NAMES))),
    )
    return Traffic(family=family, window=window, right=right)


KINDS = {
    f"{family} {number}": kind(family, wrong, seed=number)
    for number, (family, wrong) in enumerate(
        (("noise", 0.2), ("blur", 0.4), ("fgsm", 0.9), ("pgd", 1.0), ("turned", 0.3))
    )
}


def fitted(**more: Traffic) -> Gauge:
    clean = kind("clean", 0.03, seed=99)
    drawn = draw(clean, {**KINDS, **more}, CALIBRATION, window=60, each=12, rng=RNG(1))
    return fit(drawn, window=60)


def test_the_accuracy_is_read_where_signals_show_it_even_of_a_family_left_out() -> None:
    gauge = fitted()
    assert gauge.error < 0.08
    assert gauge.blind == {}
    low = kind("new", 0.7, seed=5)
    value, (below, above) = gauge.estimate(signals(low.window, CALIBRATION))
    assert below <= low.right.mean() <= above
    assert abs(value - low.right.mean()) < 0.12


def test_what_no_signal_shows_is_named_a_blind_spot() -> None:
    gauge = fitted(quiet=kind("quiet", 0.9, blind=True, seed=8))
    assert "quiet" in gauge.blind
    truth, estimate = gauge.blind["quiet"]
    assert truth < estimate - 0.1
    assert gauge.below > 0.1  # and the interval says so


def test_the_interval_counts_families_and_holds_for_one_more() -> None:
    """Each family misses alike in all its windows: as many windows as one likes are one family."""
    rng, held = RNG(3), []
    for _ in range(400):
        miss = rng.normal(0, 0.1, 12)
        seen = np.repeat(miss[1:], 30)
        reach = _reach(seen, np.repeat([f"f{k}" for k in range(11)], 30))
        held.append(abs(miss[0]) <= reach)
    assert np.mean(held) >= 0.87
    assert _reach(np.array([-0.3, 0.1]), np.array(["a", "b"])) == pytest.approx(0.3)


def test_a_gauge_comes_back_from_its_bytes() -> None:
    gauge = fitted()
    again = Gauge.from_bytes(gauge.to_bytes())
    row = signals(KINDS["fgsm 2"].window, CALIBRATION)
    assert again.to_bytes() == gauge.to_bytes()
    assert again.estimate(row) == gauge.estimate(row)


def test_trees_predict_as_the_library_does() -> None:
    rng = RNG(0)
    x = rng.normal(size=(200, 6)).astype(np.float32)
    model = GradientBoostingRegressor(n_estimators=20, random_state=0).fit(x, x[:, 0] * x[:, 1])
    trees = Trees.of(model)
    ours = [trees(row.astype(np.float64)) for row in x]
    np.testing.assert_allclose(ours, model.predict(x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"left": np.array([0.0, 0, 0])},
        {"right": np.array([9.0, 0, 0])},
        {"roots": np.array([7.0])},
        {"value": np.array([0.0, np.nan, 0])},
        {"scalars": np.array([1.0])},
        {"threshold": np.array([0.0])},
    ],
    ids=lambda c: next(iter(c)),
)
def test_what_is_no_tree_is_refused(change: dict[str, np.ndarray]) -> None:
    good = {
        "roots": np.array([0.0]),
        "feature": np.array([0.0, -2, -2]),
        "threshold": np.array([0.5, 0, 0]),
        "left": np.array([1.0, 0, 0]),
        "right": np.array([2.0, 0, 0]),
        "value": np.array([0.0, 1, 2]),
        "scalars": np.array([0.0, 1.0]),
    }
    assert Trees.from_arrays(good)(np.array([0.4])) == 1.0
    with pytest.raises(DataError):
        Trees.from_arrays(good | change)


def test_confidence_estimates_are_right_on_clean_and_blind_to_confident_errors() -> None:
    rng = RNG(0)
    confidence = rng.uniform(0.5, 1.0, 4000)
    right = rng.random(4000) < confidence
    for maker in (Cbpe, Atc, Doc):
        estimate = maker.fit(confidence, right)
        assert estimate(confidence) == pytest.approx(right.mean(), abs=0.02)
        assert estimate(np.full(500, 0.99)) > 0.85


def test_signals_have_names() -> None:
    assert len(signals(KINDS["pgd 3"].window, CALIBRATION)) == len(SIGNALS) == 32
