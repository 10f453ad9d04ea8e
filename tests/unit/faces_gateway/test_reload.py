from __future__ import annotations

import datetime as dt
import ssl
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ConfigError
from hauberk.core.ports import Routing
from hauberk.core.spec import AccessSpec, Spec, parse_spec
from hauberk.faces.gateway.certificate import Certificate
from hauberk.faces.gateway.reload import TAKEN, Reload
from hauberk.testing.asking import CLIENT, ask, clients, fake_gateway, json_body
from hauberk.testing.gateway_fakes import FakeWorld, MemoryLog

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.faces.gateway.compose import Gateway

X = np.full((1, 1, 4, 4), 0.503, np.float32)
INFER = "/v2/models/m/infer"


class Source:
    """A configuration that can be changed."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {"model": {"name": "m"}}
        self.wrong = False

    def read(self) -> Spec:
        if self.wrong:
            raise ConfigError("not TOML", where="hauberk.toml")
        return parse_spec(self.tree)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    world = FakeWorld(tmp_path)
    routing = Routing(primary=world.linear((1, 4, 4)))
    return fake_gateway(tmp_path / "s", world, MemoryLog(), routing=routing)


@pytest.fixture
def reload(gateway: Gateway, source: Source) -> Reload:
    return Reload(gateway, source.read(), source.read, clients())


def asked(gateway: Gateway, token: str = CLIENT) -> Any:
    return ask(gateway, "POST", INFER, json=json_body(X), token=token)


def test_nothing_changed_tells_nothing(reload: Reload) -> None:
    assert reload() == []


def test_clients_quotas_filters_and_scores_change_at_once(
    gateway: Gateway, source: Source, reload: Reload
) -> None:
    before = asked(gateway).json()["outputs"][0]["data"]
    assert asked(gateway, "new-token").status_code == 401
    new = {"name": "new", "token_sha256": digest_bytes(b"new-token")}
    source.tree |= {
        "serve": {"clients": [new], "sanitise": ["squeeze"], "round_digits": 1},
        "quota": {"rows_per_second": 1.0, "burst": 3.0},
        "detect": {"budget_ms": 3.0},
    }
    (told,) = reload()
    assert "serve.sanitise" in told
    assert "detect.budget_ms" in told
    codes = [asked(gateway, "new-token").status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    after = asked(gateway).json()["outputs"][0]["data"]
    assert all(abs(value * 10 - round(value * 10)) < 1e-5 for value in after)
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) > 0.0
    assert reload() == []


def test_what_needs_a_restart_is_said_and_not_done(
    gateway: Gateway, source: Source, reload: Reload
) -> None:
    source.tree |= {"serve": {"port": 9, "threads": 3}, "loop": {"cooldown": 1.0}}
    assert reload() == ["needs a restart: serve.port, serve.threads"]
    assert asked(gateway).status_code == 200


def test_a_wrong_configuration_changes_nothing_and_is_told_once(
    gateway: Gateway, source: Source, reload: Reload
) -> None:
    source.wrong = True
    assert "not TOML" in reload()[0]
    assert reload() == []
    assert asked(gateway).status_code == 200
    source.wrong = False
    twice = {"name": "alice", "token_sha256": digest_bytes(b"other")}
    source.tree["serve"] = {"clients": [twice]}
    assert "same name" in reload()[0]
    assert asked(gateway).status_code == 200


def test_what_is_taken_exists() -> None:
    for section, names in TAKEN.items():
        assert names <= set(getattr(Spec(), section).__struct_fields__)


def pair(folder: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    (folder / "key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))


def shown(context: ssl.SSLContext) -> str:
    """The name on the certificate that a new connection is shown."""
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    server = context.wrap_bio(inward, outward, server_side=True)
    client = client_context.wrap_bio(outward, inward)
    for _ in range(6):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    raw = client.getpeercert(binary_form=True)
    assert raw is not None
    return str(x509.load_der_x509_certificate(raw).subject.rfc4514_string())


def test_a_certificate_is_taken_when_its_files_change(tmp_path: Path) -> None:
    pair(tmp_path, "first")
    access = AccessSpec(tls_cert=str(tmp_path / "cert"), tls_key=str(tmp_path / "key"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(access.tls_cert, access.tls_key)
    certificate = Certificate(access, context)
    assert certificate.renew() == []
    assert shown(context) == "CN=first"
    (tmp_path / "cert").write_text("half written")
    assert "not taken" in certificate.renew()[0]
    assert shown(context) == "CN=first"
    pair(tmp_path, "second")
    assert certificate.renew() == ["certificate taken"]
    assert shown(context) == "CN=second"
    assert certificate.renew() == []
