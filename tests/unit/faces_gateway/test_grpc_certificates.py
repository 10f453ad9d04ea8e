"""gRPC over mutual TLS: a client's certificate is its proof; payloads are sealed where kept."""

from __future__ import annotations

import asyncio
import datetime as dt
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hauberk.adapters.local.log_home import existing_log
from hauberk.adapters.upstream.wire import packed, put, put_always
from hauberk.core.errors import ConfigError
from hauberk.core.ports import Routing
from hauberk.core.spec import parse_spec
from hauberk.faces.gateway.rpc import SERVICE, start
from hauberk.testing.asking import CLIENT, fake_gateway
from hauberk.testing.gateway_fakes import FakeWorld, MemoryLog

if TYPE_CHECKING:
    from pathlib import Path

grpc: Any = pytest.importorskip("grpc", reason="the grpc extra is not installed")

SHAPE = (1, 2, 3)
MINE = "spiffe://example.org/ns/vision/sa/reader"


@dataclass
class Authority:
    """A certificate authority of the test's own."""

    folder: Path

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.pem = self._signed("ca", self.key.public_key(), x509.BasicConstraints(True, None))
        (self.folder / "ca.pem").write_bytes(self.pem)

    def _signed(self, name: str, public: Any, *extensions: x509.ExtensionType) -> bytes:
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name("ca"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=1))
            .not_valid_after(now + dt.timedelta(days=1))
        )
        for one in extensions:
            made = made.add_extension(one, critical=isinstance(one, x509.BasicConstraints))
        pem = made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return bytes(pem)

    def issue(self, name: x509.GeneralName) -> tuple[bytes, bytes]:
        """A certificate of one name, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        chain = self._signed("leaf", key.public_key(), x509.SubjectAlternativeName([name]))
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return chain, private


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def asked() -> bytes:
    """An inference of one row, as the protocol has it."""
    x = np.full((1, *SHAPE), 0.5, np.float32)
    tensor = put(1, "x") + put(2, "FP32") + put(3, packed(x.shape))
    return put(1, "m") + put(3, "one") + put_always(5, tensor) + put_always(7, x.tobytes())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def call(
    folder: Path, authority: Authority, shown: tuple[bytes, bytes] | None, token: str = ""
) -> str:
    """The status of one inference by a client who shows a certificate or none."""
    chain, key = authority.issue(x509.DNSName("localhost"))
    (folder / "cert").write_bytes(chain)
    (folder / "key").write_bytes(key)
    access = {
        "tls_cert": str(folder / "cert"),
        "tls_key": str(folder / "key"),
        "tls_client_ca": str(folder / "ca.pem"),
        "tls_client_required": True,
        "spiffe_domain": "example.org",
    }
    world = FakeWorld(folder)
    gateway = fake_gateway(
        folder / "s",
        world,
        MemoryLog(),
        routing=Routing(primary=world.linear(SHAPE)),
        spec={"access": access, "seal": {"keep": "payloads"}},
    )
    assert gateway.sealing is not None
    gateway.sealing.start()

    async def go() -> str:
        spec = parse_spec({"access": access})
        server, port = await start(gateway.app, spec.access, host="localhost", port=0)
        pair = (shown[1], shown[0]) if shown else (None, None)
        credentials = grpc.ssl_channel_credentials(authority.pem, *pair)
        try:
            async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
                ask = channel.unary_unary(f"/{SERVICE}/ModelInfer")
                metadata = [("authorization", f"Bearer {token}")] if token else []
                try:
                    await ask(asked(), metadata=metadata, timeout=5)
                except grpc.aio.AioRpcError as error:
                    return str(error.code().name)
                return "OK"
        finally:
            await server.stop(None)

    try:
        return asyncio.run(go())
    finally:
        gateway.sealing.close()


def test_a_certificate_is_a_proof_and_what_it_asks_is_sealed(
    tmp_path: Path, authority: Authority
) -> None:
    mine = authority.issue(x509.UniformResourceIdentifier(MINE))
    assert call(tmp_path, authority, mine) == "OK"
    (entry,) = existing_log(tmp_path / "s").read()
    facts = entry.facts or {}
    assert (entry.tenant, facts["principal"], facts["code"]) == ("vision", MINE, 200)
    assert b64decode(facts["request"]) == asked()
    assert b"logits" in b64decode(facts["answer"])


@pytest.mark.parametrize(
    ("name", "token", "status"),
    [
        (x509.UniformResourceIdentifier("spiffe://elsewhere/ns/a"), "", "UNAUTHENTICATED"),
        (x509.DNSName(MINE.removeprefix("spiffe://")[:11]), "", "UNAUTHENTICATED"),
        (x509.UniformResourceIdentifier(MINE), "a-stranger", "UNAUTHENTICATED"),
        (x509.DNSName("somebody"), CLIENT, "OK"),
        (None, CLIENT, "UNAVAILABLE"),
    ],
    ids=["other domain", "no id", "a bad token goes first", "a good token", "no certificate"],
)
def test_who_comes_in(
    tmp_path: Path,
    authority: Authority,
    name: x509.GeneralName | None,
    token: str,
    status: str,
) -> None:
    assert call(tmp_path, authority, authority.issue(name) if name else None, token) == status


def test_a_certificate_of_another_authority_is_none(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other").issue(x509.UniformResourceIdentifier(MINE))
    assert call(tmp_path, authority, other) == "UNAVAILABLE"


def test_certificates_that_are_required_need_an_authority(tmp_path: Path) -> None:
    spec = {"access": {"tls_client_required": True}}
    with pytest.raises(ConfigError, match="tls_client_required"):
        fake_gateway(tmp_path / "s", FakeWorld(tmp_path), MemoryLog(), spec=spec)
