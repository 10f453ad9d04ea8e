"""Settings: default, file, variable, flag; the later wins, and each value knows its origin."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.errors import ConfigError
from hauberk.core.spec import ClientSpec, ModelSpec, ServeSpec, Spec, load_spec
from hauberk.faces.cli.config import unknown
from hauberk.faces.cli.glossary import TEXTS
from hauberk.faces.cli.init import written
from hauberk.faces.cli.main import run
from hauberk.faces.cli.sources import Given, keys, resolve, variable


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_later_source_wins_and_is_named(alone: Path) -> None:
    file = alone / "hauberk.toml"
    file.write_text("[harden]\nepochs = 2\nsteps = 2\nbatch_size = 64\n[gate]\nrestarts = 2\n")
    environ = {"HAUBERK_HARDEN_STEPS": "3", "HAUBERK_GATE_RESTARTS": "3"}
    found = resolve(file, environ, [Given("gate.restarts", "4", "--set gate.restarts")])
    assert [found.value(k) for k in ("harden.epochs", "harden.steps", "gate.restarts")] == [2, 3, 4]
    assert found.origins["harden.epochs"] == str(file)
    assert found.origins["harden.batch_size"] == str(file), "set, even if to the default"
    assert found.origins["harden.steps"] == "HAUBERK_HARDEN_STEPS"
    assert found.origins["gate.restarts"] == "--set gate.restarts"
    assert found.origins["harden.seed"] == "default"


def test_without_sources_the_spec_is_the_default() -> None:
    found = resolve(None, {})
    assert found.spec == Spec()
    assert set(found.origins.values()) == {"default"}
    assert set(found.origins) == set(keys())


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("gate.eps_factors", "0.5, 2", (0.5, 2.0)),
        ("harden.step_size", "", None),
        ("harden.step_size", "0.1", 0.1),
        ("model.name", "7", "7"),
        ("model.name", "true", "true"),
        ("harden.seed", "3", 3),
        ("loop.contain", "abstain", "abstain"),
    ],
)
def test_texts_become_values_of_the_right_type(key: str, text: str, value: object) -> None:
    assert resolve(None, {variable(key): text}).value(key) == value


def test_a_threat_sets_norm_and_eps() -> None:
    found = resolve(None, {}, [Given("threat", "l2:8/255", "--threat")])
    assert (found.spec.threat.norm, found.spec.threat.eps) == ("l2", 8 / 255)
    assert found.origins["threat.norm"] == found.origins["threat.eps"] == "--threat"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("harden.epochs", "0"),
        ("harden.epochs", "1.5"),
        ("harden.epochs", "many"),
        ("serve.port", "tcp://10.0.0.1:80"),
        ("serve.port", "65536"),
        ("detect.alpha", "nan"),
        ("gate.eps_factors", ""),
        ("threat.norm", "l7"),
        ("model.name", ""),
    ],
)
def test_a_bad_value_names_its_source(key: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(None, {variable(key): text})
    assert caught.value.where == variable(key)
    assert key in caught.value.hint


def test_unknown_keys_and_tables_are_told() -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        resolve(None, {}, [Given("harden.epoch", "1", "--set harden.epoch")])
    with pytest.raises(ConfigError, match="list of tables"):
        resolve(None, {}, [Given("serve.clients", "[]", "--set serve.clients")])


def test_every_key_has_a_line_in_the_glossary() -> None:
    assert set(TEXTS) == set(keys())


def test_flags_and_variables_reach_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows(*args: str) -> dict[str, tuple[str, str]]:
        assert run(["config", "--show-origin", "--format", "json", *args]) == 0
        return {r["key"]: (r["value"], r["origin"]) for r in json.loads(capsys.readouterr().out)}

    assert rows("--data", "npz:a.npz")["data.source"] == ('"npz:a.npz"', "--data")
    monkeypatch.setenv("HAUBERK_SEED", "5")
    monkeypatch.setenv("HAUBERK_THREAT", "l2:1")
    assert rows()["harden.seed"] == ("5", "HAUBERK_SEED")
    assert rows()["threat.norm"] == ('"l2"', "HAUBERK_THREAT")
    assert rows("--seed", "6")["harden.seed"] == ("6", "--seed")
    assert rows("--set", "harden.seed=7")["harden.seed"][0] == "5", "a flag's variable is a flag"


def test_the_config_file_is_found_or_given(
    alone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (alone / "hauberk.toml").write_text("[harden]\nseed = 1\n")
    (alone / "other.toml").write_text("[harden]\nseed = 2\n")
    run(["config", "--show-origin"])
    assert "hauberk.toml" in capsys.readouterr().out
    monkeypatch.setenv("HAUBERK_CONFIG", "other.toml")
    run(["config", "--show-origin"])
    assert "other.toml" in capsys.readouterr().out


def test_a_secret_is_not_shown(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (alone / "hauberk.toml").write_text('[serve]\nconsent = "a-signed-token"\n')
    assert run(["config"]) == 0
    shown = capsys.readouterr().out
    assert "a-signed-token" not in shown
    assert "(set)" in shown


def test_a_misspelt_variable_is_noted() -> None:
    environ = {"HAUBERK_HARDEN_EPOCH": "1", "HAUBERK_HARDEN_EPOCHS": "1", "HAUBERK_TOKEN": "x"}
    assert unknown(environ) == ["HAUBERK_HARDEN_EPOCH"]


def test_init_writes_a_file_that_reads_back(
    alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "--threat", "l2:0.5", "--set", "gate.eps_factors=1,2"]) == 0
    spec = load_spec(alone / "hauberk.toml")
    assert (spec.threat.norm, spec.threat.eps, spec.gate.eps_factors) == ("l2", 0.5, (1.0, 2.0))
    before = (alone / "hauberk.toml").read_bytes()
    assert run(["init"]) == 2
    assert (alone / "hauberk.toml").read_bytes() == before
    assert "--force" in capsys.readouterr().err
    assert run(["init", "--force", "--set", "harden.seed=9"]) == 0
    assert load_spec(alone / "hauberk.toml").harden.seed == 9


def test_init_reads_the_name_and_the_architecture(alone: Path) -> None:
    header = {"__metadata__": {"hauberk": json.dumps({"architecture": "mlp"})}}
    text = json.dumps(header).encode()
    (alone / "fraud.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    assert run(["init", "fraud.safetensors", "--to", "a.toml"]) == 0
    assert load_spec(alone / "a.toml").model == ModelSpec(name="fraud", architecture="mlp")
    (alone / "odd.safetensors").write_bytes(b"\xff" * 9)
    assert run(["init", "odd.safetensors", "--to", "b.toml"]) == 0
    assert load_spec(alone / "b.toml").model == ModelSpec(name="odd")


def test_commented_lines_are_valid_once_uncommented(alone: Path) -> None:
    lines = []
    for line in written(Spec()).splitlines():
        bare = line.removeprefix("# ")
        key = bare.split(" = ")[0]
        shown = key.isidentifier() and "…" not in bare
        lines.append(bare if shown and " = " in bare else line)
    (alone / "all.toml").write_text("\n".join(lines), encoding="utf-8")
    assert load_spec(alone / "all.toml") == Spec()
    assert resolve(alone / "all.toml", {}).origins["gate.restarts"] != "default"


@settings(deadline=None, max_examples=60)
@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    eps=st.floats(0, 1e6),
    factors=st.lists(st.floats(1e-6, 100), max_size=3),
    clients=st.integers(0, 2),
)
def test_any_spec_survives_being_written(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    eps: float,
    factors: list[float],
    clients: int,
) -> None:
    known = tuple(ClientSpec(name=name, token_sha256="sha256:" + "0" * 64) for _ in range(clients))
    base = Spec(model=ModelSpec(name=name), serve=ServeSpec(clients=known))
    given_ = [Given("threat.eps", repr(eps), "--set")]
    if factors:
        given_.append(Given("gate.eps_factors", ",".join(map(repr, factors)), "--set"))
    file = tmp_path_factory.getbasetemp() / "spec.toml"
    file.write_bytes(written(base).encode())
    spec = resolve(file, {}, given_).spec
    file.write_bytes(written(spec).encode())
    assert load_spec(file) == spec
