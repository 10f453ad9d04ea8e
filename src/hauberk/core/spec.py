"""The one Spec: ``hauberk.toml``, the flags and the custom resource are the same tree."""

from __future__ import annotations

import json
import tomllib
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from hauberk.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

Fraction = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, msgspec.Meta(gt=0.0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
TokenHash = Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of ``hauberk.toml``; a key that it does not know is an error."""


class ModelSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is served: the name under which clients ask for it, and its declared architecture."""

    name: Text = "model"
    architecture: Text = "cnn"


class DataSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the data comes from: ``digits``, ``idx:DIR``, ``npz:FILE`` and others."""

    source: Text = "digits"


class ThreatSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The attacker's budget, as in :class:`hauberk.core.threat.ThreatModel`."""

    norm: Literal["linf", "l2", "l1", "l0", "patch", "spatial"] = "linf"
    eps: Annotated[float, msgspec.Meta(ge=0.0)] = 0.15


class ClientSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client of the gateway; only the digest of its token is kept here.

    ``scopes`` narrows what the role allows to some actions; none narrows nothing. ``expires`` is
    a day or a moment in UTC as ISO 8601 writes it; empty means never.
    """

    name: Text
    token_sha256: TokenHash
    role: Literal["client", "operator"] = "client"
    tenant: Text = "default"
    scopes: tuple[Text, ...] = ()
    expires: str = ""


class StateSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where ledger, journal and blobs are; empty means in the state directory.

    ``ledger`` is a ``postgresql://`` URL, ``blobs`` an ``s3://bucket/prefix`` URL. A state
    directory remembers what it was made with.
    """

    ledger: str = ""
    blobs: str = ""


class RegistrySpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A registry that the loop keeps in line: an MLflow server's https URL, and a name there."""

    mlflow: str = ""
    name: str = ""


class ServeSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway. ``consent`` is a signed token by which the owner agrees to a red team.

    Bodies in memory take up to ``max_bodies_bytes`` together, further large ones wait to be read.
    ``workers`` processes share the port. ``threads`` requests are worked on at once; one run of a
    model uses ``model_threads``. Requests that come while a model runs are run together, up to
    ``batch_rows`` rows; none waits longer for that than ``batch_wait_ms``. ``round_digits`` and
    ``top_k`` blunt the scores that clients see.
    """

    host: Text = "127.0.0.1"
    port: Port = 8080
    grpc_port: Port | None = None
    max_body_bytes: Count = 16 * 2**20
    max_bodies_bytes: Count = 512 * 2**20
    max_rows: Count = 1024
    drain_seconds: Positive = 10.0
    tap_queue: Count = 65536
    clients: tuple[ClientSpec, ...] = ()
    consent: str = ""
    sanitise: tuple[Literal["requantise", "squeeze", "median", "bilateral", "jpeg", "tv"], ...] = ()
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    threads: Count | None = None
    model_threads: Count = 1
    batch_rows: Count = 1
    batch_wait_ms: Positive = 2.0
    round_digits: Annotated[int, msgspec.Meta(ge=0, le=8)] | None = None
    top_k: Count | None = None


class AccessSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may ask: tokens of an OIDC issuer, certificates of a SPIFFE domain, a Cedar policy.

    ``jwks`` is the issuer's key set, an https URL or a file. ``tls_client_required`` turns away who
    shows no certificate; over gRPC no other is asked for one. ``operators`` names those who are
    operators beside the clients of that role. Without a policy, roles alone decide.
    """

    issuer: str = ""
    audience: str = ""
    jwks: str = ""
    tenant_claim: Text = "tenant"
    operators: tuple[Text, ...] = ()
    spiffe_domain: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    tls_client_required: bool = False
    policy: str = ""
    data_class: Text = "internal"


class QuotaSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much one principal may ask of one model; what is left out is not bounded.

    Rates are per second and refill evenly; ``burst`` is how many seconds' worth may come at once.
    ``rows_per_day`` is the information budget. ``backend`` says where the counts are kept: in this
    process, in the state directory, or in Redis for several replicas. ``on_loss`` is what happens
    when the backend does not answer: refuse, or count in this process.
    """

    requests_per_second: Positive | None = None
    bytes_per_second: Positive | None = None
    rows_per_second: Positive | None = None
    rows_per_day: Positive | None = None
    burst: Positive = 10.0
    concurrent: Count | None = None
    backend: Literal["memory", "sqlite", "redis"] = "memory"
    redis: str = "redis://127.0.0.1:6379/0"
    on_loss: Literal["refuse", "local"] = "refuse"


class ShareSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What several gateways of one service know together: records, routing, throttled clients.

    ``backend`` is a file of the state directory, or Redis; ``off`` shares nothing. ``service``
    tells services of one Redis apart; empty is the model's name. After ``patience_seconds``
    without an answer a gateway may have missed an order to contain: ``on_loss`` says whether it
    goes to its twin by itself, or keeps what it has in force. The newest ``records`` are kept.
    """

    backend: Literal["off", "sqlite", "redis"] = "off"
    redis: str = "redis://127.0.0.1:6379/0"
    service: str = ""
    on_loss: Literal["twin", "keep"] = "twin"
    patience_seconds: Positive = 5.0
    records: Count = 100_000


class SealSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sealed log: what is kept of each request, encrypted and chained.

    ``facts`` keeps who asked what and what came of it, ``payloads`` the tensors too.
    """

    keep: Literal["off", "facts", "payloads"] = "facts"
    commit_seconds: Positive = 0.05
    queue: Count = 16384


class TraceSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Traces of requests, by OpenTelemetry; without ``endpoint``, an OTLP/HTTP URL, none."""

    endpoint: str = ""
    share: Fraction = 0.01


class UpstreamSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that another server runs; without ``url`` the gateway runs signed models itself.

    ``input``, ``output``, ``shape`` and ``classes`` are read from the server's metadata where it
    has some. ``gives`` says what its output is. ``request`` and ``answer`` map rows to a JSON body,
    at the place of ``"$rows"``, and a path in the answer to them, a step a key, ``*`` for each.
    ``retries`` count for what was never sent and, if ``idempotent``, for what may have been.
    After ``failures`` in a row nothing is sent for ``pause_seconds``.

    With ``inspect`` off bodies flow through unread, in any form that the server takes: access and
    quotas hold, no guard or monitor does. ``timeout`` then bounds each step and ``stream_seconds``
    the whole exchange.
    """

    url: str = ""
    inspect: bool = True
    stream_seconds: Positive = 300.0
    protocol: Literal["v2", "v2-grpc", "tensorflow", "json"] = "v2"
    model: str = ""
    version: str = ""
    input: str = ""
    output: str = ""
    gives: Literal["logits", "probabilities", "labels"] = "logits"
    shape: tuple[Count, ...] = ()
    classes: Annotated[int, msgspec.Meta(ge=2)] | None = None
    low: float = 0.0
    high: float = 1.0
    binary: bool | None = None
    request: str = '{"instances": "$rows"}'
    answer: str = "predictions"
    timeout: Positive = 5.0
    connect_timeout: Positive = 1.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 1
    idempotent: bool = False
    connections: Count = 32
    max_answer_bytes: Count = 16 * 2**20
    failures: Count = 5
    pause_seconds: Positive = 5.0
    token_file: str = ""
    ca: str = ""


class PayloadSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What KServe's payload logger posts of models that the gateway does not serve.

    Without ``token_sha256`` nothing is taken. ``digest`` is that of the model behind, if it is
    known; ``wait_seconds`` is how long one of the two events of a request waits for the other.
    """

    token_sha256: Annotated[str, msgspec.Meta(pattern="^(sha256:[0-9a-f]{64})?$")] = ""
    digest: str = ""
    tenant: Text = "default"
    wait_seconds: Positive = 60.0
    queue: Count = 4096
    queue_bytes: Count = 256 * 2**20


class DetectSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Detection without labels.

    ``alpha`` bounds the probability that clean traffic of any length ever raises an alarm;
    ``delta`` is the probability, over the draw of the calibration set, that this bound fails.
    Screening may add ``budget_ms`` to a request. When it takes longer, ``over_budget`` says whether
    only as many requests are screened as fit, or each is answered first and screened afterwards.
    ``sensors`` are what a pair is calibrated with, the usual ones if none is named. ``also`` are
    monitors that the loop reports and pages on, beside those of attack and drift. ``repeats`` is
    how many requests in a row may show the same thing, as the frames of a video do.
    """

    alpha: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.01
    delta: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.05
    flag_p: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.05
    budget_ms: Positive | None = None
    over_budget: Literal["sample", "after"] = "after"
    sensors: tuple[Text, ...] = ()
    also: tuple[Literal["faults", "labels", "gauge"], ...] = ()
    repeats: Annotated[float, msgspec.Meta(ge=1.0, le=10_000.0)] = 1.0


class HardenSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Adversarial training. ``steps`` and ``step_size`` are the inner attack's.

    ``method`` names a method and what is joined to it, as in ``ema,adversarial``. Left out,
    ``epochs``, ``steps`` and ``batch_size`` follow from the amount of data. ``processes`` train in
    step on this machine, each with its share of the cores; their number changes the weights.
    ``budget`` is what a race of methods may take, in seconds. Twins have ``twin_width`` of the
    model's widths; below 1 they are distilled from one of full size, which is not kept.
    """

    method: Text = "adversarial"
    epochs: Count | None = None
    steps: Count | None = None
    step_size: Positive | None = None
    learning_rate: Positive = 2e-3
    batch_size: Count | None = None
    processes: Count = 1
    budget: Positive = 120.0
    twin_width: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 1.0
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


class LoopSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Containment, budget and promotion; times in seconds.

    At most ``max_trainings`` start within ``window``, at least ``cooldown`` apart.
    """

    contain: Literal["twin", "abstain"] = "twin"
    max_trainings: Count = 3
    window: Positive = 86400.0
    cooldown: Annotated[float, msgspec.Meta(ge=0.0)] = 600.0
    canary_share: Fraction = 0.2
    canary_requests: Count = 50
    post_requests: Count = 100
    traffic_timeout: Positive = 600.0
    min_agreement: Fraction = 0.7


class GateSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits that a candidate must meet; they make the policy, frozen by its digest."""

    clean_accuracy: Fraction = 0.90
    clean_drop: Fraction = 0.02
    robust_accuracy: Fraction = 0.40
    robust_gain: Fraction = 0.0
    eps_factors: tuple[Positive, ...] = (0.5, 1.0, 1.5)
    restarts: Count = 5
    samples: Count = 1000


class ClusterSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On Kubernetes: how the gateway gets into an ``InferenceService``, and how jobs run.

    ``inject`` is the component that becomes the gateway. ``mode`` is KServe's deployment mode,
    by which the canary gets its share: of revisions, or of deployments by weight. An empty
    ``image`` or ``logger`` is the operator's own setting.
    """

    inject: Literal["predictor", "transformer"] = "predictor"
    mode: Literal["serverless", "standard"] = "serverless"
    image: str = ""
    volume: Text = "hauberk-state"
    logger: str = ""
    runtime: Text = "hauberk"
    nodes: Count = 1


class Spec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be said about one guarded service."""

    model: ModelSpec = ModelSpec()
    data: DataSpec = DataSpec()
    threat: ThreatSpec = ThreatSpec()
    state: StateSpec = StateSpec()
    registry: RegistrySpec = RegistrySpec()
    serve: ServeSpec = ServeSpec()
    access: AccessSpec = AccessSpec()
    quota: QuotaSpec = QuotaSpec()
    share: ShareSpec = ShareSpec()
    seal: SealSpec = SealSpec()
    trace: TraceSpec = TraceSpec()
    upstream: UpstreamSpec = UpstreamSpec()
    payloads: PayloadSpec = PayloadSpec()
    detect: DetectSpec = DetectSpec()
    harden: HardenSpec = HardenSpec()
    loop: LoopSpec = LoopSpec()
    gate: GateSpec = GateSpec()
    cluster: ClusterSpec = ClusterSpec()


def parse_spec(tree: dict[str, Any], *, where: str = "spec") -> Spec:
    """Read a spec from a tree of plain values.

    Raises:
        ConfigError: on an unknown key (the nearest is named), a wrong type or a value out of range.
    """
    _reject_unknown(tree, Spec, where=where, path="")
    try:
        return msgspec.convert(tree, Spec, strict=True)
    except msgspec.ValidationError as error:
        text, _, at = str(error).partition(" - at `$")
        key = at.rstrip("`").lstrip(".")
        raise ConfigError(
            text[:1].lower() + text[1:], where=f"{where}: {key}" if key else where
        ) from None


def load_spec(path: Path) -> Spec:
    """Read ``hauberk.toml``.

    Raises:
        ConfigError: if the file is missing, is not TOML, or does not hold a spec.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            "no such file", where=str(path), hint="`hauberk init` writes one"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(path)) from None
    return parse_spec(tree, where=str(path))


def _reject_unknown(tree: Any, section: type[Section], *, where: str, path: str) -> None:
    """Name the unknown key and its nearest neighbour, which msgspec's message does not."""
    if not isinstance(tree, dict):
        return
    fields = {field.name: field for field in msgspec.structs.fields(section)}
    for key, value in tree.items():
        if key not in fields:
            near = get_close_matches(str(key), fields, n=1)
            raise ConfigError(
                f"unknown key {path + str(key)!r}",
                where=where,
                hint=f"did you mean {path + near[0]!r}?" if near else f"known: {', '.join(fields)}",
            )
        kind = fields[key].type
        if isinstance(kind, type) and issubclass(kind, Section):
            _reject_unknown(value, kind, where=where, path=f"{path}{key}.")
        elif key == "clients" and isinstance(value, list):
            for number, item in enumerate(value):
                _reject_unknown(item, ClientSpec, where=where, path=f"{path}{key}[{number}].")


def write_spec(spec: Spec) -> str:
    """The TOML text of a spec; reading it gives the same spec."""
    lines = []
    for name, section in msgspec.to_builtins(spec).items():
        plain = {key: value for key, value in section.items() if not _tables(value)}
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {_toml(value)}" for key, value in plain.items() if value is not None]
        for key in section.keys() - plain.keys():
            for table in section[key]:
                lines += ["", f"[[{name}.{key}]]"]
                lines += [f"{inner} = {_toml(value)}" for inner, value in table.items()]
    return "\n".join(lines[1:]) + "\n"


def _tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], dict)


def _toml(value: Any) -> str:
    """A value as TOML; strings as JSON writes them, which TOML's basic strings contain."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        # Astral letters as they are, since TOML has no surrogate pairs; DEL, which TOML escapes.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
