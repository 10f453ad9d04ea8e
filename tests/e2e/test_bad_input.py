"""Bad input, a full disk, Ctrl-C: one clear line, the right exit code, nothing half-written."""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from msgspec.structs import replace

from hauberk.core.spec import write_spec
from hauberk.faces.cli.failures import INTERRUPTED
from hauberk.faces.cli.main import run
from hauberk.testing.service import HONEST, SMALL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.conftest import Make

    from hauberk.testing.service import Service

pytestmark = pytest.mark.timeout(600)
HAUBERK = (sys.executable, "-m", "hauberk")
INFER = f"/v2/models/{SMALL.model.name}/infer"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no setting from outside."""
    for name in [name for name in os.environ if name.startswith("HAUBERK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


@pytest.fixture(scope="module")
def weights(prepared: Path) -> Path:
    return prepared / "insider" / "model.safetensors"


def archive(place: Path, *, y: Any = None, **arrays: Any) -> str:
    """A dataset of ten images, all zero but for what is given."""
    x = np.zeros((10, 28, 28), np.float32)
    labels = np.arange(10) % 2 if y is None else y
    np.savez(place / "data.npz", **{"x": x, "y": labels, **arrays})
    return f"npz:{place / 'data.npz'}"


def filled(value: float) -> np.ndarray[Any, Any]:
    return np.full((10, 28, 28), value, np.float32)


DATA: dict[str, tuple[Callable[[Path], str], str]] = {
    "NaN": (lambda p: archive(p, x=filled(float("nan"))), "NaN"),
    "infinity": (lambda p: archive(p, x=filled(float("inf"))), "infinity"),
    "out of range": (lambda p: archive(p, x=filled(7.0)), "outside [0, 1]"),
    "wrong dtype": (lambda p: archive(p, x=np.zeros((10, 28, 28), np.int32)), "int32"),
    "objects": (lambda p: archive(p, x=np.array([{}] * 10)), "could run code"),
    "labels as floats": (lambda p: archive(p, y=np.zeros(10)), "labels are float64"),
    "too few labels": (lambda p: archive(p, y=np.zeros(9, int)), "labels"),
    "no such file": (lambda p: f"npz:{p / 'none.npz'}", "none.npz"),
    "no such kind": (lambda _: "digitz", "digitz"),
}


@pytest.mark.parametrize(("make", "said"), DATA.values(), ids=DATA)
def test_bad_data(
    place: Path,
    weights: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[Path], str],
    said: str,
) -> None:
    args = ["evaluate", str(weights), "--data", make(place), "--samples", "4", "--quiet"]
    assert said in refused(args, capsys)


MODELS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a pickle": (lambda _: pickle.dumps({"weights": [1.0]}), "HB-S004"),
    "empty": (lambda _: b"", "empty"),
    "noise": (lambda _: bytes(range(256)) * 9, "HB-S004"),
    "half an ONNX file": (lambda onnx: onnx[: len(onnx) // 2], ""),
}


@pytest.mark.parametrize(("make", "said"), MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("verb", ["evaluate", "register"])
def test_bad_model(
    place: Path,
    prepared: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[bytes], bytes],
    said: str,
    verb: str,
) -> None:
    digest = json.loads((prepared / "routing.json").read_text())["primary"]
    name = digest.removeprefix("sha256:")
    good = (prepared / "store" / name[:2] / name).read_bytes()
    (place / "model.onnx").write_bytes(make(good))
    args = ["evaluate", "model.onnx", "--quiet"]
    if verb == "register":
        args = ["models", "register", "model.onnx", "--by", "me", "--state", "new", "--quiet"]
    text = refused(args, capsys)
    assert said in text
    assert "model.onnx" in text
    assert not (place / "new").exists(), "a refused model left a state directory"


OTHERS: dict[str, tuple[list[str], str, str]] = {
    "missing model": (["attack", "none.onnx"], "none.onnx", ""),
    "missing settings": (["config", "--config", "none.toml"], "no such file", "hauberk init"),
    "unknown key": (["config", "--config", "bad.toml"], "harden.epoch", "harden.epochs"),
    "wrong type": (["config", "--config", "typed.toml"], "harden.epochs", ""),
    "not TOML": (["config", "--config", "torn.toml"], "cannot be read", ""),
    "unknown verb": (["atack"], "atack", "attack"),
    "unknown rule": (["rule", "HB-E00"], "HB-E00", "HB-E0"),
    "bad threat": (["init", "--threat", "linf"], "linf", "linf:8/255"),
    "no service": (["models", "list", "--state", "none"], "no service", "models register"),
    "no service to serve": (["serve", "--state", "none"], "no service", "models register"),
    "no loop": (["loop", "status", "--state", "none"], "no service", "models register"),
}


@pytest.mark.parametrize(("args", "said", "hint"), OTHERS.values(), ids=OTHERS)
def test_bad_command(
    place: Path, capsys: pytest.CaptureFixture[str], args: list[str], said: str, hint: str
) -> None:
    (place / "bad.toml").write_text("[harden]\nepoch = 3\n")
    (place / "typed.toml").write_text('[harden]\nepochs = "many"\n')
    (place / "torn.toml").write_text("[harden\n")
    before = sorted(place.iterdir())
    text = refused(args, capsys)
    assert said in text.splitlines()[0]
    assert hint in text.partition("\nhint: ")[2]
    assert sorted(place.iterdir()) == before, "something was left behind"


def test_a_port_in_use(service: Make, taken_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    one = service()
    args = ["serve", *where(one), "--port", str(taken_port)]
    text = refused(args, capsys)
    assert f"127.0.0.1:{taken_port}: the port is in use" in text
    assert not (one.home.folder / "gateway.json").exists()


def test_bad_requests_are_refused_and_the_gateway_goes_on(
    service: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = service()
    serve = replace(one.spec.serve, max_body_bytes=65536)
    one.spec = replace(one.spec, serve=serve)
    one.config.write_text(write_spec(one.spec))
    one.start_gateway()
    good = one.rows(1)
    for x in (good[..., :9], good * np.float32("nan"), good + np.float32("inf"), good + 9.0):
        (shot,) = one.send(x, name=f"bad-{time.monotonic_ns()}")[-1:]
        assert "refused with 400" in shot.error
        assert "\n" not in shot.error
        assert "Traceback" not in shot.error
    large = one.ask("POST", INFER, token=one.tokens[HONEST], body=b" " * 70000)
    assert large.status_code == 413
    typed = {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}
    assert one.ask("POST", INFER, token=one.tokens[HONEST], body=typed).status_code == 400
    assert one.ask("POST", INFER, token=one.tokens[HONEST], body=b"{").status_code == 400
    # An attacker without a token, or with a wrong one, is told so, and not more.
    for token in (None, "guessed"):
        if token:
            monkeypatch.setenv("HAUBERK_TOKEN", token)
        text = refused(["attack", str(one.weights), "--endpoint", one.url, *where(one)], capsys)
        assert "401" in text
        assert "HAUBERK_TOKEN" in text
    assert one.records() == []
    assert one.send(good, name="good")[-1].label >= 0


def test_a_full_disk_leaves_nothing_half_written(place: Path, weights: Path) -> None:
    """A limit on the size of files is a disk that is full after 256 KiB of any of them."""

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))

    done = subprocess.run(
        [*HAUBERK, *("models", "register", str(weights), "--by", "me", "--state", "new")],
        env={**os.environ, "HAUBERK_MODEL_ARCHITECTURE": "mlp"},
        preexec_fn=small_disk,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "disk full" in done.stderr.splitlines()[-2]
    assert done.stderr.splitlines()[-1].startswith("hint: ")
    assert "Traceback" not in done.stderr
    assert not (place / "new" / "routing.json").exists()
    stored = [path for path in (place / "new" / "store").rglob("*") if path.is_file()]
    assert all(len(path.name) == 64 for path in stored), "a torn file was left"


def test_ctrl_c_while_hardening_and_the_same_command_ends_the_same(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        *("harden", "--architecture", "mlp", "--set", "harden.steps=3", "--format", "json"),
        *("--epochs", "40", "--quiet"),
    ]
    interrupt([*command, "--to", "a.safetensors"], lambda: place.glob("a.*.checkpoint"))
    (left,) = place.iterdir()
    assert left.match("a.*.checkpoint")
    digests = []
    for name in ("a.safetensors", "b.safetensors"):  # resumed, and in one go
        assert run([*command, "--to", name]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["resumed"] == (name == "a.safetensors")
        digests.append((facts["weights_digest"], facts["onnx_digest"]))
    assert digests[0] == digests[1]
    assert not list(place.glob("*.checkpoint"))


def test_ctrl_c_while_registering_and_the_same_command_ends_the_same(
    place: Path, prepared: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["models", "register", str(weights), "--by", "me", "--state", "new", "--quiet"]
    command += ["--config", str(prepared / "hauberk.toml")]
    interrupt(command, lambda: place.glob("new/jobs/setup/*.npz"))
    assert not (place / "new" / "routing.json").exists()
    assert run(command) == 0
    facts = json.loads(capsys.readouterr().out)
    whole = json.loads((prepared / "routing.json").read_text())  # in one go, of the same spec
    assert (facts["primary"], facts["twin"]) == (whole["primary"], whole["twin"])
    assert json.loads((place / "new" / "routing.json").read_text()) == whole
    assert not list(place.glob("new/jobs/setup/*.npz"))


def interrupt(command: list[str], begun: Callable[[], Iterator[Path]]) -> None:
    """Run a command in a process of its own, and press Ctrl-C once it has a checkpoint."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job of a shell ignores it
    try:
        started = subprocess.Popen([*HAUBERK, *command], stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with started as process:
        deadline = time.monotonic() + 300
        while not list(begun()):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"no checkpoint to interrupt at: {process.communicate()[1]}")
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=120)
    assert process.returncode == INTERRUPTED
    assert told.lstrip("\n") == "interrupted\nhint: the same command resumes\n"


def refused(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a refused command says: one line, and at most one more as a hint."""
    capsys.readouterr()
    assert run(args) == 2
    told = capsys.readouterr()
    lines = told.err.splitlines()
    assert told.out == ""
    assert len(lines) <= 2, told.err
    assert lines[0].startswith("error: ")
    assert all(line.startswith("hint: ") for line in lines[1:])
    assert "Traceback" not in told.err
    return told.err


def where(one: Service) -> tuple[str, ...]:
    return ("--state", str(one.home.folder), "--config", str(one.config))
