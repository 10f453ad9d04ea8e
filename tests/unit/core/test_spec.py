"""The spec: strict, and every complaint names the key."""

from pathlib import Path

import pytest

from hauberk.core.errors import ConfigError
from hauberk.core.spec import (
    ClientSpec,
    ModelSpec,
    ServeSpec,
    Spec,
    load_spec,
    parse_spec,
    write_spec,
)

HASH = "sha256:" + "0" * 64


def test_an_empty_tree_is_the_default() -> None:
    assert parse_spec({}) == Spec()


@pytest.mark.parametrize(
    ("tree", "words", "hint"),
    [
        ({"hardn": {}}, "unknown key 'hardn'", "did you mean 'harden'?"),
        ({"harden": {"epoch": 1}}, "unknown key 'harden.epoch'", "did you mean 'harden.epochs'?"),
        ({"serve": {"clients": [{"nam": "x"}]}}, "'serve.clients[0].nam'", "clients[0].name"),
        ({"harden": {"zzz": 1}}, "unknown key", "known: "),
        ({"harden": {"epochs": "4"}}, "expected `int", ""),
        ({"harden": {"epochs": True}}, "expected `int", ""),
        ({"harden": 3}, "expected `object`", ""),
        ({"serve": {"port": 70000}}, "<= 65535", ""),
        ({"detect": {"alpha": 1.0}}, "< 1.0", ""),
        ({"detect": {"alpha": float("nan")}}, "expected", ""),
        ({"threat": {"eps": -1.0}}, ">= 0.0", ""),
        ({"serve": {"clients": [{"name": "x", "token_sha256": "secret"}]}}, "matching regex", ""),
        ({"serve": {"clients": [{"name": "x", "token_sha256": HASH, "role": "root"}]}}, "enum", ""),
        ({"model": {"name": ""}}, "length >= 1", ""),
        ({"model": {"name": "x" * 4097}}, "length <= 4096", ""),
    ],
)
def test_what_is_wrong_is_named(tree: dict[str, object], words: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_spec(tree, where="hauberk.toml")
    assert words in str(caught.value)
    assert str(caught.value).startswith("hauberk.toml")
    assert "\n" not in str(caught.value)
    assert hint in caught.value.hint
    assert "secret" not in str(caught.value)


def test_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "hauberk.toml"
    with pytest.raises(ConfigError, match="no such file"):
        load_spec(file)
    for bad in (b"x", b"\xff", b"a = 1\na = 2"):
        file.write_bytes(bad)
        with pytest.raises(ConfigError, match="cannot be read"):
            load_spec(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_spec(tmp_path)
    file.write_text('[model]\nname = "ped"\n')
    assert load_spec(file).model == ModelSpec(name="ped")


@pytest.mark.parametrize("name", ["ped", 'a"b\\c', "ε\n\t\x00\x7f", "🛡"])
def test_what_is_written_reads_back(name: str, tmp_path: Path) -> None:
    client = ClientSpec(name=name, token_sha256=HASH)
    spec = Spec(model=ModelSpec(name=name), serve=ServeSpec(clients=(client, client)))
    file = tmp_path / "hauberk.toml"
    file.write_bytes(write_spec(spec).encode())
    assert load_spec(file) == spec
