"""The gRPC face of the data plane: ``inference.GRPCInferenceService`` on ``grpc.aio``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hauberk.adapters.upstream.wire import put
from hauberk.core.errors import ConfigError, EnvironmentFault
from hauberk.faces.gateway import codec_grpc, codec_grpc_models, extensions, repository
from hauberk.faces.gateway.faults import Fault, Forbidden, NotNow, Unauthenticated
from hauberk.faces.gateway.sealing import Fact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hauberk.access.principal import Action, Principal
    from hauberk.core.spec import AccessSpec
    from hauberk.faces.gateway.app import App
    from hauberk.faces.gateway.entrance import Visit
    from hauberk.faces.gateway.tensors import Response

SERVICE = "inference.GRPCInferenceService"
_CODES = {
    HTTPStatus.BAD_REQUEST: "INVALID_ARGUMENT",
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "RESOURCE_EXHAUSTED",
    HTTPStatus.TOO_MANY_REQUESTS: "RESOURCE_EXHAUSTED",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
    HTTPStatus.BAD_GATEWAY: "UNAVAILABLE",
    HTTPStatus.GATEWAY_TIMEOUT: "DEADLINE_EXCEEDED",
}


@dataclass
class _Asked:
    """What is found out about one call on its way."""

    principal: Principal | None = None
    action: str = ""
    model: str = ""
    policy: str = ""
    code: int = 200
    told: Response | None = None
    payload: tuple[bytes, bytes] | None = None  # what came and what went, if that is kept


@dataclass(frozen=True)
class Rpc:
    """The service's methods over the application's data plane, entrance and sealed log.

    With ``certificates`` every client shows one that was verified, and may prove itself by it.
    """

    app: App
    certificates: bool = False

    def handler(self) -> Any:
        """The service as grpc takes it; messages are read and written here, as bytes."""
        grpc: Any = import_module("grpc")  # of an extra

        methods: dict[str, Callable[[bytes, Any], Awaitable[bytes]]] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ServerMetadata": partial(self._answer, "read", self._server),
            "ModelReady": partial(self._answer, "read", self._model_ready),
            "ModelMetadata": partial(self._answer, "read", self._metadata),
            "ModelInfer": partial(self._answer, "infer", self._infer),
            "ModelConfig": partial(self._answer, "read", self._config),
            "ModelStatistics": partial(self._answer, "read", self._statistics),
            "RepositoryIndex": partial(self._answer, "read", self._index),
            "RepositoryModelLoad": partial(self._answer, "load", partial(self._change, "load")),
            "RepositoryModelUnload": partial(self._answer, "load", partial(self._change, "unload")),
        }
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {name: grpc.unary_unary_rpc_method_handler(one) for name, one in methods.items()},
        )

    async def _live(self, data: bytes, context: Any) -> bytes:
        del data, context
        return put(1, value=True)

    async def _ready(self, data: bytes, context: Any) -> bytes:
        del data, context
        return put(1, value=self.app.control.ready)

    async def _answer(
        self,
        action: Action,
        work: Callable[[_Asked, bytes, float], Awaitable[bytes]],
        data: bytes,
        context: Any,
    ) -> bytes:
        started, asked = time.perf_counter(), _Asked(action=action)
        try:
            header = dict(context.invocation_metadata() or ()).get("authorization")
            asked.principal = await self.app.entrance.identify(
                header.encode("latin-1", "replace") if isinstance(header, str) else None,
                _certificate(context) if self.certificates else None,
            )
            if self.app.keep_payloads and action == "infer":
                asked.payload = (data, b"")
            answer = await work(asked, data, started)
            if asked.payload is not None:
                asked.payload = (data, answer)
            return answer
        except Fault as fault:
            problem = fault
            asked.code = fault.status.value
            asked.policy = fault.policy if isinstance(fault, Forbidden) else asked.policy
        except Exception as error:  # a client is never shown a traceback
            self.app.control.log.write("failed", code=500, why=type(error).__name__)
            problem = Fault("internal error; the gateway's log says more")
            asked.code = problem.status.value
        finally:
            self._seal(asked, started)
        return await self._refuse(problem, context)

    async def _refuse(self, fault: Fault, context: Any) -> bytes:
        grpc: Any = import_module("grpc")  # of an extra

        code = getattr(grpc.StatusCode, _CODES.get(fault.status, "INTERNAL"))
        trailing = [
            (name.decode(), value.decode())
            for name, value in fault.headers
            if not isinstance(fault, Unauthenticated)
        ]
        await context.abort(code, str(fault), tuple(trailing))
        raise AssertionError  # abort raises

    def _seal(self, asked: _Asked, started: float) -> None:
        if self.app.sealing is None or asked.principal is None:
            return
        facts = {} if asked.told is None else asked.told.parameters
        self.app.sealing.put(
            Fact(
                at=time.time(),
                tenant=asked.principal.tenant,
                principal=asked.principal.name,
                action=asked.action,
                model=asked.model,
                policy=asked.policy,
                code=asked.code,
                id="" if asked.told is None else asked.told.id,
                outcome=str(facts.get("hauberk_outcome", "")),
                route=str(facts.get("hauberk_route", "")),
                digest=str(facts.get("hauberk_digest", "")),
                latency_ms=(time.perf_counter() - started) * 1e3,
                payload=asked.payload,
            )
        )

    def _permit(self, asked: _Asked, action: Action, model: str) -> Visit:
        assert asked.principal is not None
        asked.model = model
        visit = self.app.entrance.permit(asked.principal, action, model)
        asked.policy = visit.policy
        return visit

    async def _server(self, asked: _Asked, data: bytes, started: float) -> bytes:
        del data, started
        self._permit(asked, "read", self.app.plane.name)
        return codec_grpc_models.write_server(self.app.plane.server())

    async def _model_ready(self, asked: _Asked, data: bytes, started: float) -> bytes:
        del started
        name, version = codec_grpc.read_names(data)
        self._permit(asked, "read", name)
        try:
            self.app.plane.ready(name, version or None)
        except NotNow:
            return b""
        return put(1, value=True)

    async def _metadata(self, asked: _Asked, data: bytes, started: float) -> bytes:
        del started
        name, version = codec_grpc.read_names(data)
        self._permit(asked, "read", name)
        return codec_grpc_models.write_model(self.app.plane.metadata(name, version or None))

    async def _config(self, asked: _Asked, data: bytes, started: float) -> bytes:
        del started
        name, version = codec_grpc.read_names(data)
        self._permit(asked, "read", name)
        told = extensions.config(self.app.plane, name, version or None)
        return codec_grpc_models.write_config(told)

    async def _statistics(self, asked: _Asked, data: bytes, started: float) -> bytes:
        del started
        name, version = codec_grpc.read_names(data)
        name = name or self.app.plane.name
        self._permit(asked, "read", name)
        told = extensions.statistics(self.app.plane, self.app.control.meters, name, version or None)
        return codec_grpc_models.write_statistics(told)

    async def _index(self, asked: _Asked, data: bytes, started: float) -> bytes:
        del data, started
        self._permit(asked, "read", self.app.plane.name)
        return codec_grpc_models.write_index(repository.index(self.app.plane))

    async def _change(
        self, verb: Literal["load", "unload"], asked: _Asked, data: bytes, started: float
    ) -> bytes:
        del started
        name = codec_grpc.read_names(data)[1]  # the first names a repository
        self._permit(asked, "load", name)
        await repository.change(self.app.plane, name, verb)
        return b""

    async def _infer(self, asked: _Asked, data: bytes, started: float) -> bytes:
        parts = codec_grpc.split(data)
        visit = self._permit(asked, "infer", codec_grpc.read_names(parts)[0])
        work = partial(self._compute, asked, visit, (parts, len(data)), started)
        limits = self.app.control.limits
        small = len(data) <= limits.inline_bytes and self.app.entrance.is_near(
            visit.principal, asked.model, len(data), limits.rows
        )
        try:
            return await self.app.control.workers.run(work, small=small)
        except Fault as fault:
            asked.code = fault.status.value
            raise
        finally:
            route = asked.told.parameters["hauberk_route"] if asked.told else "none"
            self.app.control.meters.answered(asked.code, str(route), time.perf_counter() - started)

    def _compute(
        self, asked: _Asked, visit: Visit, body: tuple[codec_grpc.Parts, int], started: float
    ) -> bytes:
        entrance, (parts, size) = self.app.entrance, body
        if not entrance.rules.any:
            return self._answered(asked, visit, parts, started)
        entrance.charge_arrival(visit.principal, asked.model, size)
        with entrance.seat(visit.principal, asked.model):
            return self._answered(asked, visit, parts, started)

    def _answered(
        self, asked: _Asked, visit: Visit, parts: codec_grpc.Parts, started: float
    ) -> bytes:
        request, name, version = codec_grpc.read(parts)
        asked.told = self.app.plane.infer(
            request, model=name, version=version or None, visit=visit, started=started
        )
        return codec_grpc.write(asked.told)


async def start(
    app: App, access: AccessSpec, *, host: str, port: int, shared: bool = False
) -> tuple[Any, int]:
    """Listen for gRPC; returns the server and its port. Others of ours listen on a ``shared`` one.

    Raises:
        ConfigError: if grpcio is not installed, or the TLS files cannot be read.
        EnvironmentFault: if the port is in use.
    """
    try:
        grpc: Any = import_module("grpc")
    except ImportError:
        raise ConfigError(
            "grpcio is not installed", where="serve.grpc_port", hint="pip install 'hauberk[grpc]'"
        ) from None
    limits = app.control.limits
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", limits.header_bytes),
            ("grpc.so_reuseport", int(shared)),
        ],
        maximum_concurrent_rpcs=limits.connections,
    )
    shown = bool(access.tls_cert) and access.tls_client_required
    server.add_generic_rpc_handlers((Rpc(app, certificates=shown).handler(),))
    where = f"{host}:{port}"
    try:
        if access.tls_cert:
            found = server.add_secure_port(where, _credentials(grpc, access))
        else:
            found = server.add_insecure_port(where)
    except RuntimeError:
        found = 0
    if not found:
        raise EnvironmentFault("the port is in use", where=where, hint="choose another grpc_port")
    await server.start()
    return server, found


def _credentials(grpc: Any, access: AccessSpec) -> Any:
    """The certificate; read anew for connections after its files changed.

    A client's certificate is asked for where each must show one; gRPC cannot leave it the choice.
    """
    required = access.tls_client_required

    def read() -> Any:
        key = Path(access.tls_key or access.tls_cert).read_bytes()
        chain = Path(access.tls_cert).read_bytes()
        authorities = Path(access.tls_client_ca).read_bytes() if required else None
        return grpc.ssl_server_certificate_configuration([(key, chain)], authorities)

    seen: list[tuple[int, ...]] = []

    def renewed() -> Any:
        try:
            now = tuple(
                Path(name).stat().st_mtime_ns
                for name in (access.tls_cert, access.tls_key or access.tls_cert)
            )
            if seen and seen[-1] == now:
                return None
            found = read()
        except OSError:
            return None  # what was good so far stays in force
        seen[:] = [now]
        return found

    try:
        first = read()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where="access.tls_cert") from None
    return grpc.dynamic_ssl_server_credentials(first, renewed, required)


def _certificate(context: Any) -> dict[str, Any]:
    """The verified certificate's URIs, as :meth:`ssl.SSLSocket.getpeercert` describes them."""
    uris = context.auth_context().get("peer_uri", ())
    return {"subjectAltName": tuple(("URI", uri.decode("ascii", "replace")) for uri in uris)}
