from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from hauberk.faces.gateway.logs import Log
from hauberk.testing.asking import ask
from hauberk.testing.gateway_bench import Bench

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pytest
    from numpy.typing import NDArray


def test_a_log_line_holds_no_payload_and_no_token(
    tmp_path: Path, rows: NDArray[np.float32], capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench.make(tmp_path)  # a gateway whose log goes to the captured stream
    capsys.readouterr()
    ask(bench.gateway, "GET", "/v2", token="a-secret-token")
    bench.infer(rows * 9)
    ask(bench.gateway, "GET", "/v2/%0A%1B[31m%7Binjected")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["code"] for line in lines] == [401, 400, 404]
    text = json.dumps([{**line, "at": None} for line in lines])
    assert "a-secret-token" not in text
    assert "[0, 1]" in text, "the refusal is there"
    for value in (rows * 9).ravel():
        assert f"{value:.6g}"[:6] not in text


def test_a_flood_of_events_is_held_back_and_counted() -> None:
    now, stream = [100.0], io.StringIO()
    log = Log(stream, clock=lambda: now[0], per_second=3)
    for _ in range(10):
        log.write("refused", why="x" * 10_000)
    now[0] = 101.0
    log.write("refused", why="\n")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 4
    assert lines[-1]["held_back"] == 7
    assert max(len(line["why"]) for line in lines) == 300


def test_a_broken_log_stream_is_no_reason_to_stop() -> None:
    stream = io.StringIO()
    stream.close()
    Log(stream).write("refused")
