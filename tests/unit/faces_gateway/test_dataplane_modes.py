from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hauberk.core.ports import Routing
from hauberk.guard.twin import TwinDivergence
from hauberk.testing.asking import OPERATOR, ask, json_body
from hauberk.testing.gateway_bench import HIGHEST, SHAPE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.testing.gateway_bench import Bench


class Fails:
    """A model that warms up and then fails, by an error or by NaN."""

    input_shape, classes = SHAPE, 3

    def __init__(self, how: str) -> None:
        self.how, self.calls = how, 0

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        self.calls += 1
        out = np.zeros((len(x), 3), np.float32)
        if self.calls > 1 and self.how == "error":
            raise RuntimeError("secret detail")
        if self.calls > 1:
            out[0, 1] = np.nan if self.how == "nan" else np.inf
        return out


def logits(bench: Bench, digest: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return bench.world.start((bench.world.folder / digest).read_bytes())(x)


def suspects(bench: Bench, x: NDArray[np.float32]) -> NDArray[np.bool_]:
    pair = (logits(bench, bench.primary, x), logits(bench, bench.twin, x))
    return TwinDivergence().score(*pair) > HIGHEST


def parts(response: Any) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    assert response.status_code == 200, response.text
    body = response.json()
    outputs = {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in body["outputs"]}
    return body["parameters"], outputs


def test_normally_the_primary_answers_and_the_suspect_rows_are_flagged(
    bench: Bench, rows: NDArray[np.float32]
) -> None:
    wanted = [{"name": name} for name in ("label", "logits", "probabilities")]
    parameters, outputs = parts(bench.infer(rows, id="r", outputs=wanted))
    expected = logits(bench, bench.primary, rows)
    assert list(outputs) == ["label", "logits", "probabilities"]
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-6)
    np.testing.assert_array_equal(outputs["label"], expected.argmax(1))
    np.testing.assert_allclose(outputs["probabilities"].sum(1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(outputs["probabilities"].argmax(1), expected.argmax(1))
    suspect = suspects(bench, rows)
    assert 0 < suspect.sum() < len(rows), "the bench must hold both kinds"
    assert parameters == {
        "hauberk_outcome": "flag",
        "hauberk_digest": bench.primary,
        "hauberk_route": "primary",
    }
    records = bench.records()
    assert [r.outcome == "flag" for r in records] == suspect.tolist()
    assert [r.seq for r in records] == list(range(1, len(rows) + 1))
    assert records[3].id == "r/3"
    assert [r.twin_label for r in records] == logits(bench, bench.twin, rows).argmax(1).tolist()
    assert all(r.route == "primary" and r.digest == bench.primary for r in records)
    assert all(r.principal == "alice" and len(r.features) == 12 for r in records)
    assert all(r.p_benign is not None and r.score is not None for r in records)


def test_one_row_keeps_the_clients_id_and_an_absent_id_is_made(
    bench: Bench, rows: NDArray[np.float32]
) -> None:
    assert bench.infer(rows[:1], id="mine").json()["id"] == "mine"
    made = bench.infer(rows[:1]).json()["id"]
    assert len(made) == 32
    assert [record.id for record in bench.records()] == ["mine", made]


def test_the_suspicion_never_leaves(bench: Bench, rows: NDArray[np.float32]) -> None:
    response = bench.infer(rows)
    assert set(response.json()["parameters"]) == {
        "hauberk_outcome",
        "hauberk_digest",
        "hauberk_route",
    }
    told = response.text + str(response.headers)
    for record in bench.records():
        assert str(record.score) not in told


def test_contained_the_twin_answers_and_the_suspicion_flows_on(
    bench: Bench, rows: NDArray[np.float32]
) -> None:
    bench.gateway.pool.arrange(bench.routing(mode="contained"))
    parameters, outputs = parts(bench.infer(rows))
    np.testing.assert_allclose(outputs["logits"], logits(bench, bench.twin, rows), rtol=1e-6)
    assert (parameters["hauberk_route"], parameters["hauberk_digest"]) == ("twin", bench.twin)
    for record in bench.records():
        assert record.label == record.twin_label
        assert record.p_benign is not None


def test_in_abstain_mode_a_suspect_row_gets_no_answer(
    bench: Bench, rows: NDArray[np.float32]
) -> None:
    bench.gateway.pool.arrange(bench.routing(mode="abstain"))
    suspect = suspects(bench, rows)
    parameters, outputs = parts(bench.infer(rows, outputs=[{"name": "logits"}]))
    assert list(outputs) == ["label"]
    expected = np.where(suspect, -1, logits(bench, bench.primary, rows).argmax(1))
    np.testing.assert_array_equal(outputs["label"], expected)
    assert parameters["hauberk_outcome"] == "abstain"
    clean = rows[~suspect]
    parameters, outputs = parts(bench.infer(clean, outputs=[{"name": "logits"}]))
    assert list(outputs) == ["logits"]
    assert parameters["hauberk_outcome"] == "pass"
    records = bench.records()
    assert [r.outcome for r in records[: len(rows)]] == [
        "abstain" if s else "pass" for s in suspect
    ]
    assert all(r.label >= 0 for r in records), "the log keeps what the model would have said"


@pytest.mark.parametrize("without", [{"calibration": None}, {"twin": None, "calibration": None}])
def test_in_abstain_mode_what_cannot_be_screened_gets_no_answer(
    bench: Bench, rows: NDArray[np.float32], without: dict[str, None]
) -> None:
    bench.gateway.pool.arrange(bench.routing(mode="abstain", **without))
    _, outputs = parts(bench.infer(rows))
    assert (outputs["label"] == -1).all()


def test_without_a_twin_there_is_no_suspicion_and_no_flag(
    bench: Bench, rows: NDArray[np.float32]
) -> None:
    bench.gateway.pool.arrange(Routing(primary=bench.primary))
    parameters, _ = parts(bench.infer(rows))
    assert parameters["hauberk_outcome"] == "pass"
    assert all(r.p_benign is None and r.twin_label is None for r in bench.records())


@pytest.mark.parametrize("mode", ["normal", "contained", "abstain"])
def test_the_canary_gets_its_share_whatever_the_mode(
    bench: Bench, rows: NDArray[np.float32], mode: str
) -> None:
    share = 0.25
    bench.gateway.pool.arrange(bench.routing(canary=bench.canary, canary_share=share, mode=mode))
    n = 400
    for number in range(n):
        bench.infer(rows[:1], id=f"r{number}")
    records = bench.records()
    canary = [r for r in records if r.route == "canary"]
    assert abs(len(canary) / n - share) < 4 * np.sqrt(share * (1 - share) / n)
    assert {r.digest for r in canary} == {bench.canary}
    expected = logits(bench, bench.canary, rows[:1]).argmax(1)[0]
    assert {r.label for r in canary} == {expected}
    rest = {r.route for r in records} - {"canary"}
    assert rest == {"twin" if mode == "contained" else "primary"}
    assert len({(r.score, r.p_benign) for r in records}) == 1, "suspicion is of the pair alone"


def test_clients_cannot_foresee_the_canary(bench: Bench, tmp_path_factory: Any) -> None:
    from hauberk.faces.gateway.dataplane import _share

    assert _share(b"a", "id") == _share(b"a", "id")
    assert _share(b"a", "id") != _share(b"b", "id")
    assert len(bench.gateway.app.plane.key) == 32


@pytest.mark.parametrize(("share", "route"), [(0.0, "primary"), (1.0, "canary")])
def test_the_ends_of_the_share(
    bench: Bench, rows: NDArray[np.float32], share: float, route: str
) -> None:
    bench.gateway.pool.arrange(bench.routing(canary=bench.canary, canary_share=share))
    routes = {parts(bench.infer(rows[:1]))[0]["hauberk_route"] for _ in range(50)}
    assert routes == {route}


@pytest.mark.parametrize("how", ["error", "nan", "inf"])
def test_a_canary_that_fails_is_recorded_and_stood_in_for(
    bench: Bench, rows: NDArray[np.float32], how: str
) -> None:
    bad = bench.world.add(b"bad" + how.encode(), Fails(how))
    bench.gateway.pool.arrange(bench.routing(canary=bad, canary_share=1.0))
    parameters, _ = parts(bench.infer(rows[:1]))
    assert parameters["hauberk_digest"] == bench.primary
    refused, answered = bench.records()
    assert (refused.outcome, refused.route, refused.digest) == ("refuse", "canary", bad)
    assert (answered.outcome != "refuse", answered.digest) == (True, bench.primary)


def test_a_primary_that_fails_is_a_500_without_a_detail(
    bench: Bench, rows: NDArray[np.float32]
) -> None:
    bad = bench.world.add(b"bad", Fails("error"))
    bench.gateway.pool.arrange(Routing(primary=bad))
    response = bench.infer(rows[:1])
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "RuntimeError" not in response.text
    assert [record.outcome for record in bench.records()] == ["refuse"]


def test_a_twin_that_fails_leaves_the_answer_and_takes_the_suspicion(
    bench: Bench, rows: NDArray[np.float32]
) -> None:
    bad = bench.world.add(b"bad", Fails("nan"))
    bench.gateway.pool.arrange(bench.routing(twin=bad))
    assert parts(bench.infer(rows[:1]))[0]["hauberk_digest"] == bench.primary
    (record,) = bench.records()
    assert record.p_benign is None


def test_metadata_says_what_is_served(bench: Bench) -> None:
    meta = ask(bench.gateway, "GET", "/v2/models/m").json()
    version = bench.primary.removeprefix("sha256:")[:12]
    assert meta["versions"] == [version]
    assert meta["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, *SHAPE]}]
    assert [output["name"] for output in meta["outputs"]] == ["logits", "label", "probabilities"]
    path = f"/v2/models/m/versions/{version}"
    assert ask(bench.gateway, "GET", path).json() == meta
    assert ask(bench.gateway, "GET", f"{path}/ready").status_code == 200
    assert ask(bench.gateway, "POST", f"{path}/infer", json={}).status_code == 400
    twin = bench.twin.removeprefix("sha256:")[:12]
    assert ask(bench.gateway, "GET", f"/v2/models/m/versions/{twin}").status_code == 404


def test_the_servers_metadata_carries_the_consent(bench: Bench) -> None:
    assert "hauberk_consent" not in ask(bench.gateway, "GET", "/v2").json()
    object.__setattr__(bench.gateway.app.plane, "consent", "signed")
    assert ask(bench.gateway, "GET", "/v2").json()["hauberk_consent"] == "signed"


def test_metrics_count_what_happened(bench: Bench, rows: NDArray[np.float32]) -> None:
    bench.infer(rows)
    ask(bench.gateway, "POST", "/v2/models/m/infer", json=json_body(rows * 5))
    page = ask(bench.gateway, "GET", "/metrics", token=OPERATOR).text
    flagged = int(suspects(bench, rows).sum())
    assert f'hauberk_rows_total{{outcome="flag",route="primary"}} {flagged}.0' in page
    assert 'hauberk_requests_total{code="200",route="primary"} 1.0' in page
    assert 'hauberk_requests_total{code="400",route="none"} 1.0' in page
    assert f"hauberk_benign_p_count {len(rows)}.0" in page
    assert "hauberk_request_seconds_count 2.0" in page
    assert "hauberk_ready 1.0" in page
    short = bench.twin.removeprefix("sha256:")[:12]
    assert f'hauberk_served{{digest="{short}",mode="normal",part="twin"}} 1.0' in page
