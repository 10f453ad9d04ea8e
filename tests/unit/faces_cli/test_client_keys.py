from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from click.testing import CliRunner

from hauberk.access.keys import ApiKeys
from hauberk.core.spec import parse_spec
from hauberk.faces.cli.keys import command

if TYPE_CHECKING:
    from pathlib import Path


def test_a_token_is_shown_once_and_what_is_printed_lets_it_in() -> None:
    arguments = [
        "token",
        "app",
        "--tenant",
        "vision",
        "--scope",
        "infer",
        "--expires",
        "2099-01-01",
    ]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    text = done.stderr.rpartition(" ")[2].strip()
    assert text not in done.stdout
    clients = parse_spec(tomllib.loads(done.stdout)).serve.clients
    principal = ApiKeys(clients).identify(text.encode(), at=0.0)
    assert (principal.tenant, principal.scopes) == ("vision", frozenset({"infer"}))


def test_what_the_gateway_would_refuse_is_refused_here() -> None:
    assert CliRunner().invoke(command, ["token", "app", "--expires", "soon"]).exit_code != 0
    assert CliRunner().invoke(command, ["token", "app", "--scope", "all"]).exit_code == 2


def test_a_key_is_revoked_once(tmp_path: Path) -> None:
    digest = "sha256:" + "a" * 64
    arguments = ["revoke", digest, "--state", str(tmp_path)]
    for _ in range(2):
        assert CliRunner().invoke(command, arguments).exit_code == 0
    assert (tmp_path / "revoked-keys").read_text() == f"{digest}\n"
    wrong = CliRunner().invoke(command, ["revoke", "abc", "--state", str(tmp_path)])
    assert wrong.exit_code != 0
