"""Load from ``wrk``, and the environments of the peers that it is put on."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOME = Path(os.environ.get("HAUBERK_BENCH_HOME", tempfile.gettempdir())) / "hauberk-bench"
PACKAGES = {
    "kserve": ("kserve==0.21.0",),
    "mlserver": ("mlserver==1.7.1",),
}
_SCRIPT = """
local file = io.open(%(body)s, "rb")
wrk.method, wrk.body = "POST", file:read("*a")
file:close()
for name, value in pairs(%(headers)s) do wrk.headers[name] = value end
local tokens, at = %(tokens)s, 0
if #tokens > 0 then
  request = function()
    at = at %% #tokens + 1
    wrk.headers["Authorization"] = "Bearer " .. tokens[at]
    return wrk.format(nil, nil)
  end
end
done = function(summary, latency)
  local wrong = summary.errors
  io.write(string.format("RESULT %%d %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    wrong.connect + wrong.read + wrong.write + wrong.status + wrong.timeout,
    latency.min, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What ``wrk`` saw in one run; times in milliseconds, CPU of the servers a request.

    ``busy`` is the share of a core that ``wrk`` itself took.
    """

    requests: int
    seconds: float
    wrong: int
    low: float
    p50: float
    p99: float
    cpu: float
    busy: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


@dataclass(frozen=True)
class Question:
    """One request that is asked again and again; with ``tokens`` each in turn is its sender."""

    body: bytes
    headers: Mapping[str, str]
    tokens: Sequence[str] = ()


def put_load(
    url: str, question: Question, *, pids: Sequence[int], seconds: float, connections: int = 1
) -> Load:
    """Ask one server for a while from one thread.

    Raises:
        RuntimeError: if an answer was not a success, or ``wrk`` failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        body, script = Path(folder) / "body", Path(folder) / "script.lua"
        body.write_bytes(question.body)
        fields = {
            "body": json.dumps(str(body)),
            "headers": _table(question.headers),
            "tokens": "{" + ",".join(map(json.dumps, question.tokens)) + "}",
        }
        script.write_text(_SCRIPT % fields)
        before, idle = sum(map(cpu, pids)), _children()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "20s"]
        done = subprocess.run(
            [*command, "-s", str(script), url], capture_output=True, text=True, check=True
        )
        used, asking = sum(map(cpu, pids)) - before, _children() - idle
    line = next((x for x in done.stdout.splitlines() if x.startswith("RESULT")), "")
    if not line:
        raise RuntimeError(done.stdout + done.stderr)
    count, micro, wrong, low, p50, p99 = map(int, line.split()[1:])
    if wrong or not count:
        raise RuntimeError(f"{url}: {wrong} of {count} requests failed\n{done.stdout}")
    return Load(
        requests=count,
        seconds=micro / 1e6,
        wrong=wrong,
        low=low / 1e3,
        p50=p50 / 1e3,
        p99=p99 / 1e3,
        cpu=used / count * 1e3,
        busy=asking / micro * 1e6,
    )


def _children() -> float:
    """CPU seconds of the processes that ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Resident memory of a process in MiB."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in x)
    return int(line.split()[1]) / 1024


def environment(name: str) -> Path | None:
    """The Python of a peer's own environment, made where it is missing; None if it cannot be."""
    folder = HOME / name
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"installing {name} into {folder}", file=sys.stderr)
        folder.parent.mkdir(parents=True, exist_ok=True)
        pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        try:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            subprocess.run([*pip, *PACKAGES[name]], check=True)
        except subprocess.CalledProcessError:
            shutil.rmtree(folder, ignore_errors=True)
            return None
    return python


def require_wrk() -> None:
    """Stop, with a hint, where there is no ``wrk``."""
    if shutil.which("wrk") is None:
        sys.exit("no wrk on this machine\nhint: apt-get install wrk")


def _table(headers: Mapping[str, str]) -> str:
    pairs = (f"[{json.dumps(name)}]={json.dumps(value)}" for name, value in headers.items())
    return "{" + ",".join(pairs) + "}"
