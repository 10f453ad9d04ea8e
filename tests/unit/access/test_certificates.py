from __future__ import annotations

import pytest

from hauberk.access.certificate import Certificates
from hauberk.access.refusal import Stranger

OURS = Certificates(domain="acme.example", operators=frozenset({"spiffe://acme.example/ops"}))


def named(*names: tuple[str, str]) -> dict[str, object]:
    return {"subject": ((("commonName", "spiffe://acme.example/ops"),),), "subjectAltName": names}


@pytest.mark.parametrize(
    ("name", "tenant", "role"),
    [
        ("spiffe://acme.example/ns/vision/sa/app", "vision", "client"),
        ("spiffe://acme.example/app", "default", "client"),
        ("spiffe://acme.example/ops", "default", "operator"),
    ],
)
def test_an_id_of_the_domain_is_a_principal(name: str, tenant: str, role: str) -> None:
    found = OURS.identify(named(("DNS", "x"), ("URI", name)))
    assert (found.name, found.tenant, found.role, found.by) == (name, tenant, role, "certificate")


@pytest.mark.parametrize(
    "names",
    [
        (),
        (("DNS", "spiffe://acme.example/app"),),
        (("URI", "spiffe://other.example/app"),),
        (("URI", "spiffe://acme.example.evil/app"),),
        (("URI", "spiffe://acme.example"),),
        (("URI", "spiffe://acme.example/"),),
        (("URI", "spiffe://acme.example/a/../ops"),),
        (("URI", "spiffe://acme.example/ops\n"),),
        (("URI", "https://acme.example/ops"),),
        (("URI", "spiffe://acme.example/a"), ("URI", "spiffe://acme.example/ops")),
        (("URI", "spiffe://acme.example/" + "a" * 3000),),
    ],
)
def test_anything_else_is_a_strangers(names: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(Stranger):
        OURS.identify(named(*names))
