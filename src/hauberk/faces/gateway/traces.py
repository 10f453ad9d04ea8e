"""Traces: a span a request, by OpenTelemetry; off unless a collector is named, and free then."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hauberk import __version__
from hauberk.core.errors import ConfigError

if TYPE_CHECKING:
    from hauberk.core.spec import TraceSpec
    from hauberk.faces.gateway.exchange import Answer, Call

_ID = "hauberk.id"


class Traces:
    """Spans of kind server, with the client's own as their parent if it sent ``traceparent``.

    Neither payloads nor tokens nor names of principals are in them. ``provider`` is an
    OpenTelemetry tracer provider; it is closed with the traces.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("hauberk.gateway", __version__)
        propagation: Any = import_module("opentelemetry.trace.propagation.tracecontext")
        self._context = propagation.TraceContextTextMapPropagator()
        self._kinds: Any = import_module("opentelemetry.trace")

    def begin(self, call: Call) -> Any:
        """A span for a call."""
        parent = call.headers.one(b"traceparent")
        carrier = {} if parent is None else {"traceparent": parent.decode("latin-1")[:64]}
        return self._tracer.start_span(
            f"{call.method} {_route(call.path)}",
            context=self._context.extract(carrier),
            kind=self._kinds.SpanKind.SERVER,
        )

    def end(self, span: Any, call: Call, answer: Answer) -> None:
        """Say what came of it."""
        if span.is_recording():
            span.set_attribute("http.request.method", call.method)
            span.set_attribute("http.response.status_code", answer.status.value)
            span.set_attribute("hauberk.action", call.action or "none")
            if call.model:
                span.set_attribute("hauberk.model", call.model[:256])
            if answer.told is not None:
                span.set_attribute(_ID, answer.told.id)
                for name, value in answer.told.parameters.items():
                    span.set_attribute(name.replace("_", ".", 1), value)
            if answer.status.value >= 500:
                span.set_status(self._kinds.StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def traces(spec: TraceSpec, service: str) -> Traces | None:
    """What a spec asks for; None without a collector.

    Raises:
        ConfigError: if OpenTelemetry is not installed.
    """
    if not spec.endpoint:
        return None
    try:
        sdk: Any = import_module("opentelemetry.sdk.trace")
        export: Any = import_module("opentelemetry.sdk.trace.export")
        sampling: Any = import_module("opentelemetry.sdk.trace.sampling")
        resources: Any = import_module("opentelemetry.sdk.resources")
        otlp: Any = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError:
        raise ConfigError(
            "OpenTelemetry is not installed",
            where="trace.endpoint",
            hint="pip install 'hauberk[trace]'",
        ) from None
    provider = sdk.TracerProvider(
        sampler=sampling.ParentBased(sampling.TraceIdRatioBased(spec.share)),
        resource=resources.Resource.create({"service.name": f"hauberk/{service}"}),
        shutdown_on_exit=False,
    )
    exporter = otlp.OTLPSpanExporter(endpoint=spec.endpoint, timeout=5)
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    return Traces(provider)


def _route(path: tuple[str, ...]) -> str:
    """The path without the names that clients put into it."""
    parts = list(path)
    for place, part in enumerate(parts[:-1]):
        if part in {"models", "versions"}:
            parts[place + 1] = "{" + part[:-1] + "}"
    return "/" + "/".join(parts)[:128]
