"""Where a database is: certificates beyond this machine, no password in what is shown."""

from __future__ import annotations

import pytest

from hauberk.core.errors import ConfigError

pytest.importorskip("psycopg")

from hauberk.adapters.postgres.address import Address


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("postgresql://a@127.0.0.1/db", None),
        ("postgresql://a@localhost/db", None),
        ("postgresql://a@[::1]:5433/db", None),
        ("postgresql:///db", None),
        ("postgresql://a@db.example/db", "verify-full"),
        ("postgresql://a@127.0.0.1,db.example/db", "verify-full"),
        ("postgresql://a@db.example/db?sslmode=require", "require"),
    ],
)
def test_beyond_this_machine_the_certificate_counts(url: str, mode: str | None) -> None:
    assert Address.parse(url).parameters.get("sslmode") == mode


@pytest.mark.parametrize(
    "url",
    ["", "db", "host=x dbname=y", "postgresql://h", "postgresql://h/db?nonsense=1", "http://h/db"],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ConfigError):
        Address.parse(url)


def test_a_password_is_not_shown() -> None:
    found = Address.parse("postgresql://a:s3cret@db.example:6000/db")
    assert "s3cret" not in repr(found) + found.place
    assert found.place == "postgresql://db.example:6000/db"
    with pytest.raises(ConfigError) as caught:
        Address.parse("postgresql://a:s3cret@db.example/db?nonsense=1")
    assert "s3cret" not in str(caught.value) + caught.value.hint
