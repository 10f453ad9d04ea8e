"""Where a service's state is kept: decided once, shown without credentials."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hauberk.adapters.local.home import Home
from hauberk.core.errors import ConfigError
from hauberk.core.spec import StateSpec
from hauberk.faces.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.testing.servers import Postgres


def test_a_directory_keeps_its_places(tmp_path: Path) -> None:
    shared = StateSpec(blobs="s3://bucket?endpoint=http://127.0.0.1:1")
    home = Home.create(tmp_path / "one", shared)
    assert Home(home.folder).places == shared == home.placed(StateSpec()).places
    assert (home.folder / "places.json").stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="elsewhere"):
        home.placed(StateSpec(blobs="s3://another"))
    assert Home.create(tmp_path / "two").places == StateSpec()
    with pytest.raises(ConfigError, match="no service"):
        Home(tmp_path / "three").placed(shared)


def test_a_ledger_is_not_left_behind(tmp_path: Path) -> None:
    home = Home.create(tmp_path)
    home.ledger.append("revocation", "s", {}, at=0.0)
    with pytest.raises(ConfigError, match="ledger of its own"):
        home.placed(StateSpec(ledger="postgresql://127.0.0.1/db"))
    assert Home(tmp_path).ledger.verify() == 1


def test_the_verbs_on_shared_state(
    postgres: Postgres, bucket_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, state = postgres.create(), ["--state", str(tmp_path)]
    assert run(["state", "upgrade", *state]) == 2
    assert "no shared ledger" in capsys.readouterr().err
    assert run(["state", "upgrade", "--set", f"state.ledger={url}", *state]) == 0
    home = Home.create(tmp_path, StateSpec(ledger=url, blobs=bucket_url))
    digest = home.store.put(b"a blob")
    home.ledger.append("model", digest, {}, at=0.0)
    home.journal.write("svc", b"turn", at=0.0)
    capsys.readouterr()
    assert run(["ledger", "verify", *state]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 1
    assert run(["state", "show", "--format", "json", *state]) == 0
    text = capsys.readouterr().out
    assert json.loads(text)["entries"] == 1
    assert postgres.password not in text
    again = Home(tmp_path)
    assert (again.store.get(digest), again.journal.read("svc")) == (b"a blob", [b"turn"])
    assert not (tmp_path / "ledger.db").exists()
    assert run(["config", "--set", f"state.ledger={url}"]) == 0
    assert postgres.password not in capsys.readouterr().out


def test_the_statements_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("alembic")
    assert run(["state", "upgrade", "--sql"]) == 0
    assert "CREATE TABLE ledger" in capsys.readouterr().out
