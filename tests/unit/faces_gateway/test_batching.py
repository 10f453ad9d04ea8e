from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hauberk.faces.gateway.batching import Batching
from hauberk.testing.asking import ask, fake_gateway, json_body
from hauberk.testing.gateway_fakes import FakeWorld, MemoryLog

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class Toy:
    """Doubles its rows; NaN fails it. Blocks while ``gate`` is closed."""

    input_shape, classes = (2,), 2

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        self.sizes.append(len(x))
        assert self.gate.wait(10)
        if np.isnan(x).any():
            raise ValueError
        return 2 * x


def row(value: float, rows: int = 1) -> NDArray[np.float32]:
    return np.full((rows, 2), value, np.float32)


def asking(run: Batching, inputs: list[NDArray[np.float32]]) -> list[Any]:
    """What each gets, each from a thread of its own, begun in order."""
    found: list[Any] = [None] * len(inputs)

    def one(place: int) -> None:
        try:
            found[place] = run(inputs[place])
        except ValueError as error:
            found[place] = error

    threads = [threading.Thread(target=one, args=(n,)) for n in range(len(inputs))]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    toy: Any = run.run
    toy.gate.set()
    for thread in threads:
        thread.join(10)
    return found


def test_a_lone_request_runs_at_once() -> None:
    toy = Toy()
    run = Batching(toy, rows=8, seconds=10.0)
    started = time.monotonic()
    assert (run(row(3)) == 6).all()
    assert time.monotonic() - started < 5
    assert (run.input_shape, run.classes) == ((2,), 2)


def test_what_comes_meanwhile_runs_together_and_each_gets_its_own() -> None:
    toy = Toy()
    toy.gate.clear()
    found = asking(Batching(toy, rows=8, seconds=10.0), [row(n, 1 + n % 2) for n in range(6)])
    for n, out in enumerate(found):
        assert (out == 2 * n).all()
        assert len(out) == 1 + n % 2
    assert toy.sizes == [1, 8], "5 requests of 8 rows were one run"


def test_a_full_group_begins_another() -> None:
    toy = Toy()
    toy.gate.clear()
    found = asking(Batching(toy, rows=3, seconds=10.0), [row(n) for n in range(8)])
    assert [float(out[0, 0]) for out in found] == [2.0 * n for n in range(8)]
    assert max(toy.sizes) <= 3


def test_nobody_waits_beyond_the_deadline() -> None:
    toy = Toy()
    toy.gate.clear()
    run = Batching(toy, rows=8, seconds=0.05)
    first = threading.Thread(target=run, args=(row(0),))
    first.start()
    time.sleep(0.02)
    second = threading.Thread(target=run, args=(row(1),))
    second.start()
    deadline = time.monotonic() + 5
    while len(toy.sizes) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert toy.sizes == [1, 1], "the second ran though the first was not done"
    toy.gate.set()
    first.join(5)
    second.join(5)


def test_one_does_not_fail_for_anothers_input() -> None:
    toy = Toy()
    toy.gate.clear()
    found = asking(Batching(toy, rows=8, seconds=10.0), [row(0), row(1), row(np.nan), row(2)])
    assert [isinstance(out, ValueError) for out in found] == [False, False, True, False]
    assert (found[3] == 4).all()


def test_a_gateway_batches_as_the_spec_says(tmp_path: Path) -> None:
    world = FakeWorld(tmp_path)
    spec = {"serve": {"batch_rows": 4, "batch_wait_ms": 1.0, "model_threads": 2}}
    gateway = fake_gateway(tmp_path / "s", world, MemoryLog(), spec=spec)
    digest = world.linear((2,))
    from hauberk.core.ports import Routing

    lineup = gateway.pool.arrange(Routing(primary=digest))
    assert isinstance(lineup.primary.run, Batching)
    x = np.full((2, 2), 0.5, np.float32)
    assert ask(gateway, "POST", "/v2/models/m/infer", json=json_body(x)).status_code == 200


@pytest.mark.parametrize("rows", [1, 4, 9])
def test_a_large_request_is_not_split(rows: int) -> None:
    toy = Toy()
    assert len(Batching(toy, rows=4, seconds=1.0)(row(1, rows))) == rows
    assert toy.sizes == [rows]
