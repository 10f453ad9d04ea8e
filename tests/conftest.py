"""Servers that tests of several folders share; started once, when the first test asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hauberk.testing.servers import Postgres, postgres_programs, postgres_server, s3_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of this run."""
    pytest.importorskip("psycopg")
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed; .ci/run installs it")
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def _template(postgres: Postgres) -> str:
    from hauberk.adapters.postgres.upgrade import upgrade

    url = postgres.create()
    upgrade(url)
    return url.rpartition("/")[2]


@pytest.fixture
def ledger_url(postgres: Postgres, _template: str) -> str:
    """A database of its own with the tables in it."""
    return postgres.create(template=_template)


@pytest.fixture(scope="session")
def _s3() -> Iterator[str]:
    pytest.importorskip("moto")
    pytest.importorskip("flask")
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket_url(_s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of its own."""
    from secrets import token_hex

    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    name = f"t-{token_hex(8)}"
    boto3.client("s3", endpoint_url=_s3, region_name="us-east-1").create_bucket(Bucket=name)
    return f"s3://{name}/blobs?endpoint={_s3}"
