from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hauberk.core.errors import ConfigError
from hauberk.core.spec import TraceSpec
from hauberk.faces.gateway import traces as module
from hauberk.faces.gateway.traces import Traces, traces
from hauberk.testing.asking import CLIENT, ask, json_body
from hauberk.testing.gateway_bench import SHAPE, Bench

if TYPE_CHECKING:
    from pathlib import Path

sdk: Any = pytest.importorskip("opentelemetry.sdk.trace", reason="the trace extra is absent")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
X = np.full((1, *SHAPE), 0.5, np.float32)


def traced(bench: Bench) -> Any:
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), sdk.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    bench.gateway.app.traces = Traces(provider)
    return exporter


def test_off_by_default_and_nothing_is_imported(tmp_path: Path) -> None:
    assert Bench.make(tmp_path).gateway.app.traces is None
    assert traces(TraceSpec(), "m") is None


def test_a_request_is_a_span_under_its_clients(tmp_path: Path) -> None:
    bench = Bench.make(tmp_path)
    exporter = traced(bench)
    headers = {"traceparent": PARENT}
    path = "/v2/models/m/infer"
    assert ask(bench.gateway, "POST", path, json=json_body(X), headers=headers).status_code == 200
    assert ask(bench.gateway, "POST", path, json=json_body(X), token=None).status_code == 401
    good, refused = exporter.get_finished_spans()
    assert good.name == "POST /v2/models/{model}/infer"
    assert f"{good.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{good.parent.span_id:016x}" == PARENT.split("-")[2]
    assert good.attributes["http.response.status_code"] == 200
    assert good.attributes["hauberk.outcome"] == "pass"
    assert good.attributes["hauberk.action"] == "infer"
    assert refused.parent is None
    assert refused.attributes["http.response.status_code"] == 401
    told = " ".join(str(span.to_json()) for span in (good, refused))
    assert CLIENT not in told
    assert "alice" not in told


@pytest.mark.parametrize("parent", ["", "00-zz", "x" * 4000])
def test_a_wrong_parent_is_passed_over(tmp_path: Path, parent: str) -> None:
    bench = Bench.make(tmp_path)
    exporter = traced(bench)
    headers = {"traceparent": parent}
    assert ask(bench.gateway, "GET", "/v2/health/live", headers=headers).status_code == 200
    assert exporter.get_finished_spans()[0].parent is None


def test_a_collector_that_is_down_holds_nobody_up(tmp_path: Path) -> None:
    bench = Bench.make(tmp_path)
    made = traces(TraceSpec(endpoint="http://127.0.0.1:9/v1/traces", share=1.0), "m")
    assert made is not None
    bench.gateway.app.traces = made
    assert bench.infer(X).status_code == 200


def test_without_the_extra_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(module, "import_module", absent)
    with pytest.raises(ConfigError, match="not installed") as caught:
        traces(TraceSpec(endpoint="http://x"), "m")
    assert "hauberk[trace]" in caught.value.hint
