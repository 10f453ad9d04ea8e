from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.errors import DataError
from hauberk.guard import band
from hauberk.guard.calibration import Calibration
from hauberk.guard.features import NAMES
from hauberk.guard.packing import pack, unpack
from hauberk.testing.monitor_checks import toy_calibration

CALIBRATION = toy_calibration(n=270)
SCORES = np.random.default_rng(5).exponential(1.0, 100_000)


def test_p_values_hold_on_fresh_clean_scores() -> None:
    p, p_benign = CALIBRATION.p_values(SCORES)
    for level in CALIBRATION.levels:
        assert (p <= level).mean() <= level
        assert (p_benign <= level).mean() <= level
    # Of the right size too: within the band, not far below it.
    middle = CALIBRATION.levels[-4]
    assert (p <= middle).mean() > middle - 0.2


def test_benign_p_values_hold_under_the_family_where_clean_ones_do_not() -> None:
    turned = np.random.default_rng(6).exponential(1.5, 100_000)
    p, p_benign = CALIBRATION.p_values(turned)
    assert any((p <= level).mean() > level for level in CALIBRATION.levels)
    for level in CALIBRATION.levels:
        assert (p_benign <= level).mean() <= level


def test_an_extreme_score_has_the_smallest_p_value_and_a_low_one_has_one() -> None:
    p, p_benign = CALIBRATION.p_values(np.array([1e9, np.inf, 0.0, -np.inf]))
    np.testing.assert_array_equal(p, [CALIBRATION.levels[0]] * 2 + [1.0] * 2)
    np.testing.assert_array_equal(p_benign, p)


def test_a_score_equal_to_a_threshold_is_not_beyond_it() -> None:
    top = CALIBRATION.clean[:1]
    assert CALIBRATION.p_values(top)[0] == CALIBRATION.levels[1]
    assert CALIBRATION.p_values(np.nextafter(top, np.inf))[0] == CALIBRATION.levels[0]


def test_constant_scores_are_never_suspect() -> None:
    same = np.full(100, 0.25)
    features = np.zeros((100, len(NAMES)))
    calibration = Calibration.fit(same, {"x": same}, features, agreeing=100)
    np.testing.assert_array_equal(calibration.p_values(same), 1.0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_benign_is_the_largest_over_the_families_and_p_falls_with_the_score(
    scores: list[float],
) -> None:
    s = np.sort(np.array(scores))
    p, p_benign = CALIBRATION.p_values(s)
    turned = replace(
        CALIBRATION, clean=CALIBRATION.shifted[0], families=(), shifted=CALIBRATION.shifted[:0]
    )
    np.testing.assert_array_equal(p_benign, np.maximum(p, turned.p_values(s)[0]))
    assert (np.diff(p) <= 0).all()
    assert (np.diff(p_benign) <= 0).all()
    np.testing.assert_array_equal(np.concatenate([CALIBRATION.p_values(s[i : i + 1])[0]
                                                  for i in range(len(s))]), p)  # fmt: skip


def test_refuses_a_score_that_is_nan() -> None:
    with pytest.raises(DataError, match="NaN"):
        CALIBRATION.p_values(np.array([0.1, np.nan]))


def test_round_trip_is_exact_and_bytes_are_the_same() -> None:
    data = CALIBRATION.to_bytes()
    again = Calibration.from_bytes(data)
    assert again.to_bytes() == data == toy_calibration(n=270).to_bytes()
    for field in fields(Calibration):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(CALIBRATION, field.name))
    np.testing.assert_array_equal(again.p_values(SCORES), CALIBRATION.p_values(SCORES))


def test_agreement() -> None:
    assert CALIBRATION.agreement == (270 - 13) / 270


KEYS = tuple(f.name for f in fields(Calibration))[4:11]


def changed(facts: dict[str, Any] | None = None, **arrays: Any) -> bytes:
    good_facts, good_arrays = unpack(CALIBRATION.to_bytes(), KEYS)
    return pack(good_facts | (facts or {}), good_arrays | arrays)


MALFORMED = {
    "garbage": b"\x80\x04N.",
    "version": changed({"version": 2}),
    "unknown fact": changed({"more": 1}),
    "other features": changed({"features": ["mean"]}),
    "family that is no text": changed({"families": [3]}),
    "family missing": changed({"families": []}),
    "delta": changed({"delta": 1.5}),
    "n": changed({"n": 3}),
    "vast n": changed({"n": 10**30}),
    "another n": changed({"n": 4000}),
    "agreeing": changed({"agreeing": 271}),
    "rising thresholds": changed(clean=CALIBRATION.clean[::-1]),
    "falling levels": changed(levels=CALIBRATION.levels[::-1]),
    "levels of 0": changed(levels=CALIBRATION.levels * 0),
    "levels above 1": changed(levels=CALIBRATION.levels * 2),
    "nan": changed(feature_low=CALIBRATION.feature_low * np.nan),
    "infinity": changed(clean=np.where(CALIBRATION.clean > 4, np.inf, CALIBRATION.clean)),
    "too few levels": changed(levels=CALIBRATION.levels[:-1]),
    "flat": changed(feature_high=CALIBRATION.feature_high.ravel()),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_refuses_a_malformed_blob(data: bytes) -> None:
    with pytest.raises(DataError):
        Calibration.from_bytes(data)


def fit(**wrong: Any) -> Calibration:
    rng = np.random.default_rng(0)
    parts: dict[str, Any] = {
        "clean": rng.random(50),
        "shifted": {"a": rng.random(50)},
        "features": rng.random((50, len(NAMES))),
        "agreeing": 50,
        **wrong,
    }
    return Calibration.fit(**parts)


@pytest.mark.parametrize(
    "wrong",
    [
        {"clean": np.zeros(19), "shifted": {}, "features": np.zeros((19, len(NAMES)))},
        {"clean": np.zeros(51)},
        {"clean": np.full(50, np.nan)},
        {"shifted": {"a": np.zeros(49)}},
        {"shifted": {"a": np.full(50, np.inf)}},
        {"features": np.zeros((50, 3))},
        {"features": np.full((50, len(NAMES)), np.nan)},
        {"agreeing": 51},
        {"agreeing": -1},
        {"delta": 0.0},
    ],
    ids=str,
)
def test_fit_refuses_what_does_not_fit(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        fit(**wrong)


def test_fit_without_families_has_one_p_value() -> None:
    p, p_benign = fit(shifted={}).p_values(np.linspace(0, 1, 20))
    np.testing.assert_array_equal(p, p_benign)


def test_feature_thresholds_bound_both_tails_at_once() -> None:
    fresh = np.random.default_rng(8).normal(size=(100_000, len(NAMES)))
    for k in range(len(NAMES)):
        for level, low, high in zip(
            CALIBRATION.feature_levels,
            CALIBRATION.feature_low[k],
            CALIBRATION.feature_high[k],
            strict=True,
        ):
            assert (fresh[:, k] > high).mean() <= level
            assert (fresh[:, k] < low).mean() <= level


def test_a_smaller_delta_gives_larger_p_values() -> None:
    assert (fit(delta=0.01).levels > fit(delta=0.2).levels).all()
    assert len(fit().levels) == len(band.ranks(50))
